"""The answer about one row, as `curate explain` prints it and as reports show it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.explaining.cluster import ClusterStory
from curation.explaining.text import TextStory
from curation.explaining.verdict import Verdict
from manifests.format.schema import STATUSES_WITH_PIXELS

ORIGIN = (
    "source", "member", "offset", "size", "sha256", "url", "caption", "caption_member", "json_member",
)  # fmt: skip
PICTURE = ("status", "error", "warnings", "format", "mode", "width", "height", "frames", "orientation", "measures")
SHARD = ("shard", "shard_index", "shard_offset", "shard_size", "shard_sha256", "shard_width", "shard_height")


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Everything that is known about why a row is what it is.

    `outcome`: a sentence. `origin`, `picture`: the columns of the scan that say where it came from and what was read.
    `text`, `cluster`, `verdict`: what score, dedupe and choose found; None where it did not come so far. `shard`:
    where it ended, as columns of the shard stage. `manifest`, `stage`: whose row this is; `notes` say what else a
    reader should know, such as that settings are not recorded any more.
    """

    key: str
    manifest: str
    stage: str
    outcome: str
    origin: Mapping[str, Any]
    picture: Mapping[str, Any]
    text: TextStory | None = None
    cluster: ClusterStory | None = None
    verdict: Verdict | None = None
    shard: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_pixels(self) -> bool:
        """Whether its picture was decoded."""
        return self.picture.get("status") in STATUSES_WITH_PIXELS

    @property
    def copy(self) -> ClusterStory | None:
        """Its cluster, if it is a copy of that one's representative."""
        return self.cluster if self.cluster is not None and self.cluster.own.duplicate_of is not None else None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it: nested objects, with the names of the fields and columns."""
        return dataclasses.asdict(self)


def outcome(
    picture: Mapping[str, Any],
    cluster: ClusterStory | None,
    verdict: Verdict | None,
    shard: Mapping[str, Any] | None,
    row: Mapping[str, Any],
) -> str:
    """Return in one sentence what became of a row, as far as it is known."""
    if verdict is not None and verdict.keep:
        where = "" if shard is None else f", in {shard['shard']} at place {shard['shard_index']:,}"
        return f"kept{where}: {verdict.why}"
    if verdict is not None:
        return f"dropped ({verdict.reason}): {verdict.why}"
    status = picture.get("status")
    if status not in STATUSES_WITH_PIXELS:
        error = f": {picture['error']}" if picture.get("error") else ""
        return f"{status}{error}; it has no picture to compare or to score"
    if cluster is None:
        return f"read ({status}); copies are searched by dedupe"
    if row.get("duplicate_of") is not None:
        return f"a copy ({row.get('duplicate_kind')}) of {row['duplicate_of']}"
    if cluster.count > 1:
        return f"represents its cluster of {cluster.count:,}: {cluster.why}"
    return "no copy of it was found"
