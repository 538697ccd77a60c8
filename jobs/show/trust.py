"""What `curate calibrate` and `curate audit` print."""

import dataclasses
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from jobs.show.basics import print_json, stdout_console

if TYPE_CHECKING:  # scipy takes a second to import
    from curation.trust.audit import Audit
    from curation.trust.audit_labels import Estimate, Estimates, Weights
    from curation.trust.calibration import Calibration, Effect, Interval


def print_calibration(made: "Calibration", before: "Effect", weights: "Weights | None", *, as_json: bool) -> None:
    """Print the quality to expect from calibrated thresholds, and from those before, on the same labels."""
    if as_json:
        weighed = None if weights is None else {n: v for n, v in dataclasses.asdict(weights).items() if n != "by_key"}
        print_json({**dataclasses.asdict(made), "before": dataclasses.asdict(before), "weights": weighed})
        return
    if weights is not None:
        blind = f"; {weights.blind_strata} strata, {weights.blind_rows:,} rows, have no label and are left out"
        print(
            f"labels weigh as the strata of the audit, which have {weights.rows:,} rows"
            + (blind if weights.blind_strata else "")
        )
    console = stdout_console()
    expected = Table(title="Expected, with 95 % intervals", title_justify="left")
    for name in ("class", "", "text_score from", "recall", "false rate", "precision"):
        expected.add_column(name, justify="left" if name in ("class", "") else "right")
    for question in ("heavy", "light"):
        for name, effect in (("before", before), ("after", made)):
            spans = [effect.expected[f"{question}_{each}"] for each in ("recall", "false_rate", "precision")]
            threshold = f"{effect.rules[f'min_{question}_score']:g}"
            expected.add_row(question, name, threshold, *map(_span, spans))
    console.print(expected)
    steps = Table(title="Steps", title_justify="left")
    for name in ("step", "saw", "settled", "heavy lost", "light lost"):
        steps.add_column(name, justify="left" if name == "step" else "right")
    for step in made.steps:
        steps.add_row(
            step.step, f"{step.saw:.1%}", f"{step.settled:.1%}", _span(step.heavy_lost), _span(step.light_lost)
        )
    console.print(steps)


def _span(interval: "Interval") -> str:
    return f"{interval.share:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def print_strata(made: "Audit", *, page: str, as_json: bool) -> None:
    """Print the strata of a sample to be labelled, and the page to label it on."""
    if as_json:
        print_json({**dataclasses.asdict(made), "page": page})
        return
    table = Table(title="Strata", title_justify="left")
    for name in ("decided by", "class", "kept", "text_score", "rows", "drawn"):
        table.add_column(name, justify="right" if name in ("rows", "drawn") else "left", overflow="fold")
    for each in made.strata:
        facets = each.facets
        cells = (escape(facets.text_step), facets.text_class, "yes" if facets.is_kept else "no", facets.band)
        table.add_row(*cells, f"{each.rows:,}", f"{len(each.keys):,}")
    stdout_console().print(table)
    outside = made.rows - made.audited_rows
    print(f"audit: {len(made.keys):,} images of {made.audited_rows:,} rows to label at {page}")
    if outside:
        print(f"left out: {outside:,} rows that are duplicates or have no image or score")


def print_estimates(found: "Estimates", *, as_json: bool) -> None:
    """Print what the labels of a sample imply for the whole set."""
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    console = stdout_console()
    counts = ", ".join(f"{count:,} {label}" for label, count in found.labels.items())
    print(f"{found.rows:,} rows; of the images drawn from them, {counts}")
    quality = Table(title="The whole set, with 95 % intervals", title_justify="left")
    for name in ("", "precision", "labels", "recall", "labels"):
        quality.add_column(name, justify="right" if name else "left")
    for name, each in found.quality.items():
        quality.add_row(name, *_share(each["precision"]), *_share(each["recall"]))
    console.print(quality)
    lost = Table(title="Of all heavy images, called light or none by", title_justify="left")
    for name in ("step", "share", "labels"):
        lost.add_column(name, justify="left" if name == "step" else "right")
    for step, each_lost in found.lost_heavy.items():
        lost.add_row(escape(step), *_share(each_lost))
    console.print(lost)
    if found.blind_strata:
        print(
            f"{found.blind_strata} strata, {found.blind_rows:,} rows, have no label that counts: the shares leave "
            "them out, the intervals allow for anything in them. Label more"
        )


def _share(estimate: "Estimate") -> tuple[str, str]:
    labels = f"{estimate.labels_hit:,} of {estimate.labels:,}"
    if estimate.value is None:
        return "–", labels
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})", labels
