"""Sources: the tars and the folders of loose images that the user's patterns name, with their state.

    expand(["s3://bucket/{00000..00999}.tar", "photos/", "@more.txt"])

| pattern                                   | names                                                     |
|-------------------------------------------|-----------------------------------------------------------|
| `a/00000.tar`                             | one tar                                                   |
| `a/{00000..00999}.tar`, `a/{x,y}/0.tar`   | each of them, all of which must exist (Bash's braces)     |
| `a/*.tar`, `a/**/*.tar`, `?`, `[0-9]`     | the tars that match, at least one (fsspec's globs)        |
| `photos/`, or the path of a folder        | one source: all images in the folder and below            |
| `photos/*/`                               | one such source for each folder that matches              |
| `@list`, or a path that ends in `.txt`    | the patterns in a file, one a line; `#` starts a comment  |

Any of them may be a local path or an fsspec URI. Relative lines of a list start at the list's folder. Only the text
that was given is a pattern, never the working folder or the folder of a list. A part of it that is exactly the name
of an existing file or folder means that file or folder.
"""

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from braceexpand import braceexpand
from fsspec.utils import glob_translate

from curation.sources.folders import FolderFile, list_folder, state_of
from curation.sources.listings import Listings
from manifests import storage
from manifests.errors import InputError
from manifests.file_names import name_bytes

_SECRET = re.compile(
    r"://[^/@:]*:(?!\d+/)[^@]*@"  # user:password@, where the password may contain slashes
    r"|[?&](x-(amz|goog|ms)-[a-z-]*|sig|signature|awsaccesskeyid|(access_?|auth_?)?token|api_?key|password|secret)=",
    re.IGNORECASE,
)
_DECOMPRESS = {
    "gz": "gunzip -k",
    "tgz": "gunzip -k",
    "zst": "zstd -d",
    "tzst": "zstd -d",
    "bz2": "bunzip2 -k",
    "tbz": "bunzip2 -k",
    "tbz2": "bunzip2 -k",
    "xz": "unxz -k",
    "txz": "unxz -k",
    "lz4": "lz4 -d",
}
_COMPRESSED_TAR = re.compile(r"\.(?:tar\.(gz|zst|bz2|xz|lz4)|(tgz|tzst|tbz2?|txz))$", re.IGNORECASE)
_BUCKET = re.compile(r"(s3a?|gcs?|gs|oss|abfss?|az)://[^/]*")
_LISTING_PAYS_FROM = 16  # names in one folder: fewer are looked up one by one
_THREADS = 16


@dataclass(frozen=True, kw_only=True)
class Source:
    """One tar, or one folder of loose images.

    `uri` is absolute, with its protocol; a folder's ends in `/`. `root` is the literal folder that the user's pattern
    begins with, and `name` is `uri` below it: keys are made of `name`, so that a copy in another place has the same
    keys. `etag` changes with the content: it is the storage's ETag, or size and time of change; for a folder, a hash
    of the names and etags of its `files`, which are its images and sidecars.
    """

    uri: str
    root: str
    name: str
    size_bytes: int
    etag: str
    files: tuple[FolderFile, ...] = field(default=(), compare=False, repr=False)

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder of loose images."""
        return self.uri.endswith("/")


@dataclass(frozen=True, kw_only=True)
class _Pattern:
    """What one pattern names after its braces are expanded: `uris`, and what matches `globs`, below `root`.

    `is_plain`: the pattern was itself the URI. `is_folder`: it ended in a slash.
    """

    text: str
    root: str
    uris: tuple[str, ...]
    globs: tuple["_Glob", ...]
    is_plain: bool
    is_folder: bool


@dataclass(frozen=True, kw_only=True)
class _Glob:
    """A pattern below a literal folder."""

    folder: str
    pattern: str


def expand(patterns: Sequence[str], listings: Listings | None = None) -> list[Source]:
    """Return the sources that `patterns` name, each once, sorted by (name, uri).

    Each folder is listed once, those of `listings` not again. A glob keeps what ends in `.tar`. Sources below two
    roots may have the same name; one pattern over both, such as `{a,b}/*.tar`, gives them different names.

    Raises InputError for named files that are missing (all are counted), a glob or folder without a match, compressed
    tars, and credentials in a pattern.
    """
    listings = listings or Listings()
    parsed = [_parse(text, base) for text, base in _lines(patterns)]
    if not parsed:
        raise InputError("no sources were given: name a tar, a folder or a pattern such as data/*.tar")
    places: dict[str, tuple[str, bool]] = {}  # uri → its root, and whether the pattern was the uri itself
    entries: dict[str, storage.Entry] = {}
    for pattern in parsed:
        matches = dict.fromkeys(pattern.uris) | (_matches(pattern, listings) if pattern.globs else {})
        entries.update({uri: entry for uri, entry in matches.items() if entry is not None})
        for uri in matches:
            _require_plain_tar(uri)
            below = uri.startswith(pattern.root)  # not if a brace contained `..`
            place = (pattern.root if below else uri[: uri[:-1].rfind("/") + 1], pattern.is_plain)
            # The shortest root gives the longest name, whatever the order of the patterns.
            places[uri] = min(places.get(uri, place), place, key=lambda p: (len(p[0]), p[1]))
    named = [uri for uri in places if not uri.endswith("/")]
    entries |= _look_up([uri for uri in named if uri not in entries], listings, of=len(named))
    found = [_source(uri, place, entries.get(uri)) for uri, place in places.items()]
    found.sort(key=lambda s: len(s.root), reverse=True)
    sources = {s.uri: s for s in found}.values()  # `photos` and `photos/` are one
    return sorted(sources, key=lambda s: (s.name, s.uri))


def _lines(patterns: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each pattern, also those in lists, with the folder that it is relative to."""
    for text in patterns:
        _require_no_secret(text)
        listed = _list_named(text)
        if listed is None:
            yield text, None
            continue
        uri = storage.absolute(listed)
        folder = uri.rsplit("/", 1)[0]
        for number, raw in enumerate(_read_list(uri).split("\n"), start=1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            _require_no_secret(line, where=f"{uri}, line {number}: ")
            exact = raw.removesuffix("\r")
            if exact != line and _literal(exact, folder) is not None:
                line = exact  # spaces around it belong to the name
            if _list_named(line, folder) is not None:
                raise InputError(f"{uri}, line {number}: a list in a list; give {line} as a source of its own")
            yield line, folder


def _list_named(text: str, base: str | None = None) -> str | None:
    """Return the path of the list that `text` names, or None when it names a source."""
    there = _literal(text, base)
    is_text = text.lower().endswith(".txt")
    if there is not None:
        return text if is_text and there["type"] != "directory" else None
    if text.startswith("@"):
        return text[1:]
    return text if is_text else None


def _read_list(uri: str) -> str:
    try:
        content = storage.read_bytes(uri)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as e:
        raise InputError(f"{uri}: not a list of sources ({e}); give a text file with a pattern a line") from e
    if b"\0" in content:
        raise InputError(f"{uri}: not a list of sources, but binary; give a text file with a pattern a line")
    # As in a file system, a name may contain bytes that are not UTF-8.
    return content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _literal(text: str, base: str | None) -> storage.Entry | None:
    """Return the description of the local file or folder with exactly the name `text`, or None."""
    if not text or storage.is_uri(text.removeprefix("@")):
        return None
    place = _absolute(text, base)
    return storage.describe(place) if storage.is_local(place) else None


def _parse(text: str, base: str | None) -> _Pattern:
    globs = "*[" if text.startswith(("http://", "https://")) else "*?["
    uri = _absolute(text, base)
    is_folder = text.endswith("/") or _BUCKET.fullmatch(uri) is not None
    start = _literal_until(text, globs + "{", base)
    expanded = [text[:start] + rest for rest in _braces(text[start:])]
    special = globs if expanded == [text] else globs + "{"
    first = next((i for i in range(start, len(text)) if text[i] in special), len(text))
    uris: dict[str, None] = {}
    found: list[_Glob] = []
    for each in expanded:
        until = _literal_until(each, globs, base)
        if until == len(each):
            place = _absolute(each, base)
            uris[place.rstrip("/") + "/" if is_folder else place] = None
        else:
            found.append(_Glob(folder=_folder_of(each[:until], base), pattern=posixpath.normpath(each[until:])))
    is_plain = first == len(text)
    if base is not None and _is_relative(text, base):
        is_plain, root = False, base + "/"
    elif is_plain:
        root = uri.rstrip("/") + "/" if is_folder else uri[: uri.rfind("/") + 1]
    else:
        root = _folder_of(text[:first], base)
    return _Pattern(
        text=text, root=root, uris=tuple(uris), globs=tuple(found), is_plain=is_plain, is_folder=is_folder
    )


def _literal_until(text: str, special: str, base: str | None) -> int:
    """Return where the first part of a path begins that is a pattern; the length of `text` when none is.

    A part is a pattern if it has a character of `special` and no file or folder has exactly its name.
    """
    for part in re.finditer("[^/]+", text):
        if any(c in special for c in part[0]) and storage.describe(_absolute(text[: part.end()], base)) is None:
            return part.start()
    return len(text)


def _braces(text: str) -> list[str]:
    if "{" not in text:
        return [text]
    try:
        return list(dict.fromkeys(braceexpand(text, escape=False)))
    except ValueError as e:
        raise InputError(f"{text}: a brace is not closed; write ranges as {{00000..00999}}") from e


def _folder_of(head: str, base: str | None) -> str:
    """Return the URI, with a slash at its end, of the folder that a pattern's literal beginning names."""
    folder = _absolute(head[: head.rfind("/") + 1] or ".", base)
    return folder if folder.endswith("/") else folder + "/"


def _is_relative(text: str, base: str) -> bool:
    if text.startswith("~"):
        return _absolute(text, base).startswith(base + "/")  # not a user's home, but a name in the folder of the list
    return not storage.is_uri(text) and not text.startswith("/")


def _absolute(text: str, base: str | None) -> str:
    is_below = base is not None and (storage.is_local(base) or not text.startswith(("/", "~")))
    return storage.absolute(text, base if is_below else None)


def _matches(pattern: _Pattern, listings: Listings) -> dict[str, storage.Entry | None]:
    """Return uri → description of the tars or folders that match."""
    found: dict[str, storage.Entry | None] = {}
    others = 0
    for glob in pattern.globs:
        for name, entry in _below(glob, listings).items():
            is_tar = name.lower().endswith(".tar") or _COMPRESSED_TAR.search(name) is not None
            if pattern.is_folder and entry["type"] == "directory" and not entry.get("islink"):
                found[f"{glob.folder}{name}/"] = entry
            elif not pattern.is_folder and entry["type"] != "directory":
                others += not is_tar
                if is_tar:
                    found[glob.folder + name] = None if entry["type"] == "dangling" else entry
    if not found and not pattern.uris:
        for glob in pattern.globs:
            storage.require_bucket(glob.folder)
        kind = "folder" if pattern.is_folder else ".tar file"
        raise InputError(
            f"{pattern.text}: no {kind} matches"
            + (f" ({others} other files do)" if others else "")
            + "; check the pattern, and quote it so that the shell leaves it alone"
        )
    return found


def _below(glob: _Glob, listings: Listings) -> dict[str, storage.Entry]:
    """Return path below the glob's folder → description of everything that matches."""
    depth = None if "**" in glob.pattern else glob.pattern.count("/") + 1
    try:
        matcher = re.compile(glob_translate(glob.pattern))
    except (ValueError, re.error) as e:
        raise InputError(f"{glob.pattern}: not a pattern ({e}); write ** alone between slashes") from e
    is_local = storage.is_local(glob.folder)
    there = listings.entries(glob.folder, depth)
    return {
        name: entry
        for name, entry in there.items()
        # A byte that is not UTF-8 is one character of a pattern, as in the given text.
        if matcher.match(name_bytes(name).decode("utf-8", "surrogateescape") if is_local else name)
    }


def _look_up(uris: Sequence[str], listings: Listings, *, of: int) -> dict[str, storage.Entry]:
    """Return uri → description of named files. Raises InputError that counts the missing ones, `of` all there are."""
    by_folder: dict[str, list[str]] = {}
    for uri in uris:
        by_folder.setdefault(uri.rsplit("/", 1)[0], []).append(uri)
    found: dict[str, storage.Entry] = {}
    for folder, wanted in by_folder.items():
        found |= _look_up_in(folder, wanted, listings)
    dangling = {uri: entry["destination"] for uri, entry in found.items() if entry["type"] == "dangling"}
    if missing := sorted({*(set(uris) - found.keys()), *dangling}):
        storage.require_bucket(missing[0])
        named = [
            f"{uri} (a link to {dangling[uri]}, which is not there)" if uri in dangling else uri for uri in missing
        ]
        listed = "\n  ".join(named[:5]) + (f"\n  and {len(named) - 5} more" if len(named) > 5 else "")
        advice = (
            "Fetch what the links lead to (git annex get, dvc pull), or remove them"
            if len(dangling) == len(missing)
            else "Correct the names, or use a glob such as *.tar for whatever is there"
        )
        raise InputError(f"{len(missing)} of {of} named sources do not exist:\n  {listed}\n{advice}")
    return found


def _look_up_in(folder: str, uris: Sequence[str], listings: Listings) -> dict[str, storage.Entry]:
    is_listable = not folder.startswith(("http:", "https:")) and not storage.is_local(folder)
    if is_listable and len(uris) >= _LISTING_PAYS_FROM:
        there = listings.entries(folder)
        return {uri: there[name] for uri in uris if (name := uri.rsplit("/", 1)[-1]) in there}
    storage.filesystem(folder)[0].invalidate_cache()
    with ThreadPoolExecutor(_THREADS) as pool:
        found = zip(uris, pool.map(storage.describe, uris), strict=True)
        return {uri: entry for uri, entry in found if entry is not None}


def _source(uri: str, place: tuple[str, bool], entry: storage.Entry | None) -> Source:
    root, is_plain = place
    if entry is not None and entry["type"] == "directory" and not uri.endswith("/"):
        uri += "/"
        root = uri if is_plain else root
    if not uri.endswith("/"):
        if entry is None:
            raise InputError(f"{uri}: does not exist; check the name")
        size_bytes = int(entry["size"] or 0)
        return Source(uri=uri, root=root, name=uri[len(root) :], size_bytes=size_bytes, etag=storage.etag(entry))
    files = list_folder(uri)
    return Source(
        uri=uri,
        root=root,
        name=uri[len(root) :],
        size_bytes=sum(each.size_bytes for each in files),
        etag=state_of(files),
        files=tuple(files),
    )


def _require_plain_tar(uri: str) -> None:
    if match := _COMPRESSED_TAR.search(uri):
        name = uri.rsplit("/", 1)[-1]
        raise InputError(
            f"{uri}: images are read by byte range, which needs plain tars; decompress it first: "
            f"{_DECOMPRESS[(match[1] or match[2]).lower()]} {shlex.quote(name if name[0] != '-' else './' + name)}"
        )


def without_secret(pattern: str) -> str:
    """Return a pattern as it may be shown: `s3://…` when it contains credentials."""
    uri = pattern.removeprefix("@")
    is_secret = storage.is_uri(uri) and not storage.is_local(uri) and _SECRET.search(uri) is not None
    return pattern.split("://", 1)[0] + "://…" if is_secret else pattern


def _require_no_secret(pattern: str, where: str = "") -> None:
    if (shown := without_secret(pattern)) != pattern:
        raise InputError(
            f"{where}{shown}: contains credentials, which would end up in manifests and logs. Take them out, "
            "and give them in the environment (such as AWS_ACCESS_KEY_ID) or as storage options"
        )
