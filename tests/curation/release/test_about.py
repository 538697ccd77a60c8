"""The publisher's part of a release."""

import pytest

from curation.release.about import About, read_about
from curation.release.questions import QUESTIONS
from manifests.errors import InputError

GOOD = """\
name: charts-1
title: "Charts: the first"
license: cc-by-4.0
creators: [Ada, Grace]
keywords: charts
date: 2026-05-04
answers:
  motivation.purpose: To read charts.
"""
WRONG = {
    "name: 'a b'": "name",
    "nmae: x": "did you mean name",
    "license: 3": "license",
    "answers: {motivation.purpos: x}": "no question of the datasheet",
    "date: soon": "date",
    "- a": "not a YAML mapping",
    "a: [": "not YAML",
    "description: ''": "description",
    "x: !!python/object/apply:os.system ['true']": "not YAML",
}


def write(tmp_path, text):
    path = tmp_path / "about.yaml"
    path.write_text(text)
    return f"file://{path}"


def test_what_is_written_is_read(tmp_path):
    about = read_about(write(tmp_path, GOOD))
    assert (about.name, about.title, about.creators) == ("charts-1", "Charts: the first", ("Ada", "Grace"))
    assert (about.keywords, str(about.date)) == (("charts",), "2026-05-04")
    assert about.answers == {"motivation.purpose": "To read charts."}


def test_nothing_needs_to_be_written():
    assert read_about(None) == About()


@pytest.mark.parametrize(("text", "why"), WRONG.items())
def test_what_is_wrong_is_refused_and_named(tmp_path, text, why):
    with pytest.raises(InputError, match=why) as refused:
        read_about(write(tmp_path, text))
    assert "about.yaml" in str(refused.value)


def test_a_missing_or_endless_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_about(f"file://{tmp_path}/none.yaml")
    with pytest.raises(InputError, match="write a shorter file"):
        read_about(write(tmp_path, "# " + "x" * (1 << 20)))


def test_questions_have_names_of_their_own():
    names = [question.name for question in QUESTIONS]
    assert len(names) == len(set(names))
    assert all(name.split(".")[0] for name in names)
