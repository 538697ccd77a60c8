"""Plots as SVG inside a page: drawn by Matplotlib, in the colours of the page, which the reader's theme decides."""

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

# Colours that stand for those of the style sheet: Matplotlib knows no variables.
_INK, _SOFT = "#010203", "#020304"
_SERIES = ("#a10001", "#a20002", "#a30003", "#a40004", "#a50005", "#a60006", "#a70007", "#a80008")
_VARIABLES = {
    _INK: "var(--ink)", _SOFT: "var(--soft)", **{colour: f"var(--series-{i})" for i, colour in enumerate(_SERIES)}
}  # fmt: skip
_STYLE_ATTRIBUTE = re.compile(r' style="([^"]*)"')
_SIZE = re.compile(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"|(<svg [^>]*?)height="[^"]*" width="[^"]*"')
LEFT, RIGHT = 0.09, 0.985  # where the axes begin and end, as shares of a plot's width
INCHES = 9
BELOW, ABOVE = 0.5, 0.3  # inches that labels need
POINTS = 72 * INCHES


def histogram(  # noqa: PLR0913 - what a plot consists of
    edges: NDArray[np.float64],
    series: Mapping[str, NDArray[Any]],
    *,
    xlabel: str,
    described: str,
    ylabel: str = "images",
    is_log_x: bool = False,
    marked: float | None = None,
) -> Markup:
    """Return stacked bars: `series` are name → counts, (bins,), between the `edges`, (bins + 1,).

    `marked`: where on the x axis a line is, of class `bound`, that a script may move.
    """
    from matplotlib.ticker import NullLocator  # noqa: PLC0415 - as in _figure

    figure, axes = _figure(2.6)
    below = np.zeros(len(edges) - 1)
    for colour, (name, counts) in zip(_colours(len(series)), series.items(), strict=True):
        axes.bar(edges[:-1], counts, np.diff(edges), below, align="edge", color=colour, label=name, linewidth=0)
        below = below + counts
    if is_log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:g}")
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(edges[0], edges[-1]))
    if below.max(initial=0) > 20 * max(1.0, float(np.median(below))):
        axes.set_yscale("symlog", linthresh=max(1.0, float(below.max()) / 100))
    if len(series) > 1:
        legend = {"loc": "lower left", "bbox_to_anchor": (0, 0.99), "borderaxespad": 0.2, "columnspacing": 1.2}
        axes.legend(frameon=False, labelcolor=_INK, fontsize=8, ncols=len(series), handlelength=1, **legend)
    drawn = _svg(figure, described)
    return drawn if marked is None else _with_line(drawn, (marked - edges[0]) / (edges[-1] - edges[0]), 2.6)


def scatter_of_sizes(widths: NDArray[Any], heights: NDArray[Any], counts: NDArray[Any], *, described: str) -> Markup:
    """Return squares at `widths` and `heights` in pixels, (n,), each with an area that grows with its count."""
    figure, axes = _figure(3.4)
    if len(counts):
        axes.scatter(widths, heights, s=6 + 120 * np.sqrt(counts / counts.max()), color=_SERIES[0], alpha=0.45, lw=0)
    axes.set(xlabel="width, pixels", ylabel="height, pixels", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return _svg(figure, described)


def _with_line(svg: Markup, share: float, height: float) -> Markup:
    left, width = LEFT * POINTS, (RIGHT - LEFT) * POINTS
    x = left + share * width
    line = Markup(
        '<line class="bound" x1="{0:.2f}" x2="{0:.2f}" y1="{3:.2f}" y2="{4:.2f}" data-left="{1:.2f}" '
        'data-width="{2:.2f}"/></svg>'
    ).format(x, left, width, 72 * ABOVE, 72 * (height - BELOW))
    return Markup(svg.rstrip().removesuffix("</svg>")) + line  # noqa: S704 - drawn here


def _colours(number: int) -> Sequence[str]:
    return [_SERIES[place % len(_SERIES)] for place in range(number)]


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to import: only when drawn

    figure = Figure(figsize=(INCHES, height))
    axes = figure.add_axes((LEFT, BELOW / height, RIGHT - LEFT, 1 - (BELOW + ABOVE) / height))
    axes.tick_params(which="both", colors=_SOFT, labelsize=8)
    for spine in axes.spines.values():
        spine.set_color(_SOFT)
    for each in ("top", "right"):
        axes.spines[each].set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(_SOFT)
        axis.label.set_fontsize(8)
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    return figure, axes


def _svg(figure: Any, described: str) -> Markup:
    """Return the figure as an element of a page; what it shows is `described` to those who cannot see it."""
    import matplotlib as mpl  # noqa: PLC0415 - as above

    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "curate", "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style .*?</style>", "", text, flags=re.DOTALL)
    # A page whose policy allows only its own style sheet ignores style attributes, and takes these.
    text = _STYLE_ATTRIBUTE.sub(lambda found: _as_attributes(found[1]), text)
    text = _SIZE.sub(lambda found: found[1] or found[2], text, count=1)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    label = Markup('<svg role="img" aria-label="{}" class="plot" ').format(described)
    return Markup(_own_ids(text).replace("<svg ", label, 1))  # noqa: S704 - Matplotlib escapes texts


def _as_attributes(style: str) -> str:
    pairs = (pair.partition(":") for pair in style.split(";") if pair.strip())
    attributes = {name.strip(): value.strip() for name, _, value in pairs}
    if font := attributes.pop("font", None):  # "8px 'DejaVu Sans', sans-serif"
        attributes["font-size"] = font.split(" ")[0]
    for name in ("font-family", "line-height"):
        attributes.pop(name, None)
    return "".join(f' {name}="{value.replace(chr(34), "")}"' for name, value in attributes.items())


def _own_ids(text: str) -> str:
    """Return the SVG with only the ids that it refers to, which no other plot of a page has."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r' id="([^"]*)"', lambda found: f' id="{mark}-{found[1]}"' if found[1] in used else "", text)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{mark}-", text)
