"""An S3 server in a process of its own, which counts requests and takes objects without any."""

import bisect
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

BUCKET = "bench"
Environment = Mapping[str, Any]
Application = Callable[[Environment, Any], Iterable[bytes]]


class Server:
    """The server, as the benchmark sees it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        self.url = str(self._pipe.recv())

    def put(self, objects: Mapping[str, bytes], size_bytes: int | None = None) -> None:
        """Add objects: key → content. A listing names `size_bytes` as their size, if given."""
        self._ask("put", objects, size_bytes)

    def requests(self) -> int:
        """Return how many requests were made since it was asked the last time."""
        return int(self._ask("requests"))

    def keys(self, prefix: str) -> dict[str, bytes]:
        """Return key → content of the objects whose keys begin with `prefix`."""
        found: dict[str, bytes] = self._ask("keys", prefix)
        return found

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def _ask(self, what: str, *arguments: Any) -> Any:
        self._pipe.send((what, *arguments))
        return self._pipe.recv()


class _Counting:
    """Counts the requests to a WSGI application. `listings` are forgotten at each that may write."""

    def __init__(self, application: Application, listings: dict[Any, Any]) -> None:
        self.application, self.listings, self.requests = application, listings, 0

    def __call__(self, environment: Environment, start_response: Any) -> Iterable[bytes]:
        self.requests += 1
        if environment["REQUEST_METHOD"] not in ("GET", "HEAD"):
            self.listings.clear()
        return self.application(environment, start_response)


def _remember_listings(backend: Any) -> dict[Any, Any]:
    """Let moto list a bucket once and not for each page, which takes hours for 200,000 names; return the listings."""
    listings: dict[Any, Any] = {}
    once, after = backend.list_objects, backend._get_results_from_token

    def list_objects(bucket: Any, prefix: Any, delimiter: Any, marker: Any, max_keys: Any) -> Any:
        key = (bucket.name, prefix, delimiter, marker, max_keys)
        if key not in listings:
            listings[key] = once(bucket, prefix, delimiter, marker=marker, max_keys=max_keys)
        return listings[key]

    def results_after(results: Any, token: Any) -> Any:
        first = bisect.bisect_right(results, token, key=lambda each: getattr(each, "name", each))
        return results[first:] if isinstance(token, str) else after(results, token)

    backend.list_objects, backend._get_results_from_token = list_objects, results_after
    return listings


def _serve(pipe: Connection) -> None:
    from threading import Thread  # noqa: PLC0415 - in the server's process alone, as all of moto

    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from moto.s3.models import FakeKey, s3_backends  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    class Quiet(MotoRequestHandler):  # type: ignore[misc]
        def log_request(self, *_: Any, **__: Any) -> None:
            """Log nothing."""

    backend = s3_backends["123456789012"]["aws"]
    listings = _remember_listings(backend)
    application = _Counting(DomainDispatcherApplication(create_backend_app), listings)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    Thread(target=server.serve_forever, daemon=True).start()
    bucket = backend.create_bucket(BUCKET, "us-east-1")
    pipe.send(f"http://127.0.0.1:{server.server_port}")
    for what, *arguments in _asked(pipe):
        answer: Any = None
        listings.clear()
        if what == "put":
            objects, size_bytes = arguments
            for key, content in objects.items():
                made = FakeKey(name=key, value=content, account_id="123456789012", region_name="us-east-1")
                if size_bytes is not None:
                    made.contentsize = size_bytes
                bucket.keys[key] = made
        elif what == "requests":
            answer, application.requests = application.requests, 0
        else:
            (prefix,) = arguments
            answer = {key: each.value for key, each in bucket.keys.items() if key.startswith(prefix)}
        pipe.send(answer)


def _asked(pipe: Connection) -> Iterator[tuple[Any, ...]]:
    while True:
        yield pipe.recv()
