"""`curate calibrate`: thresholds from labelled samples."""

import dataclasses
from typing import Any

import click

from jobs.cli.options import examples
from manifests import storage
from manifests.errors import InputError

_LOSSES = ("max_heavy_lost", "max_light_lost", "max_heavy_kept", "max_light_kept")


@click.command(
    epilog=examples(
        "curate score deduped/ -o exhaustive/ --set score.exhaustive=true",
        "curate calibrate labels.csv --manifest exhaustive/ -o thresholds.yaml --curves curves.png",
        "curate calibrate labels.csv --manifest exhaustive/ -o t.yaml --mix none=0.5,light=0.49,heavy=0.01",
        "curate calibrate labels.csv --manifest exhaustive/ -o t.yaml --heavy-recall 0.98",
        "curate score deduped/ -o scored/ -c thresholds.yaml",
    )
)
@click.argument("labels", metavar="LABELS.CSV")
@click.option("--manifest", required=True, metavar="URI", help="Where the labelled samples were scored exhaustively.")
@click.option(
    "-o", "--output", required=True, metavar="FILE", help="Pipeline file to write, with bounds and thresholds."
)
@click.option("--curves", metavar="FILE", help="Also draw the curves: .png, .svg or .pdf.")
@click.option("--mix", metavar="LABEL=SHARE,…", help="Shares of the labels where you will use it; else as labelled.")
@click.option("--heavy-recall", type=float, help="Share of the heavy to keep; instead of a false rate.")
@click.option("--heavy-false-rate", type=float, help="Share of the others to keep as heavy.  [default: 0.01]")
@click.option("--light-recall", type=float, help="Share of what has any text to keep; instead of a false rate.")
@click.option("--light-false-rate", type=float, help="Share of the others to keep as light.  [default: 0.05]")
@click.option(
    "--max-heavy-lost", type=float, default=0.005, show_default=True, help="Share of the heavy lost before reading."
)
@click.option(
    "--max-light-lost", type=float, default=0.02, show_default=True, help="Share of the light lost before reading."
)
@click.option(
    "--max-heavy-kept",
    type=float,
    default=0.002,
    show_default=True,
    help="Share of the others kept as heavy before reading.",
)
@click.option(
    "--max-light-kept",
    type=float,
    default=0.015,
    show_default=True,
    help="Share of the others kept as light before reading.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what is to be expected as JSON.")
def calibrate(labels: str, manifest: str, output: str, curves: str | None, mix: str | None, **flags: Any) -> None:
    """Find the bounds of every step, and the thresholds of both classes, from labelled samples.

    LABELS.CSV has the columns key and label (none, light, heavy), or tar, key and label as img2dataset names samples.
    A sheet filled in for `curate audit` will do.
    """
    from curation.trust.calibration import calibrate as fit  # noqa: PLC0415 - `curate show` needs none of it
    from curation.trust.curves import draw_curves  # noqa: PLC0415
    from jobs.show.answers import print_calibration  # noqa: PLC0415
    from jobs.units.output_place import require_file  # noqa: PLC0415

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
    print_calibration(made, as_json=flags["as_json"])


def _samples(labels: str, manifest: str, mix: dict[str, float]) -> tuple[list[Any], str]:
    from curation.text.cascade import read_trail  # noqa: PLC0415
    from curation.trust.calibration import Sample  # noqa: PLC0415
    from curation.trust.labels import label_rows, read_labels  # noqa: PLC0415
    from manifests.format.store import open_manifest, read_batches  # noqa: PLC0415

    opened = open_manifest(manifest)
    if "text_trail" not in opened.schema.names:
        raise InputError(f"{manifest}: a manifest of stage {opened.stage}; calibration needs one that was scored")
    columns = ["key", "source", "member", "duplicate_of", "text_trail"]
    batches = (b for part in opened.parts for b in read_batches(storage.join(opened.uri, part.name), columns))
    found = label_rows(batches, read_labels(labels)).to_pylist()
    rows = [r for r in found if r["duplicate_of"] is None and r["text_trail"] is not None]
    if not rows:
        raise InputError(f"{manifest}: all labelled samples are duplicates or have no picture")
    counts = {label: sum(r["label"] == label for r in rows) for label in ("none", "light", "heavy")}
    weights = {label: mix[label] / counts[label] * len(rows) if mix and counts[label] else 1.0 for label in counts}
    samples = [
        Sample(key=r["key"], label=r["label"], trail=read_trail(r["text_trail"]), weight=weights[r["label"]])
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


def _goals(flags: dict[str, Any]) -> Any:
    from curation.trust.calibration import Goals  # noqa: PLC0415

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


def _pipeline_file(made: Any, digest: str, goals: Any) -> str:
    """Return the YAML that `-c` or `curate run` takes, with where it comes from."""
    import yaml  # noqa: PLC0415

    counts = ", ".join(f"{count} {label}" for label, count in made.samples.items())
    wanted = ", ".join(f"{name} {value}" for name, value in dataclasses.asdict(goals).items() if value is not None)
    values = {
        "score": {"bounds": {str(step): dataclasses.asdict(bounds) for step, bounds in made.bounds.items()}},
        "choose": dict(made.rules),
    }
    head = f"# Made by `curate calibrate` from {counts} of manifest {digest[:16]}.\n# Wanted: {wanted}\n"
    return head + yaml.safe_dump(values, sort_keys=False)
