"""Explains rows: where each came from, what was measured, what became of it, and why."""

from jobs.commands.named_rows import split_names
from jobs.commands.shared import end_with_problems
from jobs.operations.explain import explain_rows
from jobs.operations.explain_pictures import write_pictures
from jobs.show.explain import print_explanations
from jobs.units.output_place import require_folder
from manifests import storage
from manifests.format.families import youngest_in


def explain(
    manifest: str, texts: tuple[str, ...], limit: int, compared: bool, images: str | None, as_json: bool
) -> None:
    """Print what is known about the rows that are named. Exits with 1 when one is missing or ambiguous."""
    if images is not None:
        require_folder(storage.absolute(images))
    opened = youngest_in(manifest)
    names = split_names(texts, where=opened.uri)
    found = explain_rows(opened, names.typed, listed=names.listed, limit=limit, compared=compared)
    if found.explanations or as_json:
        print_explanations(found.explanations, as_json=as_json)
    problems = [] if images is None else write_pictures(found.explanations, opened, storage.absolute(images))
    end_with_problems([*problems, *found.problems])
