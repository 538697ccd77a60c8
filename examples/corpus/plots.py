"""Charts of many kinds, most of them with few labels: points, lines, bars, fields, rings and rows of small panels."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from examples.corpus.axes import Axes, make_axes, pick_curve, pick_ticks, write_legend
from examples.corpus.looks import (
    MARKERS,
    RAMPS,
    Look,
    Point,
    pick_look,
    put_arrow,
    put_dashes,
    put_marker,
    ramp_colours,
    smooth,
)
from examples.corpus.textures import Colour, Rng, make_canvas, make_noise, mix
from examples.corpus.words import pick_name, write_centred


def _line_marks(rng: Rng, axes: Axes) -> None:
    count, points = int(rng.choice([1, 1, 1, 2, 3, 5])), int(rng.choice([6, 12, 40, 150]))
    xs, width, manner = np.linspace(0.02, 0.98, points), int(rng.integers(1, 5)) * axes.look.px, rng.random()
    marker = str(rng.choice(MARKERS))
    for k in range(count):
        ys, colour = pick_curve(rng, points), axes.look.colour(k)
        path = axes.path(xs, ys)
        if rng.random() < 0.12:
            spread = rng.uniform(0.02, 0.1)
            band = axes.path(xs, ys - spread) + axes.path(xs, ys + spread)[::-1]
            axes.draw.polygon(band, fill=mix(colour, axes.look.ground, 0.75))
        if manner < 0.15:
            put_dashes(axes.draw, path, colour, width)
        else:
            axes.draw.line(path, fill=colour, width=width, joint="curve")
        if points <= 40 and manner > 0.6:
            for at in path:
                put_marker(axes.draw, marker, at, width * 2 + axes.look.px, colour)
    if count > 1 or rng.random() < 0.25:
        write_legend(rng, axes, count)
    if rng.random() < 0.2:
        at = path[int(rng.integers(points // 4, points - points // 4))]
        axes.draw.line((at[0], axes.box[1], at[0], axes.box[3]), fill=axes.look.pale(0.5), width=axes.look.px)
        text = pick_name(rng, axes.look.style.script, 1)
        axes.draw.text((at[0] + 6, axes.box[1] + 4), text, font=axes.look.style.font, fill=axes.look.ink)


def _scatter_marks(rng: Rng, axes: Axes) -> None:
    count, r = int(rng.integers(1, 5)), axes.look.px * float(rng.uniform(1.5, 6))
    slope = float(rng.uniform(-0.9, 0.9))
    for k in range(count):
        n, (cx, cy) = int(rng.choice([8, 25, 60, 200])), rng.uniform(0.3, 0.7, 2)
        xs = rng.normal(cx, rng.uniform(0.06, 0.2), n)
        ys = cy + (xs - cx) * slope + rng.normal(0, rng.uniform(0.02, 0.18), n)
        marker = MARKERS[int(rng.integers(0, len(MARKERS)))] if rng.random() < 0.5 else "disc"
        sizes = r * rng.uniform(0.4, 2.5, n) if rng.random() < 0.15 else np.full(n, r)
        for x, y, size in zip(np.clip(xs, 0.02, 0.98), np.clip(ys, 0.03, 0.97), sizes, strict=True):
            put_marker(axes.draw, marker, axes.at(x, y), float(size), axes.look.colour(k))
        if n < 12 and rng.random() < 0.5:
            for x, y in zip(xs, ys, strict=True):
                text, at = pick_name(rng, axes.look.style.script, 1)[:7], axes.at(x, y)
                axes.draw.text((at[0] + r, at[1]), text, font=axes.look.style.font, fill=axes.look.ink)
    if rng.random() < 0.25:
        ends = (*axes.at(0.03, 0.5 - slope * 0.47), *axes.at(0.97, 0.5 + slope * 0.47))
        axes.draw.line(ends, fill=axes.look.ink, width=axes.look.px * 2)
    if count > 1 and rng.random() < 0.5:
        write_legend(rng, axes, count)


def _histogram_marks(rng: Rng, axes: Axes) -> None:
    bins, sideways = int(rng.choice([6, 10, 20, 40, 80])), bool(rng.random() < 0.1)
    edges = np.linspace(0.02, 0.98, bins + 1)
    for k in range(int(rng.choice([1, 1, 1, 2]))):
        centre, spread = rng.uniform(0.25, 0.75), rng.uniform(0.05, 0.25)
        tall = np.exp(-((edges[:-1] - centre) ** 2) / (2 * spread**2)) * rng.uniform(0.8, 1.15, bins)
        tall = tall / tall.max() * 0.93
        outline = axes.look.ink if rng.random() < 0.3 else None
        for low, high, value in zip(edges[:-1], edges[1:], tall, strict=True):
            corners = (0, low, float(value), high) if sideways else (low, 0, high, float(value))
            axes.bar(corners, axes.look.colour(k), outline)
    if rng.random() < 0.35 and not sideways:
        xs = np.linspace(0, 1, 80)
        path = axes.path(xs, 0.93 * np.exp(-((xs - centre) ** 2) / (2 * spread**2)))
        axes.draw.line(path, fill=axes.look.colour(3), width=axes.look.px * 3)


def _box_marks(rng: Rng, axes: Axes) -> None:
    count, draw, px = int(rng.integers(1, 9)), axes.draw, axes.look.px * int(rng.integers(1, 3))
    violin, wide = bool(rng.random() < 0.3), 0.3 / count
    for k in range(count):
        low, q1, middle, q3, high = (float(v) for v in np.sort(rng.uniform(0.05, 0.95, 5)))
        x, fill = (k + 0.5) / count, axes.look.colour(k if rng.random() < 0.5 else 0)
        if violin:
            ys = np.linspace(low, high, 30)
            half = wide * np.exp(-((ys - middle) ** 2) / (2 * (0.02 + (q3 - q1) / 2) ** 2))
            draw.polygon(axes.path(x - half, ys) + axes.path(x + half, ys)[::-1], fill=fill, outline=axes.look.ink)
            continue
        draw.line((*axes.at(x, low), *axes.at(x, high)), fill=axes.look.ink, width=px)
        axes.bar((x - wide, q1, x + wide, q3), fill if k or count > 2 else axes.look.ground, axes.look.ink)
        draw.line((*axes.at(x - wide, middle), *axes.at(x + wide, middle)), fill=axes.look.ink, width=px * 2)
        for y in (low, high):
            draw.line((*axes.at(x - wide / 2, y), *axes.at(x + wide / 2, y)), fill=axes.look.ink, width=px)
        for y in rng.uniform(0.02, 0.98, int(rng.integers(0, 4))):
            put_marker(draw, "ring", axes.at(x, y), px * 2, axes.look.ink)


def _stack_marks(rng: Rng, axes: Axes) -> None:
    count, parts, sideways = int(rng.integers(2, 12)), int(rng.integers(1, 5)), bool(rng.random() < 0.3)
    grouped, wide = bool(rng.random() < 0.3), float(rng.uniform(0.25, 0.5)) / count
    for k in range(count):
        shares = rng.dirichlet(np.ones(parts) * 4) * rng.uniform(0.25, 0.95)
        low, middle = 0.0, (k + 0.5) / count
        for part, share in enumerate(shares):
            a, b, base, top = middle - wide, middle + wide, low, low + float(share)
            if grouped:
                a = middle - wide + 2 * wide * part / parts
                b, base, top = a + 2 * wide / parts, 0.0, min(0.95, float(share) * parts)
            ends = (base, a, top, b) if sideways else (a, base, b, top)
            axes.bar(ends, axes.look.colour(part if parts > 1 else int(rng.random() < 0.1)))
            low = top
    if parts > 1 and rng.random() < 0.7:
        write_legend(rng, axes, parts)


def _area_marks(rng: Rng, axes: Axes) -> None:
    count, points = int(rng.integers(1, 6)), int(rng.choice([8, 30, 100]))
    xs, ridges = np.linspace(0, 1, points), bool(rng.random() < 0.3)
    layers = np.stack([pick_curve(rng, points) for _ in range(count)])
    tops = np.cumsum(layers, axis=0) / count
    for k in reversed(range(count)):
        base = k / count * 0.8 if ridges else 0.0
        ys = base + layers[k] * min(0.9 - base, 1.6 / count) if ridges else tops[k]
        outline = axes.path(xs, ys)
        fill = mix(axes.look.colour(k), axes.look.ground, 0.4 if count == 1 else 0.1)
        axes.draw.polygon([axes.at(0, base), *outline, axes.at(1, base)], fill=fill)
        axes.draw.line(outline, fill=axes.look.colour(k), width=axes.look.px * 2)
    if count > 1 and rng.random() < 0.5:
        write_legend(rng, axes, count)


MARKS: tuple[Callable[[Rng, Axes], None], ...] = (
    _line_marks, _scatter_marks, _histogram_marks, _box_marks, _stack_marks, _area_marks
)  # fmt: skip


def draw_plot(rng: Rng, size: tuple[int, int], look: Look, mark: int | None = None, manner: str = "") -> Image.Image:
    """A chart with the marks of this number, or with any."""
    image, _ = make_canvas(*size, look.ground)
    m = round(look.style.size_px * float(rng.uniform(0.2, 1)))
    axes = make_axes(rng, image, (m, m, size[0] - m, size[1] - m), look, manner)
    MARKS[int(rng.integers(0, len(MARKS))) if mark is None else mark](rng, axes)
    return image


@smooth
def sparse_line(rng: Rng, w: int, h: int) -> Image.Image:
    """Lines in a frame with a few ticks."""
    return draw_plot(rng, (w, h), pick_look(rng, w, h), 0)


@smooth
def scatter(rng: Rng, w: int, h: int) -> Image.Image:
    """Points in groups, perhaps with a line through them."""
    return draw_plot(rng, (w, h), pick_look(rng, w, h), 1)


@smooth
def histogram(rng: Rng, w: int, h: int) -> Image.Image:
    """Bars side by side, perhaps with a curve."""
    return draw_plot(rng, (w, h), pick_look(rng, w, h), 2)


@smooth
def box_plot(rng: Rng, w: int, h: int) -> Image.Image:
    """Boxes with whiskers, or violins."""
    return draw_plot(rng, (w, h), pick_look(rng, w, h), 3)


@smooth
def stacked_bars(rng: Rng, w: int, h: int) -> Image.Image:
    """Bars in parts, upright or lying, above or beside one another."""
    return draw_plot(rng, (w, h), pick_look(rng, w, h), 4)


@smooth
def area(rng: Rng, w: int, h: int) -> Image.Image:
    """Areas over one another, or ridges."""
    return draw_plot(rng, (w, h), pick_look(rng, w, h), 5)


@smooth
def dark_chart(rng: Rng, w: int, h: int) -> Image.Image:
    """Any of the charts on a dark ground."""
    return draw_plot(rng, (w, h), pick_look(rng, w, h, dark=1))


@smooth
def grey_ground(rng: Rng, w: int, h: int) -> Image.Image:
    """Any of the charts on a grey field with a white grid."""
    return draw_plot(rng, (w, h), pick_look(rng, w, h, dark=0.05), manner="grey")


def _colour_bar(rng: Rng, axes: Axes, ramp: tuple[Colour, ...]) -> None:
    """A bar of the ramp at the right of the axes, with ticks."""
    look, (_, top, right, bottom) = axes.look, axes.box
    wide, x = max(6, look.style.size_px), right + look.style.size_px
    strip = ramp_colours(ramp, np.linspace(1, 0, max(2, bottom - top)))[:, None].repeat(wide, axis=1)
    axes.image.paste(Image.fromarray(strip), (x, top))
    axes.draw.rectangle((x, top, x + wide, bottom), outline=look.ink, width=look.px)
    ticks = pick_ticks(rng, "latin", int(rng.integers(2, 6)))
    for k, text in enumerate(ticks):
        at = (x + wide + look.style.size_px * 0.3, bottom - (bottom - top) * k / (len(ticks) - 1))
        axes.draw.text(at, text[:5], font=look.style.font, fill=look.ink, anchor="lm")


def _field(rng: Rng, image: Image.Image, look: Look) -> tuple[Axes, bool]:
    """Axes for a field, and whether a bar of colours has room beside them."""
    w, h = image.size
    size, has_bar = look.style.size_px, bool(rng.random() < 0.75)
    right = w - round(size * (5.5 if has_bar else 0.5))
    return make_axes(rng, image, (size // 3, size // 3, max(w // 2, right), h - size // 3), look), has_bar


@smooth
def heat_map(rng: Rng, w: int, h: int) -> Image.Image:
    """Squares of a ramp of colours with a bar beside them, at times with a number in each."""
    look = pick_look(rng, w, h, dark=0.1)
    image, _ = make_canvas(w, h, look.ground)
    axes, has_bar = _field(rng, image, look)
    rows, columns = int(rng.choice([3, 5, 8, 12, 30])), int(rng.choice([3, 5, 10, 24, 50]))
    values = make_noise(rng, columns, rows, coarse=float(rng.uniform(1, 6)), octaves=3)
    if rng.random() < 0.3:
        values = values * 0.3 + np.eye(rows, columns)
    values = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
    ramp = RAMPS[int(rng.integers(0, len(RAMPS)))]
    left, top, right, bottom = axes.box
    cells = Image.fromarray(rgb := ramp_colours(ramp, values))
    image.paste(cells.resize((right - left, max(1, bottom - top)), Image.Resampling.NEAREST), (left, top))
    if rows * columns <= 64 and rng.random() < 0.5:
        for row in range(rows):
            for column in range(columns):
                value = float(values[row, column])
                tone = (255, 255, 255) if rgb[row, column].sum() < 380 else (20, 20, 20)
                at = axes.at((column + 0.5) / columns, 1 - (row + 0.5) / rows)
                write_centred(axes.draw, at, f"{value:.2f}", look.sized(0.85, tone))
    if has_bar:
        _colour_bar(rng, axes, ramp)
    return image


@smooth
def contour(rng: Rng, w: int, h: int) -> Image.Image:
    """A smooth field in bands, in lines or in a ramp of colours."""
    look = pick_look(rng, w, h, dark=0.1)
    image, _ = make_canvas(w, h, look.ground)
    axes, has_bar = _field(rng, image, look)
    left, top, right, bottom = axes.box
    size = (right - left, max(8, bottom - top))
    field = make_noise(rng, *size, coarse=float(rng.uniform(1, 4)), octaves=2)
    field = (field - field.min()) / float(np.ptp(field))
    levels, kind = int(rng.integers(4, 14)), str(rng.choice(["bands", "lines", "ramp"]))
    steps = np.floor(field * levels)
    ramp = RAMPS[int(rng.integers(0, len(RAMPS)))]
    rgb = ramp_colours(ramp, field if kind == "ramp" else steps / levels)
    if kind == "lines":
        edge = np.zeros(field.shape, bool)
        for dy, dx in ((0, 1), (1, 0), (1, 1)):
            edge |= steps != np.roll(steps, (dy, dx), (0, 1))
        rgb = np.where(edge[..., None], rgb // 2, np.asarray(look.ground, np.uint8))
    image.paste(Image.fromarray(rgb.astype(np.uint8)), (left, top))
    axes.draw.rectangle(axes.box, outline=look.ink, width=look.px)
    if has_bar:
        _colour_bar(rng, axes, ramp)
    return image


@smooth
def polar(rng: Rng, w: int, h: int) -> Image.Image:
    """Rings and spokes with a radar's web, a curve or wedges in them."""
    look = pick_look(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    cx, cy, reach = w / 2, h * 0.53, min(w, h) * float(rng.uniform(0.3, 0.4))
    spokes, rings = int(rng.choice([4, 5, 6, 8, 12])), int(rng.integers(2, 6))

    def at(turn: float, r: float) -> Point:
        return cx + reach * r * math.sin(turn * 2 * math.pi), cy - reach * r * math.cos(turn * 2 * math.pi)

    is_round, named = bool(rng.random() < 0.5), bool(rng.random() < 0.6)
    for ring in range(1, rings + 1):
        turns = np.linspace(0, 1, 121 if is_round else spokes + 1)
        draw.line([at(float(t), ring / rings) for t in turns], fill=look.pale(0.7), width=look.px)
        if rng.random() < 0.5:
            draw.text(at(0.02, ring / rings), f"{ring * 0.2:.1f}", font=look.sized(0.8).font, fill=look.pale(0.3))
    for k in range(spokes):
        draw.line([(cx, cy), at(k / spokes, 1)], fill=look.pale(0.7), width=look.px)
        text = pick_name(rng, look.style.script, 1)[:8] if named else f"{360 * k // spokes}°"
        write_centred(draw, at(k / spokes, 1.14), text, look.style)
    kind = str(rng.choice(["web", "curve", "wedges"]))
    for series in range(int(rng.integers(1, 4))):
        colour = look.colour(series)
        if kind == "wedges":
            for k, r in enumerate(rng.uniform(0.15, 1, 24)):
                draw.polygon([(cx, cy), at(k / 24, r), at((k + 0.9) / 24, r)], fill=look.colour(k), outline=look.ink)
            break
        values = rng.uniform(0.25, 0.98, spokes) if kind == "web" else pick_curve(rng, 120)
        path = [at(k / len(values), float(r)) for k, r in enumerate(values)]
        if kind == "web" and series == 0:
            draw.polygon(path, fill=mix(colour, look.ground, 0.6))
        draw.line([*path, path[0]], fill=colour, width=look.px * 3)
    if rng.random() < 0.4:
        write_centred(draw, (w / 2, look.style.size_px), pick_name(rng, look.style.script, 2), look.sized(1.2))
    return image


@smooth
def small_multiples(rng: Rng, w: int, h: int) -> Image.Image:
    """Several small charts in rows, alike or of different kinds."""
    look = pick_look(rng, w, h)
    columns, rows = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    columns += int(columns * rows == 1)
    size = max(15, round(look.style.size_px * (0.9 if columns * rows < 4 else 0.7)))
    small = Look(ground=look.ground, ink=look.ink, style=look.sized(size / look.style.size_px),
                 colours=look.colours, px=look.px)  # fmt: skip
    image, _ = make_canvas(w, h, look.ground)
    manner = "grey" if rng.random() < 0.25 else ""
    same = int(rng.integers(0, len(MARKS))) if rng.random() < 0.5 else None
    for k in range(columns * rows):
        panel = draw_plot(rng, (w // columns, h // rows), small, same, manner)
        image.paste(panel, (k % columns * (w // columns), k // columns * (h // rows)))
    return image


@smooth
def function_plot(rng: Rng, w: int, h: int) -> Image.Image:
    """Axes with arrows that cross within the picture, curves with their names, a few letters and dashes."""
    look = pick_look(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    cross = (w * float(rng.choice([0.12, 0.5, 0.3])), h * float(rng.choice([0.88, 0.5, 0.7])))
    put_arrow(draw, [(w * 0.04, cross[1]), (w * 0.96, cross[1])], look.ink, look.px * 2)
    put_arrow(draw, [(cross[0], h * 0.96), (cross[0], h * 0.04)], look.ink, look.px * 2)
    size, names = look.style.size_px, str(rng.choice(["xy", "tv", "QP", "nT", "ab"]))
    write_centred(draw, (w * 0.95, cross[1] + size), names[0], look.style)
    write_centred(draw, (cross[0] - size, h * 0.06), names[1], look.style)
    xs = np.linspace(0, 1, 80)
    for k in range(int(rng.integers(1, 4))):
        ys, a, b = pick_curve(rng, 80), float(rng.uniform(0.1, 0.3)), float(rng.uniform(0.75, 0.92))
        path = [(w * (a + (b - a) * float(x)), h * (0.88 - 0.72 * float(y))) for x, y in zip(xs, ys, strict=True)]
        draw.line(path, fill=look.colour(k), width=look.px * int(rng.integers(2, 5)), joint="curve")
        text = str(rng.choice(["f(x)", "g(x)", f"S{k + 1}", "D", pick_name(rng, look.style.script, 1)]))
        write_centred(draw, (min(path[-1][0] + size, w - size * 2), path[-1][1] - size * 0.7), text, look.style)
        if rng.random() < 0.5:
            x, y = path[int(rng.integers(15, 65))]
            put_dashes(draw, [(x, y), (x, cross[1])], look.pale(0.3), look.px)
            put_dashes(draw, [(x, y), (cross[0], y)], look.pale(0.3), look.px)
            put_marker(draw, "disc", (x, y), look.px * 3, look.ink)
            write_centred(draw, (x, cross[1] + size), str(rng.choice(["a", "x1", "1", "t0"])), look.style)
    return image


@smooth
def surface(rng: Rng, w: int, h: int) -> Image.Image:
    """A mesh in space over a ground with ticks at two sides."""
    look = pick_look(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    n, ramp = int(rng.integers(8, 30)), RAMPS[int(rng.integers(0, len(RAMPS)))]
    field = make_noise(rng, n + 1, n + 1, coarse=float(rng.uniform(1, 3)), octaves=2)
    field = (field - field.min()) / max(float(np.ptp(field)), 1e-6)
    reach, lean, tall = min(w, h) * 0.42, float(rng.uniform(0.35, 0.6)), min(w, h) * float(rng.uniform(0.15, 0.4))

    def at(row: float, column: float, z: float) -> Point:
        return w / 2 + (column - row) / n * reach, h * 0.62 + ((row + column) / n - 1) * reach * lean - z * tall

    for k in np.linspace(0, n, 5):
        for a, b in ((at(k, 0, 0), at(k, n, 0)), (at(0, k, 0), at(n, k, 0))):
            draw.line((*a, *b), fill=look.pale(0.75), width=look.px)
        size = look.style.size_px
        for (x, y), anchor in ((at(n, k, 0), "ra"), (at(k, n, 0), "la")):
            draw.text((x, y + size * 0.3), f"{k / n:.1f}", font=look.sized(0.9).font, fill=look.ink, anchor=anchor)
    colours, wire = ramp_colours(ramp, field), bool(rng.random() < 0.3)
    for row in range(n):
        for column in range(n):
            corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
            red, green, blue = (int(v) for v in colours[row, column])
            face = look.ground if wire else (red, green, blue)
            shape = [at(i, j, float(field[i, j]) + 0.15) for i, j in corners]
            draw.polygon(shape, fill=face, outline=look.ink if wire else mix(face, (0, 0, 0), 0.25), width=look.px)
    if rng.random() < 0.5:
        write_centred(draw, (w / 2, look.style.size_px), pick_name(rng, look.style.script, 2), look.sized(1.2))
    return image


PLOTS = (
    sparse_line, scatter, heat_map, histogram, box_plot, stacked_bars, area, contour, polar, small_multiples,
    dark_chart, grey_ground, function_plot, surface
)  # fmt: skip
