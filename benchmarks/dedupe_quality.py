"""Measures dedupe on labelled copies: recall and precision beside other tools, cost, recall among many images.

    python -m benchmarks.dedupe_quality --web labelled/ --score-tool score.py [--imagededup-python PYTHON] [--json]
                                        [--fastdup-python PYTHON] [--distractors 2000,20000,200000]
                                        [--photographs FOLDER] [--cache FOLDER]
                                        [--plot curves.png] [--only corpus|documents|augly]

`--web` is a folder of labelled tars with truth.csv, in the layout of examples/corpus. Without it, that corpus is used
and says little about photographs. The codebook of local features was made from images of the first half
of such a folder's tars, so the halves are also reported separately.

quality   `curate scan` and `curate dedupe` through Spark: with default settings; with `copies: [exact, mild]`; and
          with `verify: false` besides. For comparison, on the images that the scan decoded: PDQ at 31 bits, all pairs
          compared, in connected components, once for every image and once for those of quality 50 and more, as its
          authors advise; imagededup's PHash at its default distance of 10, run by `--imagededup-python`, left out
          without it. Equal pixels count as copies for all. Every result is written as a manifest and scored by
          `--score-tool`: recall by difficulty, precision, false merges. In a cluster a copy may be found through
          another copy of its original, and such a corpus has several; `growth` searches each copy alone. A half
          consists of the images of its tars. A copy counts in the half if its original is there too, even if another
          copy of it is in the other half.
cost      One process, one thread. Core-milliseconds per image of decode, PDQ, text density and local features over
          the images that decode. Candidate pairs, of which the formation of clusters may add some. Core-milliseconds
          per pair of `renderings` (decode; at most 96 are kept, as in a worker) and `compare`, without reading. Wall
          seconds of dedupe with Spark started. Compressed bytes per image in Parquet.
growth    Recall among distractors: crops (40 to 70 % of the area), mirrored, with changed tones, half of them blended
          with another image, of 2,000 drawn pictures of this project and, every other one, of the pictures in the
          tars of `--photographs`. Drawn pictures differ from photographs, and distractors of one picture are alike:
          200,000 of them are fewer than 200,000 images of the web. Labelled images and distractors are searched as
          `curation.copies.local_search` does, without Spark. A copy counts as found if votes for it and its original
          agree (`votes`), and if their stored keypoints then agree (`agree`). Copies with equal pixels are not
          searched; one without local features is not found. `candidates` per image are the pairs that agree,
          `strangers` those of them that are not labelled as copies of one image; malformed samples, many of them
          alike, are labelled as copies of none. Core-milliseconds per image: of entries and matches over all images,
          of votes and keypoints over the labelled ones.
documents 2,400 pairs of drawn pages: other ones of one template, and the same ones. See benchmarks.dedupe.documents.
augly     Copies by AugLy of `--photographs`, drawn ones without; left out where AugLy is not installed, unless it is
          asked for. See benchmarks.dedupe.augly_copies.
"""

import dataclasses
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.dedupe.augly_copies import COPIES, DISTRACTORS, has_augly, measure_augly, print_augly
from benchmarks.dedupe.corpus import DIFFICULTIES, Row, one_thread_pool, read_rows, read_truth
from benchmarks.dedupe.cost import candidate_pairs, column_bytes, judge_cost, measure_kernels
from benchmarks.dedupe.documents import PAIRS, measure_documents, print_documents
from benchmarks.dedupe.growth import draw_growth, labelled_pictures, measure_growth
from benchmarks.dedupe.photographs import photographs_from
from benchmarks.dedupe.quality import (
    SCORED,
    connected,
    imagededup_pairs,
    in_halves,
    near_fingerprints,
    same_pictures,
    score_with_tool,
)
from curation.config import DedupeConfig, PipelineConfig, SparkConfig
from curation.pictures.pdq import PDQ_MIN_QUALITY
from jobs.dedupe.stage import dedupe
from jobs.spark.run import context
from jobs.stages.scan import scan
from jobs.units.progress import Reporter
from manifests.format.schema import STATUSES_WITH_PIXELS
from manifests.format.store import open_manifest

PARTS = ("corpus", "documents", "augly")
NEW_COLUMNS = {"scan": ("local_points",), "dedupe": ("duplicate_evidence",)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What to measure: the corpus, and the score tool and the Python of imagededup where they are given."""

    web: Path
    tool: Path | None
    imagededup: Path | None
    sizes: Sequence[int]
    photographs: Path | None
    cache: Path
    cores: int


def config_of(request: Request, **of_dedupe: Any) -> PipelineConfig:
    """Return the configuration of a run."""
    return PipelineConfig(
        input=(f"{request.web}/*.tar",),
        output="unused",
        dedupe=DedupeConfig(**of_dedupe),
        spark=SparkConfig(master=f"local[{request.cores}]"),
    )


def timed(work: Callable[[], Any]) -> float:
    """Return the wall seconds of `work`."""
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 1)


def measure(request: Request, work: Path) -> dict[str, Any]:
    """Return everything that this benchmark reports."""
    truth = read_truth(request.web)
    config = config_of(request)
    mild = {"copies": ("exact", "mild")}
    runs: dict[str, dict[str, Any]] = {
        "curate": {},
        "copies: [exact, mild]": mild,
        "the same, verify: false": {**mild, "verify": False},
    }
    seconds = {}
    answers: dict[str, list[Row]] = {}
    with context(config, reporter=Reporter(quiet=True)) as ctx:
        scanned = scan(config, str(work / "scan"), ctx)
        for n, (name, settings) in enumerate(runs.items()):
            output, other = str(work / f"deduped-{n}"), config_of(request, **settings)
            seconds[name] = timed(lambda o=output, c=other: dedupe(c, scanned.uri, o, ctx))  # type: ignore[misc]
            answers[name] = read_rows(open_manifest(output), *SCORED)
    rows = read_rows(scanned, *SCORED[:4], "offset", "size", "local_points", "node")
    where = [place for place, row in enumerate(rows) if row["status"] in STATUSES_WITH_PIXELS]
    shown = [rows[place] for place in where]
    folder = work / "pictures"
    folder.mkdir()
    with one_thread_pool(1) as pool:
        kernels, prints = pool.submit(measure_kernels, [_where(row) for row in shown], folder).result()
        pairs = candidate_pairs(shown, prints, config.dedupe)
        judged = sorted(pairs["PDQ"] | pairs["local features"], key=lambda pair: pair[::-1])
        by_node = {row["node"]: row for row in reversed(shown)}
        judging = pool.submit(judge_cost, [(_where(by_node[a]), _where(by_node[b])) for a, b in judged]).result()
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "images": len(rows),
        "pictures": len(shown),
    }
    if request.tool is not None:
        peers = dict(zip(where, prints, strict=True))
        same = same_pictures(rows)
        answers["PDQ at 31 bits"] = connected(rows, same + near_fingerprints(peers, 0))
        answers["PDQ at 31 bits, quality 50"] = connected(rows, same + near_fingerprints(peers, PDQ_MIN_QUALITY))
        if request.imagededup is not None:
            answers["imagededup PHash at 10"] = connected(
                rows, same + imagededup_pairs(request.imagededup, folder, where)
            )
        found["quality"] = {name: score_with_tool(request.tool, answer, truth) for name, answer in answers.items()}
        for name, (half, its_truth) in in_halves(answers["curate"], truth).items():
            found["quality"][f"curate, {name}"] = score_with_tool(request.tool, half, its_truth)
    deduped = open_manifest(str(work / "deduped-0"))
    found["cost"] = {
        "scan_milliseconds_an_image": kernels,
        "candidates": {**{name: len(some) for name, some in pairs.items()}, "all": len(judged)},
        "candidates_an_image": round(len(judged) / len(shown), 3),
        "judging": judging,
        "dedupe_wall_seconds": seconds,
        "column_bytes_an_image": column_bytes(scanned, NEW_COLUMNS["scan"], len(rows))
        | column_bytes(deduped, NEW_COLUMNS["dedupe"], len(rows)),
    }
    if request.sizes:
        found["growth"] = measure_growth(
            labelled_pictures(scanned, truth), request.sizes, request.photographs, request.cache, request.cores
        )
    return found


def _where(row: Row) -> Row:
    return {
        name: row[name] for name in ("key", "source", "member", "offset", "size", "sha256", "node", "local_points")
    }


def print_report(found: Mapping[str, Any]) -> None:
    """Print the tables of the report."""
    if "documents" in found:
        print_documents(found["documents"])
    if "augly" in found:
        print_augly(found["augly"])
    if "cost" not in found:
        return
    click.echo(f"machine: {found['machine']}\n{found['images']:,} images, {found['pictures']:,} of them decode\n")
    if "quality" in found:
        click.echo(f"{'recall, precision, false':38}" + "".join(f"{kind:>10}" for kind in DIFFICULTIES))
    for name, scores in found.get("quality", {}).items():
        recall = "".join(f"{scores['dedupe_recall'].get(kind, float('nan')):10.3f}" for kind in DIFFICULTIES)
        precision = scores["dedupe_precision"]
        click.echo(f"{name:38}{recall}{precision if precision is not None else '-':>10}{scores['dedupe_false']:6}")
    click.echo()
    for name, value in found["cost"].items():
        click.echo(f"{name:30} {value}")
    if "growth" not in found:
        return
    growth = found["growth"]
    click.echo(f"\n{growth['labelled']:,} labelled pictures, copies {growth['copies']}")
    for stage in ("votes", "agree"):
        kinds = list(growth["sizes"][0][stage])
        click.echo(f"\n{'recall, ' + stage:24}" + "".join(f"{kind:>10}" for kind in kinds))
        for each in growth["sizes"]:
            click.echo(f"{each['distractors']:>24,}" + "".join(f"{each[stage][kind]:10.3f}" for kind in kinds))
    names = [name for name, value in growth["sizes"][0].items() if isinstance(value, float)]
    click.echo(f"\n{'distractors':>12}" + "".join(f"{name:>26}" for name in names))
    for each in growth["sizes"]:
        click.echo(f"{each['distractors']:>12,}" + "".join(f"{each[name]:26}" for name in names))


def _measure_corpus(options: Mapping[str, Any]) -> dict[str, Any]:
    sizes = [int(size) for size in options["distractors"].split(",") if size]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        web = options["web"]
        if web is None:
            from examples.corpus import make_corpus  # noqa: PLC0415

            web = make_corpus(work / "drawn", images=600, tars=8)
        request = Request(
            web=web.resolve(),
            tool=options["score_tool"],
            imagededup=options["imagededup_python"],
            sizes=sizes,
            photographs=options["photographs"],
            cache=options["cache"] or work / "cache",
            cores=options["cores"],
        )
        return measure(request, work)


_FILE = click.Path(exists=True, path_type=Path)


@click.command()
@click.option("--web", type=_FILE, help="Folder of labelled tars with truth.csv.")
@click.option(
    "--score-tool", "--score", type=_FILE, help="Script that scores a manifest; no table of quality without."
)
@click.option("--imagededup-python", type=_FILE, help="Python that has imagededup; without it, it is left out.")
@click.option("--fastdup-python", type=_FILE, help="Python that has fastdup; without it, it is left out.")
@click.option("--distractors", default="2000,20000,200000", show_default=True, help="How many; empty: none are made.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder that keeps distractors for the next run.")
@click.option("--plot", type=click.Path(path_type=Path), help="Image file that shows recall among distractors.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="A part of it; may be repeated.")
@click.option("--photographs", type=_FILE, help="Folder of tars for AugLy, and for distractors.")
@click.option("--cores", default=2, show_default=True, help="Cores that Spark and the drawing use.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(*, plot: Path | None, as_json: bool, **options: Any) -> None:
    """Measure which copies are found, at what cost, and among how many pictures."""
    parts, cores, found = options["only"], options["cores"], {}
    if not parts:
        parts = PARTS if has_augly() else PARTS[:-1]
    if "augly" in parts:
        pictures = photographs_from(options["photographs"], COPIES + DISTRACTORS)
        peers = {"PHash": options["imagededup_python"], "fastdup": options["fastdup_python"]}
        found["augly"] = measure_augly(pictures, peers=peers, workers=cores)
    if "corpus" in parts:
        found |= _measure_corpus(options)
    if "documents" in parts:
        found["documents"] = measure_documents(PAIRS, workers=cores)
    if plot is not None and "growth" in found:
        draw_growth(found["growth"], plot)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        print_report(found)


if __name__ == "__main__":
    main()
