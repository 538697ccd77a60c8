"""`curate models`: which files engines load, and fetching them from a server with any answer."""

import dataclasses
import hashlib
import io
import json
import socket
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from filters.engines.model_files import ModelFile, model_files
from filters.protocol import BUILT_IN_ENGINES, EngineUnavailable, load_engine
from jobs.cli.main import main
from jobs.setup import models
from jobs.spark import session
from manifests import storage
from manifests.format.commit import commit
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Provenance, lanes_of
from tests.support.easyocr_weights import needs_easyocr, write_random_weights

WEIGHTS = bytes(range(256)) * 5000


def run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


def zipped(members: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `pages`; the answer for a path in `truncated` ends after half of its announced length."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, bytes] = {}
        self.truncated: set[str] = set()
        self.requested: list[str] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requested.append(self.path)
        body = self.server.pages.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path in self.server.truncated else body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as started:
        thread = threading.Thread(target=started.serve_forever, args=(0.01,))
        thread.start()
        yield started
        started.shutdown()
        thread.join()


@pytest.fixture
def file(server: Server, tmp_path: Path) -> ModelFile:
    """Weights that the server publishes as they should be."""
    server.pages["/w.zip"] = zipped({"w.pth": WEIGHTS})
    md5 = hashlib.md5(WEIGHTS, usedforsecurity=False).hexdigest()
    return ModelFile(path=tmp_path / "home/model/w.pth", advice="fetch it", url=server.url("/w.zip"), md5=md5)


def files_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


# --- fetching ---------------------------------------------------------------------------------------------


def test_what_is_published_is_fetched_once(server: Server, file: ModelFile):
    assert list(models.fetch_models([file])) == [(file.path, True)]
    assert file.path.read_bytes() == WEIGHTS
    assert list(models.fetch_models([file])) == [(file.path, False)]
    assert server.requested == ["/w.zip"]
    assert files_below(file.path.parent) == ["w.pth"], "nothing but the weights is left"


def test_no_path_in_a_zip_is_followed(server: Server, file: ModelFile, tmp_path: Path):
    outside = tmp_path / "absolute.pth"
    evil = {"../w.pth": b"evil", "../../escaped.pth": b"evil", str(outside): b"evil", "deep/w.pth": b"evil"}
    server.pages["/w.zip"] = zipped({**evil, "w.pth": WEIGHTS})
    list(models.fetch_models([file]))
    assert files_below(tmp_path) == ["home/model/w.pth"]
    assert file.path.read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (zipped({"w.pth": WEIGHTS[:-1]}), "has MD5"),
        (zipped({"other.pth": WEIGHTS}), r"contains no w\.pth"),
        (zipped({"../w.pth": WEIGHTS, "deep/w.pth": WEIGHTS}), r"contains no w\.pth"),
        (zipped({}), r"contains no w\.pth"),
        (zipped({"w.pth": WEIGHTS}).replace(b"w.pth", b"w.pthx"), "not a readable zip"),
        (b"<html>sign in to this network</html>", "not a readable zip"),
        (b"", "not a readable zip"),
        (None, "404"),
    ],
    ids=["damaged", "another", "with a path", "empty zip", "broken zip", "a page", "nothing", "not found"],
)
def test_any_other_answer_is_refused_and_leaves_nothing(
    server: Server, file: ModelFile, tmp_path: Path, answer: bytes | None, message: str
):
    server.pages = {} if answer is None else {"/w.zip": answer}
    with pytest.raises(EngineUnavailable, match=message) as refused:
        list(models.fetch_models([file]))
    assert str(file.url) in str(refused.value)
    assert files_below(tmp_path) == []


def test_a_download_that_ends_early_leaves_nothing(server: Server, file: ModelFile, tmp_path: Path):
    server.truncated.add("/w.zip")
    with pytest.raises(EngineUnavailable, match="ended early"):
        list(models.fetch_models([file]))
    assert files_below(tmp_path) == []
    server.truncated.clear()
    assert list(models.fetch_models([file])) == [(file.path, True)]


def test_a_zip_does_not_unpack_without_bound(file: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models, "MAX_MODEL_BYTES", len(WEIGHTS) - 1)
    with pytest.raises(EngineUnavailable, match="more than"):
        list(models.fetch_models([file]))
    assert files_below(tmp_path) == []


def test_without_a_network_the_message_says_what_to_do(file: ModelFile):
    with socket.socket() as taken:  # bound and not listening, so that nothing answers
        taken.bind(("127.0.0.1", 0))
        away = dataclasses.replace(file, url=f"http://127.0.0.1:{taken.getsockname()[1]}/w.zip")
        with pytest.raises(EngineUnavailable, match=r"cannot reach http://.*copy the folder"):
            list(models.fetch_models([away]))
    assert not file.path.parent.exists()


def test_other_weights_are_never_overwritten(server: Server, file: ModelFile):
    file.path.parent.mkdir(parents=True)
    file.path.write_bytes(b"trained for weeks")
    with pytest.raises(EngineUnavailable, match="not what EasyOCR publishes"):
        list(models.fetch_models([file]))
    assert file.path.read_bytes() == b"trained for weeks"
    assert server.requested == []


# --- the commands -----------------------------------------------------------------------------------------


@pytest.fixture
def published(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What EasyOCR is made to publish on the server: file name → bytes, for English and simplified Chinese."""
    config = pytest.importorskip("easyocr.config")
    found = {}
    models_of = config.recognition_models["gen2"]
    for model in (config.detection_models["craft"], models_of["english_g2"], models_of["zh_sim_g2"]):
        data = f"weights of {model['filename']}".encode() * 1000
        path = f"/{model['filename']}.zip"
        server.pages[path] = zipped({model["filename"]: data})
        monkeypatch.setitem(model, "url", server.url(path))
        monkeypatch.setitem(model, "md5sum", hashlib.md5(data, usedforsecurity=False).hexdigest())
        found[model["filename"]] = data
    return found


@needs_easyocr
def test_list_finds_what_fetch_wrote(published: dict[str, bytes], tmp_path: Path, monkeypatch):
    home = tmp_path / "easyocr"
    monkeypatch.setenv("EASYOCR_MODULE_PATH", str(home))
    listing = ("models", "list", "--engine", "easyocr", "--languages", "ch_sim,en", "--json")
    (before,) = json.loads(run(*listing).stdout)
    assert [f["size_bytes"] for f in before["files"]] == [None, None]
    assert all("curate models fetch easyocr" in f["note"] for f in before["files"])
    done = run("models", "fetch", "easyocr", "--languages", "en", "--languages", "ch_sim")
    assert done.exit_code == 0, done.output
    assert [line.split(": ") for line in done.stdout.splitlines()] == [
        [str(home / "model" / name), "fetched"] for name in ("craft_mlt_25k.pth", "zh_sim_g2.pth")
    ]
    assert "EASYOCR_MODULE_PATH" in done.stderr
    (after,) = json.loads(run(*listing).stdout)
    assert [(f["size_bytes"], f["note"]) for f in after["files"]] == [
        (len(published[name]), "as published") for name in ("craft_mlt_25k.pth", "zh_sim_g2.pth")
    ]
    assert "was there" in run("models", "fetch", "easyocr", "--languages", "en,ch_sim").stdout


@needs_easyocr
def test_fetch_writes_to_the_given_folder(published: dict[str, bytes], tmp_path: Path):
    assert run("models", "fetch", "easyocr", "--folder", str(tmp_path)).exit_code == 0
    assert files_below(tmp_path) == ["model/craft_mlt_25k.pth", "model/english_g2.pth"]


@needs_easyocr
def test_fetch_refuses_in_one_sentence(published: dict[str, bytes], server: Server, tmp_path: Path):
    server.pages["/english_g2.pth.zip"] = b"sign in"
    done = run("models", "fetch", "easyocr", "--folder", str(tmp_path))
    assert done.exit_code == 2
    assert "not a readable zip" in done.stderr
    assert "Traceback" not in done.output
    assert files_below(tmp_path) == ["model/craft_mlt_25k.pth"], "what was fetched before stays"
    assert run("models", "fetch", "easyocr", "--languages", "xx", "--folder", str(tmp_path)).exit_code == 2


@needs_easyocr
def test_other_weights_are_listed_as_such_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EASYOCR_MODULE_PATH", str(write_random_weights(tmp_path)))
    (found,) = json.loads(run("models", "list", "--engine", "easyocr", "--json").stdout)
    assert {f["note"] for f in found["files"]} == {"your weights: not the MD5 that is published"}
    assert load_engine("easyocr").name == "easyocr"


@pytest.mark.parametrize("engine", ["rapidocr", "tesseract"])
def test_fetch_has_nothing_for_engines_whose_models_are_packages(engine: str):
    done = run("models", "fetch", engine)
    assert done.exit_code == 2
    assert "install" in done.stderr


def test_list_names_every_built_in_engine():
    found = {each["engine"]: each for each in json.loads(run("models", "list", "--json").stdout)}
    assert found.keys() == BUILT_IN_ENGINES.keys()
    assert [Path(f["path"]) for f in found["rapidocr"]["files"]] == [f.path for f in model_files("rapidocr")]
    assert all(f["size_bytes"] > 10**6 for f in found["rapidocr"]["files"])
    for each in found.values():
        assert each["files"] or "install" in each["problem"]
    table = run("models", "list").stdout
    assert all(engine in table for engine in BUILT_IN_ENGINES)


def test_list_says_why_an_engine_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path / "nowhere"))
    (found,) = json.loads(run("models", "list", "--engine", "tesseract", "--json").stdout)
    assert "TESSDATA_PREFIX" in found["problem"]
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    (found,) = json.loads(run("models", "list", "--engine", "tesseract", "--languages", "chi_sim", "--json").stdout)
    assert "tesseract-ocr-chi-sim" in found["files"][0]["note"]


@pytest.mark.parametrize("engine", [(), ("--engine", "rapidocr")])
def test_languages_belong_to_an_engine(engine: tuple[str, ...]):
    done = run("models", "list", "--languages", "en", *engine)
    assert done.exit_code == 2
    assert "add --engine" in done.stderr


# --- a run refuses ahead ----------------------------------------------------------------------------------


@pytest.fixture
def deduped(tmp_path: Path) -> str:
    """A committed manifest of the stage dedupe, without rows."""
    uri, columns = storage.absolute(str(tmp_path / "deduped")), schema(Stage.DEDUPE)
    part = write_part(storage.join(uri, "part-00000.parquet"), [], columns, roots=())
    receipt = Receipt(
        unit="part-00000",
        fingerprint="f",
        part="part-00000.parquet",
        rows=0,
        size_bytes=part.size_bytes,
        sha256=part.sha256,
        lanes=lanes_of(part.lanes.tolist()),
        counts=part.counts,
    )
    about = Provenance(stage=Stage.DEDUPE, config={}, software={}, inputs={}, parents=[], roots=[], funnel=[])
    return commit(uri, [receipt], about, created="2025-01-01T00:00:00+00:00").uri


@needs_easyocr
def test_score_without_weights_is_refused_before_any_work(deduped: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("EASYOCR_MODULE_PATH", str(tmp_path / "easyocr"))
    monkeypatch.setattr(session, "start", None)  # nothing may get as far as Spark
    for more in ((), ("--dry-run",)):
        done = run("score", deduped, "-o", str(tmp_path / "out"), "--engine", "easyocr", *more)
        assert done.exit_code == 2
        assert f"{tmp_path}/easyocr/model/craft_mlt_25k.pth is missing" in done.output
        assert "curate models fetch easyocr" in done.output
        assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "easyocr").exists()
