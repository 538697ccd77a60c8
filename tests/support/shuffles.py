"""Which columns and how many rows Spark has shuffled, from the plans that it has executed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import SparkSession

_SHUFFLE = re.compile(r"ShuffleQueryStage \(\d+\), Statistics\(.*?rowCount=([\d.E+]+)\)\n\W*Exchange \((\d+)\)\n")


@dataclass(frozen=True, kw_only=True)
class Shuffle:
    """One exchange of a plan: the names of its columns, and how many rows it moved, to three digits."""

    columns: frozenset[str]
    rows: int


@contextmanager
def shuffles(spark: SparkSession) -> Iterator[list[Shuffle]]:
    """Yield a list that has, at the end, every shuffle of the queries that ran meanwhile, in their order."""
    store = spark._jsparkSession.sharedState().statusStore()
    found: list[Shuffle] = []
    before = {each.executionId() for each in _executions(store)}
    yield found
    for each in _executions(store):
        if each.executionId() not in before:
            found += _shuffles_of(each.physicalPlanDescription())


def _executions(store):
    all_of_them = store.executionsList()
    return [all_of_them.apply(place) for place in range(all_of_them.size())]


def _shuffles_of(plan: str) -> Iterator[Shuffle]:
    final = plan.partition("== Initial Plan ==")[0]
    for rows, node in _SHUFFLE.findall(final):
        (columns,) = re.findall(rf"^\({node}\) Exchange\nInput \[\d+\]: \[(.*)\]$", plan, re.MULTILINE)
        names = frozenset(re.sub(r"#\d+L?$", "", name) for name in columns.split(", "))
        yield Shuffle(columns=names, rows=round(float(rows)))
