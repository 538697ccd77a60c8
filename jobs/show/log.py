"""What `curate log` prints: manifests below each other, the youngest first, parents of a merge as a tree."""

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.show.answers import _print_json
from jobs.show.look import settings_line, visible


def print_history(found: Mapping[str, Any], *, oneline: bool, as_json: bool) -> None:
    """Print a lineage, the youngest manifest first, and the sources in the end."""
    if as_json:
        _print_json(found)
        return
    known = {each["uri"]: each for each in found["manifests"]}
    told: set[str] = set()
    for line in _history_lines(found["manifests"][0], known, told, "", oneline=oneline):
        print(line.rstrip())
    for each in found["sources"]:
        print(_sources_line(each))
        for uri, why in each["left_out"].items():
            print(visible(f"  left out: {uri}: {why}"))


def _history_lines(
    here: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], told: set[str], indent: str, *, oneline: bool
) -> Iterator[str]:
    """Yield the lines of a manifest and of all before it; what was told before is only named."""
    if here["uri"] in told:
        yield f"{indent}{here['made_by']}  {visible(here['uri'])}  (told above)"
        return
    told.add(here["uri"])
    yield from (indent + line for line in (_short_lines(here) if oneline else _step_lines(here)))
    rows = [parent for parent in here["parents"] if parent["role"] == "rows"]
    for place, parent in enumerate(rows):
        branch = indent + ("│ " if place < len(rows) - 1 else "  ") if len(rows) > 1 else indent
        if len(rows) > 1:
            yield f"{indent}{'├' if place < len(rows) - 1 else '└'}─ parent {place + 1} of {len(rows)}"
        if parent["found_at"] in known:
            yield from _history_lines(known[parent["found_at"]], known, told, branch, oneline=oneline)
        else:
            yield branch + _absent(parent)
    for row in here["before"]:
        yield f"{indent}{row['stage']}: {_went(row)}; counts alone are left"


def _short_lines(here: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{here['made_by']:<8}  {here['created'][:16].replace('T', ' ')}  {_went(here, with_reasons=False)}  "
        f"{here['digest'][:8]}  {visible(here['uri'])}"
    )
    yield from (f"  {_other(parent)}" for parent in here["parents"] if parent["role"] != "rows")


def _step_lines(here: Mapping[str, Any]) -> Iterator[str]:
    made = here["made_by"] if here["made_by"] == here["stage"] else f"{here['made_by']} (stage {here['stage']})"
    yield f"{made}  {here['created']}"
    yield f"  at        {visible(here['uri'])}"
    yield f"  digest    {here['digest']}"
    yield f"  rows      {_went(here)}"
    if here["rows"] != here["went_on"]:
        yield f"            {here['rows']:,} rows in the manifest"
    yield f"  settings  {settings_line(here['changed']) if here['changed'] else 'the defaults'}"
    if here["software"] and here["made_by"] == here["stage"]:  # else it is the parent's
        yield f"  software  {visible(', '.join(f'{name} {version}' for name, version in here['software'].items()))}"
    for parent in here["parents"]:
        if parent["role"] != "rows":
            yield f"  {_other(parent)}"
        elif parent["state"] == "moved":
            yield f"  moved     its parent was at {visible(parent['uri'])}"
    yield ""


def _went(row: Mapping[str, Any], *, with_reasons: bool = True) -> str:
    added = f" + {row['added']:,}" if row["added"] else ""
    why = ", ".join(
        f"{name} {n:,}" for name, n in sorted(row["reasons"].items(), key=lambda each: (-each[1], each[0]))
    )
    left = f", {row['left']:,} left ({visible(why)})" if row["left"] and with_reasons else ""
    return f"{row['came_in']:,}{added} in{left}, {row['went_on']:,} on"


def _other(parent: Mapping[str, Any]) -> str:
    """Return a line on a set that duplicates were looked for in."""
    role, _, name = parent["role"].partition(":")
    is_there = parent["found_at"] is not None
    at = f"{parent['found_at']} ({parent['digest'][:8]})" if is_there else _absent(parent)
    return visible(f"{role} {name}: {at}")


def _absent(parent: Mapping[str, Any]) -> str:
    """Return what is known of a parent that is not where it was, or not what it was."""
    known = f"{parent['uri']} ({parent['stage']}, digest {parent['digest'][:8]}…)"
    if parent["state"] == "changed":
        return visible(f"{known} is not there any more: {parent['why']}")
    return visible(f"{known} is gone: {parent['why']}")


def _sources_line(each: Mapping[str, Any]) -> str:
    roots = ", ".join(map(visible, each["roots"])) or "unknown places"
    if each["tars"] is None:
        return f"sources: under {roots}; how many is told by the scan alone, which is not there"
    counts = [
        f"{each[kind]:,} {kind[: -1 if each[kind] == 1 else None]}" for kind in ("tars", "folders") if each[kind]
    ]
    return f"sources: {' and '.join(counts) or 'none'} under {roots}"
