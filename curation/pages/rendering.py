"""HTML from templates: everything is escaped, and a page allows its own style, script and pictures, nothing else."""

import base64
import functools
import hashlib
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

COLOURS = "colours.css"
GENERATOR = '<meta name="generator" content="curate report">'
"""What every page of a report has, and no other page."""
MAX_TEXT = 240


def render(template: str, **values: Any) -> bytes:
    """Return the page that `template` makes of `values`, as UTF-8.

    The page's Content-Security-Policy names the hashes of its style and script: no other code runs in it, and it asks
    for nothing but pictures beside it. Texts in `values` are escaped, and shown as far as they can be read.
    """
    return framed(template, "page", pictures="'self' data:", **values).encode("utf-8", "replace")


def framed(template: str, look: str, *, pictures: str, **values: Any) -> str:
    """Return the text that `template` makes of `values`, with the style sheet and the script named `look`.

    `pictures`: from where the policy allows pictures.
    """
    style, script = resource(COLOURS) + resource(f"{look}.css"), resource(f"{look}.js")
    policy = _policy(style, script, pictures)
    made = environment().get_template(template)
    ours = {"style": Markup(style), "script": Markup(script), "generator": Markup(GENERATOR)}  # noqa: S704 - of ours
    return made.render(**ours, policy=policy, **values)


@functools.cache
def environment() -> jinja2.Environment:
    """Return the templates, with escaping on and unknown names refused."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(resource),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"shown": shown, "count": count, "percent": percent}
    return made


@functools.cache
def resource(name: str) -> str:
    """Return the text of the file `name` beside this module."""
    return resources.files("curation.pages").joinpath(name).read_text("utf-8")


def shown(text: object) -> str:
    """Return a text of strangers as one short line without control characters; the template escapes it later."""
    line = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


def count(number: int) -> str:
    """Return a number with commas between thousands."""
    return f"{number:,}"


def percent(share: float) -> str:
    """Return a share as a percentage with as many decimals as it needs to be told from 0 and 100 %."""
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    for decimals in (1, 2, 3):
        text = f"{100 * share:.{decimals}f}"
        if 0 < float(text) < 100:
            return f"{text} %"
    return "> 99.999 %" if share > 0.5 else "< 0.001 %"


def _policy(style: str, script: str, pictures: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"img-src {pictures}",
            f"style-src '{_source_hash(style)}'",
            f"script-src '{_source_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _source_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
