"""User filters: measured on every picture, stored as canonical JSON, with errors that are never hidden."""

import functools
import io
import json
import os
import re
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.choosing.conditions import Rules
from curation.choosing.rules import apply_rules, check_expressions
from curation.config import PipelineConfig, check_config
from curation.config_files import load_config
from curation.pictures.decode import DEFAULT_LIMITS, DecodeLimits
from curation.scan.guarded import measure_within_limits
from curation.scan.measure import Requested, measure
from curation.scan.user_filters import cached_user_filters, load_user_filters, measure_user_filters
from curation.sources.folders import read_folder
from curation.sources.tars import read_tar
from filters.protocol import (
    EngineUnavailable,
    Filter,
    FilterFailed,
    FilterUnavailable,
    Measured,
    Rgb,
    UnknownEngine,
    UnknownFilter,
    load_engine,
    load_filter,
)
from jobs.cli.main import main
from jobs.spark import session
from jobs.stages.scan import plan_scan
from manifests.errors import InputError
from manifests.format.schema import Stage, schema
from manifests.format.store import open_manifest
from tests.conftest import TOP, curate, curate_process, rows_of

OWN = "tests.curation.scan.test_user_filters"
PICTURE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


class Says:
    """Returns what it was given, whatever the picture."""

    name = "says"
    version = "says-1"

    def __init__(self, **values: Measured) -> None:
        self.values = values
        self.columns = tuple(values)

    def measure(self, rgb: Rgb) -> Mapping[str, Measured]:
        return self.values


class Mean:
    """Measures the mean of a picture divided by `divisor`; it cannot be pickled."""

    name = "mean"
    columns = ("level", "width")

    def __init__(self, *, divisor: float = 255.0, token: str = "") -> None:
        self.version = f"mean-1+divisor={divisor:g}"
        self.divisor = divisor
        self.lock = threading.Lock()

    def measure(self, rgb: Rgb) -> Mapping[str, Measured]:
        return {"width": rgb.shape[1], "level": float(rgb.mean()) / self.divisor}


class Paints(Mean):
    """Tries to change the picture in the way `how`."""

    def __init__(self, *, how: str) -> None:
        super().__init__()
        self.how = how

    def measure(self, rgb: Rgb) -> Mapping[str, Measured]:
        if self.how == "pixels":
            rgb[:] = 0
        else:
            rgb.shape = (rgb.size // 3, 1, 3)
        return super().measure(rgb)


class HalfAFilter:
    name = "half"


class Countless(Mean):
    columns = ["level"]  # noqa: RUF012 - wrong on purpose


class Unversioned(Mean):
    def __init__(self) -> None:
        super().__init__()
        self.version = 1  # type: ignore[assignment]


class Unbuildable:
    def __init__(self, *, size: int = 0) -> None:
        raise ValueError("size must be positive")


def png(width: int, colour: int = 100) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, 30), (colour, 10, 20)).save(buffer, "png")
    return buffer.getvalue()


def tar_of(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def config_of(filters: Mapping[str, object], **more: object) -> PipelineConfig:
    return check_config({"input": "a.tar", "output": "out", "scan": {"filters": filters}, **more}, origin="test")


# --- what is stored ----------------------------------------------------------------------------------------


values = (
    st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
)


@given(st.dictionaries(st.sampled_from(["a", "b", "ä", "long_name"]), values, min_size=1))
def test_measures_are_canonical_json(measured: dict[str, Measured]):
    text = measure_user_filters(PICTURE, [("mine", Says(**measured)), ("other", Says(z=1))])
    found = json.loads(text)
    assert list(found) == sorted([*(f"mine.{column}" for column in measured), "other.z"])
    backwards = dict(reversed(measured.items()))
    assert measure_user_filters(PICTURE, [("other", Says(z=1)), ("mine", Says(**backwards))]) == text
    for column, value in measured.items():
        assert found[f"mine.{column}"] == (round(value, 6) if isinstance(value, float) else value)
    assert text == json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert text.encode()


def test_an_example_of_measures():
    own = [("sharpness", Says(variance=12.5)), ("colour", Says(name="red", share=1 / 3, hue=-0.0, marks=None))]
    assert measure_user_filters(PICTURE, own) == (
        '{"colour.hue":0.0,"colour.marks":null,"colour.name":"red","colour.share":0.333333,"sharpness.variance":12.5}'
    )


def test_numpy_doubles_are_numbers_like_any_other():
    assert measure_user_filters(PICTURE, [("a", Says(b=np.float64(0.1) * 3))]) == '{"a.b":0.3}'


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (True, "measured b as a bool: return a float, an int, a str or None"),
        (np.float32(1), "as a float32"),
        (np.int64(1), "as a int64"),
        (b"bytes", "as a bytes"),
        ([1.0], "as a list"),
        (float("nan"), "as nan: return None"),
        (float("-inf"), "as -inf: return None"),
        (2**63, "64 bits"),
        ("\ud800", "surrogate"),
    ],
)
def test_values_that_cannot_be_stored_are_refused_with_the_name_of_the_filter(value: object, why: str):
    with pytest.raises(FilterFailed, match=f"filter 'a' measured b .*{why}|filter 'a' {why}"):
        measure_user_filters(PICTURE, [("a", Says(b=value))])


def test_other_columns_than_declared_are_refused():
    says = Says(a=1, b=2)
    for wrong, listed in (({"a": 1}, "a"), ({}, "nothing"), ({"a": 1, "b": 2, "c": 3}, "a, b, c")):
        says.values = wrong
        with pytest.raises(FilterFailed, match=f"^filter 'mine' returned {listed}, but its columns are a, b; fix it"):
            measure_user_filters(PICTURE, [("mine", says)])
    says.values = [1, 2]
    with pytest.raises(FilterFailed, match="returned a list, not a mapping"):
        measure_user_filters(PICTURE, [("mine", says)])


@pytest.mark.parametrize("how", ["pixels", "shape"])
def test_a_filter_cannot_change_the_picture_for_others(how: str):
    before = PICTURE.copy()
    own = [("paints", Paints(how=how)), ("mean", Mean())]
    if how == "pixels":
        with pytest.raises(
            FilterFailed, match=r"filter 'paints' raised ValueError: .*read-only \(test_user_filters\.py"
        ):
            measure_user_filters(PICTURE, own)
    else:
        assert json.loads(measure_user_filters(PICTURE, own))["mean.width"] == 7
    assert PICTURE.shape == before.shape
    assert PICTURE.flags.writeable
    assert np.array_equal(PICTURE, before)


# --- what is measured ------------------------------------------------------------------------------------


def test_every_picture_that_was_decoded_is_measured():
    own = [("mean", Mean())]
    complete = png(40)
    noisy = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 90, 3), dtype=np.uint8)).save(noisy, "jpeg")
    for data, status in (
        (complete, "ok"),
        (noisy.getvalue()[:-4000], "truncated"),
        (b"none", "undecodable"),
        (b"", "empty"),
    ):
        found = measure(data, DEFAULT_LIMITS, Requested(filters=own))
        assert found.status == status
        assert (found.measures is not None) == (status in ("ok", "truncated"))
        bare = measure(data, DEFAULT_LIMITS)
        assert bare.measures is None
        assert bare.pdq == found.pdq
    assert measure(complete, DecodeLimits(max_pixels=100, max_bytes=1 << 20), Requested(filters=own)).measures is None


def test_a_filter_that_raises_names_itself_and_the_image(tmp_path: Path):
    on_image = functools.partial(
        measure, limits=DEFAULT_LIMITS, requested=Requested(filters=[("mine", Paints(how="pixels"))])
    )
    raised = r"'{}': filter 'mine' raised ValueError: .*; fix it and run the same command again"
    tar = tar_of(tmp_path / "a.tar", {"x/1.txt": b"a caption", "x/1.png": png(40)})
    with (
        tar.open("rb") as stream,
        pytest.raises(FilterFailed, match=r"^file:///a\.tar: " + raised.format(r"x/1\.png")),
    ):
        read_tar(stream, source="file:///a.tar", max_image_bytes=1 << 20, on_image=on_image)
    (tmp_path / "2.png").write_bytes(png(40))
    with pytest.raises(FilterFailed, match=re.escape(f"file://{tmp_path}/: ") + raised.format(r"2\.png")):
        read_folder(f"file://{tmp_path}/", [("2.png", 0)], max_image_bytes=1 << 20, on_image=on_image)


def test_user_filters_do_not_run_in_the_child_of_a_second_attempt():
    """If they crash, the image is not the reason, and models may not work after a fork."""
    seen: list[int] = []

    class Seen(Says):
        def measure(self, rgb: Rgb) -> Mapping[str, Measured]:
            seen.append(os.getpid())
            return super().measure(rgb)

    on_image = functools.partial(measure, limits=DEFAULT_LIMITS)
    with_own = functools.partial(on_image, requested=Requested(filters=[("seen", Seen(a=1))]))
    assert measure_within_limits(png(40), on_image, with_own, is_retry=True) == with_own(png(40))
    assert seen == [os.getpid()] * 2
    crashed = measure_within_limits(png(40), lambda data: os.abort(), with_own, is_retry=True)
    assert (crashed.error, crashed.measures) == ("crashed the decoder: SIGABRT", None)
    assert len(seen) == 2


# --- how they are found ----------------------------------------------------------------------------------


def test_a_filter_is_found_by_its_path():
    found = load_filter(f"{OWN}:Mean", divisor=2)
    assert isinstance(found, Filter)
    assert found.version == "mean-1+divisor=2"
    assert load_filter(f"{OWN}:Says", name="an option of any name").columns == ("name",)


@pytest.mark.parametrize(
    ("path", "options", "error", "why"),
    [
        ("sharpness", {}, UnknownFilter, "write package.module:Class"),
        ("tests.curation.scan.test_user_filters:", {}, UnknownFilter, "write package.module:Class"),
        ("no_such_module:X", {}, UnknownFilter, "no module no_such_module; .*PYTHONPATH of every worker"),
        (f"{OWN}:Nothing", {}, UnknownFilter, "has no class Nothing"),
        (f"{OWN}:OWN", {}, UnknownFilter, "has no class OWN"),
        (f"{OWN}:Mean", {"div": 2}, FilterUnavailable, r"argument 'div'; its options are \(\*, divisor: float = 255"),
        (f"{OWN}:HalfAFilter", {}, FilterUnavailable, "give it columns, measure, name and version"),
        (f"{OWN}:Countless", {}, FilterUnavailable, "its columns are .*name each once"),
        (f"{OWN}:Says", {}, FilterUnavailable, r"its columns are \(\)"),
        (f"{OWN}:Says", {"a.b": 1}, FilterUnavailable, "letters, digits and _"),
        (f"{OWN}:Unversioned", {}, FilterUnavailable, "its version is 1; make it a str"),
        (
            f"{OWN}:Unbuildable",
            {"size": 0},
            FilterUnavailable,
            r"ValueError: size must be positive; check its .*size",
        ),
    ],
)
def test_the_message_names_what_is_wrong_with_a_filter(path: str, options: dict, error: type[Exception], why: str):
    with pytest.raises(error, match=f"^scan.filters.mine: filter '{path}'.*{why}") as raised:
        load_user_filters(config_of({"mine": {"class": path, "options": options}}).scan.user_filters())
    assert type(raised.value) is error


def test_the_error_of_a_module_that_cannot_be_imported_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "needy.py").write_text("import a_package_that_is_missing\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FilterUnavailable, match="needy needs package a_package_that_is_missing; install it"):
        load_filter("needy:X")
    with pytest.raises(FilterUnavailable, match="broken cannot be imported: ZeroDivisionError"):
        load_filter("broken:X")
    with pytest.raises(EngineUnavailable, match="text engine 'broken:X': broken cannot be imported"):
        load_engine("broken:X")


def test_engines_are_loaded_in_the_same_way():
    with pytest.raises(EngineUnavailable, match="give it detect, name, read and version"):
        load_engine(f"{OWN}:Mean")
    with pytest.raises(UnknownEngine, match="text engine 'no_such_module:X': no module"):
        load_engine("no_such_module:X")


def test_filters_are_built_once_in_a_process():
    wanted = config_of(
        {"a": f"{OWN}:Mean", "b": {"class": f"{OWN}:Mean", "options": {"divisor": 2}}}
    ).scan.user_filters()
    first, again = cached_user_filters(wanted), cached_user_filters(dict(wanted))
    assert first is again
    assert [name for name, _ in first] == ["a", "b"]
    assert cached_user_filters(config_of({"a": f"{OWN}:Mean"}).scan.user_filters()) is not first


# --- configuration and plan ------------------------------------------------------------------------------


def test_a_filter_is_configured_by_its_class_alone_or_with_options(tmp_path: Path):
    short, long = config_of({"m": f"{OWN}:Mean"}), config_of({"m": {"class": f"{OWN}:Mean"}})
    assert short == long
    (tmp_path / "p.yaml").write_text(f"input: a.tar\noutput: out\nscan:\n  filters:\n    m: {OWN}:Mean\n")
    assert load_config(str(tmp_path / "p.yaml")) == short
    more = load_config(
        str(tmp_path / "p.yaml"), [f"scan.filters.n.class={OWN}:Mean", "scan.filters.n.options.divisor=2"]
    )
    assert more.scan.filters["m"] == short.scan.filters["m"]
    assert more.scan.filters["n"].options == {"divisor": 2}


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        ({"a.b": "x:Y"}, r"scan\.filters: 'a\.b' cannot name a filter; use letters, digits and _"),
        ({"a b": "x:Y"}, "'a b' cannot name a filter"),
        ({"a": {"clas": "x:Y"}}, r"scan\.filters\.a\.clas: unknown; did you mean class\?"),
        ({"a": {"class": "x:Y", "zzz": 1}}, r"scan\.filters\.a\.zzz: unknown; known are class, options"),
        ({"a": {"options": {}}}, r"scan\.filters\.a\.class: Field required"),
        ({"a": None}, r"scan\.filters\.a: "),
    ],
)
def test_wrong_settings_are_named(filters: dict, why: str):
    with pytest.raises(InputError, match=why):
        config_of(filters)


def plan_of(tmp_path: Path, filters: Mapping[str, object]):
    tar_of(tmp_path / "a.tar", {"1.png": png(40)})
    return plan_scan(config_of(filters, input=str(tmp_path / "a.tar")), str(tmp_path / "scan"))


def test_filters_and_their_versions_are_part_of_the_plan(tmp_path: Path):
    plan = plan_of(tmp_path, {"m": {"class": f"{OWN}:Mean", "options": {"divisor": 2, "token": "hunter2"}}})
    assert plan.software["filter.m"] == "mean-1+divisor=2"
    assert plan.config["filters"]["m"]["class"] == f"{OWN}:Mean"
    assert plan.config["filters"]["m"]["options"] == {"divisor": 2, "token": "<redacted>"}
    assert "hunter2" not in json.dumps(plan.document())
    others = [
        {},
        {"n": {"class": f"{OWN}:Mean", "options": {"divisor": 2, "token": "hunter2"}}},
        {"m": {"class": f"{OWN}:Mean", "options": {"divisor": 3, "token": "hunter2"}}},
        {"m": {"class": f"{OWN}:Mean", "options": {"divisor": 2, "token": "hunter3"}}},
    ]
    marks = {plan.units[0].fingerprint, *(plan_of(tmp_path, other).units[0].fingerprint for other in others)}
    assert len(marks) == 5


@pytest.mark.parametrize("command", ["scan", "run", "dry run"])
def test_a_missing_module_is_refused_before_anything_starts(tmp_path: Path, monkeypatch, command: str):
    monkeypatch.setattr(session, "start", None)  # nothing may get as far as Spark
    tar = tar_of(tmp_path / "a.tar", {"1.png": png(40)})
    out, pipeline = tmp_path / "out", tmp_path / "p.yaml"
    pipeline.write_text(f"input: {tar}\noutput: {out}\nscan:\n  filters:\n    mine: nowhere:Mine\n")
    arguments = {
        "scan": ["scan", str(tar), "-o", str(out), "--set", "scan.filters.mine=nowhere:Mine"],
        "run": ["run", str(pipeline)],
        "dry run": ["run", str(pipeline), "--dry-run"],
    }
    done = CliRunner().invoke(main, arguments[command])
    assert done.exit_code == 2
    assert "scan.filters.mine: filter 'nowhere:Mine': no module nowhere" in done.output
    assert not out.exists()


# --- rules -----------------------------------------------------------------------------------------------


def rows(*measures: str | None) -> pa.Table:
    good = {"key": "k", "source": "file:///0.tar", "member": "0.jpg", "status": "ok", "cluster_id": "k"}
    return pa.Table.from_pylist([{**good, "measures": m} for m in measures], schema(Stage.SCORE))


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("(measures->>'sharp.variance')::DOUBLE > 3", [True, False, False, False]),
        ("(measures->>'$.\"sharp.variance\"')::DOUBLE > 3", [True, False, False, False]),
        ("coalesce((measures->>'sharp.variance')::DOUBLE, 9) > 3", [True, False, True, True]),
        ("(measures->>'sharp.kind') = 'photo'", [False, True, False, False]),
    ],
)
def test_rules_can_use_measures_of_user_filters(expression: str, kept: list[bool]):
    rules = Rules(least_class="all", where=(("mine", expression),))
    check_expressions(rules)
    found = (
        '{"sharp.kind":"drawing","sharp.variance":12.5}',
        '{"sharp.kind":"photo","sharp.variance":0.5}',
        '{"sharp.kind":null,"sharp.variance":null}',
        None,
    )
    reasons = apply_rules(rows(*found), rules)[1].to_pylist()
    assert reasons == [None if keep else "where:mine" for keep in kept]


# --- the scan --------------------------------------------------------------------------------------------

MINE = """
import threading

class Mine:
    name = "mine"
    columns = ("mean", "width")

    def __init__(self, *, divisor=255):
        self.version = "1"
        self.divisor = divisor
        self.lock = threading.Lock()  # nothing here may be pickled

    def measure(self, rgb):
        return {"mean": float(rgb.mean()) / self.divisor, "width": rgb.shape[1]}
"""
BROKEN = MINE.replace("rgb.shape[1]", "rgb.shape[1] + 0 // (rgb.shape[1] - 41)")


def scan_with_mine(folder: Path, *args: str | Path, **how):
    """Scan with the `mine.py` of a folder; tests change it, so its bytecode is not cached."""
    env = {"PYTHONPATH": f"{folder}{os.pathsep}{TOP}", "PYTHONDONTWRITEBYTECODE": "1"}
    return curate_process("scan", *args, "-q", env=env, **how)


def setting(divisor: int) -> list[str]:
    return ["--set", "scan.filters.mine.class=mine:Mine", "--set", f"scan.filters.mine.options.divisor={divisor}"]


@pytest.mark.spark
def test_the_digest_does_not_depend_on_cores_and_a_changed_option_is_refused(corpus: Path, tmp_path: Path):
    (tmp_path / "mine.py").write_text(MINE)
    found = {}
    for cores in (1, 2):
        out = tmp_path / f"scan{cores}"
        scan_with_mine(tmp_path, corpus / "*.tar", "-o", out, "--master", f"local[{cores}]", *setting(255))
        found[cores] = open_manifest(str(out))
    assert found[1].digest == found[2].digest
    assert found[1].software["filter.mine"] == "1"
    scanned = rows_of(tmp_path / "scan1").to_pylist()
    assert {r["measures"] is not None for r in scanned if r["status"] in ("ok", "truncated")} == {True}
    assert {r["measures"] for r in scanned if r["status"] not in ("ok", "truncated")} == {None}
    assert all(json.loads(r["measures"])["mine.width"] == r["width"] for r in scanned if r["measures"])
    refused = scan_with_mine(tmp_path, corpus / "*.tar", "-o", tmp_path / "scan1", *setting(2), check=2)
    assert "config.filters.mine.options.divisor: 255 → 2" in refused.stderr
    (tmp_path / "mine.py").write_text(MINE.replace('"1"', '"2"'))
    refused = scan_with_mine(tmp_path, corpus / "*.tar", "-o", tmp_path / "scan1", *setting(255), check=2)
    assert 'software.filter.mine: "1" → "2"' in refused.stderr
    refused = curate("scan", corpus / "*.tar", "-o", tmp_path / "scan1", check=2)
    assert "config.filters.mine" in refused.stderr
    assert open_manifest(str(tmp_path / "scan1")).digest == found[1].digest


@pytest.mark.spark
def test_a_filter_that_raises_fails_its_unit_and_the_scan_resumes_once_it_is_fixed(tmp_path: Path):
    (tmp_path / "mine.py").write_text(BROKEN)
    tar_of(tmp_path / "a.tar", {"1.png": png(40), "2.png": png(50)})
    tar_of(tmp_path / "b.tar", {"3.png": png(40), "4.png": png(41)})
    command = [tmp_path / "*.tar", "-o", tmp_path / "scan", "--unit-bytes", 1, "--master", "local[2]", *setting(255)]
    failed = scan_with_mine(tmp_path, *command, check=1)
    assert re.search(
        r"part-00001: FilterFailed: file://\S+/b\.tar: '4\.png': filter 'mine' raised ZeroDivisionError: .* "
        r"\(mine\.py, line \d+\); fix it",
        failed.stderr,
    )
    assert "part-00000:" not in failed.stderr
    assert not (tmp_path / "scan/_manifest.json").exists()
    (tmp_path / "mine.py").write_text(MINE)
    (done,) = (tmp_path / "scan").glob("part-*.parquet")
    before = done.stat()
    scan_with_mine(tmp_path, *command)
    assert done.stat().st_mtime_ns == before.st_mtime_ns
    measures = [json.loads(r["measures"]) for r in rows_of(tmp_path / "scan").to_pylist()]
    assert sorted(m["mine.width"] for m in measures) == [40, 40, 41, 50]
