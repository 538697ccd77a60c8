"""How benchmarks.text_rich judges the pictures of the web: recall, false heavy, precision, intervals, curve."""

import click
import numpy as np
import pyarrow as pa
import pytest

from benchmarks.text.wild import (
    FALSE,
    PRECISION,
    RECALL,
    Judged,
    at_thresholds,
    corrected,
    curve,
    demands_a_line,
    false_at_recall,
    false_heavy,
    heavy_shares,
    judge,
    missed,
    mistakes,
    precision,
    read_looked,
    recall_at_false,
    spans_by_source,
)


def picture(number: int, label: str, score: float, *, repo: str = "a/a", has_line: bool = True, kind="table"):
    is_heavy = score >= 0.5 and has_line
    return Judged(
        tar="0.tar", member=f"{number}.webp", key=str(number), repo=repo, label=label, score=score,
        has_line=has_line, is_heavy=is_heavy, step="detect_large", kind=kind,
    )  # fmt: skip


def some_pictures() -> list[Judged]:
    """8 of 10 rich are heavy, 1 of 2 rich?, 2 of 100 not, 1 of 300 not?."""
    rich = [picture(n, "rich", 0.9 if n < 8 else 0.2, repo=f"rich/{n % 3}") for n in range(10)]
    perhaps = [picture(10 + n, "rich?", 0.6 - n / 2, repo="rich/0") for n in range(2)]
    others = [picture(100 + n, "not", 0.7 if n < 2 else 0.1, repo=f"not/{n % 5}", kind="map") for n in range(100)]
    unseen = [picture(200 + n, "not?", 0.55 if n < 1 else 0.0, repo=f"not/{n % 7}") for n in range(300)]
    return [*rich, *perhaps, *others, *unseen]


def row(key: str, score: float | None, text_class: str | None, **more) -> dict:
    return {
        "source": "/data/wild/0.tar", "member": f"{key}.webp", "status": "ok", "duplicate_of": None,
        "text_score": score, "text_lines": 3, "text_step": "read", "text_kind": "table", "text_class": text_class,
        **more,
    }  # fmt: skip


def truth(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "tar": "0.tar", "repo": "a/a", "label": label} for key, label in pairs]


def test_only_scored_rows_are_judged_and_the_others_counted():
    table = pa.Table.from_pylist(
        [
            row("a", 0.9, "heavy"),
            row("b", None, None, duplicate_of="a"),
            row("c", None, None, status="undecodable"),
            row("d", 0.4, "light"),
            row("e", 0.3, "light", text_lines=None, text_kind=None),
            row("unlabelled", 0.9, "heavy"),
        ]
    )
    seen = judge(
        table, truth(("a", "rich"), ("b", "rich"), ("c", "not"), ("d", "boundary"), ("e", "not?"), ("gone", "not"))
    )
    assert [(p.key, p.is_heavy, p.has_line, p.kind) for p in seen.pictures] == [
        ("a", True, True, "table"),
        ("e", False, False, "-"),
    ]
    assert seen.counts == {"labelled": 6, "boundary": 1, "duplicates": 1, "not scored": 2, "judged": 2}


def test_a_manifest_without_kinds_is_judged():
    table = pa.Table.from_pylist([row("a", 0.9, "heavy")]).drop_columns("text_kind")
    assert [p.kind for p in judge(table, truth(("a", "not"))).pictures] == ["-"]


def test_looking_corrects_only_labels_with_a_question_mark(tmp_path):
    path = tmp_path / "looked.csv"
    path.write_text("key,is_rich\na,1\nb,0\nc,0\nd,\n")
    looked = read_looked(path)
    assert looked == {"a": True, "b": False, "c": False}
    found = corrected(truth(("a", "not?"), ("b", "rich?"), ("c", "rich"), ("d", "not?")), looked)
    assert [each["label"] for each in found] == ["rich", "not", "rich", "not?"]


@pytest.mark.parametrize("text", ["key,is_rich\na,yes\n", "name,is_rich\na,1\n", "key\na\n"])
def test_a_malformed_file_of_looks_is_refused(tmp_path, text):
    path = tmp_path / "looked.csv"
    path.write_text(text)
    with pytest.raises(click.ClickException, match="line 2"):
        read_looked(path)


def test_shares_at_the_shipped_thresholds():
    shares = {name: interval.share for name, interval in heavy_shares(some_pictures()).items()}
    assert shares == pytest.approx(
        {
            "recall of rich": 0.8,
            "recall of rich?": 0.5,
            "false among not and not?": 3 / 400,
            "false among not": 0.02,
            "false among not?": 1 / 300,
        }
    )


def test_precision_is_that_of_the_webs_mix():
    assert precision(0.8, 0.01) == pytest.approx(0.013 * 0.8 / (0.013 * 0.8 + 0.987 * 0.01))
    assert precision(1.0, 0.0) == 1.0
    found = at_thresholds(some_pictures())
    assert found[PRECISION]["share"] == pytest.approx(precision(0.8, 3 / 400))
    assert found[RECALL]["pictures"] == 10
    assert found[RECALL]["heavy"] == 8
    low, high = found[PRECISION]["by_source"]
    assert low < found[PRECISION]["share"] < high


def test_without_pictures_of_a_label_nothing_is_claimed():
    found = at_thresholds([picture(1, "not", 0.1)])
    assert found[PRECISION] == {"share": None, "by_source": None}
    assert (found[RECALL]["low"], found[RECALL]["high"], found[RECALL]["by_source"]) == (0.0, 1.0, None)
    assert spans_by_source([])[FALSE] is None


def test_the_bootstrap_is_the_same_for_the_same_seed_and_order_does_not_matter():
    pictures = some_pictures()
    assert spans_by_source(pictures) == spans_by_source(pictures[::-1])
    assert spans_by_source(pictures) != spans_by_source(pictures, seed=1)


def test_pictures_of_one_source_count_as_one_when_they_agree():
    spread = [picture(n, "not", 0.9 if n < 20 else 0.0, repo=f"not/{n}") for n in range(200)]
    in_one = [picture(n, "not", 0.9 if n < 20 else 0.0, repo="bad" if n < 20 else f"not/{n % 9}") for n in range(200)]
    widths = [high - low for low, high in (spans_by_source(some)[FALSE] or (0, 0) for some in (spread, in_one))]
    assert widths[1] > 2 * widths[0]


def test_recall_at_false_and_false_at_recall():
    rich = np.array([0.9, 0.8, 0.7, 0.3])
    others = np.array([0.85, 0.5, *np.zeros(998)])
    assert [recall_at_false(rich, others, n) for n in (0.5, 1, 2)] == [0.25, 0.75, 1.0]
    assert [false_at_recall(rich, others, r) for r in (0.25, 0.75, 0.9, 1.0)] == [0.0, 1.0, 2.0, 2.0]


def test_no_threshold_reaches_a_picture_without_a_line():
    rich = np.array([0.9, -np.inf])
    others = np.array([0.1, -np.inf])
    assert recall_at_false(rich, others, 1_000) == 0.5
    assert false_at_recall(rich, others, 0.9) is None


def test_the_curve_agrees_with_the_shipped_threshold_where_heavy_demands_a_line():
    pictures = [*some_pictures(), picture(900, "rich", 0.95, has_line=False)]
    assert demands_a_line(pictures)
    found = curve(pictures)
    assert found["only_with_a_line"]
    (at,) = [(recall, false) for t, recall, false in found["points"] if t == 0.55]
    assert at == pytest.approx((8 / 11, 1_000 * 3 / 400))
    recalls = [recall for _, recall, _ in found["points"]]
    assert recalls == sorted(recalls)


def test_mistakes_by_kind_step_and_source():
    found = mistakes(some_pictures())
    assert found["false heavy"]["kind"] == {"map": 2, "table": 1}
    assert found["false heavy"]["step"] == {"detect_large": 3}
    assert found["missed"]["source"] == {"rich/2": 1, "rich/0": 1}
    assert [p.score for p in false_heavy(some_pictures(), "not", "not?")] == [0.7, 0.7, 0.55]
    assert [p.key for p in missed(some_pictures(), "rich")] == ["8", "9"]
