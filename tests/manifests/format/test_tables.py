"""Long lists of `_manifest.json` are tables beside it: the document stays small, and they are read when asked for."""

import json
import pickle
from pathlib import Path

import pytest

from manifests import storage
from manifests.errors import ManifestError
from manifests.format.commit import commit
from manifests.format.schema import Stage
from manifests.format.store import MANIFEST_FILE, Manifest, Parent, Provenance, open_manifest
from manifests.format.tables import TableFile, with_tables
from tests.support.making import CREATED, commit_rows, receipts_of

MANY = 5_000
SOURCES = {f"s3://bucket/tars/{n:06d}.tar": f"etag-{n}" for n in range(10 * MANY)}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A manifest with receipts of 5,000 units and 50,000 sources, without its parts."""
    about = Provenance(
        stage=Stage.SCAN,
        config={},
        software={},
        inputs={"sources": SOURCES, "ignore_zeros": True},
        parents=[Parent(uri=f"s3://bucket/m{n}", stage="scan", digest=f"{n:064x}") for n in range(1000)],
        roots=[f"s3://bucket/root-{n}/" for n in range(1000)],
        funnel=[],
    )
    uri = storage.absolute(str(tmp_path_factory.mktemp("large") / "m"))
    broken = {f"s3://bucket/tars/{n:06d}.tar": "cut off" for n in range(1000)}
    receipts = receipts_of(MANY, broken_sources=broken, source_warnings=broken)
    return commit(uri, receipts, about, created=CREATED)


def document(manifest: Manifest) -> bytes:
    return storage.read_bytes(f"{manifest.uri}/{MANIFEST_FILE}")


def test_the_document_stays_small(large: Manifest) -> None:
    assert len(document(large)) < 64 << 10
    fields = json.loads(document(large))
    tables = sorted(path.split("/")[1].rsplit("-", 1)[0] for path in large.tables)
    assert tables == ["broken_sources", "parents", "parts", "roots", "source_warnings", "sources"]
    assert fields["parts"]["rows"] == MANY
    assert fields["inputs"] == {"ignore_zeros": True, "sources": fields["inputs"]["sources"]}


def test_what_is_read_is_what_was_committed(large: Manifest) -> None:
    found = open_manifest(large.uri)
    assert found == large
    assert list(found.parts) == list(large.parts)
    assert dict(found.inputs["sources"]) == SOURCES
    assert found.document() == large.document()


def test_parts_and_sources_are_read_when_they_are_asked_for(large: Manifest, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/m"
    storage.write_bytes(f"{uri}/{MANIFEST_FILE}", document(large))
    for path in large.tables:
        if "/parts-" not in path and "/sources-" not in path:
            storage.write_bytes(f"{uri}/{path}", storage.read_bytes(f"{large.uri}/{path}"))
    found = open_manifest(uri)
    assert (len(found.parts), len(found.inputs["sources"])) == (MANY, 10 * MANY)
    assert len(pickle.dumps(found)) < 1 << 20
    for ask in (lambda: found.parts[0], lambda: dict(found.inputs["sources"])):
        with pytest.raises(
            ManifestError, match=r"_tables/(parts|sources)-[0-9a-f]{12}\.parquet: missing; restore it"
        ):
            ask()


def test_a_table_that_was_altered_is_named(tmp_path: Path) -> None:
    made = commit_rows(tmp_path / "m", [[{"key": "a"}]])
    (path,) = (tmp_path / "m" / "_tables").iterdir()
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ManifestError, match=rf"{path}: altered: its sha256 is not the committed one"):
        list(open_manifest(made.uri).parts)


@pytest.mark.parametrize("table", ["../secret.parquet", "/etc/passwd", "_tables/../x.parquet", "parts.parquet", 7])
def test_a_table_is_a_file_in_its_folder(tmp_path: Path, table: object) -> None:
    made = commit_rows(tmp_path / "m", [[{"key": "a"}]])
    fields = json.loads(document(made))
    fields["parts"]["table"] = table
    storage.write_bytes(f"{made.uri}/{MANIFEST_FILE}", json.dumps(fields).encode())
    with pytest.raises(ManifestError, match="damaged"):
        open_manifest(made.uri)


def test_a_manifest_of_format_version_1_is_read(tmp_path: Path) -> None:
    made = commit_rows(tmp_path / "m", [[{"key": "a"}], [{"key": "b"}]], inputs={"sources": {"file:///0.tar": "1"}})
    fields = {**made.document(), "format_version": 1}
    for part in fields["parts"]:
        for name in ("fingerprint", "counts", "facts", "key_lanes"):
            del part[name]
    storage.write_bytes(f"{made.uri}/{MANIFEST_FILE}", json.dumps(fields).encode())
    storage.remove(f"{made.uri}/_tables")
    found = open_manifest(made.uri)
    assert (found.digest, found.tables) == (made.digest, [])
    assert [(p.name, p.rows, p.lanes, p.fingerprint) for p in found.parts] == [
        (p.name, p.rows, p.lanes, None) for p in made.parts
    ]
    assert found.inputs["sources"] == {"file:///0.tar": "1"}


def test_equal_rows_make_equal_files() -> None:
    fields = {"inputs": {"sources": {"a": "1", "b": "2"}}}
    assert with_tables(fields) == with_tables(fields)
    ((path, data),) = with_tables(fields)[1].items()
    file = TableFile.from_json(with_tables(fields)[0]["inputs"]["sources"])
    assert file is not None
    assert (file.table, file.rows, file.size_bytes) == (path, 2, len(data))
