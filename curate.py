"""The Python API of curate: run stages on a Spark session, open manifests, compare and combine them.

    import curate

    scan = curate.scan("data/*.tar", "out/scan", spark=spark)
    m = curate.open("out/chosen")
    m.to_arrow(columns=["key", "text_score"], where="keep")
    m.images(where="text_score > 0.9")

Every name here is documented in docs/guides/python.md. Everything else may change.
"""

from curation.config import PipelineConfig
from jobs.api.errors import FilterError
from jobs.api.images import Image, Images
from jobs.api.manifest import Manifest, open
from jobs.api.operations import diff, merge, patch, sample, select, verify
from jobs.api.stages import choose, dedupe, run, scan, score, shard
from jobs.api.takedown import purge, takedown
from jobs.units.progress import Progress
from manifests.compare.diff import Diff
from manifests.errors import (
    BrokenSource,
    CurateError,
    InputError,
    ManifestError,
    RunAtWork,
    RunChanged,
    StageFailed,
    StorageUnavailable,
)
from manifests.inspect.verify import Findings

__all__ = [
    "BrokenSource",
    "CurateError",
    "Diff",
    "FilterError",
    "Findings",
    "Image",
    "Images",
    "InputError",
    "Manifest",
    "ManifestError",
    "PipelineConfig",
    "Progress",
    "RunAtWork",
    "RunChanged",
    "StageFailed",
    "StorageUnavailable",
    "choose",
    "dedupe",
    "diff",
    "merge",
    "open",
    "patch",
    "purge",
    "run",
    "sample",
    "scan",
    "score",
    "select",
    "shard",
    "takedown",
    "verify",
]
