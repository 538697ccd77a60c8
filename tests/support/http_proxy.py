"""A proxy in front of an HTTP server on this machine: counts what passes, and answers as a server in trouble does."""

import contextlib
import hashlib
import http.client
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Trouble = int | Literal["slow down", "reset", "cut", "lost", "stall"]
"""An HTTP status to answer with; `slow down` is S3's 503. `reset` closes the connection and passes nothing on; `lost`
passes the request on, but closes it without an answer; `stall` leaves it open instead, until the client gives up;
`cut` closes it within the body of the answer, or before an answer without a body."""
KINDS: Sequence[Trouble] = ("slow down", "lost", "cut", "stall", "reset")
SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message><RequestId>1</RequestId></Error>"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request that came to the proxy, and the size of the body of its answer."""

    method: str
    path: str
    body_bytes: int


@dataclass(kw_only=True)
class Proxy:
    """What passed through a proxy, and the troubles that the next requests get, in order."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    meets: Callable[[str, str], bool] = lambda method, path: True
    """Which requests (method and path) meet a trouble."""
    one_in: int = 0
    """One request in so many meets one of KINDS, which take turns; 0 for none. Which requests, says a hash of the
    method, the path, and how many such requests came before."""
    met: Counter[Trouble] = field(default_factory=Counter)
    """How often each of KINDS was met."""

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def body_bytes(self) -> int:
        """The sum of the bodies of all answers."""
        return sum(each.body_bytes for each in self.requests)

    def count(self, method: str) -> int:
        """Return the number of requests with this method."""
        return sum(each.method == method for each in self.requests)

    def trouble(self, method: str, path: str) -> Trouble | None:
        """Return the trouble that a request meets."""
        if self.troubles and self.meets(method, path):
            return self.troubles.pop(0)
        times = sum(each.method == method and each.path == path for each in self.requests)
        drawn = int.from_bytes(hashlib.sha256(f"{method} {path} {times}".encode()).digest())
        if not self.one_in or drawn % self.one_in:
            return None
        kind = KINDS[self.met.total() % len(KINDS)]
        self.met[kind] += 1
        return kind


@contextlib.contextmanager
def proxy_of(url: str) -> Iterator[Proxy]:
    """Yield a proxy of the server at `url`, which ends with the block."""
    proxy, lock = Proxy(), threading.Lock()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy, lock, urlsplit(url).netloc))
    server.daemon_threads = True
    proxy.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(proxy: Proxy, lock: threading.Lock, host: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open, as with a real storage
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):  # the client gave up
                return super().handle_one_request()
            self.close_connection = True

        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                trouble = proxy.trouble(self.command, self.path)
            if trouble == "reset":
                self.count(0)
                self.reset()
            elif trouble == "slow down":
                self.count(len(SLOW_DOWN))
                self.reply(503, [("Content-Type", "application/xml")], SLOW_DOWN)
            elif isinstance(trouble, int):
                self.count(0)
                self.reply(trouble, [], b"")
            else:
                connection = http.client.HTTPConnection(host)
                connection.request(self.command, self.path, sent, dict(self.headers))
                answer = connection.getresponse()
                body = answer.read()
                connection.close()
                self.count(len(body))
                if trouble == "stall":
                    self.connection.recv(1)  # which ends when the client closes the connection
                elif trouble is None or (trouble == "cut" and body):
                    self.reply(answer.status, answer.getheaders(), body[: len(body) // 2] if trouble else body)
                if trouble is not None:
                    self.reset()

        def count(self, body_bytes: int) -> None:
            with lock:
                proxy.requests.append(Request(method=self.command, path=self.path, body_bytes=body_bytes))

        def reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            names = {name.lower() for name, _ in headers}
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            if "content-length" not in names:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()

        def reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer)
    return Handler
