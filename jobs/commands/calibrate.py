"""Computes bounds and thresholds from labelled samples and writes them as a pipeline file."""

import dataclasses
from typing import Any

import yaml

from curation.text.cascade import parse_text_trail
from curation.trust.calibration import Calibration, Goals, LabelledRow
from curation.trust.calibration import calibrate as fit
from curation.trust.curves import draw_curves
from curation.trust.labels import label_rows, read_labels
from jobs.commands.shared import has_summary
from jobs.show.trust import print_calibration
from jobs.units.output_place import require_file
from manifests import storage
from manifests.errors import InputError
from manifests.format.outdated import require_current
from manifests.format.schema import schema
from manifests.format.store import open_manifest, read_batches

_LOSSES = ("max_heavy_lost", "max_light_lost", "max_heavy_kept", "max_light_kept")


def calibrate(labels: str, manifest: str, output: str, curves: str | None, mix: str | None, **flags: Any) -> None:
    """Write a pipeline file with bounds and thresholds, and print what is to be expected of them."""
    image_format = _image_format(curves)
    for file in (output, curves):
        if file is not None:
            require_file(storage.absolute(file))
    samples, digest = _samples(labels, manifest, _parse_mix(mix))
    goals = _goals(flags)
    try:
        made = fit(samples, goals)
    except ValueError as e:
        raise InputError(f"{manifest}: {e}") from e
    storage.write_bytes(storage.absolute(output), _pipeline_file(made, digest, goals).encode())
    if curves:
        storage.write_bytes(storage.absolute(curves), draw_curves(samples, made, image_format=image_format))
    if has_summary(as_json=flags["as_json"]):
        print_calibration(made, as_json=flags["as_json"])


def _samples(labels: str, manifest: str, mix: dict[str, float]) -> tuple[list[LabelledRow], str]:
    opened = open_manifest(manifest)
    if "text_trail" not in schema(opened.stage).names:
        raise InputError(f"{manifest}: a manifest of stage {opened.stage}; calibration needs one that was scored")
    require_current(opened, manifest)
    columns = ["key", "source", "member", "duplicate_of", "text_trail"]
    batches = (b for part in opened.parts for b in read_batches(storage.join(opened.uri, part.name), columns))
    found = label_rows(batches, read_labels(labels)).to_pylist()
    rows = [r for r in found if r["duplicate_of"] is None and r["text_trail"] is not None]
    if not rows:
        raise InputError(f"{manifest}: all labelled samples are duplicates or have no image")
    counts = {label: sum(r["label"] == label for r in rows) for label in ("none", "light", "heavy")}
    weights = {label: mix[label] / counts[label] * len(rows) if mix and counts[label] else 1.0 for label in counts}
    samples = [
        LabelledRow(
            key=r["key"],
            label=r["label"],
            probabilities=parse_text_trail(r["text_trail"]),
            weight=weights[r["label"]],
        )
        for r in rows
    ]
    return samples, opened.digest


def _parse_mix(mix: str | None) -> dict[str, float]:
    if mix is None:
        return {}
    try:
        given = {name.strip(): float(value) for name, value in (pair.split("=") for pair in mix.split(","))}
    except ValueError as e:
        raise InputError(f"--mix {mix}: write none=0.5,light=0.49,heavy=0.01") from e
    if set(given) != {"none", "light", "heavy"} or min(given.values()) <= 0:
        raise InputError(f"--mix {mix}: give a share above 0 of each of none, light and heavy")
    return {name: value / sum(given.values()) for name, value in given.items()}


def _goals(flags: dict[str, Any]) -> Goals:
    given: dict[str, Any] = {name: flags[name] for name in _LOSSES}
    for question in ("heavy", "light"):
        recall, rate = flags[f"{question}_recall"], flags[f"{question}_false_rate"]
        if recall is not None and rate is not None:
            raise InputError(f"--{question}-recall and --{question}-false-rate exclude each other; give one")
        if recall is not None or rate is not None:
            given |= {f"{question}_recall": recall, f"{question}_false_rate": rate}
    for name, value in given.items():
        if value is not None and not 0 < value < 1:
            raise InputError(f"--{name.replace('_', '-')} {value}: a share between 0 and 1")
    return Goals(**given)


def _image_format(curves: str | None) -> str:
    suffix = (curves or ".png").rsplit(".", 1)[-1].lower()
    if suffix not in ("png", "svg", "pdf"):
        raise InputError(f"--curves {curves}: name a .png, .svg or .pdf")
    return suffix


def _pipeline_file(made: Calibration, digest: str, goals: Goals) -> str:
    """Return the YAML that `-c` or `curate run` takes, with a comment on its origin."""
    counts = ", ".join(f"{count} {label}" for label, count in made.samples.items())
    wanted = ", ".join(f"{name} {value}" for name, value in dataclasses.asdict(goals).items() if value is not None)
    values = {
        "score": {"bounds": {str(step): dataclasses.asdict(bounds) for step, bounds in made.bounds.items()}},
        "choose": dict(made.rules),
    }
    head = f"# Made by `curate calibrate` from {counts} of manifest {digest[:16]}.\n# Wanted: {wanted}\n"
    return head + yaml.safe_dump(values, sort_keys=False)
