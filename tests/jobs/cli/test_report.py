"""`curate report` and `curate diff --html`: what is written, and what browsers make of it."""

import functools
import io
import json
import re
import shutil
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.config_choose import ChooseConfig
from curation.pages.site import LINKS
from jobs.operations.page_server import server
from jobs.operations.what_if import what_if
from manifests import storage
from manifests.format.store import open_manifest
from manifests.sql.engine import DuckEngine
from tests.conftest import Reference, curate, rows_of
from tests.support.browser import LOOKS, chromium, needs_chromium, opened, overflow_pixels, serious_faults
from tests.support.making import tar_bytes
from tests.support.object_store import bucket_of
from tests.support.pictures import noise, render

PAGES = [path for path, _ in LINKS]
HOSTILE = "<script>alert('pwned')</script>"


@pytest.fixture(scope="module")
def report(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on the reference run's chosen manifest."""
    folder = tmp_path_factory.mktemp("report") / "pages"
    curate("report", reference.output, "-o", folder)
    return folder


@pytest.fixture(scope="module")
def hostile(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on pictures whose names, captions and URLs are written by someone who means harm."""
    folder = tmp_path_factory.mktemp("hostile")
    members = {
        "a.jpg": _jpeg(320, 200),
        "a.txt": HOSTILE.encode(),
        "a.json": json.dumps({"url": f'javascript:alert(1)//"></dd>{HOSTILE}'}).encode(),
        f'"><img src=x onerror=alert(2)>{HOSTILE}.jpg'.replace("/", "-"): _jpeg(200, 320),
        "broken.jpg": b"no picture" + HOSTILE.encode(),
    }
    (folder / f"x{HOSTILE.replace('/', '-')}.tar").write_bytes(tar_bytes(members.items()))
    curate("scan", folder / "*.tar", "-o", folder / "scan")
    curate("report", folder / "scan", "-o", folder / "pages")
    return folder / "pages"


@pytest.fixture(scope="module")
def browser():
    """A running Chromium."""
    with chromium() as running:
        yield running


def _jpeg(width: int, height: int) -> bytes:
    return _encoded(noise(height, width), "JPEG")


def _encoded(rgb: np.ndarray, form: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, form)
    return out.getvalue()


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _curve(folder: Path) -> dict:
    found = re.search(r'id="curve">(.*?)</script>', (folder / "text.html").read_text(), re.DOTALL)
    return json.loads(found[1])


# --- what is written


def test_two_reports_on_one_manifest_are_equal(report, reference, tmp_path):
    curate("report", reference.output / "chosen", "-o", tmp_path / "again")
    assert _files(tmp_path / "again") == _files(report)


def test_another_salt_draws_other_pictures_and_counts_the_same(report, reference, tmp_path):
    curate("report", reference.output / "chosen", "-o", tmp_path / "other", "--salt", "x", "--pictures", 2)
    assert _curve(tmp_path / "other")["kept"] == _curve(report)["kept"]
    assert _files(tmp_path / "other").keys() != _files(report).keys()


def test_a_report_over_an_earlier_one_leaves_none_of_its_pictures(report, reference, tmp_path):
    curate("report", reference.output / "chosen", "-o", tmp_path / "pages", "--salt", "x", "--pictures", 3)
    curate("report", reference.output / "chosen", "-o", tmp_path / "pages")
    assert _files(tmp_path / "pages") == _files(report)


def test_every_page_escapes_what_came_from_strangers(hostile):
    texts = [(hostile / path).read_text() for path in PAGES]
    assert any("&lt;script&gt;alert" in text for text in texts)
    assert not any(HOSTILE in text for text in texts)


def test_pictures_are_few_and_small(report):
    pictures = [data for name, data in _files(report).items() if name.startswith("pictures/")]
    assert pictures and all(len(data) < 64 << 10 for data in pictures)


def test_a_folder_with_something_else_is_refused(reference, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    done = curate("report", reference.output / "chosen", "-o", tmp_path, check=2)
    assert "thesis.txt" in done.stderr and "--force" in done.stderr
    curate("report", reference.output / "chosen", "-o", tmp_path, "--force")
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_report_that_was_interrupted_is_made_by_the_same_command(report, reference, tmp_path):
    shutil.copytree(report / "pictures", tmp_path / "r/pictures")
    (tmp_path / "r/pictures/.0a.jpg.7c.tmp").touch()
    curate("report", reference.output / "chosen", "-o", tmp_path / "r")
    (tmp_path / "r/pictures/.0a.jpg.7c.tmp").unlink()
    assert _files(tmp_path / "r") == _files(report)


@pytest.mark.parametrize("page", ["index.html", "why.html"])
def test_pages_and_pictures_of_others_are_neither_replaced_nor_removed(page, reference, tmp_path):
    (tmp_path / "site/pictures").mkdir(parents=True)
    (tmp_path / f"site/{page}").write_text("<h1>mine</h1>")
    (tmp_path / "site/pictures/cat.jpg").write_bytes(b"mine")
    mine = _files(tmp_path / "site")
    chosen = reference.output / "chosen"
    assert page in curate("report", chosen, "-o", tmp_path / "site", check=2).stderr
    if page == "index.html":
        assert page in curate("diff", chosen, chosen, "--html", tmp_path / "site", check=2).stderr
    assert _files(tmp_path / "site") == mine
    curate("report", chosen, "-o", tmp_path / "site", "--force")
    assert (tmp_path / "site/pictures/cat.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize("stage", ["scan", "deduped", "scored", "shards"])
def test_every_stage_has_a_report(stage, reference, tmp_path):
    done = curate("report", reference.output / stage, "-o", tmp_path / "r", "--json")
    made = json.loads(done.stdout)
    assert made["pages"] == len(PAGES) and made["pictures"] > 0


def test_an_empty_manifest_has_a_report(reference, tmp_path):
    curate("sample", reference.output / "chosen", "--where", "false", "-o", tmp_path / "none", "--engine", "duckdb")
    made = json.loads(curate("report", tmp_path / "none", "-o", tmp_path / "r", "--json").stdout)
    assert made["pictures"] == 0


def test_of_several_choices_one_must_be_named(reference, tmp_path):
    shutil.copytree(reference.output / "scored", tmp_path / "out/scored")
    for name in ("chosen-heavy", "chosen-light"):
        shutil.copytree(reference.output / "chosen", tmp_path / "out" / name)
    done = curate("report", tmp_path / "out", "-o", tmp_path / "r", check=None)
    assert done.returncode and "chosen-heavy, chosen-light" in done.stderr and not (tmp_path / "r").exists()
    curate("report", tmp_path / "out/chosen-light", "-o", tmp_path / "r")


# --- the threshold


def test_the_threshold_counts_what_choosing_would_keep(report, reference):
    curve = _curve(report)
    manifest = open_manifest(str(reference.output / "chosen"))
    bounds = [curve["bounds"][place] for place in range(0, len(curve["bounds"]), 90)]
    config = ChooseConfig(**manifest.config)
    with DuckEngine() as engine:
        settings = [config.model_copy(update={curve["setting"]: bound}) for bound in bounds]
        outcomes = what_if(manifest, settings, engine)
    at = dict(zip(curve["bounds"], curve["kept"], strict=True))
    assert [at[bound] for bound in bounds] == [outcome.kept for outcome in outcomes]
    assert curve["kept_now"] == rows_of(reference.output / "chosen").column("keep").to_pylist().count(True)


def test_labels_give_precision_and_recall(reference, tmp_path):
    chosen = reference.output / "chosen"
    curate("audit", chosen, "-o", tmp_path / "audit", "--n", 40)
    rows = {row["key"]: row for row in rows_of(chosen).to_pylist()}
    sheet = (tmp_path / "audit/sheet.csv").read_text().splitlines()
    labelled = [line + (rows[line.rstrip(",").strip('"')]["text_class"] or "") for line in sheet[1:]]
    (tmp_path / "audit/filled.csv").write_text("\n".join([sheet[0], *labelled]) + "\n")
    curate("report", chosen, "-o", tmp_path / "r", "--audit", tmp_path / "audit")
    quality = _curve(tmp_path / "r")["quality"]
    assert quality["labels"] == len(labelled)
    for shares in (*quality["precision"], *quality["recall"]):
        share, low, high = shares
        assert 0 <= low <= share <= high <= 1
    assert quality["recall"][0][0] == 1


def test_labels_of_a_file_count_once_each(reference, tmp_path):
    chosen = reference.output / "chosen"
    scored = [row for row in rows_of(chosen).to_pylist() if row["text_class"]][:20]
    lines = [f"{row['key']},{row['text_class']}" for row in scored]
    (tmp_path / "labels.csv").write_text("\n".join(["key,label", *lines]) + "\n")
    curate("report", chosen, "-o", tmp_path / "r", "--labels", tmp_path / "labels.csv")
    quality, curve = _curve(tmp_path / "r")["quality"], _curve(tmp_path / "r")
    at = open_manifest(str(chosen)).config[curve["setting"]]
    kept = [row for row in scored if row["text_score"] >= round(at, 2)]
    wanted = [row for row in scored if row["text_class"] in ("light", "heavy")]
    right = [row for row in kept if row in wanted]
    assert quality["labels"] == 20
    assert quality["precision"][round(100 * at)][0] == pytest.approx(len(right) / len(kept), abs=1e-4)
    assert quality["recall"][round(100 * at)][0] == pytest.approx(len(right) / len(wanted), abs=1e-4)
    done = curate(
        "report", chosen, "-o", tmp_path / "r", "--labels", tmp_path / "labels.csv", "--audit", tmp_path, check=2
    )
    assert "--audit and --labels" in done.stderr


def test_what_a_rule_of_sizes_dropped_is_shown_nearest_first(reference, tmp_path):
    rules = ["--set", "choose.min_side=400", "--set", "choose.keep=all"]
    curate("choose", reference.output / "scored", "-o", tmp_path / "chosen", *rules)
    curate("report", tmp_path / "chosen", "-o", tmp_path / "r", "--pictures", 4)
    text = (tmp_path / "r/why.html").read_text()
    near = text.split('aria-label="too small: nearest to the decision"')[1].split("</section>")[0]
    sides = list(map(int, re.findall(r'data-side="(\d+)"', near)))
    small = [
        min(r["width"], r["height"])
        for r in rows_of(tmp_path / "chosen").to_pylist()
        if r["drop_reason"] == "too_small"
    ]
    assert sides == sorted(small, reverse=True)[:2]


def test_an_audit_of_another_manifest_is_refused(reference, tmp_path):
    curate("audit", reference.output / "chosen", "-o", tmp_path / "audit", "--n", 40)
    curate("sample", reference.output / "chosen", "--count", 10, "-o", tmp_path / "few", "--engine", "duckdb")
    done = curate("report", tmp_path / "few", "-o", tmp_path / "r", "--audit", tmp_path / "audit", check=2)
    assert "--audit" in done.stderr and not (tmp_path / "r").exists()


def test_boxes_of_text_are_found_again(reference, tmp_path):
    curate("report", reference.output / "chosen", "-o", tmp_path / "r", "--boxes", "--pictures", 3)
    text = (tmp_path / "r/text.html").read_text()
    assert 'class="boxes"' in text and "Show the boxes" in text


@pytest.mark.slow
def test_a_report_on_object_storage_and_from_it(reference, tmp_path):
    chosen, here = reference.output / "chosen", tmp_path / "here"
    curate("report", chosen, "-o", here, "--pictures", 3)
    with bucket_of("reports"):
        for path in chosen.rglob("*"):
            if path.is_file():
                storage.write_bytes(f"s3://reports/chosen/{path.relative_to(chosen)}", path.read_bytes())
        curate("report", chosen, "-o", "s3://reports/pages", "--pictures", 3)
        there = {name: storage.read_bytes(f"s3://reports/pages/{name}") for name in _files(here)}
        assert there == _files(here)
        curate("report", "s3://reports/chosen", "-o", tmp_path / "from", "--pictures", 3)
        assert _files(tmp_path / "from").keys() == _files(here).keys()
        with server("s3://reports/pages", 0) as running:
            threading.Thread(target=running.serve_forever, daemon=True).start()
            assert _get(f"http://127.0.0.1:{running.server_port}", "/") == there["index.html"]
            running.shutdown()


# --- the server


def test_the_server_gives_pages_and_pictures_and_nothing_else(report):
    (report.parent / "secret.html").write_text("no")
    with server(report.as_uri(), 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        get = functools.partial(_get, f"http://127.0.0.1:{running.server_port}")
        assert get("/") == get("/index.html") == (report / "index.html").read_bytes()
        picture = next((report / "pictures").iterdir())
        assert get(f"/pictures/{picture.name}") == picture.read_bytes()
        for path in ("/../secret.html", "/pictures/", "/pictures/../index.html", "/.git", "/missing.html"):
            assert get(path) is None
        running.shutdown()


def _get(host: str, path: str) -> bytes | None:
    try:
        with urllib.request.urlopen(host + path) as answer:  # noqa: S310 - of this machine
            return answer.read()
    except urllib.error.HTTPError:
        return None


# --- in a browser


@needs_chromium
@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_a_page_loads_and_fits_and_everyone_can_use_it(path, width, scheme, report, browser):
    page, seen = opened(browser, (report / path).as_uri(), width=width, scheme=scheme)
    assert seen.complaints == []
    assert seen.outside(report.as_uri()) == []
    assert overflow_pixels(page) <= 0
    assert serious_faults(page) == []
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    page.context.close()


@needs_chromium
@pytest.mark.parametrize("path", PAGES)
def test_what_strangers_wrote_is_shown_as_text(path, hostile, browser):
    page, seen = opened(browser, (hostile / path).as_uri())
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    if path == "why.html":
        assert HOSTILE in page.inner_text("main")
    assert page.locator("main script:not([type])").count() == 0
    assert page.locator("[onerror], a[href^=javascript]").count() == 0
    assert seen.complaints == [] and seen.outside(hostile.as_uri()) == []
    page.context.close()


@needs_chromium
def test_filters_show_what_meets_them(report, browser):
    page, _ = opened(browser, (report / "why.html").as_uri())
    total = page.locator(".tile").count()
    page.get_by_label("Format").select_option("PNG")
    shown = page.locator(".tile:visible").count()
    assert 0 < shown < total
    assert page.locator(".tile:visible[data-format=PNG]").count() == shown
    page.get_by_label("Shorter side at least").fill("100000")
    assert page.locator(".tile:visible").count() == 0
    assert page.inner_text("[data-filter-count]") == f"0 of {total} pictures shown"
    page.get_by_role("button", name="Show all").press("Enter")
    page.locator(".tile[hidden]").first.wait_for(state="detached")
    page.context.close()


@needs_chromium
def test_the_slider_counts_by_mouse_and_keyboard(report, browser):
    page, _ = opened(browser, (report / "text.html").as_uri())
    curve = _curve(report)
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("Home")
    assert _kept_on(page) == curve["kept"][0]
    slider.press("End")
    assert _kept_on(page) == curve["kept"][-1]
    assert str(curve["bounds"][-1]) in page.input_value("#command")
    assert curve["setting"] in page.input_value("#yaml")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    bound = float(page.inner_text("#bound"))
    assert 0.4 < bound < 0.6
    assert _kept_on(page) == curve["kept"][curve["bounds"].index(bound)]
    pale = page.locator(".strip .tile.is-dropped").evaluate_all(
        "all => all.map((tile) => Number(tile.dataset.score))"
    )
    assert all(score < bound for score in pale)
    page.context.close()


def _kept_on(page) -> int:
    return int(re.search(r", ([\d,]+) images", page.inner_text("#kept-then"))[1].replace(",", ""))


@needs_chromium
def test_evidence_is_drawn_over_the_pictures_and_can_be_hidden(tmp_path, spark, browser):
    plain = np.asarray(Image.fromarray(noise(40, 60)).resize((600, 400), Image.Resampling.BICUBIC))
    overlaid, word = plain.copy(), render(["SOLD OUT"], size_pixels=40)
    overlaid[150 : 150 + word.shape[0], 200 : 200 + word.shape[1]] = word
    pictures = {"plain.png": plain, "overlaid.png": overlaid, "noise.png": noise()}
    members = {name: _encoded(rgb, "PNG") for name, rgb in pictures.items()}
    (tmp_path / "pair.tar").write_bytes(tar_bytes(members.items()))
    curate("scan", tmp_path / "pair.tar", "-o", tmp_path / "scan")
    curate("dedupe", tmp_path / "scan", "-o", tmp_path / "deduped")
    curate("report", tmp_path / "deduped", "-o", tmp_path / "pages")
    page, _ = opened(browser, (tmp_path / "pages/duplicates.html").as_uri())
    assert page.locator(".pair").count() == 1 and "overlay" in page.inner_text(".pair")
    box = page.get_by_label("Show the evidence")
    marks = page.locator(".marks").first
    assert marks.is_visible()
    box.uncheck()
    assert not marks.is_visible()
    page.context.close()


# --- the page of a diff


@needs_chromium
def test_a_diff_in_pictures(reference, tmp_path, browser):
    chosen = reference.output / "chosen"
    curate("sample", chosen, "--fraction", 0.6, "-o", tmp_path / "some", "--engine", "duckdb")
    done = curate("diff", chosen, tmp_path / "some", "--html", tmp_path / "page")
    text = (tmp_path / "page/index.html").read_text()
    assert "page/index.html" in done.stderr and "Left" in text and "Entered" not in text
    for width, scheme in LOOKS:
        page, seen = opened(browser, (tmp_path / "page/index.html").as_uri(), width=width, scheme=scheme)
        assert seen.complaints == [] and seen.outside((tmp_path / "page").as_uri()) == []
        assert overflow_pixels(page) <= 0 and serious_faults(page) == []
        page.context.close()


def test_a_diff_of_equal_manifests_says_so(reference, tmp_path):
    curate("diff", reference.output / "chosen", reference.output / "chosen", "--html", tmp_path / "page")
    assert "No row differs" in (tmp_path / "page/index.html").read_text()
