"""An S3 server for reading, with a latency: it costs so little itself that it is not what is measured.

    python -m benchmarks.feeding.server FOLDER LATENCY_SECONDS

Serves the files of FOLDER, in the bucket `bench`: objects and ranges of them, their heads, and listings (GetObject,
HeadObject and ListObjectsV2 of Amazon's API reference). Each answer waits for the latency; any number wait at once.
Prints its address.
"""

import asyncio
import contextlib
import functools
import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bench"
MODIFIED = "2025-01-01T00:00:00.000Z"
MODIFIED_HEADER = "Wed, 01 Jan 2025 00:00:00 GMT"


@contextlib.contextmanager
def serving(folder: Path, latency_seconds: float) -> Iterator[str]:
    """Yield the address of a server in a process of its own, which ends with the block."""
    line = [sys.executable, "-m", "benchmarks.feeding.server", str(folder), str(latency_seconds)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


class _Server:
    def __init__(self, folder: Path, latency_seconds: float) -> None:
        self._folder, self._latency_seconds = folder.resolve(), latency_seconds
        self._read = functools.cache(self._uncached)

    def _uncached(self, key: str) -> bytes | None:
        path = (self._folder / key).resolve()
        return path.read_bytes() if path.is_relative_to(self._folder) and path.is_file() else None

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, *_ = head.split(" ", 2)
                fields = (line.partition(":") for line in head.split("\r\n")[1:] if line)
                headers = {name.strip().lower(): value.strip() for name, _, value in fields}
                await reader.readexactly(int(headers.get("content-length", 0)))
                await asyncio.sleep(self._latency_seconds)
                status, more, body = self._answer(target, headers)
                size = {"Content-Length": str(len(body))} | more
                lines = "".join(f"{name}: {value}\r\n" for name, value in size.items())
                writer.write(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + (b"" if method == "HEAD" else body))
                await writer.drain()
        writer.close()

    def _answer(self, target: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str], bytes]:
        url = urlsplit(target)
        key = unquote(url.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        if not key:
            return "200 OK", {"Content-Type": "application/xml"}, self._listed(parse_qs(url.query)).encode()
        data = self._read(key)
        if data is None:
            error = f"<Error><Code>NoSuchKey</Code><Key>{escape(key)}</Key></Error>"
            return "404 Not Found", {"Content-Type": "application/xml"}, error.encode()
        about = {"ETag": _etag(key, len(data)), "Last-Modified": MODIFIED_HEADER, "Accept-Ranges": "bytes"}
        about["Content-Type"] = "application/octet-stream"
        if "range" not in headers:
            return "200 OK", about, data
        first, _, last = headers["range"].removeprefix("bytes=").partition("-")
        start = int(first) if first else len(data) - int(last)
        end = int(last) + 1 if first and last else len(data)
        if start >= len(data):
            return "416 Range Not Satisfiable", {}, b"<Error><Code>InvalidRange</Code></Error>"
        found = data[start:end]
        about["Content-Range"] = f"bytes {start}-{start + len(found) - 1}/{len(data)}"
        return "206 Partial Content", about, found

    def _listed(self, query: Mapping[str, list[str]]) -> str:
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        folder = self._folder / prefix.rpartition("/")[0]
        keys = sorted(str(p.relative_to(self._folder)) for p in folder.rglob("*") if p.is_file())
        objects, folders = [], set()
        for key in keys:
            rest = key.removeprefix(prefix)
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
                continue
            size = (self._folder / key).stat().st_size
            objects.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><LastModified>{MODIFIED}</LastModified>"
                f"<ETag>{escape(_etag(key, size))}</ETag></Contents>"
            )
        common = [f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in sorted(folders)]
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
            f"<KeyCount>{len(objects) + len(common)}</KeyCount>{''.join(objects + common)}</ListBucketResult>"
        )


def _etag(key: str, size: int) -> str:
    return f'"{hashlib.sha256(f"{key} {size}".encode()).hexdigest()[:32]}"'


async def _serve(folder: Path, latency_seconds: float) -> None:
    server = await asyncio.start_server(_Server(folder, latency_seconds).connected, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), float(sys.argv[2])))
