"""The printed report, a table after another."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from benchmarks.text.cost import PARTS
from filters.text_kind import TextKind

FITTED = "DEVELOPMENT PICTURES: the shipped weights were fitted to these, so all figures below are optimistic."


def print_report(found: Mapping[str, Any]) -> None:
    """Print the parts that were measured."""
    click.echo(f"machine: {found['machine']}")
    if "images_reported_on" in found:
        click.echo(f"images reported on: {found['images_reported_on']}")
    if "accuracy" in found:
        print_accuracy(found["accuracy"])
    if "cost" in found:
        print_cost(found["cost"])
    if "steps" in found:
        print_steps(found["steps"])
    for key in ("peak_worker_memory_megabytes", "same_scores_in_batches_of_1_8_64", "same_digest_on_1_2_4_cores"):
        if key in found:
            click.echo(f"{key:38} {found[key]}")
    if "wild" in found:
        print_wild(found["wild"])
    if "golden" in found:
        print_golden(found["golden"])


def print_accuracy(accuracy: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what the score tool says, and the operating points."""
    click.echo()
    for name, values in accuracy.items():
        click.echo(name)
        for key, value in values.items():
            click.echo(f"  {key:34} {_interval(value) if isinstance(value, Mapping) and 'low' in value else value}")


def print_cost(cost: Mapping[str, Any]) -> None:
    """Print core-milliseconds by question, class and part, then totals over the web's mix, and the peers'."""
    for mode in ("heavy", "light"):
        by_class = cost["by_class"][mode]
        parts = [part for part in PARTS if any(part in by_part for by_part in by_class.values())]
        click.echo(f"\ncore-milliseconds an image, mode {mode}" + "".join(f"{p:>15}" for p in parts) + f"{'all':>9}")
        for label, by_part in by_class.items():
            shown = "".join(f"{by_part.get(part, 0):15.2f}" for part in parts)
            click.echo(f"  {label:38}{shown}{sum(by_part.values()):9.2f}")
        for key, value in cost[mode].items():
            click.echo(f"  {key:38} {value:,}")
    totals = ", ".join(f"{mode} {cost[mode]['core_milliseconds']:.2f}" for mode in ("heavy", "light"))
    click.echo(f"\ncore-milliseconds an image over the web's mix: {totals} (light asks both questions)")
    click.echo(f"peers, core-milliseconds an image: {cost['peers']} (by class: {cost['peers_by_class']})")
    click.echo(f"images a second on a GPU: {cost['images_a_second_on_a_gpu']}")


def print_steps(steps: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print what each step saw, settled and lost."""
    for mode, reports in steps.items():
        click.echo(f"\nsteps, mode {mode}: saw, settled (web's mix); heavy lost; light lost")
        for step in reports:
            lost = [f"{step[k]['share']:.3%} (to {step[k]['high']:.1%})" for k in ("heavy_lost", "light_lost")]
            click.echo(f"  {step['step']:14}{step['saw']:8.1%}{step['settled']:8.1%}   {lost[0]:22}{lost[1]}")


def print_wild(wild: Mapping[str, Any]) -> None:
    """Print what was found on the pictures of the web."""
    counts = wild["counts"]
    click.echo("\nwild pictures" + (f"\n{FITTED}" if wild["is_fitted"] else ""))
    click.echo(
        f"{counts['judged']:,} judged, of {wild['sources']} sources; of {counts['labelled']:,} labelled, "
        f"{counts['boundary']} are debatable, {counts['duplicates']} duplicates of others (dropped by dedupe), "
        f"{counts['not scored']} not scored; {counts['looked at']} labels corrected after looking"
    )
    if counts["not? that are rich"]:
        click.echo(
            f"{counts['not? that are rich']} pictures labelled not? count as rich. If only heavy ones were looked "
            "at, this flatters recall a little."
        )
    print_wild_figures(wild["at_thresholds"], wild["curve"])
    for name, by in wild["mistakes"].items():
        click.echo(f"\n{name}, by")
        for what, numbers in by.items():
            click.echo(
                f"  {what:8}" + (", ".join(f"{value} {number}" for value, number in numbers.items()) or "none")
            )
    if "sheets" in wild:
        click.echo(f"\npictures on sheets: {wild['sheets']}; write what you see into looked.csv for --looked")


def print_wild_figures(at_thresholds: Mapping[str, Mapping[str, Any]], curve: Mapping[str, Any]) -> None:
    """Print shares at the shipped thresholds, and recall and false heavy at others."""
    click.echo(f"\n{'at the shipped thresholds':30}{'of':>12}   {'Jeffreys, 95 %':26}by source, 95 %")
    for name, value in at_thresholds.items():
        scale, digits = (1_000, 1) if name.startswith("false") else (1, 3)
        title = f"{name}, in 1,000" if scale > 1 else name
        of = f"{value['heavy']}/{value['pictures']}" if "pictures" in value else ""
        jeffreys = _interval(value, scale, digits) if "low" in value else _number(value["share"], scale, digits)
        click.echo(f"{title:34}{of:>10}   {jeffreys:26}{_span(value['by_source'], scale, digits)}")
    click.echo("A bootstrap cannot see a mistake that did not happen: without any, read the other interval.")
    who = "pictures without a line that was read are never heavy" if curve["only_with_a_line"] else "all pictures"
    click.echo(f"\nat other thresholds of text_score ({who})")
    for number, recall in curve["recall_at_false_per_thousand"].items():
        click.echo(f"  recall at {number:>2} false in 1,000    {recall:.3f}")
    for recall, number in curve["false_per_thousand_at_recall"].items():
        click.echo(f"  false in 1,000 at recall {recall}  {'not reached' if number is None else f'{number:.1f}'}")


def print_golden(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print which kind was found for what was drawn, and the shares that are heavy and have any text."""
    click.echo(f"\n{'drawn pictures: kind found':36}" + "".join(f"{kind[:11]:>12}" for kind in TextKind), nl=False)
    click.echo(f"{'heavy':>8}{'any text':>10}")
    for row in rows:
        counts = "".join(f"{row['found'].get(kind, 0) or '':>12}" for kind in TextKind)
        drawn = f"{row['drawn']} ({row['kind']})"
        click.echo(f"{drawn:36}{counts}{row['heavy_share']:8.0%}{row['any_text_share']:10.0%}")


def _number(value: float | None, scale: float = 1, digits: int = 3) -> str:
    return "unknown" if value is None else f"{value * scale:.{digits}f}"


def _span(span: Sequence[float] | None, scale: float = 1, digits: int = 3) -> str:
    return "unknown" if span is None else " to ".join(_number(end, scale, digits) for end in span)


def _interval(value: Mapping[str, float], scale: float = 1, digits: int = 3) -> str:
    share, low, high = (_number(value[name], scale, digits) for name in ("share", "low", "high"))
    return f"{share} ({low} to {high})"
