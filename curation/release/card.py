"""The data set card: README.md, which people read on Hugging Face, with the settings that its loader reads.

Source: https://huggingface.co/docs/hub/datasets-cards, and its page on data_files.
"""

import glob
import re
from collections.abc import Sequence
from typing import Any

import yaml
from markupsafe import Markup

from curation.release.markdown import render
from curation.release.places import is_relative
from curation.release.release import Release
from curation.release.subsets import first_patterns
from curation.shards.layout import Layout

MEMBERS: Sequence[tuple[str, str]] = (
    ("jpg", "image"),
    ("json", "json"),
    ("txt", "string"),
    ("__key__", "string"),
    ("__url__", "string"),
)
"""What Hugging Face's loader makes of a sample of the layout uniform: column → type."""

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_MORE_SIZES = ((10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B"))
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*", re.ASCII)


def card(release: Release) -> bytes:
    """Return the content of README.md."""
    front = yaml.safe_dump(_front(release), sort_keys=False, allow_unicode=True, width=10_000)
    return render(
        "README.md.j2",
        release=release,
        front=Markup(front),  # noqa: S704 - YAML, quoted by its own writer
        first_tar=release.url_of(release.tars[0]) if release.tars else "",
        is_uniform=release.layout is Layout.UNIFORM,
    )


def _front(release: Release) -> dict[str, Any]:
    about = release.about
    configs = [_config("default", _places(release, len(release.tars)), is_default=True)]
    configs += [_config(subset.name, _places(release, subset.tars)) for subset in release.subsets]
    front: dict[str, Any] = {"pretty_name": release.title, **_license(about.license)}
    if about.languages:
        front["language"] = list(about.languages)
    front |= {
        "size_categories": [_size_category(release.totals.images)],
        "tags": list(dict.fromkeys(["webdataset", "image", *about.keywords])),
        "configs": configs,
    }
    if release.layout is Layout.UNIFORM:  # samples of the other one have various members, which the loader must guess
        front["dataset_info"] = [
            _info("default", release.totals.images, release.tar_bytes),
            *(
                _info(subset.name, subset.samples, sum(tar.size_bytes for tar in release.tars[: subset.tars]))
                for subset in release.subsets
            ),
        ]
    return front


def _config(name: str, files: Sequence[str], *, is_default: bool = False) -> dict[str, Any]:
    config: dict[str, Any] = {"config_name": name, "data_files": [{"split": "train", "path": list(files)}]}
    return {**config, "default": True} if is_default else config


def _info(name: str, samples: int, size_bytes: int) -> dict[str, Any]:
    features = [{"name": member, "dtype": kind} for member, kind in MEMBERS]
    splits = [{"name": "train", "num_bytes": size_bytes, "num_examples": samples}]
    sizes = {"download_size": size_bytes, "dataset_size": size_bytes}
    return {"config_name": name, "features": features, "splits": splits, **sizes}


def _places(release: Release, tars: int) -> list[str]:
    """Return patterns for the first `tars` tars, as few as there can be: URLs have none, and are listed."""
    names = [tar.name for tar in release.tars]
    if not is_relative(release.prefix):
        return [release.prefix + name for name in names[:tars]]
    return [glob.escape(release.prefix) + pattern for pattern in first_patterns(names, tars)]


def _license(given: str | None) -> dict[str, str]:
    if given is None:
        return {"license": "unknown"}
    if _IDENTIFIER.fullmatch(given):
        return {"license": given.lower()}
    return {"license": "other", "license_name": "see-link", "license_link": given}


def _size_category(samples: int) -> str:
    return next((name for limit, name in (*_SIZES, *_MORE_SIZES) if samples < limit), "n>1T")
