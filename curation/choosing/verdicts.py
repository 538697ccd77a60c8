"""Verdicts on rows: rules first, then the target's cut among what the rules let through."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.choosing.rules import DROP_TARGET, Rules, judge
from curation.choosing.selection import Selection, histogram, ranks
from manifests.format.schema import COLUMNS, Stage

COUNT_SCHEMA = pa.schema([("digit", pa.int64()), ("rows", pa.int64())])
KEPT_BYTES = "kept_image_bytes"
KEY_SCHEMA = pa.schema([("key", pa.string())])


class Chooser:
    """Adds the columns of the choose stage to a table of scored rows."""

    def __init__(self, rules: Rules, selection: Selection, salt: str) -> None:
        self.rules = rules
        self.selection = selection
        self.salt = salt

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return `table` with `text_class`, `keep` and `drop_reason`."""
        classes, reasons = judge(table, self.rules)
        passing = pc.is_null(reasons).to_numpy(zero_copy_only=False)
        missed = np.zeros(table.num_rows, np.bool_)
        if self.selection.digits is not None:
            candidates = np.flatnonzero(passing)
            keys, scores = _keys_and_scores(table, candidates)
            missed[candidates] = ~self.selection.takes(ranks(keys, scores, self.salt), keys)
        reasons = pc.if_else(pa.array(missed), DROP_TARGET, reasons)
        added = {"text_class": classes, "keep": pc.is_null(reasons), "drop_reason": reasons}
        for field in COLUMNS[Stage.CHOOSE]:
            table = table.append_column(field, pc.cast(added[field.name], field.type))
        return table


def _keys_and_scores(table: pa.Table, places: np.ndarray) -> tuple[list[str], list[float | None]]:
    picked = table.select(["key", "text_score"]).take(pa.array(places, pa.int64()))
    return picked.column("key").to_pylist(), picked.column("text_score").to_pylist()


def _candidates(table: pa.Table, rules: Rules) -> tuple[list[str], list[float | None]]:
    _, reasons = judge(table, rules)
    return _keys_and_scores(table, np.flatnonzero(pc.is_null(reasons).to_numpy(zero_copy_only=False)))


def count_places(table: pa.Table, *, rules: Rules, salt: str, prefix: Sequence[int]) -> pa.Table:
    """Return (digit, rows) of the rows that the rules let through, inside `prefix`; see choosing.selection."""
    keys, scores = _candidates(table, rules)
    return histogram(ranks(keys, scores, salt), prefix)


def keys_at(table: pa.Table, *, rules: Rules, salt: str, digits: Sequence[int]) -> pa.Table:
    """Return the keys of the rows that the rules let through at exactly the place `digits`."""
    keys, scores = _candidates(table, rules)
    inside = (ranks(keys, scores, salt)[:, : len(digits)] == np.array(digits, np.int64)).all(axis=1)
    return pa.table({"key": pa.array([k for k, is_in in zip(keys, inside, strict=True) if is_in], pa.string())})


def kept_bytes(table: pa.Table) -> dict[str, int]:
    """Return the bytes of the images that chosen rows keep, which the shard plan needs."""
    total = pc.sum(table.filter(table.column("keep")).column("size")).as_py()
    return {KEPT_BYTES: total or 0}
