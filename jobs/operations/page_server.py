"""Serves the files of a report to browsers on this machine, from wherever they are stored."""

import http.server
import re
from collections.abc import Callable
from http import HTTPStatus

from manifests import storage
from manifests.errors import InputError

HOST = "127.0.0.1"
_FILES = re.compile(r"/(?:[a-z]+\.html|pictures/[0-9a-f]+\.jpg)?", re.ASCII)
_TYPES = {"html": "text/html; charset=utf-8", "jpg": "image/jpeg"}


def server(folder: str, port: int) -> http.server.ThreadingHTTPServer:
    """Return a server, not yet running, of the report in `folder`, a URI; port 0 takes any that is free.

    Only this machine can reach it, and only the pages and pictures of a report are served. Raises InputError when the
    port is taken.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if not _FILES.fullmatch(path):
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            name = path[1:] or "index.html"
            try:
                data = storage.read_bytes(storage.join(folder, name))
            except FileNotFoundError:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _TYPES[name.rpartition(".")[2]])
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Print nothing: a line for each picture says nothing."""

    try:
        return http.server.ThreadingHTTPServer((HOST, port), Handler)
    except OSError as e:
        raise InputError(f"--port {port}: {e.strerror}; name another, or 0 for any that is free") from e


def serve(folder: str, port: int, *, say: Callable[[str], None]) -> None:
    """Serve the report in `folder` until the command is interrupted; `say` gets its address."""
    with server(folder, port) as running:
        say(f"serving http://{HOST}:{running.server_port}/ until Ctrl-C")
        running.serve_forever()
