"""Versions by Croissant's rule."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.release.versions import FIRST, Bump, Version, changes_between
from manifests.compare.changes import Tally

READ = ("key", "caption", "sha256")
counts = st.integers(0, 5)


def tally(*, removed=0, added=0, moved=0, **columns):
    changed = max(columns.values(), default=0)
    reasons = {"removed": removed, "added": added, "moved": moved, "changed": changed}
    return Tally(reasons={k: Counter(x=n) for k, n in reasons.items() if n}, columns=Counter(columns))


def bump(found, before=READ, after=READ, *, is_repacked=False):
    return changes_between(found, before, after, is_repacked=is_repacked).bump


def test_each_kind_of_change_has_its_version():
    assert bump(tally()) is Bump.NONE
    assert bump(tally(), is_repacked=True) is Bump.PATCH
    assert bump(tally(moved=3)) is Bump.PATCH
    assert bump(tally(cluster_id=3)) is Bump.PATCH
    assert bump(tally(added=1, moved=9)) is Bump.MINOR
    assert bump(tally(), after=(*READ, "text_kind")) is Bump.MINOR
    assert bump(tally(removed=1, added=9)) is Bump.MAJOR
    assert bump(tally(caption=1)) is Bump.MAJOR
    assert bump(tally(), after=READ[:2]) is Bump.MAJOR


def test_a_column_that_readers_do_not_get_is_repacking_and_counted_as_such():
    found = changes_between(tally(moved=2, cluster_id=3), READ, READ, is_repacked=True)
    assert (found.repacked, found.changed) == (5, {})


@given(removed=counts, added=counts, moved=counts, caption=counts)
def test_what_is_gone_or_differs_outweighs_what_is_new_and_that_what_moved(removed, added, moved, caption):
    found = bump(tally(removed=removed, added=added, moved=moved, caption=caption))
    expected = Bump.MAJOR if removed or caption else Bump.MINOR if added else Bump.PATCH if moved else Bump.NONE
    assert found is expected


@given(st.tuples(counts, counts, counts))
def test_versions_only_grow_and_are_read_as_they_are_written(numbers):
    version = Version(*numbers)
    assert Version.parse(str(version)) == version
    assert version.after(Bump.NONE) == version < version.after(Bump.PATCH)
    assert version.after(Bump.PATCH) < version.after(Bump.MINOR) < version.after(Bump.MAJOR)


@pytest.mark.parametrize("text", ["", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.0-rc1", "1.0.0\n", "v1.0.0", "١.0.0"])
def test_other_texts_are_no_versions(text):
    with pytest.raises(ValueError, match=r"no version such as 1\.0\.0"):
        Version.parse(text)


def test_the_first_version_is_one():
    assert str(FIRST) == "1.0.0"
