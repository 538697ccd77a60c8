"""Judges text-rich selection: accuracy on labelled and on wild pictures, cost, memory, determinism, kinds.

    python -m benchmarks.text_rich --web labelled/ --wild wild/ [--score-tool score.py] [--out report/] [--json]
                                   [--looked looked.csv] [--fitted] [--part wild --part golden …]

`--web` is a folder of labelled tars with truth.csv, in the layout of examples/corpus; the second half of its tars
(without samples whose group is also in the first half, which the defaults were fitted to) is reported on.
Without it the project's own drawn corpus is made and used, which says little about photographs.

accuracy   scan to choose with default settings on two cores; what `--score-tool` says of the manifest, and the
           shipped operating points; once more with every image stored as JPEG of one size. A photograph on which a
           text was planted is labelled as without text in that corpus: counted both as they are and left out.
cost       one process pinned to one core. Core-milliseconds an image by class, of both decodes and of each step with
           everything that it needs; fingerprints not. Weighed to the web's mix. Beside it, on some of the same
           images, evenly spaced: EasyOCR's CRAFT detector alone (random weights: the same work) and RapidOCR's full
           reading, each with one thread. Without the easyocr extra CRAFT is left out. Images a second of one process
           on a GPU, if ONNX Runtime has CUDA and the engine takes the option gpu.
steps      every step run on every labelled image, then the cascade replayed: what each saw, settled and lost.
laws       the same scores for batches of 1, 8 and 64, the same digest on 1, 2 and 4 cores; peak memory of a worker.
wild       `--wild` is a folder of tars of pictures as the web has them, with truth.csv: key, tar, repo (the source of
           the picture) and label: rich, rich? (probably), not, not? (nobody looked), boundary (left out). Scan to
           choose with default settings. Recall and false heavy with two intervals, since pictures of one source
           resemble each other: Jeffreys', and a bootstrap over sources. Precision if 1.3 % of the pictures were rich.
           Other thresholds of text_score. Mistakes by kind, step and source. Into `--out`: curve.png, sheets of the
           mistakes, and looked.csv with the keys of those whose label has a question mark. Look before you count one
           as false: fill in is_rich with 0 or 1, and give the file to `--looked`. `--fitted` marks the report, if the
           shipped weights were fitted to these pictures.
golden     drawn pictures of kinds that are easily mistaken for each other, with a seed that no training uses: which
           kind is found, how many are heavy, how many have any text. Into `--out`: golden.md.
"""

import contextlib
import dataclasses
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.text.accuracy import measure_accuracy
from benchmarks.text.corpus import WEB_MIX, labelled_images, read_truth, reported
from benchmarks.text.cost import measure_cost
from benchmarks.text.golden import EACH, golden_markdown, measure_golden
from benchmarks.text.laws import measure_laws, measure_steps
from benchmarks.text.pipeline import choose_all
from benchmarks.text.report import print_report
from benchmarks.text.wild import measure_wild, read_looked
from benchmarks.text.wild_pictures import draw_curve, draw_sheets
from curation.text.bounds import default_rules

OF_THE_LABELLED = ("cost", "accuracy", "steps", "laws")
PARTS = (*OF_THE_LABELLED, "wild", "golden")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What to measure, and on what. `out`: where pictures of the report go; None draws none."""

    parts: frozenset[str]
    web: Path | None
    wild: Path | None
    score_tool: Path | None
    looked: Path | None
    is_fitted: bool
    out: Path | None
    peer_images: int
    golden_each: int


def measure(request: Request, work: Path) -> dict[str, Any]:
    """Return everything this benchmark shows."""
    found: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}",
        "thresholds": dict(default_rules()),
    }
    if request.parts.intersection(OF_THE_LABELLED):
        found |= measure_labelled(request, work)
    if "wild" in request.parts and request.wild is not None:
        found["wild"] = measure_wild_and_draw(request, request.wild, work)
    if "golden" in request.parts:
        found["golden"] = [dataclasses.asdict(row) for row in measure_golden(request.golden_each)]
        if request.out is not None:
            (request.out / "golden.md").write_text(golden_markdown(found["golden"]) + "\n")
    return found


def measure_labelled(request: Request, work: Path) -> dict[str, Any]:
    """Return the parts that look at the labelled corpus."""
    web = request.web
    if web is None:
        from examples.corpus import make_corpus  # noqa: PLC0415

        web = make_corpus(work / "drawn", images=600, tars=8)
    half = reported(read_truth(web))
    images = list(labelled_images(web, half))
    found: dict[str, Any] = {
        "images_reported_on": {label: sum(i.label == label for i in images) for label in WEB_MIX}
    }
    if "cost" in request.parts:
        found["cost"] = measure_cost(images, request.peer_images)
    if request.parts.intersection(("accuracy", "laws")):
        chosen = choose_all(web, work / "as-stored")
        if "accuracy" in request.parts:
            found["accuracy"] = measure_accuracy(web, chosen, half, request.score_tool, work)
    if "steps" in request.parts:
        found["steps"] = measure_steps(images)
    if "laws" in request.parts:
        found |= measure_laws(images, work / "as-stored", work)
    return found


def measure_wild_and_draw(request: Request, wild: Path, work: Path) -> dict[str, Any]:
    """Return what is found on the wild pictures, and draw it where pictures are wanted."""
    looked = read_looked(request.looked) if request.looked is not None else {}
    found, pictures = measure_wild(wild, work, looked=looked, is_fitted=request.is_fitted)
    if request.out is not None:
        draw_curve(found, request.out / "curve.png")
        found["sheets"] = draw_sheets(pictures, wild, request.out)
    return found


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


_FILE = click.Path(exists=True, path_type=Path)


@click.command()
@click.option("--web", type=_FILE, help="Folder of labelled tars with truth.csv.")
@click.option("--wild", type=_FILE, help="Folder of tars of the web's pictures with truth.csv; not drawn without.")
@click.option("--score-tool", type=_FILE, help="Script that scores a manifest.")
@click.option("--looked", type=_FILE, help="CSV (key, is_rich) that corrects labels with a question mark.")
@click.option("--fitted", "is_fitted", is_flag=True, help="Mark the wild pictures as those that were fitted to.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for curves and sheets of mistakes.")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only this part; repeat for more.")
@click.option("--peer-images", default=24, show_default=True, help="Images of each class the peers are timed on.")
@click.option("--golden-each", default=EACH, show_default=True, help="Pictures drawn of each name in golden.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(*, as_json: bool, parts: tuple[str, ...], **options: Any) -> None:
    """Judge text-rich selection: accuracy, cost, memory, determinism, kinds."""
    if "wild" in parts and options["wild"] is None:
        raise click.UsageError("--part wild needs --wild")
    if options["out"] is not None:
        options["out"].mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Request(parts=frozenset(parts or PARTS), **options), Path(folder))
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        print_report(found)


if __name__ == "__main__":
    main()
