"""Verdicts on rows: first the rules, then the target's selection among the rows that meet them."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.choosing.conditions import Rules
from curation.choosing.rules import DROP_TARGET, apply_rules, columns_read
from curation.choosing.selection import Selection, histogram, score_digits, with_hashes
from manifests.format.schema import COLUMNS, Stage

COUNT_SCHEMA = pa.schema([("digit", pa.int64()), ("rows", pa.int64())])
KEPT_BYTES = "kept_image_bytes"
KEY_SCHEMA = pa.schema([("key", pa.string())])
Counted = Callable[[pa.Table], pa.Table]
"""What is found in the columns of a batch of rows, as a table with one of the schemas above."""


class Chooser:
    """Adds the columns of the choose stage to a table of scored rows."""

    def __init__(self, rules: Rules, selection: Selection, salt: str) -> None:
        self.rules = rules
        self.selection = selection
        self.salt = salt

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return `table` with `text_class`, `keep` and `drop_reason`."""
        classes, reasons = apply_rules(table, self.rules)
        if self.selection.digits:
            passing = np.flatnonzero(pc.is_null(reasons).to_numpy(zero_copy_only=False))
            missed = np.zeros(table.num_rows, np.bool_)
            missed[passing] = ~self._selected(
                table.select(["key", "text_score"]).take(pa.array(passing)), self.selection.digits[0]
            )
            reasons = pc.if_else(pa.array(missed), DROP_TARGET, reasons)
        added = {"text_class": classes, "keep": pc.is_null(reasons), "drop_reason": reasons}
        for field in COLUMNS[Stage.CHOOSE]:
            table = table.append_column(field, pc.cast(added[field.name], field.type))
        return table

    def _selected(self, rows: pa.Table, last: int) -> npt.NDArray[np.bool_]:
        """Return which of `rows` are selected; `last` is the first digit of the last one.

        Keys are hashed only where the score leaves it open.
        """
        places = score_digits(rows.column("text_score"))
        selected = places < last
        tied = np.flatnonzero(places == last)
        keys = rows.column("key").take(pa.array(tied)).to_pylist()
        selected[tied] = self.selection.takes(with_hashes(places[tied], keys, self.salt), keys)
        return selected


def _candidates(table: pa.Table, rules: Rules) -> pa.Table:
    """Return key and score of the rows that meet the rules."""
    _, reasons = apply_rules(table, rules)
    return table.select(["key", "text_score"]).filter(pc.is_null(reasons))


def columns_counted(rules: Rules) -> list[str]:
    """Return the columns that `count_places` and `keys_at` read."""
    return list(dict.fromkeys(["key", "text_score", *columns_read(rules)]))


def count_places(table: pa.Table, *, rules: Rules, salt: str, prefix: Sequence[int]) -> pa.Table:
    """Return `selection.histogram` of the rows in `table` that meet the rules."""
    rows = _candidates(table, rules)
    places = score_digits(rows.column("text_score"))
    if not prefix:
        return histogram(places[:, None], prefix)
    tied = places == prefix[0]
    return histogram(with_hashes(places[tied], _keys(rows, tied), salt), prefix)


def keys_at(table: pa.Table, *, rules: Rules, salt: str, digits: Sequence[int]) -> pa.Table:
    """Return a table (key) of the rows that meet the rules and have exactly these first `digits`."""
    rows = _candidates(table, rules)
    places = score_digits(rows.column("text_score"))
    tied = places == digits[0]
    keys = _keys(rows, tied)
    inside = (with_hashes(places[tied], keys, salt)[:, : len(digits)] == np.array(digits, np.int64)).all(axis=1)
    return pa.table({"key": pa.array([k for k, is_in in zip(keys, inside, strict=True) if is_in], pa.string())})


def _keys(rows: pa.Table, wanted: npt.NDArray[np.bool_]) -> list[str]:
    keys: list[str] = rows.column("key").filter(pa.array(wanted)).to_pylist()
    return keys


def kept_bytes(table: pa.Table) -> dict[str, int]:
    """Return the total size of the images that are kept, which the plan of shards needs."""
    total = pc.sum(table.filter(table.column("keep")).column("size")).as_py()
    return {KEPT_BYTES: total or 0}
