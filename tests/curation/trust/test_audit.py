"""The audit: a fair sample of every stratum, a safe page without verdicts, and intervals that contain the truth."""

import base64
import csv
import dataclasses
import hashlib
import io
import itertools
import json
import random
import tarfile
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.pages.audit_page import MAX_SIDE_PIXELS, Picture, page, pictures
from curation.trust.audit import COLUMNS, MIN_PER_STRATUM, Audit, AuditRules, Band, Facets, allocate, bands, draw
from curation.trust.audit_labels import empty_sheet, estimate, read_sheet
from examples.corpus import make_corpus
from manifests import storage
from manifests.errors import BrokenSource, InputError
from manifests.format.commit import commit
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Parent, Provenance, lanes_of, open_manifest
from tests.conftest import curate

RULES = AuditRules(keep="heavy", min_light_score=0.2, min_heavy_score=0.7)
CHOSEN = schema(Stage.CHOOSE)
NARROW = pa.schema([CHOSEN.field(name) for name in COLUMNS])
LABELS = ("none", "light", "heavy")


def verdict(score, rules=RULES):
    return "heavy" if score >= rules.min_heavy_score else "light" if score >= rules.min_light_score else "none"


def scored_row(key, score, step="read", **more):
    """Return a row as choose leaves it: kept when heavy."""
    text_class = None if score is None else verdict(score)
    row = {"status": "ok", "duplicate_of": None, "text_step": step, "text_class": text_class}
    return {"key": key, "text_score": score, "keep": text_class == "heavy", **row, **more}


def batch_of(rows):
    return pa.RecordBatch.from_pylist(rows, NARROW)


def drawn_from(rows, n, salt="curate", cuts=()):
    """Draw from `rows`, cut into batches before each of `cuts`, every other batch a part of its own."""
    edges = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
    pieces = [rows[a:z] for a, z in itertools.pairwise(edges)]
    return draw(
        ((f"part-{place // 2}", batch_of(piece)) for place, piece in enumerate(pieces)), RULES, n=n, salt=salt
    )


def audit_of(drawn, n=400, rules=RULES, salt="curate"):
    return Audit(uri="file:///m", digest="d", rules=rules, salt=salt, n=n, rows=drawn.rows, strata=drawn.strata)


def many_rows(count, seed=0):
    """Return rows with scores on all sides of both thresholds."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.beta(0.4, 0.8, count), 6).tolist()
    return [
        scored_row(f"k{number:06d}", score, "density" if score < 0.05 else ("detect_small", "read")[number % 2])
        for number, score in enumerate(scores)
    ]


rows_strategy = st.dictionaries(
    st.text("abcXYZ019_-", min_size=1, max_size=6),
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.7, 0.9, 1.0]) | st.floats(0, 1), st.sampled_from("ab")
    ),
    min_size=1,
    max_size=60,
).map(lambda found: [scored_row(key, score, step) for key, (score, step) in found.items()])


# --- strata


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_a_band_is_on_one_side_of_each_threshold(scores, one, other):
    rules = AuditRules(keep="all", min_light_score=min(one, other), min_heavy_score=max(one, other))
    for score, place in zip(scores, bands(np.array(scores), rules).tolist(), strict=True):
        band = tuple(Band)[place]
        assert band.value.endswith("below light") == (score < rules.min_light_score)
        assert band.value.endswith("above heavy") == (rules.min_light_score <= score >= rules.min_heavy_score)


def test_near_is_one_step_of_log_odds():
    found = bands(np.array([0.0, 0.08, 0.09, 0.2, 0.4, 0.43, 0.47, 0.69, 0.7, 0.86, 0.87, 1.0]), RULES)
    assert [tuple(Band)[place].value for place in found] == [
        "far below light", "far below light", "just below light", "just above light", "just above light", "between",
        "just below heavy", "just below heavy", "just above heavy", "just above heavy", "far above heavy",
        "far above heavy",
    ]  # fmt: skip


def test_rows_without_pixels_duplicates_and_unscored_rows_are_in_no_stratum():
    rows = [
        scored_row("complete", 0.9),
        scored_row("truncated", 0.9, status="truncated"),
        scored_row("broken", None, status="undecodable"),
        scored_row("copy", 0.9, duplicate_of="complete"),
        scored_row("unscored", None),
        scored_row("odd", 0.9, step=None),
    ]
    drawn = drawn_from(rows, 400)
    assert drawn.rows == 6
    assert {key for s in drawn.strata for key in s.keys} == {"complete", "truncated", "odd"}
    assert [s.name for s in drawn.strata] == [
        "read / heavy / kept / far above heavy",
        "unknown / heavy / kept / far above heavy",
    ]


# --- the draw


@given(
    rows_strategy, st.integers(14, 70), st.lists(st.integers(1, 60), max_size=5), st.randoms(use_true_random=False)
)
def test_the_draw_depends_neither_on_order_nor_on_batches(rows, n, cuts, shuffler):
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    whole = audit_of(drawn_from(rows, max(n, 28)))
    cut = audit_of(drawn_from(shuffled, max(n, 28), cuts=cuts))
    assert whole == cut
    assert whole.keys == cut.keys


@given(rows_strategy, st.integers(28, 70))
def test_the_draw_is_exact_and_reaches_every_stratum(rows, n):
    drawn = drawn_from(rows, n)
    keys = [key for s in drawn.strata for key in s.keys]
    assert len(keys) == len(set(keys)) == min(n, len(rows))
    assert set(keys) == set(drawn.parts) <= {row["key"] for row in rows}
    assert sum(s.rows for s in drawn.strata) == len(rows)
    assert all(1 <= len(s.keys) <= s.rows for s in drawn.strata)
    assert set(keys) <= set(drawn_from(rows, n + 10).parts)


@given(
    st.dictionaries(
        st.builds(
            Facets,
            text_step=st.sampled_from(["density", "read"]),
            text_class=st.sampled_from(LABELS),
            is_kept=st.booleans(),
            band=st.sampled_from(Band),
        ),
        st.integers(1, 10**9),
        min_size=1,
    ),
    st.integers(1, 500),
)
def test_allocation_is_exact_within_bounds_and_monotone_in_rows(rows, n):
    if min(n, sum(rows.values())) < len(rows):
        with pytest.raises(InputError, match=f"set at least {len(rows)}"):
            allocate(rows, n)
        return
    given_rows = allocate(rows, n)
    assert sum(given_rows.values()) == min(n, sum(rows.values()))
    assert all(1 <= given_rows[facets] <= rows[facets] for facets in rows)
    if n >= MIN_PER_STRATUM * len(rows):
        assert all(given_rows[facets] >= min(MIN_PER_STRATUM, rows[facets]) for facets in rows)
    fewer = allocate(rows, max(len(rows), n - 7))
    assert all(fewer[facets] <= given_rows[facets] for facets in rows if n - 7 >= len(rows))
    for a, b in itertools.combinations(rows, 2):
        if a.band.is_near == b.band.is_near and rows[a] > rows[b]:
            assert given_rows[a] >= given_rows[b]


def test_more_is_drawn_near_a_threshold_and_of_large_strata():
    def facets(band):
        return Facets(text_step="read", text_class="none", is_kept=False, band=band)

    rows = {facets(Band.FAR_BELOW_LIGHT): 10_000, facets(Band.JUST_BELOW_LIGHT): 10_000, facets(Band.BETWEEN): 100}
    assert [allocate(rows, 410)[facets(b)] for b in (Band.FAR_BELOW_LIGHT, Band.JUST_BELOW_LIGHT, Band.BETWEEN)] == [
        100, 300, 10,
    ]  # fmt: skip


def test_a_stratum_gives_a_fair_sample_though_choose_breaks_ties_by_the_same_salt():
    rows = many_rows(4000)
    first, second = (drawn_from(rows, 400, salt) for salt in ("curate", "other"))
    keys = [{key for s in drawn.strata for key in s.keys} for drawn in (first, second)]
    assert len(keys[0] & keys[1]) < 150
    (largest,) = [s for s in first.strata if s.rows == max(each.rows for each in first.strata)]
    places = [int(key[1:]) for key in largest.keys]
    assert 1500 < np.mean(places) < 2500


def test_the_order_of_the_images_mixes_the_strata():
    audit = audit_of(drawn_from(many_rows(4000), 400))
    size = {key: s.rows for s in audit.strata for key in s.keys}
    sizes = [size[key] for key in audit.keys]
    assert 0.7 < np.mean(sizes[:200]) / np.mean(sizes[200:]) < 1.4


def test_an_audit_round_trips_through_json():
    audit = audit_of(drawn_from(many_rows(300), 100))
    assert Audit.from_json(audit.to_json()) == audit
    assert audit_of(drawn_from(many_rows(300), 99)).name != audit.name
    with pytest.raises(ValueError, match="format version 2"):
        Audit.from_json(dataclasses.replace(audit, format_version=2).to_json())


# --- the sheet


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), unique=True))
def test_any_keys_survive_the_sheet(keys):
    assert read_sheet(empty_sheet(keys), keys) == {}
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerows([("key", "label"), *((key, "light") for key in keys)])
    assert read_sheet(out.getvalue(), keys) == dict.fromkeys(keys, "light")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_sheet_may_come_from_any_spreadsheet(mark):
    lines = ["note", "label", "key"], ["", " Heavy ", "a"], ["x", "", "b"], ["", "unsure", "c"]
    text = "\ufeff" + "".join(mark.join(line) + "\r\n" for line in lines)
    assert read_sheet(text, "abc") == {"a": "heavy", "c": "unsure"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("key,label\na,heavy\nz,none\n", "line 3: key 'z' is not in the sample"),
        ("key,label\na,heavy\na,none\n", "line 3: key 'a' comes twice"),
        ("key,label\nb,rich\n", "line 2: key 'b': 'rich' is not a label"),
        ("a,heavy\n", "no columns key and label"),
        ("", "no columns key and label"),
        ('key,label\na,"' + "x" * 200_000 + '"\n', "not readable as CSV"),
    ],
)
def test_a_wrong_sheet_is_refused_with_its_line(text, named):
    with pytest.raises(InputError, match=named):
        read_sheet(text, "ab")


# --- the page


class Parsed(HTMLParser):
    """What a browser parses: every start tag with its attributes, and the text of each element."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._open = [], Counter(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data):
        self.texts[self._open[-1] if self._open else "", data.strip()] += 1

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def source_hash(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


HOSTILE = "<img src=x onerror=alert(1)>\"'&amp;</script><!-- pictures -->"


def test_a_hostile_key_is_escaped_everywhere():
    found = [Picture(key=HOSTILE, jpeg=b"jpeg"), Picture(key="b" + HOSTILE, jpeg=None, problem=HOSTILE)]
    text = "".join(page(found, count=2, name=HOSTILE))
    parsed = Parsed(text)
    assert [article["data-key"] for article in parsed.all("article")] == [HOSTILE, "b" + HOSTILE]
    assert parsed.texts["figcaption", HOSTILE] == 1
    assert [image["src"] for image in parsed.all("img")] == [
        "data:image/jpeg;base64," + base64.b64encode(b"jpeg").decode()
    ]
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    assert len(parsed.all("script")) == 1
    assert "<img src=x" not in text


def test_the_page_allows_only_its_own_script_and_style_and_no_request():
    text = "".join(page([], count=0, name="n"))
    (policy,) = [m["content"] for m in Parsed(text).all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    for tag in ("script", "style"):
        inline = text.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        assert f"{tag}-src '{source_hash(inline)}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    for remote in ("http://", "https://", "url(", "@import", "fetch(", "XMLHttpRequest", "innerHTML", "eval("):
        assert remote not in text
    assert not any({"src", "href", "style"} & set(attributes) for _, attributes in Parsed(text).tags)


def test_images_are_shrunk_and_encoded_again(tmp_path):
    comment = b"<script>alert(1)</script>"
    noise = np.random.default_rng(0).integers(0, 255, (900, 1600, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "JPEG", comment=comment)
    data = data.getvalue() + comment
    (tmp_path / "a.jpg").write_bytes(data)
    row = {
        "key": "a", "source": f"file://{tmp_path}/", "member": "a.jpg", "offset": 0, "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    (made,) = pictures([row])
    with Image.open(io.BytesIO(made.jpeg)) as small:
        assert (small.format, small.size) == ("JPEG", (MAX_SIDE_PIXELS, 405))
    assert comment in data
    assert comment not in made.jpeg
    with pytest.raises(BrokenSource, match=r"a\.jpg"):
        list(pictures([{**row, "sha256": "0" * 64}]))


def test_an_image_that_cannot_be_decoded_has_a_message(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    digest = hashlib.sha256(b"no picture").hexdigest()
    row = {"key": "a", "source": f"file://{tmp_path}/", "member": "a.jpg", "offset": 0, "size": 10, "sha256": digest}
    (made,) = pictures([row])
    assert made.jpeg is None
    assert "undecodable" in made.problem
    assert "cannot be shown (undecodable" in "".join(page([made], count=1, name="n"))


# --- estimates


def truth_of(rows, seed=0):
    """Return a label for each row, as if a person had seen it: the verdict with errors, more near thresholds."""
    chooser = random.Random(seed)
    wrong = {"far": 0.03, "just": 0.25, "between": 0.15}
    labels = {}
    for row in rows:
        band = tuple(Band)[int(bands(np.array([row["text_score"]]), RULES)[0])]
        is_wrong = chooser.random() < wrong[band.value.split()[0]]
        labels[row["key"]] = chooser.choice(LABELS) if is_wrong else verdict(row["text_score"])
    return labels


def true_shares(rows, labels, keep="heavy"):
    """Return question → (precision, recall) of the whole set, counted."""
    wanted = {"heavy": {"heavy"}, "light": {"light", "heavy"}}
    said = {q: {r["key"] for r in rows if verdict(r["text_score"]) in wanted[q]} for q in wanted}
    said["kept"], wanted["kept"] = {r["key"] for r in rows if r["keep"]}, wanted[keep]
    shares = {}
    for question, called in said.items():
        right = {key for key, label in labels.items() if label in wanted[question]}
        shares[question] = (len(right & called) / len(called), len(right & called) / len(right))
    return shares


@pytest.mark.parametrize("keep", ["heavy", "light"])
def test_with_every_row_labelled_the_estimates_are_the_truth(keep):
    rows = many_rows(900)
    labels = truth_of(rows)
    audit = audit_of(drawn_from(rows, 900), rules=dataclasses.replace(RULES, keep=keep))
    found = estimate(audit, labels)
    for question, shares in true_shares(rows, labels, keep).items():
        for measure, share in zip(("precision", "recall"), shares, strict=True):
            estimated = found.quality[question][measure]
            assert (estimated.value, estimated.low, estimated.high) == pytest.approx((share, share, share), abs=1e-12)
    heavy = [row for row in rows if labels[row["key"]] == "heavy"]
    for step, estimated in found.lost_heavy.items():
        lost = sum(row["text_step"] == step and verdict(row["text_score"]) != "heavy" for row in heavy)
        assert (estimated.value, estimated.labels_hit, estimated.labels) == (
            pytest.approx(lost / len(heavy)),
            lost,
            len(heavy),
        )
    assert found.labels["unfilled"] == found.blind_strata == 0


@given(rows_strategy, st.integers(28, 60), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_an_interval_contains_its_value(rows, n, chooser):
    audit = audit_of(drawn_from(rows, n))
    labels = {key: chooser.choice((*LABELS, "unsure")) for key in audit.keys if chooser.random() < 0.8}
    found = estimate(audit, labels)
    estimates = [e for each in found.quality.values() for e in each.values()] + list(found.lost_heavy.values())
    for each in estimates:
        assert each.labels_hit <= each.labels <= n
        assert (each.value is None) == (each.labels == 0)
        if each.value is not None:
            assert 0 <= each.low <= each.value <= each.high <= 1
    assert sum(found.labels.values()) == len(audit.keys)


@pytest.mark.slow
def test_intervals_contain_the_truth_about_as_often_as_they_promise():
    rows = many_rows(6000)
    labels = truth_of(rows)
    truth = true_shares(rows, labels)
    covered = Counter()
    for number in range(30):
        audit = audit_of(drawn_from(rows, 400, salt=f"draw {number}"))
        found = estimate(audit, {key: labels[key] for key in audit.keys})
        for question, shares in truth.items():
            for measure, share in zip(("precision", "recall"), shares, strict=True):
                estimated = found.quality[question][measure]
                covered[question, measure] += estimated.low <= share <= estimated.high
                assert abs(estimated.value - share) < 0.15
    assert min(covered.values()) >= 26, covered


@pytest.mark.parametrize(("hits", "labels"), [(0, 40), (3, 40), (40, 40), (97, 100)])
def test_for_one_large_stratum_the_interval_is_that_of_jeffreys(hits, labels):
    rows = [scored_row(f"k{number:06d}", 0.99) for number in range(20_000)]
    audit = audit_of(drawn_from(rows, labels))
    given = {key: "heavy" if place < hits else "light" for place, key in enumerate(audit.keys)}
    found = estimate(audit, given).quality["heavy"]["precision"]
    low, high = scipy.stats.beta.ppf((0.025, 0.975), hits + 0.5, labels - hits + 0.5)
    assert (found.value, found.labels_hit, found.labels) == (hits / labels, hits, labels)
    assert found.low == pytest.approx(low if hits else 0, abs=0.01)
    assert found.high == pytest.approx(high if hits < labels else 1, abs=0.01)


def test_a_rare_loss_without_a_label_is_still_possible():
    kept = [scored_row(f"h{number:06d}", 0.99) for number in range(1000)]
    rest = [scored_row(f"n{number:06d}", 0.01, "density") for number in range(99_000)]
    audit = audit_of(drawn_from([*kept, *rest], 400))
    found = estimate(audit, {key: "heavy" if key.startswith("h") else "none" for key in audit.keys})
    recall, lost = found.quality["heavy"]["recall"], found.lost_heavy["density"]
    assert (recall.value, recall.high) == (1, 1)
    assert 0.35 < recall.low < 0.7  # 1000 kept, and up to 0.7 % of 99,000 lost
    assert (lost.value, lost.low, lost.high) == (0, 0, pytest.approx(1 - recall.low))


def test_the_same_labels_give_the_same_estimates():
    rows = many_rows(2000)
    audit, labels = audit_of(drawn_from(rows, 300)), truth_of(rows)
    given = {key: labels[key] for key in audit.keys}
    assert estimate(audit, given) == estimate(audit, dict(reversed(given.items())))


def test_strata_without_labels_are_counted_and_widen_the_intervals():
    rows = many_rows(3000)
    audit, labels = audit_of(drawn_from(rows, 300)), truth_of(rows)
    largest = max(audit.strata, key=lambda s: s.rows)
    given = {key: "unsure" if key in largest.keys else labels[key] for key in audit.keys}
    blind = estimate(audit, given)
    seen = estimate(audit, {key: labels[key] for key in audit.keys})
    assert (blind.blind_strata, blind.blind_rows) == (1, largest.rows)
    assert blind.labels["unsure"] == len(largest.keys)
    recall, wide = seen.quality["heavy"]["recall"], blind.quality["heavy"]["recall"]
    assert wide.high - wide.low > recall.high - recall.low


def test_without_heavy_labels_there_is_no_recall():
    audit = audit_of(drawn_from(many_rows(200), 100))
    found = estimate(audit, dict.fromkeys(audit.keys, "none"))
    assert found.quality["heavy"]["recall"].value is None
    assert found.quality["heavy"]["precision"].value == 0
    assert all(each.value is None for each in found.lost_heavy.values())


def test_with_keep_all_both_classes_are_estimated():
    audit = audit_of(drawn_from(many_rows(200), 100), rules=dataclasses.replace(RULES, keep="all"))
    assert list(estimate(audit, {}).quality) == ["heavy", "light", "kept as heavy", "kept as light"]


# --- the command


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows of the pictures of a real tar as choose leaves them; with invented scores."""
    folder = make_corpus(tmp_path_factory.mktemp("audited"), images=60, tars=2)
    found = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            images = [m for m in tar if m.name.rsplit(".", 1)[1] not in ("json", "txt")]
            contents = [tar.extractfile(m).read() for m in images]
        for member, data in zip(images, contents, strict=True):
            number, score = len(found), (len(found) * 0.618) % 1
            decoded = next(iter(pictures([place_of(path, member, data, f"k{number:03d}")])))
            row = scored_row(f"k{number:03d}", score, "density" if score < 0.05 else "read")
            if decoded.jpeg is None:
                row |= {
                    "status": "undecodable",
                    "text_score": None,
                    "text_step": None,
                    "text_class": None,
                    "keep": False,
                }
            found.append({**row, **place_of(path, member, data, row["key"]), "cluster_id": row["key"]})
    return found


def place_of(path, member, data, key):
    return {
        "key": key, "source": f"file://{path}", "member": member.name, "offset": member.offset_data,
        "size": len(data), "sha256": hashlib.sha256(data).hexdigest(),
        "caption": "<script>alert('caption')</script>",
    }  # fmt: skip


def commit_rows(folder, rows, stage=Stage.CHOOSE, **config):
    """Commit `rows` in three parts, as a stage does, and return the manifest."""
    output, kind = storage.absolute(str(folder)), schema(stage)
    receipts = []
    for number in range(3):
        name = f"part-{number:05d}.parquet"
        table = pa.Table.from_pylist(rows[number::3], CHOSEN).select(kind.names).cast(kind)
        part = write_part(storage.join(output, name), table.to_batches(), kind, roots=())
        receipts.append(
            Receipt(
                unit=name[:-8],
                fingerprint="f",
                part=name,
                rows=part.rows,
                size_bytes=part.size_bytes,
                sha256=part.sha256,
                lanes=lanes_of(part.lanes.tolist()),
                counts=part.counts,
            )
        )
    about = Provenance(
        stage=stage,
        config={"keep": "heavy", "min_light_score": 0.2, "min_heavy_score": 0.7, **config},
        software={},
        inputs={},
        parents=[Parent(uri="file:///before", stage="score", digest="0")],
        roots=[],
        funnel=[],
    )
    return commit(output, receipts, about, created="2025-01-01T00:00:00+00:00")


@pytest.fixture(scope="module")
def chosen(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifest") / "chosen"
    commit_rows(folder, rows)
    return folder


@pytest.fixture(scope="module")
def drawn(chosen):
    folder = chosen.parent / "audit"
    done = curate("audit", chosen, "--n", 40, "-o", folder)
    return folder, done


@pytest.mark.slow
def test_the_command_draws_a_page_a_sheet_and_the_sample(chosen, drawn, rows):
    folder, done = drawn
    assert sorted(p.name for p in folder.iterdir()) == ["audit.json", "index.html", "sheet.csv"]
    audit = Audit.from_json((folder / "audit.json").read_bytes())
    audited = [row for row in rows if row["text_score"] is not None]
    assert (audit.digest, audit.n, audit.rows, audit.rules) == (
        open_manifest(str(chosen)).digest,
        40,
        len(rows),
        RULES,
    )
    assert (audit.audited_rows, len(audit.keys)) == (len(audited), 40)
    assert "40 images of" in done.stdout
    assert "just below heavy" in done.stdout
    text = (folder / "index.html").read_text()
    parsed = Parsed(text)
    keys = [article["data-key"] for article in parsed.all("article")]
    assert keys == audit.keys == [line.split(",")[0] for line in (folder / "sheet.csv").read_text().splitlines()[1:]]
    images = [image["src"].removeprefix("data:image/jpeg;base64,") for image in parsed.all("img")]
    assert len(images) == 40
    for image in images:
        with Image.open(io.BytesIO(base64.b64decode(image, validate=True))) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) <= MAX_SIDE_PIXELS
    inputs = Counter(each["name"] for each in parsed.all("input") if each["type"] == "radio")
    assert set(inputs.values()) == {4}
    assert len(inputs) == 40


def test_the_page_does_not_show_the_verdict(drawn):
    shown = (drawn[0] / "index.html").read_text().split("<main>")[1].split("</main>")[0]
    assert "caption')" not in shown
    articles = shown.split("</article>")[:-1]
    without = {html_without_picture(article) for article in articles}
    assert len(without) == 1, "an article differs in more than its picture, place and key"


def html_without_picture(article):
    key = article.split('data-key="')[1].split('"')[0]
    number = article.split('name="label-')[1].split('"')[0]
    picture = article.split('src="')[1].split('"')[0]
    text = article.replace(picture, "").replace(key, "").replace(f"label-{number}", "")
    return text.replace(f"picture {int(number) + 1}", "").strip()


def test_drawing_again_writes_the_same_and_another_draw_is_refused(chosen, drawn):
    folder, _ = drawn
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    again = json.loads(curate("audit", chosen, "--n", 40, "-o", folder, "--json").stdout)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert sum(len(s["keys"]) for s in again["strata"]) == 40
    assert "another sample is here" in curate("audit", chosen, "--n", 41, "-o", folder, check=2).stderr
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def fill(folder, rows, path, **changed):
    """Fill the sheet of `folder` in: the verdict, except what is `changed`."""
    classes = {row["key"]: row["text_class"] for row in rows} | changed
    keys = [line.split(",")[0] for line in (folder / "sheet.csv").read_text().splitlines()[1:]]
    path.write_text("key,label\n" + "".join(f"{key},{classes[key]}\n" for key in keys))
    return keys


def test_the_command_estimates_from_a_filled_sheet(chosen, drawn, rows, tmp_path):
    folder, _ = drawn
    keys = fill(folder, rows, tmp_path / "filled.csv")
    fill(folder, rows, folder / "filled.csv", **{keys[0]: "unsure", keys[1]: ""})
    elsewhere = json.loads(
        curate("audit", chosen, "--filled", tmp_path / "filled.csv", "-o", folder, "--json").stdout
    )
    assert elsewhere["quality"]["heavy"]["precision"]["value"] == elsewhere["quality"]["kept"]["recall"]["value"] == 1
    assert elsewhere["labels"]["unfilled"] == 0
    beside = curate("audit", chosen, "--filled", folder / "filled.csv").stdout
    assert "1 unsure, 1 unfilled" in beside
    assert "100.0%" in beside
    assert "density" in beside


def test_wrong_sheets_and_manifests_are_refused(chosen, drawn, rows, tmp_path):
    folder, _ = drawn
    fill(folder, rows, tmp_path / "filled.csv")
    assert "audit.json: missing" in curate("audit", chosen, "--filled", tmp_path / "filled.csv", check=2).stderr
    commit_rows(tmp_path / "other", rows[:-1])
    refused = curate("audit", tmp_path / "other", "--filled", tmp_path / "filled.csv", "-o", folder, check=2)
    assert "give the manifest it was drawn from" in refused.stderr
    (tmp_path / "bad.csv").write_text("key,label\nk000,some\n")
    refused = curate("audit", chosen, "--filled", tmp_path / "bad.csv", "-o", folder, check=2)
    assert "bad.csv: line 2" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_only_a_chosen_manifest_is_audited(rows, tmp_path):
    commit_rows(tmp_path / "scored", rows, Stage.SCORE)
    refused = curate("audit", tmp_path / "scored", "-o", tmp_path / "audit", check=2)
    assert "a manifest of stage score; an audit needs the one that `curate choose` committed" in refused.stderr
    commit_rows(tmp_path / "none", [r for r in rows if r["text_score"] is None])
    assert "there is nothing to draw" in curate("audit", tmp_path / "none", "-o", tmp_path / "audit", check=2).stderr
    assert not (tmp_path / "audit").exists()
