"""The boosted trees: what they are stored as, and that more text never counts against a picture."""

import json

from hypothesis import given
from hypothesis import strategies as st

from curation.text.trees import Trees, heavy_trees, trees_file

GROWING = ("length", "boxes", "surest", "word", "second_word", "chars")


def test_a_tree_is_followed_to_its_leaf():
    tree = [0, 0.5, -1.0, [1, 2.0, 0.25, 4.0]]
    trees = Trees(names=["a", "b"], trees=[tree, 0.5], bias=0.1, scale=2.0, linear=0.5)
    assert trees.log_odds({"a": 0.5, "b": 9}, 0.0) == 0.1 + 2 * (-1.0 + 0.5)
    assert trees.log_odds({"a": 0.6, "b": 2}, 0.0) == 0.1 + 2 * (0.25 + 0.5)
    assert trees.log_odds({"a": 0.6, "b": 2.1}, 3.0) == 0.1 + 2 * (4.0 + 0.5 + 1.5)


values = st.lists(st.floats(-10, 10), min_size=len(heavy_trees().names), max_size=len(heavy_trees().names))


@given(values, st.sampled_from(GROWING), st.floats(0, 10))
def test_more_text_never_counts_against_a_picture(found: list[float], name: str, more: float):
    trees = heavy_trees()
    features = dict(zip(trees.names, found, strict=True))
    grown = {**features, name: features[name] + more}
    assert trees.log_odds(grown, 0.0) >= trees.log_odds(features, 0.0) - 1e-6


def test_the_shipped_trees_are_small_and_name_each_feature_once():
    names = json.loads(trees_file())["names"]
    assert len(names) == len(set(names))
    assert set(GROWING) <= set(names)
    assert len(trees_file()) < 100_000
