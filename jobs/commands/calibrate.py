"""Computes bounds and thresholds from labelled samples and writes them as a pipeline file."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import yaml

from curation.config import PipelineConfig
from curation.config_files import load_config
from curation.text.cascade import parse_text_trail
from curation.trust.audit import Audit
from curation.trust.audit_labels import UNSURE, Weights, stratum_weights
from curation.trust.calibration import (
    Calibration,
    Effect,
    Goals,
    LabelledRow,
    expectations,
    final_scores,
)
from curation.trust.calibration import calibrate as fit
from curation.trust.curves import draw_curves
from curation.trust.enough import require_enough
from curation.trust.labels import Label, Labels, label_rows, read_labels
from jobs.commands.audit import AUDIT, read_audit, read_labels_of
from jobs.commands.shared import has_summary
from jobs.show.trust import print_calibration
from jobs.units.output_place import require_file
from manifests import storage
from manifests.errors import InputError
from manifests.format.outdated import require_current
from manifests.format.schema import schema
from manifests.format.store import open_manifest, read_batches

_LOSSES = ("max_heavy_lost", "max_light_lost", "max_heavy_kept", "max_light_kept")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Labelled:
    """The labelled rows of a manifest, its digest, and the weights of an audit's strata if they have them."""

    rows: Sequence[LabelledRow]
    digest: str
    weights: Weights | None


def calibrate(labels: str, manifest: str, output: str, curves: str | None, **flags: Any) -> None:
    """Write a pipeline file with bounds and thresholds, and print what is to be expected of them."""
    image_format = _image_format(curves)
    for file in (output, curves):
        if file is not None:
            _require_free(file, may_replace=flags["force"])
    before = load_config(flags["config_files"], last={"input": ["."], "output": "."})
    storage.configure(before.storage)
    goals = _goals(flags)
    found = _labelled(labels, manifest, flags["drawn"], _parse_mix(flags["mix"]))
    try:
        made = fit(found.rows, goals)
        require_enough(found.rows, goals)
        used = _effect_of(before, found.rows)
    except ValueError as e:
        raise InputError(f"{manifest}: {e}") from e
    storage.write_bytes(storage.absolute(output), _pipeline_file(made, found.digest, goals).encode())
    if curves:
        storage.write_bytes(storage.absolute(curves), draw_curves(found.rows, made, image_format=image_format))
    if has_summary(as_json=flags["as_json"]):
        print_calibration(made, used, found.weights, as_json=flags["as_json"])


def _require_free(file: str, *, may_replace: bool) -> None:
    uri = storage.absolute(file)
    require_file(uri)
    if storage.exists(uri) and not may_replace:
        raise InputError(f"{file}: is there already; name another file, or replace it with --force")


def _effect_of(config: PipelineConfig, rows: Sequence[LabelledRow]) -> Effect:
    """Return the thresholds of `config`, and what is to be expected of them with its bounds."""
    rules = {name: getattr(config.choose, name) for name in ("min_light_score", "min_heavy_score")}
    scores = final_scores(rows, config.score.cascade().bounds)
    return Effect(rules=rules, expected=expectations(rows, scores, rules))


def _labelled(labels: str, manifest: str, drawn: str | None, mix: dict[str, float]) -> _Labelled:
    opened = open_manifest(manifest)
    if "text_trail" not in schema(opened.stage).names:
        raise InputError(f"{manifest}: a manifest of stage {opened.stage}; calibration needs one that was scored")
    require_current(opened, manifest)
    columns = ["key", "source", "member", "duplicate_of", "text_trail"]
    batches = (b for part in opened.parts for b in read_batches(storage.join(opened.uri, part.name), columns))
    audit = _audit_of(labels, drawn, has_mix=bool(mix))
    given = read_labels(labels) if audit is None else _sheet_labels(labels, audit)
    found = label_rows(batches, given).to_pylist()
    rows = [r for r in found if r["duplicate_of"] is None and r["text_trail"] is not None]
    if not rows:
        raise InputError(f"{manifest}: all labelled samples are duplicates or have no image")
    counts = {label: sum(r["label"] == label for r in rows) for label in ("none", "light", "heavy")}
    by_label = {label: mix[label] / counts[label] * len(rows) if mix and counts[label] else 1.0 for label in counts}
    weights = None if audit is None else stratum_weights(audit, [r["key"] for r in rows])
    samples = [
        LabelledRow(
            key=r["key"],
            label=r["label"],
            probabilities=parse_text_trail(r["text_trail"]),
            weight=by_label[r["label"]] if weights is None else weights.by_key[r["key"]],
        )
        for r in rows
    ]
    return _Labelled(rows=samples, digest=opened.digest, weights=weights)


def _audit_of(labels: str, drawn: str | None, *, has_mix: bool) -> Audit | None:
    """Return the sample that `labels` are the sheet of: the one beside them, unless they were drawn at random."""
    folder = storage.absolute(labels).rpartition("/")[0]
    if drawn == "random" or (drawn is None and not storage.exists(storage.join(folder, AUDIT))):
        return None
    if has_mix:
        raise InputError(f"--mix: the strata of {storage.join(folder, AUDIT)} weigh the labels; give one of both")
    return read_audit(folder)


def _sheet_labels(uri: str, audit: Audit) -> Labels:
    """Return the labels of the sheet of `audit`. Raises InputError for one of something else."""
    try:
        found = read_labels_of(audit, storage.absolute(uri))
    except InputError as e:
        raise InputError(f"{e}. If it is no sheet of the audit beside it, say --drawn random") from e
    labels = {key: label for key, label in found.items() if label != UNSURE}
    return Labels(by_key=cast(Mapping[str, Label], labels), by_place={}, unsure=len(found) - len(labels))


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
