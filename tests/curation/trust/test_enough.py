"""Calibration takes the weights of an audit's strata, refuses labels that show nothing, and replaces no file."""

import json
from pathlib import Path

import pytest

from curation.config_files import load_config
from curation.text.bounds import TextStep
from curation.trust.audit import Audit, AuditRules, Band, Facets, Stratum
from curation.trust.audit_labels import stratum_weights
from curation.trust.calibration import Goals, LabelledRow
from curation.trust.enough import require_enough
from manifests.format.schema import Stage
from tests.conftest import curate
from tests.support.making import commit_rows

LABELS = ("none", "light", "heavy")


def labelled(none: int, light: int, heavy: int, weight: float = 1.0) -> list[LabelledRow]:
    counts = dict(zip(LABELS, (none, light, heavy), strict=True))
    return [
        LabelledRow(key=f"{label}{n}", label=label, probabilities={}, weight=weight if n == 0 else 1.0)
        for label, count in counts.items()
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("rows", "goals", "said"),
    [
        (
            labelled(30, 30, 30),
            {},
            "0.01 needs 250 pictures labelled none or light, and there are 60",
        ),
        (labelled(30, 300, 30), {}, "--light-false-rate 0.05 needs 49 pictures labelled none, and there are 30"),
        (
            labelled(300, 300, 30),
            {"heavy_recall": 0.95, "heavy_false_rate": None},
            "--heavy-recall 0.95 needs 49 pictures labelled heavy, and there are 30",
        ),
        (labelled(300, 300, 30, weight=500.0), {}, "there are 600, which weigh as "),
        (labelled(0, 300, 30), {}, "labelled none, and there are 0"),
    ],
)
def test_too_few_labels_are_refused_with_how_many_are_needed(rows, goals, said) -> None:
    with pytest.raises(ValueError, match="label more, or ask for what they can show: --") as raised:
        require_enough(rows, Goals(**goals))
    assert said in str(raised.value)


def test_what_they_can_show_is_accepted() -> None:
    rows = labelled(30, 30, 30)
    require_enough(rows, Goals(heavy_false_rate=0.05, light_false_rate=0.1))
    require_enough(labelled(60, 250, 5), Goals())


# --- the strata of an audit


def drawn(sizes: list[tuple[int, int]]) -> Audit:
    """An audit whose strata have so many rows, of which so many were drawn."""
    strata = tuple(
        Stratum(
            name=str(place),
            facets=Facets(text_step="read", text_class="none", is_kept=False, band=Band.BETWEEN),
            rows=rows,
            keys=tuple(f"s{place}k{n:03}" for n in range(keys)),
        )
        for place, (rows, keys) in enumerate(sizes)
    )
    rules = AuditRules(keep="heavy", min_light_score=0.2, min_heavy_score=0.7)
    total = sum(rows for rows, _ in sizes)
    return Audit(uri="file:///m", digest="d", rules=rules, salt="s", n=9, rows=total, strata=strata)


def test_labels_stand_for_the_rows_of_their_stratum() -> None:
    audit = drawn([(1000, 4), (6, 2), (50, 3)])
    found = stratum_weights(audit, ["s0k000", "s0k003", "s1k000", "s1k001"])
    assert found.by_key == {"s0k000": 500, "s0k003": 500, "s1k000": 3, "s1k001": 3}
    assert (found.rows, found.blind_strata, found.blind_rows) == (1056, 1, 50)
    assert sum(found.by_key.values()) == found.rows - found.blind_rows


# --- the command


def trail(heavy: float) -> str:
    light = min(1.0, heavy + 0.02)
    return json.dumps({str(step): [light, heavy] for step in TextStep})


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """A thousand pictures scored exhaustively, one of three hard: a plain one that looks rich."""
    rows = [
        {"key": f"s0k{n:03}", "text_trail": trail(0.02 + n / 20_000), "text_score": 0.1, "text_step": "read"}
        for n in range(300)
    ]
    rows += [
        {"key": f"s1k{n:03}", "text_trail": trail(0.9 + n / 2000), "text_score": 0.9, "text_step": "read"}
        for n in range(100)
    ]
    commit_rows(tmp_path / "scored", [rows], Stage.SCORE)
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.json").write_bytes(drawn([(100_000, 300), (100, 100)]).to_json())
    return tmp_path


def sheet(folder: Path, name: str = "filled.csv") -> Path:
    """Labels: below, a third each is light; at the threshold half of the pictures are heavy."""
    lines = [f"s0k{n:03},{'light' if n % 3 == 0 else 'none'}" for n in range(300)]
    lines += [f"s1k{n:03},{'heavy' if n % 2 else 'light'}" for n in range(100)]
    path = folder / "audit" / name
    path.write_text("key,label\n" + "\n".join([*lines[1:], "s0k000,unsure"]) + "\n")
    return path


def run(scored: Path, *more: object, check: int = 0):
    return curate("calibrate", sheet(scored), "--manifest", scored / "scored", *more, check=check)


def test_a_sheet_of_an_audit_weighs_as_its_strata(scored: Path) -> None:
    weighed = json.loads(run(scored, "-o", scored / "a.yaml", "--json").stdout)
    assert weighed["weights"] == {"rows": 100_100, "blind_strata": 0, "blind_rows": 0}
    plain = json.loads(run(scored, "-o", scored / "b.yaml", "--json", "--drawn", "random").stdout)
    assert plain["weights"] is None
    # Of all pictures 1 in 2,000 is a plain one that looks rich; of those that were labelled, 1 in 7.
    assert weighed["before"]["expected"]["heavy_false_rate"]["share"] == pytest.approx(50 / 100_050, rel=0.01)
    assert plain["before"]["expected"]["heavy_false_rate"]["share"] == pytest.approx(50 / 349, rel=0.01)
    assert plain["rules"]["min_heavy_score"] > 0.9 > weighed["rules"]["min_heavy_score"]


def test_a_sheet_of_something_else_is_refused(scored: Path) -> None:
    other = scored / "audit" / "other.csv"
    other.write_text("key,label\nelsewhere,none\n")
    line = ("calibrate", other, "--manifest", scored / "scored", "-o", scored / "t.yaml")
    assert "say --drawn random" in curate(*line, check=2).stderr
    both = run(scored, "-o", scored / "t.yaml", "--mix", "none=1,light=1,heavy=1", check=2)
    assert "give one of both" in both.stderr
    (scored / "audit" / "audit.json").unlink()
    assert "audit.json: missing" in run(scored, "-o", scored / "t.yaml", "--drawn", "audit", check=2).stderr


def test_files_are_replaced_only_by_force(scored: Path) -> None:
    target, curves = scored / "t.yaml", scored / "c.svg"
    for there in (target, curves):
        there.write_text("mine")
        line = (scored, "-o", target, "--curves", curves)
        assert f"{there}: is there already" in run(*line, check=2).stderr
        assert there.read_text() == "mine"
        there.unlink()
    target.write_text("mine")
    run(scored, "-o", target, "--force")
    assert "min_heavy_score" in target.read_text()


def test_before_and_after_are_shown_on_the_same_labels(scored: Path) -> None:
    (scored / "p.yaml").write_text("choose: {min_heavy_score: 0.6, min_light_score: 0.1}\n")
    shown = run(scored, "-o", scored / "t.yaml", "-c", scored / "p.yaml").stdout
    assert "labels weigh as the strata of the audit" in shown
    rows = [[cell.strip() for cell in line.split("│")[1:5]] for line in shown.splitlines() if line.startswith("│")]
    assert ["heavy", "before", "0.6"] in [row[:3] for row in rows]
    after = next(row for row in rows if row[:2] == ["heavy", "after"])
    made = load_config([str(scored / "t.yaml")], ["output=o"], last={"input": ["x"]})
    assert after[2] == f"{made.choose.min_heavy_score:g}"
