"""Boosted trees: the model that decides last whether a picture is a chart, table or document.

A linear model cannot say that large letters count against a picture unless it has the colours of a page. Trees can.
They are learned by LightGBM (scripts/text_net/fit.py), and evaluated here in plain Python, so that the same numbers
come out everywhere.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

Node = float | Sequence[Any]
"""A leaf's value, or [number of a feature, threshold, node up to the threshold, node above it]."""

FILE = "text_trees.json"


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Trees and how they are weighed: `bias` + `scale` × (sum of the trees + `linear` × the linear model's log-odds).

    `names`: the features, by their number in the nodes.
    """

    names: Sequence[str]
    trees: Sequence[Node]
    bias: float
    scale: float
    linear: float

    def log_odds(self, features: Mapping[str, float], linear: float) -> float:
        """Return the log-odds for these `features` and the log-odds that the linear model gives."""
        values = [features[name] for name in self.names]
        return self.bias + self.scale * (sum(_leaf(tree, values) for tree in self.trees) + self.linear * linear)


def _leaf(node: Node, values: Sequence[float]) -> float:
    while not isinstance(node, float):
        number, threshold, low, high = node
        node = low if values[number] <= threshold else high
    return node


@lru_cache(maxsize=1)
def heavy_trees() -> Trees:
    """Return the trees that ship with the project."""
    return Trees(**json.loads(trees_file()))


def trees_file() -> bytes:
    """Return the stored trees."""
    return resources.files("curation.text").joinpath(FILE).read_bytes()
