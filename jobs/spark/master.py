"""Checks the address of a Spark master before Spark starts, which would try for a minute and more."""

import os
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from curation.config import SparkConfig
from manifests.errors import InputError

TIMEOUT_SECONDS = 5
_WITHOUT_ADDRESS = re.compile(r"local(\[(\*|\d+)(,\d+)?\])?|local-cluster\[\d+,\d+,\d+\]|yarn")
_CONNECT_PORT = 15002


def master_of(config: SparkConfig) -> str | None:
    """Return the address at which Spark will start, or None for that of spark-submit or the default."""
    remote = os.environ.get("SPARK_REMOTE") or config.conf.get("spark.remote")
    return remote or config.conf.get("spark.master") or config.master


def local_cores(master: str | None) -> int:
    """Return how many tasks a local master, None for the default one, runs at once."""
    cores = re.fullmatch(r"local(?:\[(\*|\d+)(?:,\d+)?\])?", master or "local[*]")
    if cores is None or cores[1] == "*":
        return len(os.sched_getaffinity(0))
    return max(1, int(cores[1] or 1))


def is_local(master: str | None) -> bool:
    """Return whether a master, None for the default one, runs in this process alone."""
    return master is None or master.startswith("local")


def require_master(config: SparkConfig) -> None:
    """Raise InputError when the configured Spark master is not an address of one, or does not answer there."""
    master = master_of(config)
    if master is None or _WITHOUT_ADDRESS.fullmatch(master):
        return
    places = list(_places(master))
    reasons = []
    for host, port in places:
        try:
            socket.create_connection((host, port), timeout=TIMEOUT_SECONDS).close()
        except OSError as e:
            reasons.append(e.strerror or str(e) or type(e).__name__)
        else:
            return
    shown = ", ".join(f"{host}:{port}" for host, port in places)
    raise InputError(
        f"{master.partition('/;')[0]}: no Spark master answers at {shown} ({reasons[-1]}); check the address, "
        "and that the master runs"
    )


def _places(master: str) -> Iterator[tuple[str, int]]:
    """Yield the hosts and ports that a master may answer at, as `spark://one:7077,two:7077` names two."""
    protocol, _, rest = master.partition("://")
    try:
        if protocol == "spark":
            for each in rest.split(","):
                yield _place(f"//{each}", None)
            return
        if protocol == "k8s":
            yield _place(rest if "://" in rest else f"https://{rest}", 80 if rest.startswith("http://") else 443)
            return
        if protocol == "sc":
            yield _place(f"//{rest.partition('/')[0]}", _CONNECT_PORT)
            return
    except ValueError as e:
        raise InputError(f"{master}: not a Spark master ({e}); {_ADVICE}") from e
    raise InputError(f"{master}: not a Spark master; {_ADVICE}")


_ADVICE = "write local[*], spark://host:7077, yarn or k8s://https://host:443"


def _place(url: str, default_port: int | None) -> tuple[str, int]:
    parts = urlsplit(url)
    port = parts.port or default_port
    if not parts.hostname:
        raise ValueError("a host is missing")
    if port is None:
        raise ValueError("a port is missing")
    return parts.hostname, port
