"""Values in Markdown are shown, whatever they are: parsed by a CommonMark parser, they are their own text again."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markupsafe import Markup

from curation.release.markdown import MAX_CHARS, code, fenced, paragraphs, shown

PARSER = MarkdownIt("gfm-like", {"linkify": False})
HOSTILE = (
    "<script>alert(1)</script>",
    "![x](http://evil.example/a.png)",
    "[click](javascript:alert(1))",
    "| a | b |",
    "# heading",
    "- item",
    "1. item",
    "1) item",
    "+ item",
    "> quote",
    "```\ncode",
    "*bold* _under_ ~~gone~~ `code`",
    "www.evil.example https://evil.example/?a=b me@evil.example",
    "&lt;b&gt; &amp;",
    "---",
    "===",
    "<!-- comment",
    "a\x00b\x1b[31m\u202e",
)


def text_of(markdown: str) -> list[tuple[str, str]]:
    """Return the types of the inline tokens of a document, and their texts."""
    blocks = PARSER.parse(markdown)
    assert [block.type for block in blocks] in ([], ["paragraph_open", "inline", "paragraph_close"])
    return [(child.type, child.content) for block in blocks for child in (block.children or [])]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_strangers_wrote_is_text_in_a_line_and_in_a_table(text):
    found = text_of(shown(text))
    assert {kind for kind, _ in found} <= {"text", "text_special"}
    table = PARSER.render(f"| a |\n| --- |\n| {shown(text)} |\n")
    assert table.count("<td>") == 1
    assert "<script" not in table and "<img" not in table and "<a " not in table and "<code" not in table


@given(st.text())
def test_any_text_is_shown_as_it_is(text):
    expected = " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text).split())
    if len(expected) > MAX_CHARS:
        expected = expected[: MAX_CHARS - 1] + "…"
    found = text_of(shown(text))
    assert "".join(content for _, content in found) == expected
    assert {kind for kind, _ in found} <= {"text", "text_special"}
    assert html.unescape(str(shown(text))) == expected


@given(st.text())
def test_no_address_becomes_a_link(text):
    found = str(shown(f"{text} www.evil.example http://e.example/{text} me@evil.example"))
    assert not re.search(r"://|@|\w\.\w", found)  # what GitHub's Markdown makes links of


def test_markup_of_ours_goes_through_and_numbers_are_grouped():
    assert shown(Markup("**x**")) == "**x**"
    assert shown(1234567) == "1,234,567"
    assert shown("First sentence. Second: a (third) part - done?") == "First sentence. Second: a (third) part - done?"


def test_paragraphs_stay_paragraphs():
    assert paragraphs("one\ntwo\n\n\nthree <b>") == "one two\n\nthree &#60;b&#62;"


def test_code_cannot_end_its_block():
    assert code('a"\n```') == '"a\\"\\n```"'
    assert "```" not in fenced("@misc{x}\n```\n<script>")
