"""Distances between copies and photographs by other tools, each in a Python of its own, where it is installed."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.uint16]
"""(copies, photographs)."""

PHASH = """
import json, sys
from imagededup.methods import PHash
found = PHash(verbose=False).encode_images(image_dir=sys.argv[1], num_enc_workers=0)
json.dump({name: [int(bit) for digit in code for bit in f"{int(digit, 16):04b}"] for name, code in found.items()},
          open(sys.argv[2], "w"))
"""
FASTDUP = """
import json, os, sys
os.environ["SENTRY_OPT_OUT"] = "1"  # it would report to its makers
import fastdup
work = sys.argv[2] + ".work"
fastdup.create(work_dir=work, input_dir=sys.argv[1]).run(run_sentry=False, num_threads=1)
names, vectors = fastdup.load_binary_feature(work + "/atrain_features.dat")
found = {os.path.basename(name): [round(float(x), 4) for x in vector] for name, vector in zip(names, vectors)}
json.dump(found, open(sys.argv[2], "w"))
"""
PROGRAMS = {"PHash": PHASH, "fastdup": FASTDUP}
COSINE_STEPS = 10_000  # of the difference from 1, to a step of the distance

Picture = tuple[str, int, bytes]
"""Of which transform it is a copy, or `photograph`; which number it has; and its file."""


def peer_distances(
    peer: str, python: Path, pictures: Iterator[Picture], names: Sequence[str]
) -> dict[str, Distances]:
    """Return by transform the distances of copies and photographs: Hamming's for PHash, of cosines for fastdup.

    What a peer does not read is as far from everything as can be. Raises ClickException if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder, "pictures")
        into.mkdir()
        counts = dict.fromkeys([*names, "photograph"], 0)
        for name, number, data in pictures:
            (into / f"{name} {number}.jpg").write_bytes(data)
            counts[name] += 1
        out = Path(folder, "found.json")
        command = [str(python), "-c", PROGRAMS[peer], str(into), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode or not out.exists():
            raise click.ClickException(f"{python}: {peer} failed; is it installed there?\n{done.stderr[-2000:]}")
        found = json.loads(out.read_text())
    width = len(next(iter(found.values())))

    def rows(name: str) -> NDArray[np.float64]:
        files = [f"{name} {number}.jpg" for number in range(counts[name])]
        return np.array([found.get(file, [np.nan] * width) for file in files])

    known = rows("photograph")
    return {name: _distances(peer, rows(name), known) for name in names}


def _distances(peer: str, copies: NDArray[np.float64], known: NDArray[np.float64]) -> Distances:
    if peer == "PHash":
        far, most = copies @ (1 - known).T + (1 - copies) @ known.T, float(copies.shape[1])
    else:
        units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (copies, known)]
        far, most = (1 - units[0] @ units[1].T) * COSINE_STEPS, 2.0 * COSINE_STEPS
    return np.asarray(np.rint(np.clip(np.nan_to_num(far, nan=most), 0, most)), np.uint16)
