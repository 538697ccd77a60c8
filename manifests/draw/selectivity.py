"""What a condition leaves of the rows that it is asked about, and of which of them it could not tell.

A cheap step of `score` settles most pictures. The columns of later steps are then null, or count no more than the one
line that proves a picture readable. A condition on them says less than it seems to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from manifests.draw.sampling import Draw
from manifests.format.schema import COLUMNS, Stage
from manifests.format.store import Manifest
from manifests.sql.engine import Engine, quoted
from manifests.sql.expressions import columns_in

_OF_PICTURES = "format mode width height frames orientation pdq pdq_quality text_presence text_density text_kinds"
_MEASURED = {*_OF_PICTURES.split(), *(field.name for field in COLUMNS[Stage.SCORE])}
_OF_LINES = ("text_lines", "text_chars", "text_confidence")
_UNREAD = "text_step IN ('detect_small', 'detect_large')"


@dataclass(frozen=True, kw_only=True)
class Selectivity:
    """How many rows a condition was asked about, and for how many of them it is true.

    `unmeasured`: column → rows in which it was not measured, so that the condition is neither true nor false.
    `one_line`: column → rows in which it counts one line alone, because the picture was settled before reading.
    """

    asked: int
    met: int
    unmeasured: Mapping[str, int]
    one_line: Mapping[str, int]


def selectivity(manifest: Manifest, where: str, among: str, engine: Engine) -> Selectivity:
    """Return what `where`, a checked condition, leaves of the rows of `manifest` that meet the condition `among`."""
    names = columns_in(where, manifest.schema.names)
    measured = [name for name in names if name in _MEASURED]
    of_lines = [name for name in names if name in _OF_LINES]
    conditions = {"met": f"({where})"}
    conditions |= {f"null_{name}": f"({where}) IS NULL AND {quoted(name)} IS NULL" for name in measured}
    conditions |= {f"line_{name}": f"{_UNREAD} AND {quoted(name)} IS NOT NULL" for name in of_lines}
    columns = {name: f"CASE WHEN {sql} THEN 1 ELSE 0 END" for name, sql in conditions.items()}
    engine.view("asked", manifest, columns, where=among)
    sums = ", ".join(f"CAST(coalesce(sum({name}), 0) AS BIGINT) AS {name}" for name in columns)
    (found,) = engine.fetch(f"SELECT count(*) AS asked, {sums} FROM asked").to_pylist()
    return Selectivity(
        asked=found["asked"],
        met=found["met"],
        unmeasured={name: rows for name in measured if (rows := found[f"null_{name}"])},
        one_line={name: rows for name in of_lines if (rows := found[f"line_{name}"])},
    )


def remarks(manifest: Manifest, draw: Draw, rows: int, engine: Engine) -> list[str]:
    """Return what a person should know about a draw of `rows` rows: a condition that cannot tell, or leaves no row.

    `draw` is settled, see `Draw.settled`.
    """
    if draw.where is None:
        return (
            [f"no row was drawn from the {f'{draw.among} rows' if draw.among else 'rows'} of {manifest.uri}"]
            if rows == 0
            else []
        )
    among = " AND ".join(replace(draw, where=None).conditions) or "true"
    found = selectivity(manifest, draw.where, among, engine)
    asked = _rows(found.asked, draw)
    said = [
        f"--where: {name} was not measured for {missing:,} of {asked}, which are left out"
        for name, missing in found.unmeasured.items()
    ]
    said += [
        f"--where: {name} counts one line alone in {few:,} of {asked}, which were settled before reading (their "
        "text_step is not read); text_score compares all of them"
        for name, few in found.one_line.items()
    ]
    if rows == 0:
        of_all = ""
        if draw.among is not None:
            whole = selectivity(manifest, draw.where, "true", engine)
            of_all = f", and for {whole.met:,} of all {whole.asked:,}, which --from all draws from"
        said.append(f"no row was drawn: --where is true for {found.met:,} of {asked}{of_all}")
    return said


def _rows(count: int, draw: Draw) -> str:
    return f"{count:,} {_named(draw)}"


def _named(draw: Draw) -> str:
    return f"{draw.among} rows" if draw.among else "rows"
