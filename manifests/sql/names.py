"""Find rows by whatever a person has in hand: a key or its beginning, a member of a tar, a URL, a hash, a file."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine, columns_of
from manifests.sql.lookup import PLACES, find_rows

MAX_GUESSED = 100  # texts for which beginnings and files are tried: each is compared with every row
MAX_NEAREST, MAX_CANDIDATES = 3, 5
MAX_NAME_CHARS = 1000
SHA256_CHARS, MIN_SHA256_CHARS = 64, 6
MAX_ROWS = 1000  # of one picture
NEAR_SHARE = 1 / 3  # of the characters of a text may differ in one that is called the nearest
_COLUMNS = ("key", "source", "member", "sha256")
_HEX = re.compile("[0-9A-Fa-f]+")

_MEMBER = r"regexp_replace(member, '^(\./)+', '')"
_IN_SOURCE = f"regexp_extract(rtrim(source, '/'), '[^/]*$') || '/' || {_MEMBER}"
_PLACE = f"rtrim(source, '/') || '/' || {_MEMBER}"


def _base(name: str) -> str:
    return f"regexp_extract({name}, '[^/]*$')"


def _stem(name: str) -> str:
    return rf"regexp_replace({name}, '\.[^/]*$', '')"


def base_stem(name: str) -> str:
    """Return SQL for what all names of one member have in common: no folders, and no extensions."""
    return _stem(_base(name))


MEMBER_NAMES: Mapping[str, str] = {
    "member": "member",
    "plain_member": _MEMBER,
    "base": _base("member"),
    "stem": _stem(_MEMBER),
    "base_stem": base_stem("member"),
    "in_source": _IN_SOURCE,
    "stem_in_source": _stem(_IN_SOURCE),
    "place": _PLACE,
    "path": f"regexp_replace({_PLACE}, '^file://', '')",
}
"""What the member of a row may be called, as DuckDB expressions over one row.

It is `000000209.jpg` with or without its folders, its extension (from the first dot on, as in webdataset) and its
tar, such as `00000.tar/000000209.jpg`. img2dataset calls `000000209` its key.
"""
_IS_MEMBER = f"{base_stem('n.member')} = {base_stem('t.value')} AND t.value IN ({', '.join(MEMBER_NAMES.values())})"
_NEAREST_OF = ("member", "base", "stem", "base_stem", "in_source")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A row that a text may mean."""

    part: int
    row: int
    key: str
    source: str
    member: str
    sha256: str | None

    def __str__(self) -> str:
        return _printable(f"{self.key} ({self.source.rstrip('/').rpartition('/')[2]}: {self.member})")


@dataclass(frozen=True, kw_only=True)
class Names:
    """Which rows some texts name.

    `places`: their rows, each once, in the manifest's order, as a table with the schema PLACES. `keys`: for each text
    the keys of its rows. `missing`: texts that name no row. `ambiguous`: texts that name several, and some of those.
    `nearest`: for some of `missing`, what was perhaps meant.
    """

    places: pa.Table
    keys: Mapping[str, Sequence[str]]
    missing: Sequence[str] = ()
    ambiguous: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    nearest: Mapping[str, str] = field(default_factory=dict)

    def problems(self, uri: str) -> Iterator[str]:
        """Yield what is wrong: one sentence about the texts that name no row, and one for each ambiguous text."""
        if len(self.missing) == 1:
            (text,) = self.missing
            near = self.nearest.get(text)
            advice = f"the nearest is {near}" if near else f"`curate show {uri}` prints some rows"
            yield f"{uri}: no row is {_shown(text)}, by key, member, URL, sha256 or file; {advice}"
        elif self.missing:
            named = ", ".join(map(self._with_nearest, self.missing[:10]))
            more = f" … and {len(self.missing) - 10:,} more" if len(self.missing) > 10 else ""
            of = len(self.keys) + len(self.missing) + len(self.ambiguous)
            yield f"{len(self.missing):,} of {of:,} keys are not in {uri}: {named}{more}"
        for text, found in self.ambiguous.items():
            some = ", ".join(map(str, found[:MAX_CANDIDATES])) + (" …" if len(found) > MAX_CANDIDATES else "")
            yield f"{uri}: {_shown(text)} names several rows: {some}; give a key, or more of it"

    def _with_nearest(self, text: str) -> str:
        near = self.nearest.get(text)
        return f"{_shown(text)} (the nearest is {near})" if near else _shown(text)


def find_named(manifest: Manifest, typed: Sequence[str], engine: DuckEngine, *, listed: Sequence[str] = ()) -> Names:
    """Return which rows of `manifest` the texts name.

    A text is a key; or a URL, the sha256 of a picture, or the path of a local file with its bytes, which name all
    rows with it; or what a row's member may be called (MEMBER_NAMES), if it is that of one row. Those that were
    `typed` may also be the beginning of one key or of one sha256 (of MIN_SHA256_CHARS characters or more). `listed`
    texts come from a list, in which a key that is not there must not find another one by its beginning.

    The column `key` is read, and others only when a text is no key. Raises ManifestError when a part differs from
    what `_manifest.json` records.
    """
    texts = list(dict.fromkeys([*typed, *listed]))
    places = find_rows(manifest, texts, engine)
    keys: dict[str, Sequence[str]] = {key: [key] for key in places.column("key").to_pylist()}
    left = [text for text in texts if text not in keys]
    if not left:
        return Names(places=places, keys=keys)
    guessed = [text for text in dict.fromkeys(typed) if text in set(left) and len(text) <= MAX_NAME_CHARS]
    found = _by_other_names(manifest, left, guessed[:MAX_GUESSED], engine)
    ambiguous = {text: each for text, each in found.items() if not _is_one(each)}
    named = {text: each.rows for text, each in found.items() if text not in ambiguous}
    rows = [row for each in named.values() for row in each]
    missing = [text for text in left if text not in found]
    return Names(
        places=_joined(places, rows),
        keys=keys | {text: sorted({row.key for row in each}) for text, each in named.items()},
        missing=missing,
        ambiguous={text: sorted({*each.rows, *each.members}, key=_order) for text, each in ambiguous.items()},
        nearest=dict(_nearest(missing[:MAX_NEAREST], engine)),
    )


@dataclass(kw_only=True)
class _Found:
    """The rows of a text: of the same picture, and those whose member or key it may be."""

    rows: list[Candidate] = field(default_factory=list)
    members: list[Candidate] = field(default_factory=list)


def _is_one(found: _Found) -> bool:
    """Return whether a text names rows of one picture, or one row; if so, they are its `rows`."""
    if not found.rows and len(found.members) == 1:
        found.rows, found.members = found.members, []
    pictures = {row.sha256 or row.key for row in found.rows}
    return len(pictures) == 1 and len(found.rows) <= MAX_ROWS and not set(found.members) - set(found.rows)


def _by_other_names(
    manifest: Manifest, texts: Sequence[str], guessed: Sequence[str], engine: DuckEngine
) -> dict[str, _Found]:
    """Return the rows of those of `texts` that are no keys: first by exact names, then of `guessed` by beginnings."""
    columns = [name for name in (*_COLUMNS, "url") if name in manifest.schema.names]
    engine.view("named", manifest, columns_of(columns))
    found: dict[str, _Found] = {}

    def collect(wanted: Mapping[str, str], matches: str, *, is_picture: bool) -> None:
        for text, row in _matches(wanted, matches, engine):
            each = found.setdefault(text, _Found())
            (each.rows if is_picture else each.members).append(row)

    as_they_are = {text: text for text in texts}
    hashes = {text: text.lower() for text in texts if len(text) == SHA256_CHARS and _HEX.fullmatch(text)}
    hashes |= {text: sha256 for text in guessed if (sha256 := _hash_of_file(text)) is not None}
    collect(hashes, "n.sha256 = t.value", is_picture=True)
    if "url" in columns:
        collect(as_they_are, "n.url = t.value", is_picture=True)
    collect(as_they_are, _IS_MEMBER, is_picture=False)
    rest = {text: text for text in guessed if text not in found}
    starts = {text: text.lower() for text in rest if len(text) >= MIN_SHA256_CHARS and _HEX.fullmatch(text)}
    collect(rest, "starts_with(n.key, t.value)", is_picture=False)
    collect(starts, "starts_with(n.sha256, t.value)", is_picture=True)
    return found


def _matches(wanted: Mapping[str, str], condition: str, engine: DuckEngine) -> Iterator[tuple[str, Candidate]]:
    """Yield the rows of the view `named` that meet a condition on them, `n`, and on texts with their values, `t`.

    Of a text with more than MAX_ROWS rows, which is ambiguous, only some are yielded.
    """
    if not wanted:
        return
    texts = pa.table([pa.array(wanted, pa.string()), pa.array(wanted.values(), pa.string())], ["text", "value"])
    engine.table("texts", texts)
    columns = ", ".join(f"n.{name} AS {name}" for name in ("part", "row", *_COLUMNS))
    rows = engine.fetch(
        f"SELECT t.text AS text, {columns} FROM named n JOIN texts t ON {condition} "
        f"QUALIFY row_number() OVER (PARTITION BY t.text ORDER BY n.part, n.row) <= {MAX_ROWS + 1} "
        "ORDER BY text, part, row"
    )
    for row in rows.to_pylist():
        yield row.pop("text"), Candidate(**row)


def _hash_of_file(text: str) -> str | None:
    """Return the sha256 of the local file `text`, in hexadecimal; None if it is none, or cannot be read."""
    path = Path(text.removeprefix("file://"))
    try:
        if not path.is_file():
            return None
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def _nearest(texts: Sequence[str], engine: DuckEngine) -> Iterator[tuple[str, str]]:
    """Yield, for some of `texts`, the most similar name of a row of which one half is that of the text.

    Halves are compared first, since the distance takes a hundred times as long.
    """
    names = ", ".join(["key", *(MEMBER_NAMES[name] for name in _NEAREST_OF)])
    for text in texts:
        tail = text.rpartition("/")[2]
        half, half_tail = (max(1, len(each) // 2) for each in (text, tail))
        if len(text) > MAX_NAME_CHARS or not tail:
            continue
        engine.table("texts", pa.table({"text": [text], "tail": [tail]}))
        like_member = f"contains(member, left(tail, {half_tail})) OR contains(member, right(tail, {half_tail}))"
        like_key = _shares_half("key", "text", half)
        near = engine.fetch(
            "SELECT n.name AS name, n.key AS key FROM "
            f"(SELECT key, text, unnest([{names}]) AS name FROM named, texts WHERE {like_key} OR {like_member}) n "
            f"WHERE n.name <> '' AND {_shares_half('n.name', 'n.text', half)} "
            f"AND levenshtein(n.name, n.text) <= {NEAR_SHARE} * length(n.text) "
            "ORDER BY levenshtein(n.name, n.text), n.name, n.key LIMIT 1"
        ).to_pylist()
        if near:
            name, key = near[0]["name"], near[0]["key"]
            yield text, _printable(name if name == key else f"{name} (key {key})")


def _shares_half(name: str, text: str, half: int) -> str:
    """Return SQL for whether two texts begin or end with the same characters, so many as half of one has."""
    return f"(left({name}, {half}) = left({text}, {half}) OR right({name}, {half}) = right({text}, {half}))"


def _joined(places: pa.Table, rows: Sequence[Candidate]) -> pa.Table:
    """Return `places` with those of `rows`, each once, in the manifest's order."""
    every = {(each["part"], each["row"]): each["key"] for each in places.to_pylist()}
    every |= {(row.part, row.row): row.key for row in rows}
    found = [{"part": part, "row": row, "key": key} for (part, row), key in sorted(every.items())]
    return pa.Table.from_pylist(found, PLACES)


def _order(candidate: Candidate) -> tuple[int, int]:
    return candidate.part, candidate.row


def _printable(text: str) -> str:
    """Return a name, which strangers chose, without what could control a terminal."""
    return "".join(c if c.isprintable() else "·" for c in text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:99] + "…")
