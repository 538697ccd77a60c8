"""An S3 server in a process of its own, which counts requests and takes objects without any."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

BUCKET = "bench"
Environment = Mapping[str, Any]


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
    """Counts the requests to a WSGI application."""

    def __init__(self, application: Callable[[Environment, Any], Iterable[bytes]]) -> None:
        self.application, self.requests = application, 0

    def __call__(self, environment: Environment, start_response: Any) -> Iterable[bytes]:
        self.requests += 1
        return self.application(environment, start_response)


def _serve(pipe: Connection) -> None:
    from threading import Thread  # noqa: PLC0415 - in the server's process alone, as all of moto

    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from moto.s3.models import FakeKey, s3_backends  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    application = _Counting(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    bucket = s3_backends["123456789012"]["aws"].create_bucket(BUCKET, "us-east-1")
    pipe.send(f"http://127.0.0.1:{server.server_port}")
    for what, *arguments in _asked(pipe):
        answer: Any = None
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
