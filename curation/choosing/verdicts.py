"""Verdicts on rows: first the rules, then the target's selection among the rows that meet them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.choosing.rules import DROP_TARGET, Rules, apply_rules, columns_read
from curation.choosing.selection import Selection, histogram, order_digits
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
        classes, reasons = apply_rules(table, self.rules)
        passing = pc.is_null(reasons).to_numpy(zero_copy_only=False)
        missed = np.zeros(table.num_rows, np.bool_)
        if self.selection.digits is not None:
            candidates = np.flatnonzero(passing)
            keys, scores = _keys_and_scores(table, candidates)
            missed[candidates] = ~self.selection.takes(order_digits(keys, scores, self.salt), keys)
        reasons = pc.if_else(pa.array(missed), DROP_TARGET, reasons)
        added = {"text_class": classes, "keep": pc.is_null(reasons), "drop_reason": reasons}
        for field in COLUMNS[Stage.CHOOSE]:
            table = table.append_column(field, pc.cast(added[field.name], field.type))
        return table


def _keys_and_scores(table: pa.Table, places: np.ndarray) -> tuple[list[str], list[float | None]]:
    picked = table.select(["key", "text_score"]).take(pa.array(places, pa.int64()))
    return picked.column("key").to_pylist(), picked.column("text_score").to_pylist()


def _candidates(table: pa.Table, rules: Rules) -> tuple[list[str], list[float | None]]:
    _, reasons = apply_rules(table, rules)
    return _keys_and_scores(table, np.flatnonzero(pc.is_null(reasons).to_numpy(zero_copy_only=False)))


def columns_counted(rules: Rules) -> list[str]:
    """Return the columns that `count_places` and `keys_at` read."""
    return list(dict.fromkeys(["key", "text_score", *columns_read(rules)]))


def count_places(table: pa.Table, *, rules: Rules, salt: str, prefix: Sequence[int]) -> pa.Table:
    """Return `selection.histogram` of the rows in `table` that meet the rules."""
    keys, scores = _candidates(table, rules)
    return histogram(order_digits(keys, scores, salt), prefix)


def keys_at(table: pa.Table, *, rules: Rules, salt: str, digits: Sequence[int]) -> pa.Table:
    """Return a table (key) of the rows that meet the rules and have exactly these first `digits`."""
    keys, scores = _candidates(table, rules)
    inside = (order_digits(keys, scores, salt)[:, : len(digits)] == np.array(digits, np.int64)).all(axis=1)
    return pa.table({"key": pa.array([k for k, is_in in zip(keys, inside, strict=True) if is_in], pa.string())})


def kept_bytes(table: pa.Table) -> dict[str, int]:
    """Return the total size of the images that are kept, which the plan of shards needs."""
    total = pc.sum(table.filter(table.column("keep")).column("size")).as_py()
    return {KEPT_BYTES: total or 0}
