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

Any of them may be a local path or an fsspec URI. Relative lines of a list start at the list's folder.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from braceexpand import braceexpand

from curation.members import IMAGE_EXTENSIONS, is_ignored, split_member
from manifests import storage
from manifests.errors import InputError

_SECRET = re.compile(
    r"://[^/@:]*:(?!\d+/)[^@]*@"  # user:password@, where the password may hold slashes
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
_ETAG_FIELDS = ("ETag", "etag", "md5Hash", "blob_id")
_TIME_FIELDS = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")
_BUCKET = re.compile(r"(s3a?|gcs?|gs|oss|abfss?|az)://[^/]*")
_LISTING_PAYS_FROM = 16  # names in one folder: fewer are asked for one by one
_THREADS = 16

_Entry = Mapping[str, Any]  # fsspec's description of a file: name, size, type, and what the storage adds


@dataclass(frozen=True, kw_only=True)
class Source:
    """One tar, or one folder of loose images.

    `uri` is absolute, with its protocol; a folder's ends in `/`. `root` is the literal folder the user's
    pattern begins with, and `name` is `uri` below it: keys are made of `name`, so that a copy elsewhere has
    the same. `etag` changes when the content does: the storage's ETag, else size and time of change;
    for a folder, a hash of all its images' names and etags.
    """

    uri: str
    root: str
    name: str
    size_bytes: int
    etag: str

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder of loose images."""
        return self.uri.endswith("/")


@dataclass(frozen=True, kw_only=True)
class _Pattern:
    """What one pattern names after its braces are expanded: `uris`, or globs, below `root`."""

    text: str
    root: str
    uris: tuple[str, ...]
    is_plain: bool
    is_glob: bool
    is_folder: bool


def expand(patterns: Sequence[str]) -> list[Source]:
    """Return the sources that `patterns` name, each once, sorted by (name, uri).

    Folders are listed once each, not file by file. A glob keeps what ends in `.tar`. Sources below two roots
    may have the same name; one pattern over both, such as `{a,b}/*.tar`, gives them names of their own.

    Raises InputError for named files that are missing (all are counted), a glob or folder without a match,
    compressed tars, and credentials in a pattern.
    """
    parsed = [_parse(text, base) for text, base in _lines(patterns)]
    if not parsed:
        raise InputError("no sources were given: name a tar, a folder or a pattern such as data/*.tar")
    places: dict[str, tuple[str, bool]] = {}  # uri → its root, and whether the pattern was the uri itself
    entries: dict[str, _Entry] = {}
    for pattern in parsed:
        matches = _glob(pattern) if pattern.is_glob else dict.fromkeys(pattern.uris)
        entries.update({uri: entry for uri, entry in matches.items() if entry is not None})
        for uri in matches:
            _require_plain_tar(uri)
            below = uri.startswith(pattern.root)  # not so when a brace held `..`
            place = (pattern.root if below else uri[: uri[:-1].rfind("/") + 1], pattern.is_plain)
            # The shortest root gives the longest name, whatever the order of the patterns.
            places[uri] = min(places.get(uri, place), place, key=lambda p: (len(p[0]), p[1]))
    entries |= _look_up([uri for uri in places if uri not in entries and not uri.endswith("/")])
    found = [_source(uri, place, entries.get(uri)) for uri, place in places.items()]
    found.sort(key=lambda s: len(s.root), reverse=True)
    sources = {s.uri: s for s in found}.values()  # `photos` and `photos/` are one
    return sorted(sources, key=lambda s: (s.name, s.uri))


def list_folder(source: Source) -> list[tuple[str, int]]:
    """Return (path below the folder, bytes) of each image of a folder source, sorted by path.

    Images are known by their extension. Symbolic links to folders are not followed.
    """
    return [(path, int(entry["size"] or 0)) for path, entry in _folder_images(source.uri)]


def etag(entry: _Entry) -> str:
    """Return what changes when a file's content does: the storage's ETag, else its size and time of change.

    `entry` is fsspec's description of the file. Without a time, only the size is left.
    """
    for field in _ETAG_FIELDS:
        if entry.get(field):
            return str(entry[field]).strip('"')
    for field in _TIME_FIELDS:
        if entry.get(field):
            value = entry[field]
            # Seconds become whole nanoseconds; other storages give dates.
            return f"{entry['size']}-{round(value * 1e9) if isinstance(value, float) else value}"
    return str(entry["size"])


def _lines(patterns: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield (pattern, folder that it is relative to); lists are read here."""
    for text in patterns:
        _require_no_secret(text)
        if not (text.startswith("@") or text.lower().endswith(".txt")):
            yield text, None
            continue
        uri = _absolute(text.removeprefix("@"), None)
        try:
            content = storage.read_bytes(uri).decode("utf-8-sig")
        except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as e:
            raise InputError(f"{uri}: not a list of sources ({e}); give a text file with a pattern a line") from e
        for number, raw in enumerate(content.splitlines(), start=1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            _require_no_secret(line, where=f"{uri}, line {number}: ")
            if line.startswith("@") or line.lower().endswith(".txt"):
                raise InputError(f"{uri}, line {number}: a list in a list; give {line} as a source of its own")
            yield line, uri.rsplit("/", 1)[0]


def _parse(text: str, base: str | None) -> _Pattern:
    uri = _absolute(text, base)
    try:
        expanded = braceexpand(uri, escape=False) if "{" in uri else [uri]
        uris = tuple(dict.fromkeys(_absolute(u, None) for u in expanded))
    except ValueError as e:
        raise InputError(f"{text}: a brace is not closed; write ranges as {{00000..00999}}") from e
    globs = "*[" if uri.startswith(("http://", "https://")) else "*?["
    magic = [i for i, char in enumerate(uri) if char in globs]
    is_plain = uris == (uri,) and not magic
    is_folder = text.endswith("/") or _BUCKET.fullmatch(uri) is not None
    first_magic = min([uri.find("{")] * (uris != (uri,)) + magic, default=len(uri))
    literal = uri + "/" if is_plain and is_folder else uri[:first_magic]
    root = literal[: literal.rfind("/") + 1]
    if base is not None and _is_relative(text):
        is_plain, root = False, base + "/"
    if is_folder and not magic:
        uris = tuple(u.rstrip("/") + "/" for u in uris)
    return _Pattern(text=text, root=root, uris=uris, is_plain=is_plain, is_glob=bool(magic), is_folder=is_folder)


def _is_relative(text: str) -> bool:
    return "://" not in text and not text.startswith(("/", "~"))


def _absolute(text: str, base: str | None) -> str:
    if base is not None and _is_relative(text):
        text = storage.join(base, text)
    for local in ("file://", "local://"):
        text = text.removeprefix(local)
    return storage.absolute(text)


def _glob(pattern: _Pattern) -> dict[str, _Entry | None]:
    """Return uri → description of the tars or folders that match; None where it must be asked for."""
    found: dict[str, _Entry | None] = {}
    others = 0
    for uri in pattern.uris:
        fs, path = storage.filesystem(uri)
        fs.invalidate_cache()
        prefix = _protocol_prefix(uri, path)
        for name, entry in _or_nothing(fs.glob, path).items():
            if pattern.is_folder and entry["type"] == "directory":
                found[prefix + name.rstrip("/") + "/"] = entry
            elif not pattern.is_folder and entry["type"] != "directory":
                is_wanted = name.lower().endswith(".tar") or _COMPRESSED_TAR.search(name)
                others += not is_wanted
                if is_wanted:
                    found[prefix + name] = None if storage.is_local(uri) else entry  # a link has its own
    if not found:
        kind = "folder" if pattern.is_folder else ".tar file"
        raise InputError(
            f"{pattern.text}: no {kind} matches"
            + (f" ({others} other files do)" if others else "")
            + "; check the pattern, and quote it so that the shell leaves it alone"
        )
    return found


def _look_up(uris: Sequence[str]) -> dict[str, _Entry]:
    """Return uri → description of named files. Raises InputError that counts the missing ones."""
    by_folder: dict[str, list[str]] = {}
    for uri in uris:
        by_folder.setdefault(uri.rsplit("/", 1)[0], []).append(uri)
    found: dict[str, _Entry] = {}
    for folder, wanted in by_folder.items():
        found |= _look_up_in(folder, wanted)
    if missing := sorted(set(uris) - found.keys()):
        listed = "\n  ".join(missing[:5]) + (f"\n  and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise InputError(
            f"{len(missing)} of {len(uris)} named sources do not exist:\n  {listed}\n"
            "Correct the names, or use a glob such as *.tar for whatever is there"
        )
    return found


def _look_up_in(folder: str, uris: Sequence[str]) -> dict[str, _Entry]:
    fs, path = storage.filesystem(folder)
    fs.invalidate_cache()
    is_listable = not folder.startswith(("http:", "https:")) and not storage.is_local(folder)
    if is_listable and len(uris) >= _LISTING_PAYS_FROM:
        try:
            entries = {e["name"].rstrip("/").rsplit("/", 1)[-1]: e for e in fs.ls(path, detail=True)}
        except FileNotFoundError:
            return {}
        return {uri: entries[name] for uri in uris if (name := uri.rsplit("/", 1)[-1]) in entries}

    def describe(uri: str) -> tuple[str, _Entry | None]:
        try:
            return uri, fs.info(storage.filesystem(uri)[1])
        except (FileNotFoundError, NotADirectoryError):
            return uri, None

    with ThreadPoolExecutor(_THREADS) as pool:
        return {uri: entry for uri, entry in pool.map(describe, uris) if entry is not None}


def _source(uri: str, place: tuple[str, bool], entry: _Entry | None) -> Source:
    root, is_plain = place
    if entry is not None and entry["type"] == "directory" and not uri.endswith("/"):
        uri += "/"
        root = uri if is_plain else root
    if not uri.endswith("/"):
        if entry is None:
            raise InputError(f"{uri}: does not exist; check the name")
        return Source(uri=uri, root=root, name=uri[len(root) :], size_bytes=int(entry["size"] or 0), etag=etag(entry))
    digest = hashlib.blake2b(digest_size=16)
    size_bytes = 0
    for path, image in _folder_images(uri):
        size_bytes += int(image["size"] or 0)
        digest.update(f"{path}\0{etag(image)}\0".encode("utf-8", "surrogatepass"))
    return Source(uri=uri, root=root, name=uri[len(root) :], size_bytes=size_bytes, etag=digest.hexdigest())


def _folder_images(uri: str) -> list[tuple[str, _Entry]]:
    """Return (path below the folder, description) of its images, sorted. Raises InputError without any."""
    fs, path = storage.filesystem(uri)
    fs.invalidate_cache(path)
    top = path.rstrip("/") + "/"
    images: list[tuple[str, _Entry]] = []
    tars = 0
    for name, entry in _or_nothing(fs.find, path).items():
        below = name[len(top) :]
        if not name.startswith(top) or is_ignored(below):
            continue
        extension = split_member(below)[1]
        if extension in IMAGE_EXTENSIONS:
            images.append((below, entry))
        tars += extension == "tar"
    if not images:
        what = f"it has {tars} tars: write {uri}**/*.tar" if tars else "check the name"
        raise InputError(f"{uri}: no folder with images; {what}")
    return sorted(images, key=lambda image: image[0])


def _or_nothing(search: Callable[..., dict[str, _Entry]], path: str) -> dict[str, _Entry]:
    """Return what a search finds; nothing when even the folder or bucket to search in does not exist."""
    try:
        return search(path, detail=True)
    except FileNotFoundError:
        return {}


def _protocol_prefix(uri: str, path: str) -> str:
    """Return what stands before the file system's own paths in a URI: `s3://`, `hdfs://host:8020`."""
    if uri.endswith(path):
        return uri[: len(uri) - len(path)]
    return uri.split("://", 1)[0] + "://"


def _require_plain_tar(uri: str) -> None:
    if match := _COMPRESSED_TAR.search(uri):
        name = uri.rsplit("/", 1)[-1]
        raise InputError(
            f"{uri}: images are read by byte range, which needs plain tars; decompress it first: "
            f"{_DECOMPRESS[(match[1] or match[2]).lower()]} {name}"
        )


def _require_no_secret(pattern: str, where: str = "") -> None:
    if _SECRET.search(pattern):
        shown = pattern.split("://", 1)[0] + "://…"
        raise InputError(
            f"{where}{shown}: holds credentials, which would end up in manifests and logs. Take them out, "
            "and give them in the environment (such as AWS_ACCESS_KEY_ID) or as storage options"
        )
