"""The Python API of curate: run stages on a Spark session, open manifests, compare and combine them.

    import curate

    scan = curate.scan("data/*.tar", "out/scan", spark=spark)
    m = curate.open("out/chosen")
    m.to_arrow(columns=["key", "text_score"], where="keep")
    m.images(where="text_score > 0.9")

Every name here is documented in docs/guides/python.md, those of `curate.features` in docs/guides/features.md.
Everything else may change.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curation.config import PipelineConfig
    from curation.explaining.explanation import Explanation
    from curation.feed.feed import Feed
    from jobs.api import features
    from jobs.api.errors import FilterError
    from jobs.api.feed import feed
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

_MODULES = {
    "curation.config": "PipelineConfig",
    "curation.explaining.explanation": "Explanation",
    "curation.feed.feed": "Feed",
    "jobs.api.errors": "FilterError",
    "jobs.api.feed": "feed",
    "jobs.api.images": "Image Images",
    "jobs.api.manifest": "Manifest open",
    "jobs.api.operations": "diff merge patch sample select verify",
    "jobs.api.stages": "choose dedupe run run_variants scan score shard",
    "jobs.api.takedown": "purge takedown",
    "jobs.units.progress": "Progress",
    "manifests.compare.diff": "Diff",
    "manifests.errors": (
        "BrokenSource CurateError InputError ManifestError RunAtWork RunChanged StageFailed StorageUnavailable"
    ),
    "manifests.inspect.verify": "Findings",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "BrokenSource",
    "CurateError",
    "Diff",
    "Explanation",
    "Feed",
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
    "features",
    "feed",
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


def __getattr__(name: str) -> Any:
    """Import what is asked for: processes that only load batches need neither Spark nor DuckDB."""
    if name == "features":
        return importlib.import_module("jobs.api.features")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
