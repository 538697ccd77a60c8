"""The description of a release in Croissant 1.1: its files with their hashes, and the fields of its records.

Source: the Croissant Format Specification 1.1, http://mlcommons.org/croissant/1.1. The namespace of schema.org is
with https, as in the examples of MLCommons, because its validator, mlcroissant, knows no other.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from curation.release.datasheet import answered
from curation.release.provenance import PREFIXES, measurement, provenance
from curation.release.release import SAMPLES, Release
from curation.release.samples import MEANINGS, SCHEMA
from curation.shards.layout import IMAGE, Layout
from curation.sources.members import IMAGE_EXTENSIONS

CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
"""Croissant, and its vocabulary for responsible AI, in which answers of the datasheet are given."""
UNKNOWN_LICENSE = "https://spdx.org/licenses/NOASSERTION"
_TERMS = (
    *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract"),
    *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath"),
    *("key", "md5", "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace"),
    *("samplingRate", "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value"),
)
CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    **PREFIXES,
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_TYPES = {"string": "sc:Text", "int32": "sc:Integer", "int64": "sc:Integer", "double": "sc:Float"}
_MEASURED = ("text_kind", "text_class", "text_score", "text_lines", "text_chars")
_RAI = {
    "dataCollection": "collection.acquired",
    "dataPreprocessingProtocol": "preprocessing.done",
    "personalSensitiveInformation": "composition.sensitive",
    "dataUseCases": "uses.tasks",
    "dataLimitations": "uses.not",
    "dataSocialImpact": "collection.impact",
    "dataReleaseMaintenancePlan": "maintenance.updates",
}
"""Property of RAI → question of the datasheet."""
_JOINED = ("caption", "url", "license", "attribution")
"""Columns of the samples that the records of pictures have, too."""
_PROV = {"url": "prov:hadPrimarySource", "attribution": "prov:wasAttributedTo"}


def croissant(release: Release) -> bytes:
    """Return the content of `croissant.json`."""
    about = release.about
    creators = [{"@type": "sc:Organization", "name": name} for name in about.creators]
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": about.name,
        "alternateName": about.title,
        "description": release.description,
        "conformsTo": list(CONFORMS_TO),
        "version": str(release.version),
        "license": license_url(about.license),
        "url": about.url or ".",
        "creator": creators or [{"@type": "sc:Organization", "name": "unknown"}],
        "datePublished": release.date,
        "dateCreated": release.created,
        "keywords": list(about.keywords) or ["images", "text-rich images", "webdataset"],
        "inLanguage": list(about.languages) or None,
        "citeAs": about.citation,
        "isLiveDataset": False,
        **provenance(release),
        **_responsible(release),
        "distribution": [*_tars(release), _images_in_tars(release), _samples_file(release)],
        "recordSet": [_images(release), _samples(release)],
    }
    filled = {name: value for name, value in document.items() if value is not None}
    return (json.dumps(filled, indent=1, ensure_ascii=False) + "\n").encode()


def _responsible(release: Release) -> dict[str, str]:
    """Return the answers of the datasheet, the publisher's before the measured ones, as properties of RAI."""
    found = {each.question.name: each.said or each.measured for each in answered(release)}
    return {f"rai:{name}": found[question] for name, question in _RAI.items() if found[question]}


def license_url(given: str | None) -> str:
    """Return a licence as Croissant recommends it: the URL of SPDX's page of an identifier, or the URL that it is."""
    if given is None:
        return UNKNOWN_LICENSE
    is_identifier = all(c.isalnum() or c in "-.+" for c in given)
    return f"https://spdx.org/licenses/{given}" if is_identifier else given


def _tars(release: Release) -> list[dict[str, Any]]:
    return [
        {
            "@type": "cr:FileObject",
            "@id": tar.name,
            "name": tar.name,
            "contentUrl": release.url_of(tar),
            "contentSize": f"{tar.size_bytes} B",
            "encodingFormat": "application/x-tar",
            "sha256": tar.sha256,
        }
        for tar in release.tars
    ]


def _images_in_tars(release: Release) -> dict[str, Any]:
    is_uniform = release.layout is Layout.UNIFORM
    extensions = [IMAGE] if is_uniform else sorted(IMAGE_EXTENSIONS)
    return {
        "@type": "cr:FileSet",
        "@id": "image-files",
        "name": "image-files",
        "description": "The pictures in the tars, whatever their format; the bytes say which it is.",
        "containedIn": [{"@id": tar.name} for tar in release.tars],
        "encodingFormat": "image/jpeg",
        "includes": [f"*.{extension}" for extension in extensions],
    }


def _samples_file(release: Release) -> dict[str, Any]:
    about = release.tables[SAMPLES]
    return {
        "@type": "cr:FileObject",
        "@id": SAMPLES,
        "name": SAMPLES,
        "description": "A row for each sample.",
        "contentUrl": SAMPLES,
        "contentSize": f"{about['bytes']} B",
        "encodingFormat": "application/x-parquet",
        "sha256": about["sha256"],
    }


def _images(release: Release) -> dict[str, Any]:
    """Return the records of the pictures: the key, which is the name of the member, the picture, and its texts.

    References name a field inside `field`, the form that mlcroissant reads.
    """
    extensions = [IMAGE] if release.layout is Layout.UNIFORM else sorted(IMAGE_EXTENSIONS)
    from_files: Any = {"fileSet": {"@id": "image-files"}}
    name = {**from_files, "extract": {"fileProperty": "filename"}}
    name["transform"] = {"regex": rf"^(.*?)(?:\.(?:{'|'.join(extensions)}))?$"}  # mlcroissant applies it twice
    content = {**from_files, "extract": {"fileProperty": "content"}}
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "description": "A record for each picture.",
        "key": {"@id": "images/key"},
        "field": [
            {
                **_field("images/key", MEANINGS["key"], "sc:Text"),
                "source": name,
                "references": {"field": {"@id": "samples/key"}},
            },
            {**_field("images/image", "the picture", "sc:ImageObject"), "source": content},
            *(
                {**_field(f"images/{n}", MEANINGS[n], "sc:Text"), "source": {"field": {"@id": f"samples/{n}"}}}
                for n in _JOINED
            ),
        ],
    }


def _samples(release: Release) -> dict[str, Any]:
    """Return the records of the table of samples, with the provenance of what was measured."""
    measured = measurement(release)
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "A record for each sample: origin, size, licence where one is known, and what was measured.",
        "key": {"@id": "samples/key"},
        "field": [_column(field, measured) for field in SCHEMA],
    }


def _column(field: pa.Field, measured: Mapping[str, Any]) -> dict[str, Any]:
    made = _field(f"samples/{field.name}", MEANINGS[field.name], _TYPES[str(field.type)])
    made["source"] = {"fileObject": {"@id": SAMPLES}, "extract": {"column": field.name}}
    if field.name in _PROV:
        made["equivalentProperty"] = _PROV[field.name]
    if field.name in _MEASURED:
        made |= measured
    return made


def _field(identity: str, meaning: str, kind: str | Sequence[str]) -> dict[str, Any]:
    name = identity.rpartition("/")[2]
    return {"@type": "cr:Field", "@id": identity, "name": name, "description": meaning, "dataType": kind}
