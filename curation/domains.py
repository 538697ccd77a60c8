"""The registered domain of a URL, by the Public Suffix List: `https://img.example.co.uk/a` is of `example.co.uk`.

Only the public part of the list counts, so all pages of a host such as github.io are of one domain. The list comes
with the package publicsuffixlist; nothing is fetched. International names are compared and shown in ASCII (`xn--…`),
in which no two look alike.
"""

import functools
import ipaddress
import re
from importlib import metadata

from publicsuffixlist import PublicSuffixList

_HOST = r"^\s*[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?(\[[^\]/?#]*\]|[^/?#:]*)"
_HOST_OF = re.compile(_HOST, re.ASCII)
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.ASCII)
MAX_NAME_CHARS = 253


def host_sql(url: str) -> str:
    """Return DuckDB SQL for the host of the text `url`, as `host_of` returns it; empty where it has none.

    Many rows have few hosts: group by this, then ask for the domain of each.
    """
    return f"lower(regexp_extract({url}, '{_HOST}', 1))"


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, without user, password and port; empty where it has none."""
    found = _HOST_OF.match(url)
    return found[1].lower() if found else ""


def registered_domain(url: str) -> str | None:
    """Return the registered domain of a URL, or its address if its host is one; None without a host that is valid."""
    return domain_of(host_of(url))


def domain_of(host: str) -> str | None:
    """Return the registered domain of a host, in ASCII.

    An IP address is its own, and so is a name without a registered part, such as `localhost` or `co.uk`. None of what
    is no name.
    """
    if (address := _address(host)) is not None:
        return address
    name = _ascii(host.rstrip("."))
    if name is None or len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        return None
    return _suffixes().privatesuffix(name) or name


def list_version() -> str:
    """Return which Public Suffix List decides: the version of its package, which ends in the list's date."""
    return f"publicsuffixlist={metadata.version('publicsuffixlist')}"


@functools.cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


def _address(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None


def _ascii(host: str) -> str | None:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
