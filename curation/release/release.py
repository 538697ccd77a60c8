"""What is known of a release when its files are written: the publisher's part, what was measured, and the places."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curation.release.about import About
from curation.release.samples import Share, Totals
from curation.release.subsets import Subset
from curation.release.versions import Changes, Version
from curation.report import FunnelRow, funnel
from curation.shards.layout import Layout, layout_of
from manifests.format.store import Manifest

CARD, DATASHEET, CROISSANT = "README.md", "DATASHEET.md", "croissant.json"
SAMPLES, DOMAINS, TOP_DOMAINS, LICENCES = "samples.parquet", "domains.parquet", "domains.csv", "licences.parquet"
CHECKSUMS, RELEASE = "SHA256SUMS", "release.json"
SUBSETS, THUMBNAILS, PATCH, DATA = "subsets", "thumbnails", "patch", "data"


@dataclass(frozen=True, kw_only=True)
class Tar:
    """A tar of the release: its file name, and what the manifest says of it."""

    name: str
    samples: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a release will be, known before anything is written."""

    version: Version
    changes: Changes | None
    tars: Sequence[Tar]
    subsets: Sequence[Subset]
    prefix: str


@dataclass(frozen=True, kw_only=True)
class Previous:
    """The release before this one, as its `release.json` says."""

    name: str
    version: Version
    digest: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A sample of the gallery: the file with its small picture, or the problem why there is none."""

    file: str | None
    problem: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Release:
    """Everything that the files of a release are filled from.

    `prefix` comes before the name of a tar: a relative path or a URL. `tables` are the files of tables, by name, with
    their sha256 and size. `json_read` is the number of samples whose json was read for licences. `has_patch`: whether
    the folder `patch` has the rows that differ from the previous release.
    """

    about: About
    manifest: Manifest
    version: Version
    tars: Sequence[Tar]
    prefix: str
    totals: Totals
    subsets: Sequence[Subset] = ()
    gallery: Sequence[Shown] = ()
    licences: Sequence[Share] = ()
    json_read: int = 0
    previous: Previous | None = None
    changes: Changes | None = None
    has_patch: bool = False
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.about.title or self.about.name

    @property
    def layout(self) -> Layout:
        """Which members its samples have."""
        return layout_of(self.manifest)

    @property
    def funnel(self) -> list[FunnelRow]:
        """How many samples each stage got and dropped, and why."""
        return funnel(self.manifest.funnel)

    @property
    def created(self) -> str:
        """When the shards were made, by their manifest: ISO 8601."""
        return self.manifest.created

    @property
    def date(self) -> str:
        """When it is published: as the publisher says, else when the shards were made. ISO 8601."""
        return str(self.about.date) if self.about.date else self.created[:10]

    @property
    def tar_bytes(self) -> int:
        """The bytes of all tars."""
        return sum(tar.size_bytes for tar in self.tars)

    @property
    def description(self) -> str:
        """What it is, in the words of the publisher, else in ours."""
        return self.about.description or (
            f"{self.totals.images:,} web images in webdataset tars, deduplicated and selected by curate, which also "
            "measured how rich in text each is."
        )

    def url_of(self, tar: Tar) -> str:
        """Return where readers find a tar: a path from the release, or a URL."""
        return self.prefix + tar.name


def tars_of(manifest: Manifest) -> list[Tar]:
    """Return the tars of a manifest of shards, one for each part, in their order."""
    return [
        Tar(name=name, samples=part.rows, size_bytes=about["bytes"], sha256=about["sha256"])
        for part in manifest.parts
        for name, about in part.files.items()
        if name.endswith(".tar")
    ]
