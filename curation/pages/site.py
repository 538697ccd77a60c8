"""All pages of a report on a manifest, written as a folder of static files."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pydantic
from markupsafe import Markup

from curation.config_choose import ChooseConfig
from curation.pages import copies, reasons, sources, text
from curation.pages.pair_marks import Marked, mark_pairs
from curation.pages.picks import Rows
from curation.pages.pictures import FOLDER as PICTURES
from curation.pages.pictures import Small, is_picture, make_pictures
from curation.pages.rendering import render
from curation.pages.tiles import tile, tiles
from curation.pages.workers import Workers
from curation.report import funnel
from manifests import storage
from manifests.format.lineage import find_shards
from manifests.format.schema import Stage
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine

INDEX = "index.html"
LINKS = (
    (INDEX, "Overview"),
    ("why.html", "Why"),
    ("text.html", "Text"),
    ("duplicates.html", "Duplicates"),
    ("sources.html", "Sources"),
)
DEFAULT_PICTURES, DEFAULT_SALT = 24, "curate"
MAX_PAIRS_OF_KIND = 4
MAX_REJECTED = 24
OVERVIEW_PICTURES = 12


FindBoxes = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str]]
"""Rows → key → SVG path around the text that is found in its picture."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A manifest of the lineage, as the overview lists it; `settings` are those that differ from the defaults."""

    made_by: str
    created: str
    rows: int
    digest: str
    settings: str
    core_seconds: float | None
    worker_bytes: int


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What a report shows: `pictures` at most of each reason, drawn by `salt`; `steps` of its lineage; any labels.

    `say` is called with what is being done. `processes`: how many decode pictures, see Workers.
    """

    pictures: int = DEFAULT_PICTURES
    salt: str = DEFAULT_SALT
    steps: Sequence[Step] = ()
    labelled: text.Labelled | None = None
    find_boxes: FindBoxes | None = None
    processes: int | None = None
    say: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was written: the first page, how many pages and pictures, the bytes of all, and pictures that failed."""

    index: str
    pages: int
    pictures: int
    missing: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """What the pages show, before any picture was read."""

    reasons: Sequence[reasons.Reason]
    strip: Mapping[str, Sequence[Mapping[str, Any]]]
    largest: Sequence[copies.Cluster]
    accepted: Sequence[copies.Pair]
    rejected: Sequence[copies.Pair]

    def rows(self) -> list[Mapping[str, Any]]:
        """Return every row whose picture is shown, once."""
        found: Iterable[Mapping[str, Any]] = itertools.chain(
            *(row for each in self.reasons for row in (each.sample, each.near)),
            *self.strip.values(),
            copies.pictures_of(self.largest, [*self.accepted, *self.rejected]),
        )
        return list({row["key"]: row for row in found}.values())


def make_report(manifest: Manifest, folder: str, options: ReportOptions) -> Made:
    """Write the report on `manifest` to the empty or new `folder`; equal manifests give equal files.

    Pictures that are shown are read by byte range, and no others. Raises ManifestError when a part is missing or
    damaged.
    """
    with DuckEngine() as engine:
        rows = Rows(manifest, engine, options.salt)
        options.say("counting rows and drawing samples")
        pages, shown = _collect(rows, engine, options)
    options.say(f"making {len(shown.rows()):,} small pictures")
    shards = find_shards(manifest) if manifest.stage is Stage.SHARD else None
    with Workers(options.processes) as workers:
        smalls = make_pictures(shown.rows(), folder, shards_uri=shards, workers=workers)
        marks = mark_pairs([*shown.accepted, *shown.rejected], shards_uri=shards, workers=workers)
    boxes: Mapping[str, str] = {}
    if options.find_boxes is not None and shown.strip:
        rows_of_strip = [row for some in shown.strip.values() for row in some]
        options.say(f"finding text in {len(rows_of_strip):,} pictures")
        boxes = options.find_boxes(rows_of_strip)
    _add_pictures(pages, shown, smalls, marks, boxes)
    common = {"whole": max(1, manifest.rows), "uri_argument": as_typed(manifest.uri)}
    title = manifest.uri.rstrip("/").rpartition("/")[2] or manifest.uri
    frame = Frame(title=title, links=LINKS, uri=manifest.uri, digest=manifest.digest)
    templates = {path: "overview.html" if path == INDEX else path for path in pages}
    write_pages(frame, {path: (templates[path], {**common, **own}) for path, own in pages.items()}, folder)
    return cleaned(folder, pages, smalls)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What surrounds every page: the title, the pages as (path, name), and the manifest."""

    title: str
    links: Sequence[tuple[str, str]]
    uri: str
    digest: str


def write_pages(frame: Frame, pages: Mapping[str, tuple[str, Mapping[str, Any]]], folder: str) -> None:
    """Write `pages` (path → template and its values) to `folder`."""
    names = dict(frame.links)
    for path, (template, values) in pages.items():
        page = render(
            template,
            title=names[path],
            report_title=frame.title,
            links=frame.links,
            here=path,
            uri=as_typed(frame.uri),
            digest=frame.digest,
            version=metadata.version("curate-images"),
            **values,
        )
        storage.write_bytes(storage.join(folder, path), page)


def cleaned(folder: str, pages: Mapping[str, Any], smalls: Mapping[str, Small]) -> Made:
    """Remove pictures of an earlier report from `folder`, and no other files; return what is there now."""
    wanted = {small.path for small in smalls.values() if small.path is not None}
    there = storage.entries(storage.join(folder, PICTURES))
    names = {path.rpartition("/")[2] for path in wanted}
    storage.remove_many(
        storage.join(folder, PICTURES), sorted(name for name in there.keys() - names if is_picture(name))
    )
    made = storage.entries(folder)
    size_bytes = sum(int(made[path]["size"]) for path in pages) + sum(int(there[name]["size"]) for name in names)
    return Made(
        index=storage.join(folder, INDEX),
        pages=len(pages),
        pictures=len(names),
        missing=sum(1 for small in smalls.values() if small.problem),
        size_bytes=size_bytes,
    )


def as_typed(uri: str) -> str:
    """Return a URI as a person would type it in the working folder of this process."""
    if not storage.is_local(uri):
        return uri
    path = Path(storage.filesystem(uri)[1])
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) and path != here else str(path)


# --- what the pages contain, pictures apart


def _collect(rows: Rows, engine: DuckEngine, options: ReportOptions) -> tuple[dict[str, dict[str, Any]], _Shown]:
    manifest = rows.manifest
    picked = rows.pick([*reasons.galleries(rows, options.pictures), *text.galleries(rows, options.pictures)])
    found = reasons.reasons(rows, picked)
    shown = _Shown(
        reasons=found,
        strip=picked.get(text.STRIP, {}),
        largest=copies.largest(rows) if rows.has("cluster_id") else (),
        accepted=copies.accepted(rows, MAX_PAIRS_OF_KIND),
        rejected=copies.rejected(rows, MAX_REJECTED) if rows.has("cluster_id") else (),
    )
    problems = sorted(manifest.broken_sources.items())
    tars, tar_count = sources.tars(rows)
    pages = {
        INDEX: _overview(manifest, found, options, problems),
        "why.html": {"formats": sources.format_counts(rows)},
        "text.html": _text(rows, engine, options),
        "duplicates.html": {"clusters": copies.summary(rows)},
        "sources.html": {
            "tars": tars,
            "tar_count": tar_count,
            "domains": sources.domains(rows) if rows.has("url") else None,
            "languages": sources.languages(rows) if rows.has("caption") else None,
            "sizes": sources.size_plot(rows),
            "aspects": sources.aspect_plot(rows),
            "problems": problems,
        },
    }
    return pages, shown


def _overview(
    manifest: Manifest, found: Sequence[reasons.Reason], options: ReportOptions, problems: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    stages = funnel(manifest.funnel)
    first, last = (stages[0].came_in, stages[-1].went_on) if stages else (manifest.rows, manifest.rows)
    anchors = {each.name: _anchor(each.name) for each in found}
    return {
        "sentence": f"{last:,} of {first:,} images go on, {100 * last / max(1, first):.2f} %.",
        "funnel": [
            {
                **dataclasses.asdict(row),
                "reasons": sorted(row.reasons.items(), key=lambda each: (-each[1], each[0])),
            }
            for row in stages
        ],
        "anchors": _Anchors(anchors),
        "steps": options.steps,
        "problems": problems,
        "settings_text": json.dumps(
            {"settings": manifest.config, "software": manifest.software, "inputs": len(manifest.parents)},
            indent=1, ensure_ascii=False, default=str,
        ),
    }  # fmt: skip


class _Anchors(dict[str, str]):
    """Reason → its anchor on the page "why"; that page's top for one that is not shown there."""

    def __missing__(self, name: str) -> str:
        return "main"


def _anchor(name: str) -> str:
    return "reason-" + "".join(c if c.isalnum() and c.isascii() else f"-{ord(c):x}-" for c in name)


def _text(rows: Rows, engine: DuckEngine, options: ReportOptions) -> dict[str, Any]:
    manifest = rows.manifest
    config = _choose_config(manifest)
    found = text.threshold(manifest, config, engine) if config is not None else None
    plot = text.score_plot(rows, None if found is None else found.value)
    values: dict[str, Any] = {"plot": plot, "threshold": found, "quality": None, "has_boxes": False}
    if found is None:
        return values
    kept_now = manifest.counts.get("keep", {}).get("true", 0)
    quality = _quality(rows, config.keep, options.labelled) if options.labelled and config else None
    parent = as_typed(manifest.parents[0].uri) if manifest.parents else "SCORED"
    option = "--" + found.setting.replace("_", "-")
    curve = {
        "setting": found.setting,
        "steps": text.STEPS,
        "bounds": found.bounds,
        "kept": found.kept,
        "kept_now": kept_now,
        "quality": quality,
        "command": f"curate choose {parent} -o {as_typed(manifest.uri)}-THRESHOLD {option} THRESHOLD",
    }
    return {**values, "steps": text.STEPS, "kept_now": kept_now, "quality": quality, "curve": _json(curve)}


def _choose_config(manifest: Manifest) -> ChooseConfig | None:
    """Return the settings that `manifest` was chosen with; None if it was not, or merged from several with others."""
    if manifest.stage is not Stage.CHOOSE or not manifest.config:
        return None
    try:
        return ChooseConfig(**manifest.config)
    except pydantic.ValidationError:  # of another version
        return None


def _json(value: Any) -> Markup:
    """Return `value` as JSON that is safe inside a script element."""
    return Markup(json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - escaped here


def _quality(rows: Rows, keep: str, labelled: text.Labelled) -> dict[str, Any]:
    keys = list(labelled.labels)
    scores = text.scores_of(rows, keys)
    wanted = ("heavy",) if keep == "heavy" else ("light", "heavy")
    found = text.quality(labelled, scores, wanted)
    return {
        "labels": found.labels,
        "precision": found.precision.round(4).tolist(),
        "recall": found.recall.round(4).tolist(),
    }


# --- the parts with pictures


def _add_pictures(
    pages: Mapping[str, dict[str, Any]],
    shown: _Shown,
    smalls: Mapping[str, Small],
    marks: Mapping[copies.PairKey, Marked],
    boxes: Mapping[str, str],
) -> None:
    """Add to the values of each page what shows pictures."""
    first = shown.reasons[0] if shown.reasons else None
    pages[INDEX] |= {
        "sample_title": f"A sample of what is {first.title}" if first and first.name == reasons.KEPT else "A sample",
        "sample": tiles(first.sample[:OVERVIEW_PICTURES] if first else (), smalls),
    }
    pages["why.html"]["reasons"] = [
        {
            **{name: getattr(each, name) for name in ("title", "explained", "rows", "share", "errors")},
            "anchor": _anchor(each.name),
            "sample": tiles(each.sample, smalls),
            "near": tiles(each.near, smalls),
        }
        for each in shown.reasons
    ]
    pages["text.html"]["strip"] = [
        (*text.strip_range(name), tiles(some, smalls, boxes))
        for name, some in sorted(shown.strip.items(), key=_as_number)
    ]
    pages["text.html"]["has_boxes"] = bool(boxes)
    pages["duplicates.html"] |= {
        "largest": [
            {"name": each.name, "size": each.size, "kinds": each.kinds, "tiles": tiles(each.members, smalls)}
            for each in shown.largest
        ],
        "accepted": [_pair(each, smalls, marks) for each in shown.accepted],
        "rejected": [_pair(each, smalls, marks) for each in shown.rejected],
        "has_marks": bool(marks),
    }


def _as_number(item: tuple[str, Any]) -> int:
    return int(item[0])


def _pair(each: copies.Pair, smalls: Mapping[str, Small], marks: Mapping[copies.PairKey, Marked]) -> dict[str, Any]:
    mine = marks.get(each.key, Marked())
    sides = [
        (tile(each.first, smalls), mine.first_frame, mine.first_patches),
        (tile(each.second, smalls), mine.second_frame, mine.second_patches),
    ]
    return {"sides": sides, "verdict": each.verdict, "described": each.described}
