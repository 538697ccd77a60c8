"""The Python API: tables and images of a manifest, operations on manifests, and errors that are all CurateError."""

import hashlib
import io
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image as Pil

import curate
from manifests.format.schema import Stage
from tests.conftest import rows_of
from tests.support.making import commit_rows, tar_bytes
from tests.support.pictures import noise

ROWS = [
    {"key": f"k{i}", "url": f"https://a.example/{i}", "width": 100 * i, "height": 10, "keep": i % 2 == 0}
    for i in range(6)
]


@pytest.fixture
def made(tmp_path: Path) -> curate.Manifest:
    """An open manifest of two parts."""
    commit_rows(tmp_path / "made", [ROWS[:4], ROWS[4:]], Stage.CHOOSE)
    return curate.open(str(tmp_path / "made"))


# --- a manifest's rows


def test_a_report_has_pages_even_if_no_picture_is_there(made: curate.Manifest, tmp_path: Path):
    index = made.report(str(tmp_path / "report"))
    assert index == (tmp_path / "report/index.html").as_uri() and (tmp_path / "report/index.html").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(curate.CurateError, match=r"thesis\.txt"):
        made.report(str(tmp_path / "mine"))


def test_a_manifest_describes_itself(made: curate.Manifest):
    assert (made.stage, len(made)) == ("choose", 6)
    assert made.columns == list(made.schema.names)
    assert made.digest[:12] in repr(made)
    assert made.counts["status"] == {"ok": 6}


def test_every_library_gets_the_same_rows(made: curate.Manifest):
    names, where = ["key", "width"], "keep and width >= 200"
    wanted = [{"key": "k2", "width": 200}, {"key": "k4", "width": 400}]
    assert made.to_arrow(names, where).to_pylist() == wanted
    assert made.to_polars(names, where).to_dicts() == wanted
    assert made.to_duckdb(names, where).order("key").fetchall() == [tuple(row.values()) for row in wanted]
    assert [row for batch in made.batches(names, where) for row in batch.to_pylist()] == wanted


def test_spark_gets_the_same_rows(made: curate.Manifest, spark):
    frame = made.to_spark(spark, ["key", "width"], "keep and width >= 200")
    assert [tuple(row) for row in frame.orderBy("key").collect()] == [("k2", 200), ("k4", 400)]
    assert made.to_spark(spark).columns == made.columns


def test_all_rows_come_in_order_with_the_manifests_types(made: curate.Manifest):
    assert made.to_arrow().equals(rows_of(made.committed).sort_by("key").cast(made.schema))
    assert made.to_arrow(["key"], limit=2).to_pylist() == [{"key": "k0"}, {"key": "k1"}]
    assert made.to_arrow(["key"], where="width < 0").num_rows == 0


def test_two_relations_of_one_connection_can_be_joined(made: curate.Manifest):
    import duckdb

    with duckdb.connect() as db:
        a = made.to_duckdb(["key", "width"], connection=db).set_alias("a")
        b = made.to_duckdb(["key", "keep"], "keep", connection=db).set_alias("b")
        assert len(a.join(b, "key").fetchall()) == 3


@pytest.mark.parametrize(
    ("columns", "where", "problem"),
    [
        (["with"], None, "no column 'with'; did you mean width"),
        ("key", None, "give a list of names"),
        ((), "widht > 3", "widht"),
        ((), "width", "not a truth value"),
        ((), "1=1); DROP TABLE x; --", "refused|more than one statement"),
        ((), "random() > 0.5", "another answer each time"),
    ],
)
def test_a_wrong_argument_is_refused_before_rows_are_read(made: curate.Manifest, columns, where, problem: str):
    for read in (made.to_arrow, made.to_polars, made.to_duckdb):
        with pytest.raises(curate.InputError, match=problem):
            read(columns, where)


def test_a_missing_manifest_says_what_next(tmp_path: Path):
    with pytest.raises(curate.ManifestError, match="no manifest here"):
        curate.open(str(tmp_path))


def test_html_shows_the_funnel_and_escapes_it(tmp_path: Path):
    folder = tmp_path / "<b>&"
    commit_rows(folder, [[*ROWS, {"key": "broken", "status": "undecodable"}]])
    shown = curate.open(str(folder))._repr_html_()
    assert "status:undecodable 1" in shown
    assert "<b>" not in shown


# --- images


def png(height: int) -> bytes:
    """Return a picture of this height, 40 pixels wide, as a PNG."""
    out = io.BytesIO()
    Pil.fromarray(noise(height, 40)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def pictured(tmp_path: Path) -> curate.Manifest:
    """A manifest whose two rows are images of a tar, and one whose picture is no longer what it was."""
    data = {name: png(30 + place) for place, name in enumerate(("<i>a", "b", "c"))}
    tar = tmp_path / "0.tar"
    tar.write_bytes(tar_bytes([(f"{i}.png", each) for i, each in enumerate(data.values())]))
    content = tar.read_bytes()
    rows = [
        {
            "key": key,
            "source": tar.as_uri(),
            "member": f"{i}.png",
            "offset": content.index(each),
            "size": len(each),
            "sha256": hashlib.sha256(each if key != "c" else b"changed").hexdigest(),
            "format": "PNG",
            "width": 40,
        }
        for i, (key, each) in enumerate(data.items())
    ]
    commit_rows(tmp_path / "pictured", [rows])
    return curate.open(str(tmp_path / "pictured"))


def test_images_come_by_byte_range(pictured: curate.Manifest):
    first, second, changed = pictured.images(columns=["width"])
    assert (first.key, first.row["width"]) == ("<i>a", 40)
    assert hashlib.sha256(second.data).hexdigest() == second.row["sha256"]
    assert isinstance(first.pil(), Pil.Image)
    assert first.pil().size == (40, 30)
    assert changed.data is None
    assert "sha256" in changed.problem
    with pytest.raises(curate.BrokenSource, match="sha256"):
        changed.pil()


def test_images_are_a_sequence_and_a_grid(pictured: curate.Manifest):
    images = pictured.images(where="key <> 'c'")
    assert repr(images) == "<2 images>"
    assert repr(pictured.images()[1:]) == "<2 images, 1 of them not readable>"
    shown = images._repr_html_()
    assert shown.count("data:image/jpeg;base64,") == 2
    assert "&lt;i&gt;a" in shown
    assert "<i>" not in shown


def test_bytes_that_are_no_picture_are_said_to_be(tmp_path: Path):
    image = curate.Image(row={"key": "k"}, data=b"no picture")
    with pytest.raises(curate.BrokenSource, match="k: "):
        image.pil()
    assert "<img" not in image._repr_html_()


# --- operations


def test_operations_return_open_manifests(made: curate.Manifest, tmp_path: Path):
    kept = curate.sample(made, str(tmp_path / "kept"), where="keep")
    named = curate.select(made, ["k0", "k2", "k4"], str(tmp_path / "named"), strict=True)
    assert kept.to_arrow(["key"]).equals(named.to_arrow(["key"]))
    rest = curate.select(made, pa.array(["k0", "k2", "k4"]), str(tmp_path / "rest"), invert=True)
    both = curate.merge([kept, rest], str(tmp_path / "both"))
    assert both.digest == made.digest
    found = curate.diff(kept, made, out=str(tmp_path / "diff"))
    assert not found.is_empty
    assert found.tally.of("added") == 3
    assert curate.patch(kept, str(tmp_path / "diff"), str(tmp_path / "patched")).digest == made.digest
    assert curate.diff(both, str(tmp_path / "made")).is_empty


def test_operations_run_on_the_callers_session(made: curate.Manifest, tmp_path: Path, spark):
    on_duckdb = curate.sample(made, str(tmp_path / "a"), count=3)
    before = dict(spark.conf.getAll)
    on_spark = curate.sample(made, str(tmp_path / "b"), count=3, spark=spark)
    assert on_spark.digest == on_duckdb.digest
    assert dict(spark.conf.getAll) == before
    assert spark.range(2).count() == 2


def test_the_same_call_again_is_up_to_date_and_another_is_refused(made: curate.Manifest, tmp_path: Path):
    output = str(tmp_path / "out")
    first = curate.sample(made, output, count=3)
    assert curate.sample(made, output, count=3).committed.created == first.committed.created
    with pytest.raises(curate.RunChanged):
        curate.sample(made, output, count=2)
    assert len(curate.sample(made, output, count=2, restart=True)) == 2


def test_verify_returns_every_fault(made: curate.Manifest, tmp_path: Path):
    assert curate.verify(made).is_valid
    part = tmp_path / "made" / made.committed.parts[0].name
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    found = curate.verify(made, "quick")
    assert not found.is_valid
    assert made.committed.parts[0].name in found.faults[0].where


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"fraction": 2}, "^fraction 2: "),
        ({"per_cluster": -1}, "^per_cluster -1: "),
        ({"count": 3, "top": 3}, "^count and top: "),
    ],
)
def test_errors_name_arguments_as_python_does(made: curate.Manifest, tmp_path: Path, arguments, problem: str):
    with pytest.raises(curate.InputError, match=problem):
        curate.sample(made, str(tmp_path / "out"), **arguments)


def test_a_list_of_values_that_name_nothing_is_refused(made: curate.Manifest, tmp_path: Path):
    for values in ([1, "k"], [True], [[1]]):
        with pytest.raises(curate.InputError, match="list of keys"):
            curate.select(made, values, str(tmp_path / "out"))


# --- the module


def test_what_is_public_is_there_and_documented():
    assert sorted(curate.__all__) == curate.__all__
    for name in curate.__all__:
        assert getattr(curate, name).__doc__, name
    page = (Path(curate.__file__).parent / "docs/guides/python.md").read_text()
    assert not [name for name in curate.__all__ if f"`{name}" not in page and f"curate.{name}" not in page]


def test_every_error_is_a_curate_error(tmp_path: Path):
    errors = [each for each in vars(curate).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(errors) >= 8
    assert all(issubclass(each, curate.CurateError) for each in errors)
    wrong = {"input": str(tmp_path), "output": str(tmp_path / "out"), "scan": {"filters": {"mine": "nowhere:Filter"}}}
    with pytest.raises(curate.FilterError, match=r"scan\.filters\.mine"):
        curate.run(wrong)
