"""Markdown from templates, in which every value is shown as it is: no text of a stranger becomes markup.

Every ASCII character that could mean something in Markdown or HTML is written as a character reference, which
CommonMark shows and never interprets. So links, pictures, tags, mentions and bare addresses stay text. What we wrote
ourselves is marked as Markup and goes through unchanged.
"""

import json
import re
from typing import Any

import jinja2
from markupsafe import Markup

MAX_CHARS = 300
_MARKUP = re.compile(
    r"[!\"#$&'*+/<=>@\[\\\]^_`{|}~]"  # structure anywhere
    r"|[.:](?! |$)"  # within a word: an address
    r"|^(?:[-+]|\d+[.)])"  # at the beginning: a list
)


def shown(value: Any) -> Markup:
    """Return `value` as Markdown that shows it on one line: without control characters, cut after MAX_CHARS."""
    if isinstance(value, Markup):
        return value
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    text = " ".join(text[: 8 * MAX_CHARS].split())
    return _escaped(text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…")


def paragraphs(value: str) -> Markup:
    """Return a text of the publisher as Markdown that shows it, with its paragraphs and without a limit."""
    blocks = [" ".join(block.split()) for block in value.replace("\r\n", "\n").split("\n\n")]
    return Markup("\n\n").join(_escaped(block) for block in blocks if block)


def _escaped(text: str) -> Markup:
    printable = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return Markup(_MARKUP.sub(_references, printable))  # noqa: S704 - what could be markup is a reference


def _references(found: re.Match[str]) -> str:
    return "".join(f"&#{ord(character)};" for character in found[0])


def code(value: Any) -> Markup:
    """Return `value` as JSON on one line, which is also a literal of Python, for a block of code."""
    return Markup(json.dumps(value, ensure_ascii=True))  # noqa: S704 - quoted, without line breaks


def fenced(value: str) -> Markup:
    """Return a text of several lines for a block of code, which no line of it ends."""
    lines = (line.replace("```", "'''") for line in value.splitlines())
    return Markup("\n".join(lines))  # noqa: S704 - in a block of code


def human_bytes(size: float) -> Markup:
    """Return a size in bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return Markup(f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}")  # noqa: S704 - a number
        size /= 1000
    return Markup(f"{size:,.1f} TB")  # noqa: S704 - a number


def percent(part: float, whole: float) -> Markup:
    """Return a share in per cent, with one digit."""
    return Markup(f"{100 * part / whole:.1f} %" if whole else "–")  # noqa: S704 - a number


def render(template: str, **values: Any) -> bytes:
    """Return a file from a template of this package, with `values`."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("curation.release"),
        autoescape=False,  # noqa: S701 - HTML's escaping is not Markdown's; `finalize` escapes every value
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"code": code, "fenced": fenced, "human_bytes": human_bytes, "paragraphs": paragraphs}
    made.globals["percent"] = percent
    return made.get_template(template).render(**values).encode()
