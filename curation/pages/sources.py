"""The page "sources": where the pictures come from: tars, domains, languages of captions, sizes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from curation.domains import domain_of, host_sql, list_version
from curation.pages.picks import ROWS, Rows
from curation.pages.plots import histogram, scatter_of_sizes
from manifests.format.roots import split_source

MAX_LISTED = 50
MAX_CAPTIONS = 4000
MIN_CAPTION_LETTERS = 12
TOP_SHARE = 0.1  # of the domains: what the European Union's template for a summary of training data asks to name


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Rows of a source, a domain or a language: all, those kept (None without verdicts), and their stored bytes."""

    name: str
    rows: int
    kept: int | None
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Domains:
    """Registered domains by volume, the first of them; `count` of all; `top_rows` of the tenth with the most rows."""

    listed: Sequence[Volume]
    count: int
    top_count: int
    top_rows: int
    with_url: int
    list_version: str


@dataclass(frozen=True, kw_only=True)
class Languages:
    """Languages of captions, by ISO 639-1 code, in a sample of `sampled` captions long enough to tell."""

    listed: Sequence[tuple[str, int]]
    sampled: int
    software: str


def _kept_sql(rows: Rows) -> str:
    return "count(*) FILTER (keep)" if rows.has("keep") else "NULL::BIGINT"


def tars(rows: Rows) -> tuple[list[Volume], int]:
    """Return the sources with the most rows, and how many sources there are."""
    found = rows.fetch(
        f"SELECT source, count(*) AS n, {_kept_sql(rows)} AS kept, coalesce(sum(size), 0)::BIGINT AS bytes "
        f"FROM {ROWS} GROUP BY source ORDER BY n DESC, source LIMIT {MAX_LISTED}"
    )
    number = int(rows.fetch(f"SELECT count(DISTINCT source) AS n FROM {ROWS}")[0]["n"])
    roots = rows.manifest.roots
    return [_volume(split_source(row["source"], roots)[1] or row["source"], row) for row in found], number


def _volume(name: str, row: Mapping[str, Any]) -> Volume:
    kept = row["kept"]
    return Volume(
        name=name, rows=int(row["n"]), kept=None if kept is None else int(kept), size_bytes=int(row["bytes"])
    )


def domains(rows: Rows) -> Domains | None:
    """Return the domains of the column `url`, None where no row has one."""
    by_host = rows.fetch(
        f"SELECT {host_sql('url')} AS host, count(*) AS n, {_kept_sql(rows)} AS kept, "
        f"coalesce(sum(size), 0)::BIGINT AS bytes FROM {ROWS} WHERE url IS NOT NULL GROUP BY host"
    )
    if not by_host:
        return None
    totals: dict[str, list[int]] = {}
    for row in by_host:
        name = domain_of(row["host"]) or "(no valid host)"
        mine = totals.setdefault(name, [0, 0, 0])
        for place, value in enumerate((row["n"], row["kept"], row["bytes"])):
            mine[place] += int(value or 0)
    ordered = sorted(totals, key=lambda name: (-totals[name][0], name))
    top = ordered[: max(1, round(TOP_SHARE * len(ordered)))]
    has_keep = rows.has("keep")
    listed = [
        Volume(
            name=name, rows=totals[name][0], kept=totals[name][1] if has_keep else None, size_bytes=totals[name][2]
        )
        for name in ordered[:MAX_LISTED]
    ]
    return Domains(
        listed=listed,
        count=len(ordered),
        top_count=len(top),
        top_rows=sum(totals[name][0] for name in top),
        with_url=sum(total[0] for total in totals.values()),
        list_version=list_version(),
    )


def languages(rows: Rows) -> Languages | None:
    """Return the languages of a keyed sample of captions, None without any that is long enough.

    The language of a text is what py3langid finds most likely (Lui and Baldwin, ACL 2012); for short captions it is
    often wrong, so the shares are rough.
    """
    from importlib import metadata  # noqa: PLC0415

    import py3langid  # noqa: PLC0415 - half a second to import, only when a report is made

    found = rows.fetch(
        f"SELECT caption FROM {ROWS} WHERE length(caption) >= {MIN_CAPTION_LETTERS} "
        f"ORDER BY hash LIMIT {MAX_CAPTIONS}"
    )
    texts = [row["caption"] for row in found if sum(map(str.isalpha, row["caption"])) >= MIN_CAPTION_LETTERS]
    if not texts:
        return None
    counted = Counter(py3langid.classify(text)[0] for text in texts)
    listed = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    return Languages(listed=listed, sampled=len(texts), software=f"py3langid {metadata.version('py3langid')}")


def size_plot(rows: Rows) -> Markup:
    """Return the widths and heights of the pictures, in eighths of a doubling."""
    found = rows.fetch(
        f"SELECT round(8 * log2(width))::INTEGER AS w, round(8 * log2(height))::INTEGER AS h, count(*) AS n "
        f"FROM {ROWS} WHERE width > 0 AND height > 0 GROUP BY ALL ORDER BY ALL"
    )
    columns = {name: np.array([row[name] for row in found], float) for name in ("w", "h", "n")}
    return scatter_of_sizes(
        2 ** (columns["w"] / 8), 2 ** (columns["h"] / 8), columns["n"], described="Widths and heights of the pictures"
    )


def aspect_plot(rows: Rows) -> Markup:
    """Return the histogram of width divided by height."""
    edges = 2.0 ** (np.arange(-12, 13) / 4)
    found = rows.fetch(
        f"SELECT least(greatest(floor(4 * log2(width / height)), -12), 11)::INTEGER AS bin, count(*) AS n "
        f"FROM {ROWS} WHERE width > 0 AND height > 0 GROUP BY ALL"
    )
    counts = np.zeros(24)
    for row in found:
        counts[row["bin"] + 12] = row["n"]
    return histogram(
        edges,
        {"images": counts},
        xlabel="width / height",
        described="Histogram of width divided by height",
        is_log_x=True,
    )


def format_counts(rows: Rows) -> list[tuple[str, int]]:
    """Return the formats of the pictures, the most frequent first."""
    found = rows.fetch(f"SELECT coalesce(format, '?') AS f, count(*) AS n FROM {ROWS} GROUP BY f ORDER BY n DESC, f")
    return [(row["f"], int(row["n"])) for row in found]
