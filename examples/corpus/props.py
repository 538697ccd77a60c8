"""Cut-out things for designs and scenes, on a transparent ground: people, products, vehicles, creatures, marks."""

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from examples.corpus.textures import Colour, Rng, make_ramp, mix, pick_colour

Points = list[tuple[float, float]]


def _blank(w: int, h: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGBA", (max(8, w), max(8, h)), (0, 0, 0, 0))
    return image, ImageDraw.Draw(image)


def shaded(rng: Rng, cut: Image.Image) -> Image.Image:
    """`cut` in light from one side."""
    light = (150 + 105 * make_ramp(rng, *cut.size)).astype(np.uint8)
    lit = ImageChops.multiply(cut.convert("RGB"), Image.fromarray(light).convert("RGB"))
    lit.putalpha(cut.getchannel("A"))
    return lit


def paste_at(image: Image.Image, cut: Image.Image, at: tuple[float, float]) -> None:
    """Paste `cut` with its middle at `at`."""
    image.paste(cut, (round(at[0] - cut.width / 2), round(at[1] - cut.height / 2)), cut)


def skin_and_hair(rng: Rng) -> tuple[Colour, Colour]:
    """The colours of some person."""
    skin = mix((242, 208, 184), (78, 50, 36), float(rng.random()))
    return skin, mix((24, 18, 16), (205, 160, 90), float(rng.random() ** 2))


def face(
    rng: Rng, draw: ImageDraw.ImageDraw, at: tuple[float, float], r: float, colours: tuple[Colour, Colour]
) -> None:
    """A head of radius `r` with hair, eyes, brows, nose and mouth, perhaps a beard and glasses."""
    skin, hair = colours
    cx, cy = at
    dark, width = mix(skin, (0, 0, 0), 0.3), max(1, round(r / 14))
    long = float(rng.choice([-0.1, 0.2, 1.0, 1.7]))
    draw.rounded_rectangle((cx - 1.02 * r, cy - 1.3 * r, cx + 1.02 * r, cy + max(0.0, long) * r), int(r), fill=hair)
    draw.ellipse((cx - 0.86 * r, cy - r, cx + 0.86 * r, cy + 1.15 * r), fill=skin)
    if rng.random() < 0.7:
        draw.pieslice((cx - 0.9 * r, cy - 1.15 * r, cx + 0.9 * r, cy + 0.2 * r), 185, 355, fill=hair)
    if rng.random() < 0.25:
        draw.chord((cx - 0.82 * r, cy - 0.4 * r, cx + 0.82 * r, cy + 1.18 * r), 15, 165, fill=hair)
    look = float(rng.uniform(-0.06, 0.06)) * r
    for side in (-0.34, 0.34):
        ex, ey = cx + side * r, cy - 0.05 * r
        draw.ellipse((ex - 0.17 * r, ey - 0.1 * r, ex + 0.17 * r, ey + 0.1 * r), fill=(248, 248, 248))
        draw.ellipse((ex - 0.09 * r + look, ey - 0.09 * r, ex + 0.09 * r + look, ey + 0.09 * r), fill=(45, 32, 28))
        draw.line((ex - 0.2 * r, ey - 0.22 * r, ex + 0.2 * r, ey - 0.25 * r), fill=hair, width=width + 1)
    draw.line((cx, cy, cx - 0.1 * r, cy + 0.34 * r, cx + 0.06 * r, cy + 0.36 * r), fill=dark, width=width)
    mouth = (cx - 0.36 * r, cy + 0.3 * r, cx + 0.36 * r, cy + 0.78 * r)
    if rng.random() < 0.3:
        draw.chord(mouth, 10, 170, fill=(250, 245, 245), outline=(150, 50, 60))
    else:
        draw.arc(mouth, 20, 160, fill=(150, 60, 62), width=max(2, width))
    if rng.random() < 0.2:
        for side in (-0.34, 0.34):
            box = (cx + (side - 0.25) * r, cy - 0.25 * r, cx + (side + 0.25) * r, cy + 0.17 * r)
            draw.rounded_rectangle(box, int(r / 8), outline=(25, 25, 28), width=width)


def bust(rng: Rng, side: int) -> Image.Image:
    """Head and shoulders."""
    image, draw = _blank(side, side)
    skin, hair = skin_and_hair(rng)
    r, cx, cy = side * rng.uniform(0.2, 0.26), side * 0.5, side * 0.38
    coat = pick_colour(rng, 0.5, float(rng.uniform(0.2, 0.8)))
    draw.ellipse((cx - 2.1 * r, cy + 1.35 * r, cx + 2.1 * r, cy + 6 * r), fill=coat)
    if rng.random() < 0.4:
        shirt = pick_colour(rng, 0.1, 0.92)
        draw.polygon([(cx - 0.6 * r, cy + 1.4 * r), (cx + 0.6 * r, cy + 1.4 * r), (cx, cy + 2.9 * r)], fill=shirt)
    draw.rectangle((cx - 0.4 * r, cy + 0.7 * r, cx + 0.4 * r, cy + 1.7 * r), fill=mix(skin, (0, 0, 0), 0.2))
    face(rng, draw, (cx, cy), r, (skin, hair))
    return shaded(rng, image.filter(ImageFilter.GaussianBlur(side / 400)))


def figure(rng: Rng, tall: int) -> Image.Image:
    """A whole person: standing, walking or with arms up."""
    w = int(tall * 0.62)
    image, draw = _blank(w, tall)
    skin, hair = skin_and_hair(rng)
    r, cx = tall * 0.075, w / 2
    coat, legs = pick_colour(rng, 0.6, 0.6), pick_colour(rng, 0.4, 0.3)
    thick = max(2, round(r * 1.1))
    hip, neck = tall * 0.52, tall * 0.2
    for side in (-1, 1):
        knee = (cx + side * r * rng.uniform(0.4, 1.6), tall * 0.74)
        foot = (cx + side * r * rng.uniform(0.3, 2.4), tall * 0.96)
        draw.line([(cx + side * r * 0.5, hip), knee, foot], fill=legs, width=thick, joint="curve")
        draw.ellipse((foot[0] - r * 0.8, foot[1] - r * 0.4, foot[0] + r * 0.8, foot[1] + r * 0.5), fill=(28, 26, 26))
        elbow = (cx + side * r * rng.uniform(1.6, 2.8), tall * rng.uniform(0.22, 0.42))
        hand = (cx + side * r * rng.uniform(0.8, 3.4), tall * rng.uniform(0.08, 0.55))
        draw.line([(cx + side * r * 1.1, neck + r * 0.6), elbow, hand], fill=coat, width=thick, joint="curve")
        draw.ellipse((hand[0] - r * 0.5, hand[1] - r * 0.5, hand[0] + r * 0.5, hand[1] + r * 0.5), fill=skin)
    draw.rounded_rectangle((cx - r * 1.45, neck, cx + r * 1.45, hip + r * 0.5), int(r * 0.8), fill=coat)
    face(rng, draw, (cx, tall * 0.105), r, (skin, hair))
    return shaded(rng, image)


def vehicle(rng: Rng, wide: int) -> Image.Image:
    """A car, a van, an aeroplane, a spaceship or a boat, from the side."""
    h = int(wide * 0.5)
    image, draw = _blank(wide, h)
    body, kind = pick_colour(rng, 0.8, 0.75), int(rng.integers(0, 5))
    glass, dark = (170, 205, 225), mix(body, (0, 0, 0), 0.5)

    def at(points: str) -> Points:
        numbers = [float(x) / 100 for x in points.split()]
        return [(x * wide, y * wide) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]

    if kind in (0, 1):
        shape = (
            "2 34 6 24 26 21 36 10 66 10 80 22 96 26 98 36 94 40 4 40"
            if kind == 0
            else "3 8 70 8 84 22 97 26 97 40 3 40"
        )
        draw.polygon(at(shape), fill=body)
        draw.polygon(at("32 21 39 13 50 13 50 21") if kind == 0 else at("60 12 69 12 80 23 60 23"), fill=glass)
        draw.polygon(at("53 13 64 13 74 21 53 21") if kind == 0 else at("36 12 55 12 55 23 36 23"), fill=glass)
        for x in (0.22, 0.76):
            for r, fill in ((0.085, (22, 22, 24)), (0.045, (190, 192, 196))):
                draw.ellipse(((x - r) * wide, (0.4 - r) * wide, (x + r) * wide, (0.4 + r) * wide), fill=fill)
    elif kind == 2:
        draw.polygon(at("2 20 10 8 20 19 80 17 97 23 92 28 20 30 6 27"), fill=body)
        draw.polygon(at("40 26 62 26 46 46 34 46"), fill=dark)
        for x in range(30, 82, 7):
            draw.ellipse((x * wide / 100, 0.2 * wide, (x + 3) * wide / 100, 0.23 * wide), fill=glass)
    elif kind == 3:
        draw.polygon(at("98 24 70 14 40 12 20 2 24 16 8 20 2 24 8 28 24 32 20 46 40 36 70 34"), fill=body)
        draw.polygon(at("72 19 86 23 72 27 62 23"), fill=glass)
        draw.polygon(at("8 21 0 24 8 27"), fill=(255, 190, 60))
    else:
        draw.polygon(at("4 34 96 30 84 46 14 46"), fill=body)
        draw.polygon(at("46 2 50 2 50 32 46 32"), fill=dark)
        draw.polygon(at("52 4 86 28 52 28"), fill=(240, 238, 230))
        draw.polygon(at("44 8 44 28 18 28"), fill=(225, 222, 214))
    cut = shaded(rng, image)
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else cut


def creature(rng: Rng, side: int) -> Image.Image:
    """A round monster, animal or robot with eyes, horns or ears, and a mouth."""
    image, draw = _blank(side, side)
    skin = pick_colour(rng, 0.7, 0.75)
    dark = mix(skin, (0, 0, 0), 0.45)
    cx, cy, r = side / 2, side * 0.54, side * 0.34
    for lean in (-1, 1):
        tip = (cx + lean * r * rng.uniform(0.5, 1.2), cy - r * rng.uniform(1.2, 1.55))
        draw.polygon([(cx + lean * r * 0.9, cy - r * 0.4), (cx + lean * r * 0.25, cy - r * 0.85), tip], fill=dark)
        foot = cx + lean * r * 0.5
        draw.ellipse((foot - r * 0.35, cy + r * 0.7, foot + r * 0.35, cy + r * 1.2), fill=dark)
        arm = (cx + lean * r * 1.1, cy + r * 0.1)
        draw.ellipse((arm[0] - r * 0.28, arm[1] - r * 0.2, arm[0] + r * 0.28, arm[1] + r * 0.55), fill=skin)
    if rng.random() < 0.35:
        draw.rounded_rectangle((cx - r, cy - r, cx + r, cy + r), int(r * 0.25), fill=skin, outline=dark, width=2)
    else:
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=skin)
        draw.ellipse((cx - r * 0.6, cy - r * 0.1, cx + r * 0.6, cy + r * 0.95), fill=mix(skin, (255, 255, 255), 0.4))
    eyes = int(rng.integers(1, 4))
    for k in range(eyes):
        ex, ey, er = cx + (k - (eyes - 1) / 2) * r * 0.6, cy - r * 0.3, r * 0.26
        draw.ellipse((ex - er, ey - er, ex + er, ey + er), fill=(252, 252, 248))
        draw.ellipse((ex - er * 0.45, ey - er * 0.4, ex + er * 0.5, ey + er * 0.55), fill=(18, 18, 20))
    draw.chord((cx - r * 0.5, cy, cx + r * 0.5, cy + r * 0.55), 0, 180, fill=(90, 20, 30))
    return shaded(rng, image)


def _cabinet(rng: Rng, side: int) -> Image.Image:
    """An arcade cabinet."""
    image, draw = _blank(side, side)
    s, a = side / 100, pick_colour(rng, 0.7, 0.65)
    draw.polygon(
        [v * s for v in (26, 4, 70, 4, 74, 20, 66, 24, 64, 50, 78, 58, 74, 98, 24, 98)], fill=mix(a, (0, 0, 0), 0.5)
    )
    draw.rectangle((29 * s, 7 * s, 68 * s, 18 * s), fill=mix(a, (255, 255, 255), 0.6))
    draw.polygon([v * s for v in (30, 24, 62, 24, 60, 48, 30, 48)], fill=(20, 24, 40))
    draw.rectangle((36 * s, 30 * s, 44 * s, 38 * s), fill=a)
    draw.polygon([v * s for v in (28, 52, 62, 52, 74, 60, 28, 60)], fill=a)
    draw.rectangle((32 * s, 68 * s, 62 * s, 90 * s), fill=a)
    return shaded(rng, image)


def article(rng: Rng, side: int) -> Image.Image:
    """Something for sale, or an arcade cabinet."""
    return _cabinet(rng, side) if rng.random() < 0.1 else _article(rng, side)


def _article(rng: Rng, side: int) -> Image.Image:
    """A bottle, shoe, phone, headphones, cup, lamp, box, ball or burger."""
    image, draw = _blank(side, side)
    s, a = side / 100, pick_colour(rng, 0.6, 0.65)
    b, pale = mix(a, (0, 0, 0), 0.5), mix(a, (255, 255, 255), 0.6)
    kind = int(rng.integers(0, 9))

    def box(text: str) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = (float(v) * s for v in text.split())
        return x0, y0, x1, y1

    if kind == 0:
        draw.rounded_rectangle(box("42 4 58 34"), int(3 * s), fill=b)
        draw.rounded_rectangle(box("30 28 70 97"), int(10 * s), fill=a)
        draw.rectangle(box("30 52 70 78"), fill=pale)
    elif kind == 1:
        points = [8, 30, 30, 28, 44, 44, 74, 56, 94, 64, 94, 74, 8, 74]
        draw.polygon([p * s for p in points], fill=a)
        draw.rounded_rectangle(box("6 72 95 82"), int(5 * s), fill=pale)
        for k in range(4):
            draw.line(
                [(40 + 8 * k) * s, (50 + 3 * k) * s, (48 + 8 * k) * s, (40 + 4 * k) * s],
                fill=pale,
                width=int(2 * s) + 1,
            )
    elif kind == 2:
        draw.rounded_rectangle(box("28 6 72 96"), int(7 * s), fill=(24, 24, 28))
        draw.rounded_rectangle(box("31 10 69 92"), int(4 * s), fill=a)
        draw.ellipse(box("36 30 64 58"), fill=pale)
    elif kind == 3:
        draw.arc(box("16 10 84 90"), 180, 360, fill=b, width=int(7 * s) + 1)
        draw.rounded_rectangle(box("10 46 30 84"), int(8 * s), fill=a)
        draw.rounded_rectangle(box("70 46 90 84"), int(8 * s), fill=a)
    elif kind == 4:
        draw.arc(box("62 36 92 70"), 250, 110, fill=a, width=int(6 * s) + 1)
        draw.rounded_rectangle(box("18 26 74 86"), int(8 * s), fill=a)
        draw.ellipse(box("18 18 74 36"), fill=b)
    elif kind == 5:
        draw.polygon([v * s for v in (30, 8, 70, 8, 88, 48, 12, 48)], fill=pale)
        draw.rectangle(box("47 48 53 88"), fill=b)
        draw.ellipse(box("28 84 72 96"), fill=b)
    elif kind == 6:
        draw.polygon([v * s for v in (10, 30, 60, 16, 60, 84, 10, 94)], fill=a)
        draw.polygon([v * s for v in (60, 16, 92, 30, 92, 88, 60, 84)], fill=b)
        draw.polygon([v * s for v in (10, 40, 60, 28, 60, 44, 10, 56)], fill=pale)
    elif kind == 7:
        draw.ellipse(box("10 10 90 90"), fill=a)
        for k in range(3):
            draw.arc(box(f"{10 + 18 * k} 10 {90 - 18 * k} 90"), 0, 360, fill=b, width=int(2 * s) + 1)
        draw.line(box("10 50 90 50"), fill=b, width=int(2 * s) + 1)
    else:
        draw.chord(box("12 14 88 86"), 180, 360, fill=(214, 150, 70))
        for k, fill in enumerate(((96, 170, 60), (120, 60, 36), (250, 200, 60), (200, 50, 40))):
            draw.rounded_rectangle(box(f"10 {50 + 7 * k} 90 {57 + 7 * k}"), int(3 * s), fill=fill)
        draw.rounded_rectangle(box("13 78 87 92"), int(6 * s), fill=(206, 142, 66))
    return shaded(rng, image)


def mark(rng: Rng, side: int, colour: Colour | None = None) -> Image.Image:
    """The mark of a firm: one to three flat shapes that belong together."""
    image, draw = _blank(side * 2, side * 2)
    a = colour or pick_colour(rng, 0.8, 0.65)
    b = mix(a, pick_colour(rng, 0.8, 0.8), float(rng.choice([0.0, 0.7, 1.0])))
    c, r, kind = side, side * 0.9, int(rng.integers(0, 8))
    turn = float(rng.uniform(0, 6.3))

    def ring(n: int, reach: float, at: float = 0) -> Points:
        return [
            (c + reach * math.cos(at + k * 6.2832 / n), c + reach * math.sin(at + k * 6.2832 / n)) for k in range(n)
        ]

    if kind == 0:
        draw.ellipse((c - r, c - r, c + r, c + r), fill=a)
        draw.pieslice(
            (c - r * 0.6, c - r * 0.6, c + r * 0.6, c + r * 0.6), turn * 57, turn * 57 + 240, fill=(0, 0, 0, 0)
        )
    elif kind == 1:
        draw.polygon(ring(int(rng.integers(3, 9)), r, turn), fill=a)
        draw.polygon(ring(int(rng.integers(3, 7)), r * 0.5, turn), fill=(0, 0, 0, 0) if rng.random() < 0.5 else b)
    elif kind == 2:
        for k, (x, y) in enumerate(ring(int(rng.integers(3, 8)), r * 0.6, turn)):
            draw.ellipse((x - r * 0.32, y - r * 0.32, x + r * 0.32, y + r * 0.32), fill=b if k % 2 else a)
    elif kind == 3:
        n = int(rng.integers(4, 13))
        star = [
            p for pair in zip(ring(n, r), ring(n, r * rng.uniform(0.4, 0.8), 3.14159 / n), strict=True) for p in pair
        ]
        draw.polygon(star, fill=a)
    elif kind == 4:
        for k in range(3):
            x = c - r + k * r * 0.7
            draw.rectangle((x, c + r * (0.4 - 0.5 * k), x + r * 0.5, c + r), fill=a if k < 2 else b)
    elif kind == 5:
        draw.polygon(
            [
                (c, c - r),
                (c + r * 0.8, c - r * 0.6),
                (c + r * 0.7, c + r * 0.3),
                (c, c + r),
                (c - r * 0.7, c + r * 0.3),
                (c - r * 0.8, c - r * 0.6),
            ],
            fill=a,
        )
        draw.polygon(ring(5, r * 0.4, -1.57), fill=b if b != a else (255, 255, 255))
    elif kind == 6:
        for k in range(int(rng.integers(2, 5))):
            q = r * (1 - 0.25 * k)
            draw.arc(
                (c - q, c - q, c + q, c + q),
                turn * 57,
                turn * 57 + 200 + 30 * k,
                fill=a if k % 2 else b,
                width=int(r * 0.14) + 1,
            )
    else:
        draw.polygon([(c - r, c + r * 0.7), (c - r * 0.3, c - r * 0.6), (c + r * 0.3, c + r * 0.7)], fill=a)
        draw.polygon([(c - r * 0.2, c + r * 0.7), (c + r * 0.4, c - r * 0.2), (c + r, c + r * 0.7)], fill=b)
    return image.resize((max(4, side), max(4, side)), Image.Resampling.LANCZOS)


def prop(rng: Rng, side: int) -> Image.Image:
    """Some cut-out about `side` high and wide."""
    side = max(12, side)
    kind = rng.random()
    if kind < 0.3:
        return bust(rng, side)
    if kind < 0.45:
        return figure(rng, side)
    if kind < 0.6:
        return vehicle(rng, side)
    if kind < 0.75:
        return creature(rng, side)
    return article(rng, side)


def drop_shadow(image: Image.Image, cut: Image.Image, at: tuple[float, float], strength: float = 0.5) -> None:
    """Paste `cut` with its middle at `at` over its own soft shadow."""
    pad = max(4, cut.width // 12)
    wide = Image.new("L", (cut.width + 2 * pad, cut.height + 2 * pad), 0)
    wide.paste(cut.getchannel("A"), (pad, pad))
    shade = wide.filter(ImageFilter.GaussianBlur(pad / 2.5)).point(lambda v: int(v * strength))
    corner = (round(at[0] - wide.width / 2 + pad / 3), round(at[1] - wide.height / 2 + pad / 2))
    image.paste((0, 0, 0), corner, shade)
    paste_at(image, cut, at)


def silhouette_of(cut: Image.Image, colour: Colour) -> Image.Image:
    """`cut` in one colour."""
    flat = Image.new("RGBA", cut.size, (*colour, 255))
    flat.putalpha(cut.getchannel("A"))
    return flat


def faded(cut: Image.Image, saturation: float) -> Image.Image:
    """`cut` with weaker colours; 0 is grey."""
    grey = ImageEnhance.Color(cut.convert("RGB")).enhance(saturation)
    grey.putalpha(cut.getchannel("A"))
    return grey
