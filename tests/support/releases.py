"""Shards whose samples come from strangers: with licences, authors and URLs, and texts that attack documents."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import yaml

from curation.shards.layout import UNIFORM, ShardForm
from manifests.format.store import Manifest
from tests.support.shard_manifests import chosen_rows, encoded, make_shards, photo

SCRIPT = "<script>alert('x')</script>"
CAPTIONS = (
    SCRIPT,
    "![x](http://evil.example/a.png) [click](javascript:alert(1))",
    "| a | b |\n\n# heading\n```",
    "---\nlicense: mit\n---",
    "{{ 7 * 7 }} {% raw %} ${x} www.evil.example",
    "\x1b[31mred\u202e",
)
LICENCES = ("CC-BY-4.0", "=cmd|' /C calc'!A0", SCRIPT, None)
AUTHORS = ("Ada Lovelace", f"**{SCRIPT}**", None)
URLS = (
    "https://img.example.co.uk/{}.jpg",
    "https://user:secret@big.example.org/{}.jpg",
    "https://a.github.io/{}.jpg",
    "http://192.0.2.7/{}.jpg",
    "javascript:alert({})",
)
KINDS = ("JPEG", "PNG", "WEBP", "GIF")


def write_source(path: Path, samples: int, first: int = 0) -> str:
    """Write a tar of `samples` pictures with json and captions, and return its URI."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(first, first + samples):
            about = {"uid": f"{number:032x}", "url": URLS[number % 5].format(number), "license": LICENCES[number % 4]}
            about |= {"Author": AUTHORS[number % 3], "caption": CAPTIONS[number % 6]}
            members = [(KINDS[number % 4].lower(), encoded(photo(number), KINDS[number % 4]))]
            members += [("json", json.dumps(about).encode())]
            for extension, data in members:
                header = tarfile.TarInfo(f"{number:03d}.{extension}")
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    return f"file://{path}"


def release_shards(folder: Path, samples: int = 23, *, each: int = 5, form: ShardForm = UNIFORM) -> Manifest:
    """Write shards of such samples to `folder`/shards, and return their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    table = chosen_rows(write_source(folder / "source.tar", samples))
    return make_shards(f"file://{folder}/shards", table, each=each, form=form)


def files(folder: Path | str) -> dict[str, bytes]:
    """Return path → content of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def released(folder: Path | str) -> dict[str, Any]:
    """Return the content of the release.json of a release."""
    return json.loads((Path(folder) / "release.json").read_text())


def front(folder: Path | str) -> dict[str, Any]:
    """Return the header of the card of a release."""
    return yaml.safe_load((Path(folder) / "README.md").read_text().split("---\n")[1])
