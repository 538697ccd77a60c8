"""Pictures without words: cells, particles, patterns, icons, faces, games, night skies, silhouettes, surfaces."""

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from examples.corpus.grounds import blobs, graded, pick_tone, plain, rays, stripes, view, waves
from examples.corpus.photographs import landscape
from examples.corpus.pixels import enlarge, pixel_scene, small_size
from examples.corpus.props import bust, creature, mark, paste_at, prop, silhouette_of, vehicle
from examples.corpus.surfaces import abstract_art, blob_outline, gradient_art, plain_surface, texture_macro
from examples.corpus.textures import (
    Colour,
    Rng,
    blend,
    make_canvas,
    make_noise,
    make_ramp,
    mix,
    pick_colour,
    through_camera,
    to_image,
)


def cells(rng: Rng, w: int, h: int) -> Image.Image:
    """Cells or tissue under a microscope: stained on white, or glowing on black, with nuclei, in focus or not."""
    glow = bool(rng.random() < 0.45)
    ground: Colour = (
        (4, 4, 8) if glow else mix((245, 235, 240), pick_colour(rng, 0.3, 0.9), float(rng.uniform(0, 0.5)))
    )
    image, draw = make_canvas(w, h, ground)
    tint = 0.0 if rng.random() < 0.2 else 1.0  # grey at times
    body, core = pick_colour(rng, 0.6 * tint, 0.7), pick_colour(rng, 0.8 * tint, 0.9 if glow else 0.35)
    r = min(w, h) * math.exp(rng.uniform(math.log(0.012), math.log(0.13)))
    count = int(np.clip(w * h / (r * r) * rng.uniform(0.04, 0.4), 4, 420))
    has_core, rim = bool(rng.random() < 0.75), bool(rng.random() < 0.4)
    for _ in range(count):
        at, size = (rng.uniform(0, w), rng.uniform(0, h)), r * rng.uniform(0.6, 1.4)
        tone = mix(ground, body, float(rng.uniform(0.25, 0.9)))
        draw.polygon(blob_outline(rng, at, size, 0.12), fill=tone, outline=mix(tone, core, 0.6) if rim else None)
        if has_core:
            inner = (at[0] + rng.normal(0, size * 0.15), at[1] + rng.normal(0, size * 0.15))
            draw.polygon(
                blob_outline(rng, inner, size * rng.uniform(0.25, 0.5), 0.1),
                fill=mix(body, core, float(rng.uniform(0.5, 1))),
            )
    if rng.random() < 0.25:  # fibres between them
        for _ in range(int(rng.integers(10, 90))):
            steps = np.cumsum(np.cumsum(rng.normal(0, 0.5, (14, 2)), axis=0) + rng.normal(0, r / 4, 2), axis=0)
            left, top = rng.uniform(0, w), rng.uniform(0, h)
            draw.line([(float(left + p[0]), float(top + p[1])) for p in steps], fill=mix(ground, core, 0.6), width=1)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, max(0.8, r / 7)))))
    rgb = np.asarray(image, np.float32) * (1 + rng.uniform(0.05, 0.35) * make_noise(rng, w, h, 25, 4))[..., None]
    if rng.random() < 0.2:  # the round field of view
        x, y = np.arange(w)[None, :] - w / 2, np.arange(h)[:, None] - h / 2
        rgb *= (np.hypot(x, y) < min(w, h) * 0.48)[..., None]
    return through_camera(rng, to_image(rgb))


def _places(rng: Rng, how: str, count: int, jitter: float) -> np.ndarray:
    """Where particles are, (count, 2), of the width and height."""
    if how == "even":
        return rng.uniform(0, 1, (count, 2))
    if how == "grid":
        side = max(2, round(count**0.5))
        corners = np.stack(np.divmod(np.arange(side * side), side), axis=1) / side
        places: np.ndarray = corners + rng.normal(0, jitter, (side * side, 2))
        return places
    if how == "cluster":
        middles = rng.uniform(0.1, 0.9, (6, 2))[rng.integers(0, int(rng.integers(1, 7)), count)]
        places = middles + rng.normal(0, 0.08, (count, 2))
        return places
    t = rng.uniform(0, 2 * math.pi, count)
    if how == "curve":
        a, b = rng.integers(1, 5, 2)
        line = np.stack([np.sin(a * t), np.cos(b * t)], axis=1)
        places = 0.5 + 0.4 * line + rng.normal(0, jitter, (count, 2))
        return places
    reach = np.abs(rng.normal(0.36, 0.05, count) if how == "ring" else rng.normal(0, 0.22, count))
    places = 0.5 + reach[:, None] * np.stack([np.cos(t), np.sin(t)], axis=1)
    return places


def _tracks(rng: Rng, draw: ImageDraw.ImageDraw, size: tuple[int, int], ink: Colour) -> None:
    for _ in range(int(rng.integers(4, 40))):
        steps = np.cumsum(np.cumsum(rng.normal(0, 1, (40, 2)), axis=0) * 0.4 + rng.normal(0, 3, 2), axis=0)
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        draw.line([(float(x + p[0]), float(y + p[1])) for p in steps], fill=ink, width=int(rng.integers(1, 3)))


def particles(rng: Rng, w: int, h: int) -> Image.Image:
    """Points, balls, streaks or tracks on black, white or a dark colour: spread, clustered, along curves."""
    dark = bool(rng.random() < 0.8)
    ground: Colour = (0, 0, 0) if rng.random() < 0.4 else pick_colour(rng, 0.5, 0.05)
    ground = ground if dark else (252, 252, 252)
    image, draw = make_canvas(w, h, ground)
    inks = [pick_colour(rng, 0.6, 0.95 if dark else 0.4) for _ in range(int(rng.integers(1, 4)))]
    count, size = int(math.exp(rng.uniform(math.log(40), math.log(2500)))), min(w, h) * rng.uniform(0.001, 0.012)
    how = str(rng.choice(["even", "cluster", "curve", "ring", "burst", "tracks", "grid"]))
    balls = bool(rng.random() < 0.3)
    if balls:
        size, count = min(w, h) * rng.uniform(0.01, 0.04), min(count, 500)
    if how == "tracks":
        _tracks(rng, draw, (w, h), inks[0])
        count //= 6
    places = _places(rng, how, count, float(rng.uniform(0.0, 0.03))) * (w, h)
    for k, (x, y) in enumerate(places.tolist()):
        r = size * abs(rng.normal(0.8, 0.3 if balls else 0.5)) + 0.3
        ink = mix(ground, inks[k % len(inks)], float(rng.uniform(0.4, 1)))
        if how == "burst":
            draw.line((x, y, x + (x - w / 2) * 0.08, y + (y - h / 2) * 0.08), fill=ink, width=max(1, int(r)))
            continue
        draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)
        if balls and r > 2:
            draw.ellipse((x - r * 0.5, y - r * 0.5, x, y), fill=mix(ink, (255, 255, 255), 0.6))
    if rng.random() < 0.15:
        inset = int(min(w, h) * rng.uniform(0.03, 0.2))
        draw.rectangle((inset, inset, w - inset, h - inset), outline=mix(ground, inks[0], 0.5), width=2)
    if rng.random() < 0.5 and dark:
        image = ImageChops.add(image, image.filter(ImageFilter.GaussianBlur(size * rng.uniform(1, 5))))
    return image


def _motif(rng: Rng, side: int) -> Image.Image:
    """A tile of a pattern, on a transparent ground."""
    if rng.random() < 0.3:
        return prop(rng, side)
    if rng.random() < 0.5:
        return mark(rng, side)
    tile = Image.new("RGBA", (side * 2, side * 2), (0, 0, 0, 0))
    draw, c = ImageDraw.Draw(tile), side
    petals, a, b = int(rng.integers(3, 10)), pick_colour(rng, 0.7, 0.7), pick_colour(rng, 0.7, 0.8)
    reach, thick = side * rng.uniform(0.4, 0.6), side * rng.uniform(0.12, 0.38)
    for k in range(petals):
        x, y = c + reach * math.cos(k * 6.283 / petals), c + reach * math.sin(k * 6.283 / petals)
        draw.ellipse((x - thick, y - thick, x + thick, y + thick), fill=a)
    draw.ellipse((c - thick, c - thick, c + thick, c + thick), fill=b)
    return tile.resize((side, side), Image.Resampling.LANCZOS)


def repeated_pattern(rng: Rng, w: int, h: int) -> Image.Image:
    """One to three motifs over and over, mirrored or turned, as on wallpaper, cloth and tiles."""
    if rng.random() < 0.25:  # a tile of anything, mirrored
        side = max(16, round(min(w, h) / rng.integers(2, 9)))
        tile = (blobs, graded, rays, stripes, waves)[rng.integers(0, 5)](rng, side, side)
        image = Image.new("RGB", (w, h))
        for k in range((w // side + 1) * (h // side + 1)):
            column, row = k % (w // side + 1), k // (w // side + 1)
            turned = ImageOps.mirror(tile) if column % 2 else tile
            image.paste(ImageOps.flip(turned) if row % 2 else turned, (column * side, row * side))
        return image
    image = (plain, plain, stripes)[rng.integers(0, 3)](rng, w, h)
    side = max(10, round(min(w, h) / rng.uniform(2.5, 16)))
    motifs = [_motif(rng, round(side * rng.uniform(0.5, 1.0))) for _ in range(int(rng.integers(1, 4)))]
    if rng.random() < 0.35:
        tint = pick_tone(rng)
        motifs = [silhouette_of(motif, tint) for motif in motifs]
    if rng.random() < 0.3:
        motifs = [motif.rotate(float(rng.uniform(0, 360)), expand=True) for motif in motifs]
    shift, pitch = float(rng.choice([0, 0.5])), side * rng.uniform(1.0, 1.6)
    for row in range(int(h / pitch) + 2):
        for column in range(-1, int(w / pitch) + 2):
            cut = motifs[(row * 2 + column) % len(motifs)]
            paste_at(image, cut, ((column + shift * (row % 2)) * pitch, row * pitch))
    return image


def icon_sheet(rng: Rng, w: int, h: int) -> Image.Image:
    """Rows of icons, buttons, flags or small things, without names."""
    image = plain(rng, w, h)
    draw = ImageDraw.Draw(image)
    columns = int(rng.integers(2, 11))
    step = w / columns
    one = pick_colour(rng, 0.7, 0.5) if rng.random() < 0.4 else None
    frame, kind = rng.choice(["none", "disc", "square"]), rng.choice(["mark", "prop", "flag"], p=[0.55, 0.3, 0.15])
    pool = [_icon(rng, round(step * 0.56), str(kind), one) for _ in range(24)]
    for k in range(columns * int(np.ceil(h / step))):
        x, y = (k % columns + 0.5) * step, (k // columns + 0.5) * step
        r = step * 0.42
        if frame == "disc":
            draw.ellipse((x - r, y - r, x + r, y + r), fill=mix(one or pick_colour(rng), (255, 255, 255), 0.75))
        elif frame == "square":
            draw.rounded_rectangle(
                (x - r, y - r, x + r, y + r), int(r / 4), fill=mix(one or pick_colour(rng), (255, 255, 255), 0.75)
            )
        if rng.random() < 0.95:
            paste_at(image, pool[k % len(pool)], (x, y))
    return image


def _icon(rng: Rng, side: int, kind: str, colour: Colour | None) -> Image.Image:
    if kind == "mark":
        return mark(rng, max(8, side), colour)
    if kind == "prop":
        cut = prop(rng, max(12, side))
        return silhouette_of(cut, colour) if colour else cut
    flag = Image.new("RGBA", (max(8, side), max(6, side * 2 // 3)), (*pick_colour(rng, 0.9, 0.8), 255))
    draw, w, h = ImageDraw.Draw(flag), flag.width, flag.height
    upright = rng.random() < 0.5
    for k in (1, 2):
        box = (w * k // 3, 0, w, h) if upright else (0, h * k // 3, w, h)
        draw.rectangle(box, fill=pick_colour(rng, float(rng.choice([0, 0.9])), 0.95))
    return flag


def face_collage(rng: Rng, w: int, h: int) -> Image.Image:
    """Portraits or small pictures side by side, without names."""
    image = plain(rng, w, h)
    columns = int(rng.integers(2, 9))
    side = max(16, round(w / columns))
    gap = int(rng.choice([0, 0, side // 20, side // 8]))
    mixed, tall = bool(rng.random() < 0.35), round(side * rng.choice([1, 1, 1.3]))
    pool = []
    for _ in range(12):
        if mixed and rng.random() < 0.7:
            pool.append(view(rng, side - gap, tall - gap))
            continue
        tile = plain(rng, side - gap, tall - gap) if rng.random() < 0.5 else graded(rng, side - gap, tall - gap)
        cut = bust(rng, round(side * rng.uniform(0.9, 1.25)))
        paste_at(tile, cut, (tile.width / 2, tile.height - cut.height / 2))
        pool.append(tile)
    for k in range(columns * (h // tall + 1)):
        tile = pool[int(rng.integers(0, len(pool)))] if k >= len(pool) else pool[k]
        image.paste(tile, (gap // 2 + k % columns * side, gap // 2 + k // columns * tall))
    return image.convert("L").convert("RGB") if rng.random() < 0.12 else image


def game_scene_without_words(rng: Rng, w: int, h: int) -> Image.Image:
    """A game's world without score or text, in pixels or drawn."""
    if rng.random() < 0.75:
        return enlarge(rng, pixel_scene(rng, *small_size(rng, w, h)), w, h)
    image = waves(rng, w, h) if rng.random() < 0.6 else landscape(rng, w, h)
    for _ in range(int(rng.integers(1, 6))):
        cut = (creature, vehicle, prop)[rng.integers(0, 3)](rng, round(min(w, h) * rng.uniform(0.12, 0.4)))
        paste_at(image, cut, (w * rng.uniform(0.05, 0.95), h * rng.uniform(0.4, 0.9)))
    return image


def night_sky(rng: Rng, w: int, h: int) -> Image.Image:
    """Stars, a band of haze, a moon or a planet, and hills or trees below at times."""
    rgb = blend(pick_colour(rng, 0.7, 0.05), pick_colour(rng, 0.7, 0.22), np.linspace(0, 1, h)[:, None].repeat(w, 1))
    if rng.random() < 0.6:
        haze = np.exp(-(((make_ramp(rng, w, h) - 0.5) * 5) ** 2)) * np.clip(0.5 + make_noise(rng, w, h, 4, 5), 0, 2)
        rgb += haze[..., None] * np.asarray(pick_colour(rng, 0.5, 0.6), np.float32) * rng.uniform(0.3, 1)
    stars = rng.random((h, w)) < rng.uniform(0.0005, 0.006)
    rgb += (stars * rng.uniform(60, 255, (h, w)))[..., None].astype(np.float32)
    image = to_image(rgb)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 60))):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.5, 2)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 255, 250))
    if rng.random() < 0.5:
        r = min(w, h) * rng.uniform(0.04, 0.25)
        disc = Image.new("L", (w, h), 0)
        x, y = rng.uniform(r, max(r + 1, w - r)), rng.uniform(r, max(r + 1, h * 0.6))
        ImageDraw.Draw(disc).ellipse((x - r, y - r, x + r, y + r), fill=255)
        if rng.random() < 0.5:
            ImageDraw.Draw(disc).ellipse((x - r * 0.5, y - r * 1.1, x + r * 1.5, y + r), fill=0)
        face = to_image(
            np.asarray(pick_colour(rng, 0.2, 0.9), np.float32)
            * (0.85 + 0.3 * make_noise(rng, w, h, 12, 4))[..., None]
        )
        image.paste(face, (0, 0), disc.filter(ImageFilter.GaussianBlur(0.8)))
    if rng.random() < 0.5:
        line = h * (0.82 + 0.2 * make_noise(rng, w, 2, float(rng.uniform(2, 30)), 5)[0])
        ImageDraw.Draw(image).polygon([(0, h), *enumerate(line.tolist()), (w, h)], fill=(4, 5, 8))
    return image


def silhouette(rng: Rng, w: int, h: int) -> Image.Image:
    """One or more dark shapes before a bright ground, or light before dark: people, things, trees, skylines."""
    image = graded(rng, w, h) if rng.random() < 0.6 else ImageEnhance.Brightness(landscape(rng, w, h)).enhance(1.2)
    draw, tone = ImageDraw.Draw(image), pick_colour(rng, 0.5, float(rng.choice([0.05, 0.05, 0.95])))
    level = h * rng.uniform(0.75, 0.98)
    if rng.random() < 0.6:
        draw.rectangle((0, level, w, h), fill=tone)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(4, 20))):
            x, tall = rng.uniform(0, w), h * rng.uniform(0.1, 0.45)
            wide = w * rng.uniform(0.03, 0.12)
            if rng.random() < 0.5:
                draw.rectangle((x, level - tall, x + wide, h), fill=tone)
            else:
                draw.polygon([(x, h), (x + wide / 2, level - tall), (x + wide, h)], fill=tone)
    for _ in range(int(rng.integers(1, 5))):
        cut = silhouette_of(prop(rng, round(min(w, h) * rng.uniform(0.2, 0.75))), tone)
        paste_at(image, cut, (w * rng.uniform(0.1, 0.9), level - cut.height / 2 + 2))
    return image


EMPTY = (
    cells, particles, repeated_pattern, plain_surface, gradient_art, icon_sheet, face_collage, abstract_art,
    game_scene_without_words, night_sky, texture_macro, silhouette,
)  # fmt: skip
