"""Asks, of each labelled photograph, a network that has not seen it.

The network that ships has seen the labelled photographs: what it says of them is too good, and bounds made from that
are too tight. So two more are trained, each without the photographs of one fold (`train --without-fold`); the
weights are fitted to what they say (`fit --unseen`), and so are the bounds:

    python -m scripts.text_net.unseen exhaustive/ --web labelled/ --network 0.onnx --network 1.onnx -o unseen/

writes the manifest again, as the network that left a photograph out would have had it scored, for `curate calibrate`.
"""

import contextlib
import csv
import datetime
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import click
import cv2
import onnxruntime
import pyarrow as pa

from curation.config import ScoreConfig
from curation.pictures.decode import DecodeLimits, decode
from curation.sources.byte_ranges import image_range, read_ranges
from curation.text.scoring import Scorer
from filters import text_density
from filters.protocol import load_engine
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import COLUMNS, Stage, schema
from manifests.format.store import Manifest, Provenance, commit, lanes_of, open_manifest
from scripts.text_net.pictures import fold_of

ROWS_AT_ONCE = 32


@contextlib.contextmanager
def asking(network: Path) -> Iterator[None]:
    """Have text_density ask `network` inside the block, not the one that ships."""
    shipped = text_density._session
    text_density._session = lambda: _session(network)  # type: ignore[assignment]
    try:
        yield
    finally:
        text_density._session = shipped


@lru_cache
def _session(network: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(network, sess_options=options, providers=["CPUExecutionProvider"])


def folds(web: Path) -> dict[tuple[str, str], int]:
    """Return the fold of each sample, by tar and key, as scripts.text_net.pictures put it."""
    with (web / "truth.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    return {(r["tar"], r["key"]): fold_of(r["group"] or r["key"] + r["tar"].removesuffix(".tar")) for r in rows}


def _score_again(rows: pa.Table, networks: Sequence[Path], web: Path) -> pa.Table:
    """Return `rows` in their order, those with pixels scored with a network that has not seen them."""
    cv2.setNumThreads(1)
    known = folds(web)
    fold = [
        known.get((row["source"].rsplit("/", 1)[-1], row["member"].partition(".")[0]), 0)
        for row in rows.select(["source", "member"]).to_pylist()
    ]
    bare = rows.drop_columns([field.name for field in COLUMNS[Stage.SCORE]])
    scorer = Scorer(load_engine("rapidocr"), ScoreConfig(exhaustive=True).cascade(), DecodeLimits(), batch_images=8)
    found, places = [], []
    for number, network in enumerate(networks):
        mine = [place for place, its in enumerate(fold) if its == number]
        with asking(network):
            found.append(scorer(_with_density(bare.take(pa.array(mine, pa.int64())))))
        places += mine
    back = sorted(range(len(places)), key=places.__getitem__)
    return pa.concat_tables(found).take(back)


def _with_density(rows: pa.Table) -> pa.Table:
    values: dict[str, list[float | None]] = {"text_presence": [], "text_density": []}
    for row in rows.to_pylist():
        chances = None
        if row["status"] in ("ok", "truncated"):
            rgb = decode(read_ranges([image_range(row)])[0]).rgb
            chances = None if rgb is None else text_density.text_probabilities(text_density.text_map(rgb))
        values["text_presence"].append(None if chances is None else chances.light)
        values["text_density"].append(None if chances is None else chances.heavy)
    for name, column in values.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array(column, rows.schema.field(name).type))
    return rows


def _write(uri: str, table: pa.Table, old: Manifest) -> Manifest:
    wanted = schema(Stage.SCORE)
    part = write_part(f"{uri}/part-00000.parquet", table.select(wanted.names).to_batches(), wanted, roots=old.roots)
    receipt = Receipt(
        unit="0", fingerprint="", part="part-00000.parquet", rows=part.rows, size_bytes=part.size_bytes,
        sha256=part.sha256, lanes=lanes_of(part.lanes.tolist()), counts=part.counts,
    )  # fmt: skip
    about = Provenance(
        stage=Stage.SCORE, config=old.config, software=old.software, inputs={"unseen of": old.digest}, parents=(),
        roots=old.roots, funnel=old.funnel,
    )  # fmt: skip
    return commit(uri, [receipt], about, created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))


@click.command()
@click.argument("manifest")
@click.option("--web", type=click.Path(exists=True, path_type=Path), required=True, help="The labelled tars.")
@click.option("--network", "networks", type=click.Path(exists=True, path_type=Path), multiple=True, required=True)
@click.option("--workers", default=2, show_default=True)
@click.option("-o", "--output", required=True)
def main(manifest: str, web: Path, networks: tuple[Path, ...], workers: int, output: str) -> None:
    """Score MANIFEST again, exhaustively, each photograph with the network that left out its fold."""
    old = open_manifest(manifest)
    table = pa.concat_tables(old.read_part(part) for part in old.parts)
    cuts: list[Any] = [table.slice(at, ROWS_AT_ONCE) for at in range(0, table.num_rows, ROWS_AT_ONCE)]
    with ProcessPoolExecutor(workers) as executor:
        scored = []
        for done, rows in zip(
            count(1), executor.map(partial(_score_again, networks=networks, web=web), cuts), strict=False
        ):
            scored.append(rows)
            click.echo(f"\r{done} of {len(cuts)}", nl=done == len(cuts))
    click.echo(_write(output, pa.concat_tables(scored), old).digest)


if __name__ == "__main__":
    main()
