"""The datasheet, after Gebru et al., Datasheets for Datasets (2021): measured answers, the publisher's, open ones."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from curation.release.markdown import render
from curation.release.questions import QUESTIONS, Question
from curation.release.release import Release
from curation.shards.layout import Layout
from manifests.format.schema import Stage


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A question with what was measured and what the publisher says; open when there is neither."""

    question: Question
    measured: str
    said: str

    @property
    def is_open(self) -> bool:
        """Whether nobody answered it."""
        return not (self.measured or self.said)


def answered(release: Release) -> list[Answered]:
    """Return every question with its answers."""
    measured = {name: text for name, text in measured_answers(release).items() if text}
    said = {**_said(release), **release.about.answers}
    return [
        Answered(question=each, measured=measured.get(each.name, ""), said=said.get(each.name, ""))
        for each in QUESTIONS
    ]


def datasheet(release: Release) -> bytes:
    """Return the content of DATASHEET.md."""
    found = answered(release)
    sections = [(name, list(some)) for name, some in itertools.groupby(found, key=lambda each: each.question.section)]
    open_ones = sum(each.is_open for each in found)
    return render("DATASHEET.md.j2", release=release, sections=sections, questions=len(found), open_ones=open_ones)


def _said(release: Release) -> dict[str, str]:
    """Return what other entries of the publisher's part answer."""
    about = release.about
    return {
        "motivation.creators": ", ".join(about.creators),
        "maintenance.contact": about.contact or "",
        "distribution.license": about.license or "",
    }


def measured_answers(release: Release) -> dict[str, str]:
    """Return name of a question → what the manifest answers; empty where it does not."""
    return {**_composition(release), **_making(release), **_keeping(release)}


def _composition(release: Release) -> dict[str, str]:
    totals = release.totals
    images = totals.images
    first = release.funnel[0] if release.funnel else None
    larger = ""
    if first is not None and first.came_in > images:
        larger = f"Yes: {first.came_in:,} samples came into the stage {first.stage}."
    missing = [f"{images - totals.counts[name]:,} of {images:,} have no {what}" for name, what in _OPTIONAL.items()]
    if release.json_read:
        unlicensed = release.json_read - totals.counts["license"]
        missing.append(f"the json of {unlicensed:,} of {release.json_read:,} that were read names no licence")
    splits = [f"{each.name}: {each.samples:,} samples in the first {each.tars:,} tars" for each in release.subsets]
    members = (
        "its caption as text, and its json, with what was measured"
        if release.layout is Layout.UNIFORM
        else "the other files that it had in its source"
    )
    return {
        "composition.instances": "A picture from the web, with the texts that came with it.",
        "composition.count": f"{images:,}, of {totals.size_bytes:,} bytes.",
        "composition.sample": larger,
        "composition.data": f"The bytes of the picture, {members}.",
        "composition.labels": _labels(release),
        "composition.missing": "; ".join(missing) + ".",
        "composition.relations": "",
        "composition.splits": "No split is made. Nested subsets: " + "; ".join(splits) + "." if splits else "",
        "composition.errors": _errors(release),
        "composition.self_contained": "The pictures are in the tars; URLs only say where they came from.",
    }


_OPTIONAL: Mapping[str, str] = {"url": "URL", "caption": "caption"}


def _labels(release: Release) -> str:
    classes = [f"{each.value} {each.images:,}" for each in release.totals.values.get("text_class", ()) if each.value]
    if not classes:
        return ""
    kinds = [f"{each.value} {each.images:,}" for each in release.totals.values.get("text_kind", ()) if each.value]
    kind = f" Kinds, by a network: {', '.join(kinds)}." if kinds else ""
    return f"How rich in text each picture is, by networks and a text engine: {', '.join(classes)}.{kind}"


def _errors(release: Release) -> str:
    damaged = release.manifest.counts.get("status", {}).get("truncated", 0)
    copies = sum(
        count for row in release.funnel for name, count in row.reasons.items() if name.startswith("duplicate:")
    )
    found = [f"{damaged:,} pictures are damaged or incomplete, as far as their decoder notices."]
    if any(row.stage == Stage.DEDUPE for row in release.funnel):
        found.append(f"Copies were looked for, and {copies:,} were left out; some may remain.")
    return " ".join(found)


def _making(release: Release) -> dict[str, str]:
    steps = [f"{row.stage}: {row.came_in:,} in, {row.went_on:,} on" for row in release.funnel]
    named = ", ".join(f"{name} {version}" for name, version in sorted(release.software.items()))
    domains = release.totals.domains
    return {
        "collection.acquired": f"From the web, from {domains:,} registered domains; see domains.parquet."
        if domains
        else "",
        "collection.sampling": "By rules, not by chance; README.md counts what each stage left out, and says why.",
        "preprocessing.done": f"{'; '.join(steps)}. Pictures that were made smaller have a shard_sha256: "
        f"{'some' if release.manifest.config.get('resize') else 'none'}."
        if steps
        else "",
        "preprocessing.software": f"Made with {named}; the manifests record versions and settings." if named else "",
    }


def _keeping(release: Release) -> dict[str, str]:
    taken_down = len(release.manifest.taken_down)
    removed = f" {taken_down:,} hashes of what was taken down are kept." if taken_down else ""
    versions = ""
    if release.previous is not None:
        versions = f"This is {release.version}, after {release.previous.version}."
        versions += " patch/ has the rows that differ." if release.has_patch else ""
    return {
        "distribution.how": f"As {len(release.tars):,} webdataset tars, with checksums.",
        "distribution.when": release.date,
        "maintenance.versions": versions,
        "maintenance.removal": "`curate takedown` removes a picture with its copies, and keeps hashes so that it "
        f"does not return; `curate purge` takes it out of the tars.{removed}",
    }
