"""Pictures of what was found on the pictures of the web: the curve, and sheets of the mistakes to look at."""

import csv
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from benchmarks.text.wild import FALSE, RECALL, Judged, false_heavy, missed, precision

COLUMNS, ROWS = 6, 8
PICTURE_PIXELS, MARGIN_PIXELS, FONT_PIXELS, LINE_PIXELS = 200, 8, 12, 15
CAPTION_LINES = 3
LEAST_FALSE = 0.1  # per 1,000: where the axis begins


def draw_curve(found: Mapping[str, Any], path: Path) -> None:
    """Draw recall over the false per 1,000, and precision over recall, with the shipped threshold marked."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to import: only when drawn

    points, shipped = found["curve"]["points"], found["at_thresholds"]
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    recall, false = ([point[number] for point in points] for number in (1, 2))
    left.plot([max(f, LEAST_FALSE) for f in false], recall, drawstyle="steps-post")
    at_recall, at_false = shipped[RECALL]["share"], shipped[FALSE]["share"]
    left.plot(max(1_000 * at_false, LEAST_FALSE), at_recall, "o")
    left.set(
        xscale="log", xlabel="heavy of 1,000 that are not rich", ylabel="recall of rich", xlim=(LEAST_FALSE, 1_000),
        ylim=(0, 1.02), title="recall over false heavy (dot: as shipped)",
    )  # fmt: skip
    reached = [(r, precision(r, f / 1_000)) for r, f in zip(recall, false, strict=True) if r + f > 0]
    right.plot([r for r, _ in reached], [p for _, p in reached])
    if at_recall + at_false > 0:
        right.plot(at_recall, precision(at_recall, at_false), "o")
    right.set(
        xlabel="recall of rich", ylabel="precision where 1.3 % are rich", xlim=(0, 1.01), ylim=(0, 1.02),
        title="precision over recall (dot: as shipped)",
    )  # fmt: skip
    for axes in (left, right):
        axes.grid(alpha=0.3)
    note = "; fitted to these pictures, so optimistic" if found["is_fitted"] else ""
    figure.suptitle(f"{found['counts']['judged']:,} pictures of {found['sources']} sources{note}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def draw_sheets(pictures: Sequence[Judged], wild: Path, out: Path) -> dict[str, int]:
    """Draw the mistakes into `out`, the worst first, and return how many each sheet has.

    Pictures whose label has a question mark have sheets of their own: some of them are no mistakes. Beside them lies
    looked.csv, to fill in after looking.
    """
    out.mkdir(parents=True, exist_ok=True)
    sheets = {
        "false-heavy": false_heavy(pictures, "not"),
        "unsure-heavy": false_heavy(pictures, "not?"),
        "missed-rich": missed(pictures, "rich"),
        "unsure-missed": missed(pictures, "rich?"),
    }
    for name, mine in sheets.items():
        for old in out.glob(f"{name}-*.png"):
            old.unlink()
        a_sheet = COLUMNS * ROWS
        for number, first in enumerate(range(0, len(mine), a_sheet), start=1):
            draw_sheet(mine[first : first + a_sheet], wild, out / f"{name}-{number}.png")
    with (out / "looked.csv").open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(("key", "is_rich"))
        writer.writerows((p.key, "") for name in ("unsure-heavy", "unsure-missed") for p in sheets[name])
    return {name: len(mine) for name, mine in sheets.items()}


def draw_sheet(pictures: Sequence[Judged], wild: Path, path: Path) -> None:
    """Draw `pictures` in rows into the file at `path`, below each its key, score and step, kind and source."""
    font = ImageFont.load_default(FONT_PIXELS)
    cell = PICTURE_PIXELS + MARGIN_PIXELS, PICTURE_PIXELS + MARGIN_PIXELS + CAPTION_LINES * LINE_PIXELS
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * cell[0] + MARGIN_PIXELS, rows * cell[1] + MARGIN_PIXELS), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (picture, data) in enumerate(zip(pictures, _stored(pictures, wild), strict=True)):
        left = MARGIN_PIXELS + place % COLUMNS * cell[0]
        top = MARGIN_PIXELS + place // COLUMNS * cell[1]
        with Image.open(io.BytesIO(data)) as stored:
            shown = stored.convert("RGB")
        shown.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
        sheet.paste(shown, (left, top))
        captions = (picture.key, f"{picture.score:.3f} {picture.step}", f"{picture.kind} {picture.repo}")
        for number, text in enumerate(captions):
            below = top + PICTURE_PIXELS + number * LINE_PIXELS
            draw.text((left, below), _cut(draw, text, font), "black", font)
    sheet.save(path)


def _cut(draw: ImageDraw.ImageDraw, text: str, font: Any) -> str:
    while draw.textlength(text, font) > PICTURE_PIXELS:
        text = text[:-1]
    return text


def _stored(pictures: Sequence[Judged], wild: Path) -> list[bytes]:
    """Return the bytes of the pictures, in their order."""
    found: dict[tuple[str, str], bytes] = {}
    for name in sorted({p.tar for p in pictures}):
        with tarfile.open(wild / name) as tar:
            for member in {p.member for p in pictures if p.tar == name}:
                file = tar.extractfile(member)
                assert file is not None
                found[name, member] = file.read()
    return [found[p.tar, p.member] for p in pictures]
