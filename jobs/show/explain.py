"""What `curate explain` prints: one block for each row, with its cluster as a table."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from curation.explaining.cluster import ClusterStory, Member
from curation.explaining.explanation import Explanation
from curation.explaining.measure import Measure
from curation.explaining.text import StepStory, TextStory
from jobs.show.basics import NOTHING, human_bytes, print_json, stdout_console, visible

MAX_CAPTION_CHARS = 200


def print_explanations(found: Sequence[Explanation], *, as_json: bool) -> None:
    """Print what is known about each row; as JSON, an array with an object for each."""
    if as_json:
        print_json([each.as_json() for each in found])
        return
    for place, each in enumerate(found):
        if place:
            print()
        for label, text in _lines(each):
            print(visible(f"{label:<10}{text}" if label else text))
        if each.cluster is not None and (each.cluster.count > 1 or each.cluster.representative.manifest):
            _print_cluster(each, each.cluster)
        if each.cluster is not None and each.cluster.compared:
            print("compared  with these, which are no copies of it")
            _print_members("Compared", each.cluster.compared)


def _lines(found: Explanation) -> Iterator[tuple[str, str]]:
    """Yield the lines about a row: a label and a text."""
    yield "", found.key
    yield "outcome", found.outcome
    for note in found.notes:
        yield "note", note
    origin = found.origin
    yield "from", f"{origin['source']}: {origin['member']}{_span(origin.get('offset'), origin.get('size'))}"
    for name in ("url", "caption", "sha256"):
        if origin.get(name):
            yield name, _cut(str(origin[name]))
    yield from _picture_lines(found)
    if found.text is not None:
        yield from _text_lines(found.text)
    if found.verdict is not None:
        for measure in found.verdict.measures:
            yield "rule", _measure_text(measure)
    if found.shard is not None:
        place = f"sample {found.shard['shard_index']:,}"
        yield (
            "shard",
            f"{found.shard['shard']}, {place}{_span(found.shard['shard_offset'], found.shard['shard_size'])}",
        )


def _span(offset: int | None, size: int | None) -> str:
    return "" if offset is None or size is None else f", {human_bytes(size)} from byte {offset:,}"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CAPTION_CHARS else text[: MAX_CAPTION_CHARS - 1] + "…"


def _picture_lines(found: Explanation) -> Iterator[tuple[str, str]]:
    picture = found.picture
    known = [picture.get("format"), picture.get("mode")]
    if picture.get("width"):
        known.append(f"{picture['width']} × {picture['height']}")
    if (picture.get("frames") or 1) > 1:
        known.append(f"{picture['frames']:,} frames, the first of which counts")
    yield "read", f"{picture['status']}{': ' * any(known)}{' '.join(map(str, filter(None, known)))}"
    for name in ("error", "warnings"):
        if picture.get(name):
            yield name, str(picture[name])


def _text_lines(story: TextStory) -> Iterator[tuple[str, str]]:
    for step in story.steps:
        yield "text", _step_text(step)
    names = {"text_boxes": "boxes", "text_lines": "lines", "text_chars": "characters"}
    counted = [f"{story.measured[name]:,} {noun}" for name, noun in names.items() if story.measured[name] is not None]
    after = f"after {story.step}: " + ", ".join([f"kind {story.kind}"] * bool(story.kind) + counted)
    yield "score", f"{story.score:g} {after}"


def _step_text(step: StepStory) -> str:
    settled = ", ".join(step.settled) or "open"
    bounds = "bounds not recorded" if step.bounds is None else ", ".join(f"{n} {b:g}" for n, b in step.bounds.items())
    answer = f"{settled} ({bounds})" if bounds else settled
    return f"{step.step:<13} light {step.light:.4f}, heavy {step.heavy:.4f}: {answer}"


def _measure_text(measure: Measure) -> str:
    """Return a measure in words: `text_score 0.412, choose.min_heavy_score 0.551: missed by 0.139`."""
    text = f"{measure.name} {_value(measure.value)}, {measure.setting} {_value(measure.bound)}"
    if measure.margin is None:
        return text
    return f"{text}: {'missed' if measure.margin < 0 else 'met'} by {abs(measure.margin):g}"


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _print_cluster(found: Explanation, cluster: ClusterStory) -> None:
    representative = cluster.representative
    print(visible(f"cluster   {cluster.count:,} rows; {representative.key} represents it: {cluster.why}"))
    if representative.manifest:
        print(visible(f"          it is in {representative.manifest}"))
    members = [representative] * bool(representative.manifest) + list(cluster.members)
    _print_members(f"Cluster {cluster.cluster_id}", members, found.key)
    if cluster.count > len(cluster.members):
        print(f"{len(cluster.members):,} of {cluster.count:,} members; --limit shows more")


def _print_members(title: str, members: Sequence[Member], own: str | None = None) -> None:
    """Print pictures and what was found of them as a table, the one whose key is `own` in bold."""
    table = Table(title=escape(title), title_justify="left")
    for name in ("key", "kind", "found", "rule", "size", "member"):
        table.add_column(name, overflow="fold", no_wrap=name in ("key", "kind", "size"))
    for each in members:
        table.add_row(*map(_cell, _cells(each)), style="bold" if each.key == own else None)
    stdout_console().print(table)


def _cells(member: Member) -> list[str]:
    size = f"{member.width} × {member.height}" if member.width else ""
    rule = ", ".join(f"{each.name} {_value(each.value)}, needs {_value(each.bound)}" for each in member.measures)
    source = (member.source or "").rstrip("/").rpartition("/")[2]
    return [member.key, member.kind or "", member.found, rule, size, f"{source}: {member.member}" if source else ""]


def _cell(text: str) -> str:
    return escape(visible(text)) if text else NOTHING
