"""Diagrams, from two words to dozens: boxes and arrows, trees, networks, sequences and drawings."""

import math
from dataclasses import replace

from PIL import Image

from examples.corpus.fonts import pick_style
from examples.corpus.looks import (
    Point,
    bend,
    pick_fill,
    pick_label,
    pick_look,
    put_arrow,
    put_dashes,
    put_node,
    smooth,
    write_inside,
    write_title,
    write_turned,
)
from examples.corpus.sketches import cells, circuit, geometry, infographic, labelled_drawing, time_line, venn
from examples.corpus.textures import Rng, make_canvas, mix
from examples.corpus.words import pick_name, write_centred


@smooth
def flow_chart(rng: Rng, w: int, h: int) -> Image.Image:
    """Steps and choices joined by arrows, down or to the right, in one row or several."""
    look, manner = pick_look(rng, w, h, dark=0.12), float(rng.random())
    image, draw = make_canvas(w, h, look.ground)
    top, down = write_title(rng, image, look), bool(w < h * 1.2)
    along, lanes = int(rng.integers(2, 7)), int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))
    cell = (w / (lanes if down else along), (h - top) / (along if down else lanes))
    half = (
        cell[0] * float(rng.uniform(0.3, 0.4)),
        min(cell[1] * 0.32, look.style.size_px * float(rng.uniform(1, 2.4))),
    )
    shapes = (
        ["box", "round"] if rng.random() < 0.4 else ["box", "round", "diamond", "slanted", "disc", "drum", "hexagon"]
    )
    before: dict[int, Point] = {}
    for step in range(along):
        earlier = dict(before)
        for lane in range(lanes):
            if lane and rng.random() < 0.35:
                continue
            x, y = (lane, step) if down else (step, lane)
            at = (cell[0] * (x + 0.5), top + cell[1] * (y + 0.5))
            area = (at[0] - half[0], at[1] - half[1], at[0] + half[0], at[1] + half[1])
            shape = str(rng.choice(shapes))
            fill, ink = pick_fill(rng, look, step + lane, manner)
            enter = (at[0], area[1]) if down else (area[0], at[1])
            if start := earlier.get(lane) or earlier.get(0):
                middle = [(start[0], (start[1] + enter[1]) / 2), (enter[0], (start[1] + enter[1]) / 2)]
                if not down:
                    middle = [((start[0] + enter[0]) / 2, start[1]), ((start[0] + enter[0]) / 2, enter[1])]
                put_arrow(draw, [start, *middle, enter], look.ink, look.px * 2, "full" if manner < 0.8 else "open")
                if rng.random() < 0.25:
                    draw.text(middle[0], str(rng.choice(["yes", "no", "1", "ok", "n > 0"])), font=look.style.font,
                              fill=look.ink)  # fmt: skip
            put_node(image, area, shape, look, fill)
            inner = (area[0] + half[0] * 0.2, area[1] + 3, area[2] - half[0] * 0.2, area[3] - 3)
            write_inside(draw, inner, pick_label(rng, look), look.sized(1, ink))
            before[lane] = (at[0], area[3]) if down else (area[2], at[1])
    return image


@smooth
def mind_map(rng: Rng, w: int, h: int) -> Image.Image:
    """An idea in the middle, branches around it, and twigs."""
    look = pick_look(rng, w, h, dark=0.15)
    image, draw = make_canvas(w, h, look.ground)
    count, manner = int(rng.integers(3, 9)), float(rng.random())
    turn, size = float(rng.uniform(0, 6)), look.style.size_px
    for k in range(count):
        angle, colour = turn + 2 * math.pi * k / count, look.colour(k)
        end = (w / 2 + w * 0.3 * math.cos(angle), h / 2 + h * 0.32 * math.sin(angle))
        draw.line(bend((w / 2, h / 2), end, float(rng.uniform(-0.2, 0.2))), fill=colour, width=look.px * 5)
        twigs = int(rng.integers(0, 4))
        for twig in range(twigs):
            out = angle + 0.9 * (twig - (twigs - 1) / 2)
            tip = (end[0] + w * 0.15 * math.cos(out), end[1] + h * 0.14 * math.sin(out))
            draw.line(bend(end, tip, 0.1), fill=colour, width=look.px * 2)
            write_centred(draw, tip, pick_name(rng, look.style.script, 1), look.sized(0.8))
        half = (w * 0.09, size)
        area = (end[0] - half[0], end[1] - half[1], end[0] + half[0], end[1] + half[1])
        fill, ink = pick_fill(rng, look, k, max(0.45, manner))
        put_node(image, area, "round" if manner < 0.6 else "disc", replace(look, ink=colour), fill)
        write_inside(draw, area, pick_label(rng, look, 2), look.sized(0.9, ink))
    area = (w * 0.36, h / 2 - size * 1.8, w * 0.64, h / 2 + size * 1.8)
    fill, ink = pick_fill(rng, look, count, 0.9)
    put_node(image, area, str(rng.choice(["disc", "round", "hexagon"])), look, fill)
    write_inside(
        draw, (area[0] + 14, area[1], area[2] - 14, area[3]), pick_label(rng, look), look.sized(1.3, ink, bold=True)
    )
    return image


@smooth
def uml_classes(rng: Rng, w: int, h: int) -> Image.Image:
    """Boxes with a name and rows of members, or of columns and types, and lines between them."""
    look, manner = pick_look(rng, w, h, dark=0.15), float(rng.random())
    image, draw = make_canvas(w, h, look.ground)
    look = replace(
        look, style=pick_style(rng, look.style.size_px * 0.85, look.ink, str(rng.choice(["mono", "latin", ""])))
    )
    columns, rows = (
        (int(rng.integers(1, 4)), int(rng.integers(1, 3))) if w > h * 0.8 else (int(rng.integers(1, 3)), 3)
    )
    last: Point | None = None
    for k in range(columns * rows):
        if k and rng.random() < 0.15:
            continue
        cw, ch = w / columns, h / rows
        x, y = cw * (k % columns + float(rng.uniform(0.08, 0.16))), ch * (k // columns + float(rng.uniform(0.1, 0.2)))
        line = look.style.line_px
        members = min(int(rng.integers(1, 8)), int(ch * 0.68 / line) - 1)
        area = (x, y, x + cw * 0.7, y + line * (members + 1.4))
        if last:
            corner = (area[0] + cw * 0.35, last[1])
            put_arrow(
                draw, [last, corner, (corner[0], area[1])], look.ink, look.px, "open" if manner < 0.5 else "full"
            )
        fill, ink = pick_fill(rng, look, 0 if manner < 0.7 else k, manner)
        draw.rectangle(area, fill=look.ground, outline=look.ink, width=look.px)
        draw.rectangle((*area[:2], area[2], y + line * 1.2), fill=fill, outline=look.ink, width=look.px)
        name = pick_name(rng, "latin", 1).title() + str(rng.choice(["", "Item", "Base", "_id", "List"]))
        write_inside(draw, (*area[:2], area[2], y + line * 1.2), name, look.sized(1, ink, bold=True))
        for m in range(members):
            text = str(rng.choice(["+ ", "- ", "# ", ""])) + pick_name(rng, "latin", 1).lower()
            text += str(rng.choice(["()", ": int", ": str", "(x)", " PK", ""]))
            text = text[: max(3, int((cw * 0.7 - 16) / look.style.width_px("n")))]
            draw.text((x + 8, y + line * (m + 1.25)), text, font=look.style.font, fill=look.ink)
            if m == members // 2 and rng.random() < 0.4:
                draw.line((x, y + line * (m + 1.25), area[2], y + line * (m + 1.25)), fill=look.ink, width=look.px)
        last = (area[2], y + line)
    return image


@smooth
def network_sketch(rng: Rng, w: int, h: int) -> Image.Image:  # noqa: PLR0912
    """Layers of a neural net, or nodes of a graph, as discs with letters and lines between them."""
    look, manner = pick_look(rng, w, h), float(rng.random())
    image, draw = make_canvas(w, h, look.ground)
    top = write_title(rng, image, look)
    layered, nodes = bool(rng.random() < 0.5), list[tuple[int, Point]]()
    if layered:
        layers = [int(n) for n in rng.integers(1, 7, int(rng.integers(2, 6)))]
        for layer, many in enumerate(layers):
            for k in range(many):
                step = (h - top - look.style.line_px * 1.6) / max(layers)
                y = top + (h - top - look.style.line_px * 1.6) / 2 + step * (k - (many - 1) / 2)
                nodes.append((layer, (w * (layer + 0.5) / len(layers), y)))
            if manner < 0.5:
                foot = (w * (layer + 0.5) / len(layers), h - look.style.size_px)
                write_centred(draw, foot, pick_name(rng, look.style.script, 1)[:9], look.sized(0.9))
        r = min(w / len(layers) * 0.25, step * 0.4)
    else:
        count = int(rng.integers(3, 12))
        places = [(float(x), float(y)) for x, y in rng.uniform(0.1, 0.9, (count * 3, 2))]
        r = min(w, h) * float(rng.uniform(0.035, 0.08))
        for x, y in places:
            at = (x * w, top + y * (h - top))
            if len(nodes) < count and all(math.dist(at, other) > r * 3.5 for _, other in nodes):
                nodes.append((len(nodes), at))
    for i, (layer, a) in enumerate(nodes):
        for j, (other, b) in enumerate(nodes):
            if (layered and other == layer + 1) or (not layered and i < j and (j == i + 1 or rng.random() < 0.2)):
                stop = (b[0] + (a[0] - b[0]) * r / math.dist(a, b), b[1] + (a[1] - b[1]) * r / math.dist(a, b))
                put_arrow(draw, [a, stop], look.pale(0.3), look.px, "full" if manner < 0.5 else "")
                if not layered and rng.random() < 0.5:
                    middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2 - look.style.size_px * 0.6)
                    write_centred(draw, middle, str(rng.integers(1, 30)), look.sized(0.8))
    names = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    inside = replace(pick_style(rng, max(17, r * 0.9), look.ink, "greek"), is_bold=bool(rng.random() < 0.3))
    for i, (layer, at) in enumerate(nodes):
        fill, ink = pick_fill(rng, look, layer if layered else 0, manner)
        put_node(image, (at[0] - r, at[1] - r, at[0] + r, at[1] + r), "disc", look, fill)
        if not layered or rng.random() < 0.6:
            write_centred(draw, at, names[i % 52] if rng.random() < 0.8 else str(i), replace(inside, colour=ink))
    return image


@smooth
def layered_blocks(rng: Rng, w: int, h: int) -> Image.Image:
    """An architecture: bands of blocks above one another, named at the side or within."""
    look, manner = pick_look(rng, w, h), float(rng.random())
    image, draw = make_canvas(w, h, look.ground)
    top, bands, size = write_title(rng, image, look, 0.5), int(rng.integers(2, 6)), look.style.size_px
    side = size * 2 if rng.random() < 0.3 else 0
    tall = (h - top - size) / bands
    for band in range(bands):
        area = (size + side, top + tall * band, w - size, top + tall * (band + 0.84))
        back = mix(look.colour(band), look.ground, 0.85) if manner > 0.3 else look.ground
        draw.rectangle(area, fill=back, outline=look.pale(0.3), width=look.px)
        if side:
            write_turned(
                image,
                (size + side / 2, (area[1] + area[3]) / 2),
                pick_name(rng, look.style.script, 1)[:8],
                look.style,
            )
        if rng.random() < 0.25:
            write_inside(draw, area, pick_label(rng, look), look.style)
            continue
        inner_top = area[1] + tall * 0.12
        if tall > size * 4 and rng.random() < 0.5:
            draw.text(
                (area[0] + 8, area[1] + 4), pick_name(rng, look.style.script, 1), font=look.style.font, fill=look.ink
            )
            inner_top += look.style.line_px
        count = int(rng.integers(1, 6))
        for k in range(count):
            step = (area[2] - area[0]) / count
            block = (area[0] + step * (k + 0.1), inner_top, area[0] + step * (k + 0.9), area[3] - tall * 0.1)
            fill, ink = pick_fill(rng, look, band, manner)
            put_node(image, block, "round" if manner < 0.5 else "box", look, fill)
            write_inside(draw, block, pick_label(rng, look, 2), look.sized(0.9, ink))
        if band and rng.random() < 0.4:
            x = float(rng.uniform(0.3, 0.7)) * w
            put_arrow(draw, [(x, area[1] - tall * 0.16), (x, area[1])], look.ink, look.px * 2)
    return image


@smooth
def tree(rng: Rng, w: int, h: int) -> Image.Image:
    """A tree from its root down or to the right, with names, numbers or letters in its nodes."""
    look, manner = pick_look(rng, w, h), float(rng.random())
    image, draw = make_canvas(w, h, look.ground)
    down, shape = bool(w > h * 0.9), str(rng.choice(["box", "round", "disc", "none"]))
    levels, size = [[(0.5, -1)]], look.style.size_px
    for _ in range(int(rng.integers(1, 4))):
        children = [int(rng.integers(0 if k else 1, 4)) for k in range(len(levels[-1]))]
        parents = [k for k, n in enumerate(children) for _ in range(n)][:9]
        levels.append([((i + 0.5) / len(parents), parent) for i, parent in enumerate(parents)])
    top = write_title(rng, image, look, 0.2)
    deep = ((h - top) if down else w) / len(levels)
    places: list[list[Point]] = []
    for depth, level in enumerate(levels):
        row = [
            (w * s, top + deep * (depth + 0.5)) if down else (deep * (depth + 0.5), top + (h - top) * s)
            for s, _ in level
        ]
        for at, (_, parent) in zip(row, level, strict=True):
            if parent >= 0:
                start = places[-1][parent]
                middle = (start[1] + at[1]) / 2 if down else (start[0] + at[0]) / 2
                bends = [(start[0], middle), (at[0], middle)] if down else [(middle, start[1]), (middle, at[1])]
                path = [start, *bends, at] if manner < 0.5 else [start, at]
                draw.line(path, fill=look.pale(0.2), width=look.px * 2)
        places.append(row)
    short = bool(rng.random() < 0.35)
    for depth, row in enumerate(places):
        room = (w / len(row) if down else deep) * 0.42
        half = (
            min(room, size * (1.3 if short else 4)),
            min(size * 1.2, ((h - top) / len(row) if not down else deep) * 0.4),
        )
        for x, y in row:
            area = (x - half[0], y - half[1], x + half[0], y + half[1])
            fill, ink = pick_fill(rng, look, depth, manner)
            if shape == "none":
                draw.rectangle(area, fill=look.ground)
            else:
                put_node(image, area, shape, look, fill)
            text = str(rng.integers(1, 100)) if short else pick_label(rng, look, 1)
            write_inside(draw, area, text, look.sized(1, look.ink if shape == "none" else ink))
    return image


@smooth
def sequence_lanes(rng: Rng, w: int, h: int) -> Image.Image:
    """Who calls whom: actors above, their lines down, and messages as arrows between them."""
    look, manner = pick_look(rng, w, h), float(rng.random())
    image, draw = make_canvas(w, h, look.ground)
    count, size = int(rng.integers(2, 6)), look.style.size_px
    top, xs = write_title(rng, image, look, 0.2), [w * (k + 0.5) / count for k in range(count)]
    for k, x in enumerate(xs):
        area = (x - w / count * 0.4, top, x + w / count * 0.4, top + size * 2)
        fill, ink = pick_fill(rng, look, k, manner)
        put_node(image, area, "box" if manner < 0.6 else "round", look, fill)
        write_inside(draw, area, pick_label(rng, look, 1), look.sized(1, ink))
        put_dashes(draw, [(x, area[3]), (x, h - size)], look.pale(0.4), look.px)
    y, step = top + size * 4, size * float(rng.uniform(1.8, 4))
    while y < h - size * 1.5:
        a, b = (int(v) for v in rng.choice(count, 2, replace=False))
        slope = size * float(rng.uniform(0, 1.5)) if manner < 0.3 else 0
        put_arrow(draw, [(xs[a], y), (xs[b], y + slope)], look.ink, look.px, "open" if manner < 0.5 else "full")
        middle = ((xs[a] + xs[b]) / 2, y + slope / 2 - size * 0.7)
        if rng.random() < 0.8:
            write_centred(draw, middle, pick_label(rng, look, 2), look.sized(0.85))
        y += step
    return image


DIAGRAMS = (
    flow_chart, mind_map, uml_classes, network_sketch, layered_blocks, tree, sequence_lanes, cells, venn, infographic,
    labelled_drawing, time_line, circuit, geometry
)  # fmt: skip
