"""The benchmark of the control plane performs every operation, on a disk and on an S3 server, on a few units."""

from pathlib import Path

import pytest

from benchmarks.control.server import Server
from benchmarks.control_plane import Place, exponents, simulate

pytestmark = pytest.mark.slow
OPERATIONS = ["plan", "begin", "resume", "commit", "open", "show", "query", "diff", "restart"]


@pytest.mark.parametrize("on", ["disk", "s3"])
def test_every_operation_is_measured(tmp_path: Path, on: str) -> None:
    server = Server() if on == "s3" else None
    try:
        lines = list(simulate(Place(tmp_path, server), 12, tmp_path / "plan"))
    finally:
        if server is not None:
            server.stop()
    assert [line.operation for line in lines] == OPERATIONS
    assert all(line.requests > 0 and line.peak_bytes > 0 for line in lines)
    assert exponents(lines) == {}, "there is one size"
