"""Pictures as a camera takes them, without text and with some, and logos."""

import colorsys
import math
from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from examples.corpus.fonts import pick_style
from examples.corpus.textures import (
    Rng,
    blend,
    make_canvas,
    make_noise,
    make_ramp,
    mix,
    pick_colour,
    to_image,
)
from examples.corpus.words import fit_width, pick_name, pick_phrase, write_centred

# ------------------------------------------------------------ none


def landscape(rng: Rng, w: int, h: int) -> Image.Image:
    """Sky, a sun at times, ridges that grow darker, and ground."""
    hour = str(rng.choice(["sky", "sky", "sky", "dusk", ""], p=[0.3, 0.3, 0.2, 0.17, 0.03]))
    high, low = pick_colour(rng, 0.5, 0.75, hour), pick_colour(rng, 0.25, 0.95, hour)
    sky = blend(high, low, np.linspace(0, 1, h)[:, None].repeat(w, 1))
    clouds = np.clip(make_noise(rng, w, h, float(rng.uniform(2, 5))) * 1.4 + rng.uniform(-0.4, 0.3), 0, 1)[..., None]
    image = to_image(sky * (1 - clouds) + 250 * clouds)
    if rng.random() < 0.5:
        x, y, r = rng.uniform(0, w), rng.uniform(0, h * 0.5), min(w, h) * rng.uniform(0.03, 0.09)
        ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=(255, 245, 205))
    rgb = np.asarray(image, np.float32)
    ridge_colour = pick_colour(rng, 0.4, 0.4, str(rng.choice(["grass", "grass", "earth", "sky"])))
    rows = np.arange(h)[:, None]
    count = int(rng.integers(2, 5))
    base = rng.uniform(0.3, 0.55)
    for k in range(count):
        profile = make_noise(rng, w, 2, float(rng.uniform(2, 6)), 6)[0]
        line = h * (base + (0.95 - base) * k / count + 0.16 * profile)
        ridge = mix((190, 200, 215), ridge_colour, (k + 1) / count)
        texture = 1 + 0.3 * make_noise(rng, w, h, 14, 4)[..., None]
        rgb = np.where((rows > line)[..., None], np.asarray(ridge, np.float32) * texture, rgb)
    return to_image(rgb)


def foliage(rng: Rng, w: int, h: int) -> Image.Image:
    """Leaves or petals over one another, dark below and light above."""
    hue, spread = rng.uniform(0.12, 0.45), rng.uniform(0.02, 0.12)
    image, draw = make_canvas(w, h, (14, 28, 12))
    count = int(rng.integers(250, 900))
    size = math.sqrt(w * h / count) * rng.uniform(1.0, 2.2)
    for k in range(count):
        x, y, a = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0, 2 * math.pi)
        length = size * rng.uniform(0.5, 1.5)
        dx, dy = math.cos(a) * length, math.sin(a) * length
        light = 0.2 + 0.6 * k / count + rng.normal(0, 0.07)
        r, g, b = colorsys.hsv_to_rgb((hue + rng.normal(0, spread)) % 1, 0.65, float(np.clip(light, 0.05, 1)))
        leaf = [(x, y), (x + dx / 2 - dy / 4, y + dy / 2 + dx / 4), (x + dx, y + dy)]
        leaf.append((x + dx / 2 + dy / 4, y + dy / 2 - dx / 4))
        draw.polygon(leaf, fill=(round(r * 255), round(g * 255), round(b * 255)))
        draw.line((x, y, x + dx, y + dy), fill=(round(r * 190), round(g * 190), round(b * 190)))
    return ImageChops.multiply(image, to_image(235 + 60 * make_noise(rng, w, h)[..., None].repeat(3, 2)))


def bricks(rng: Rng, w: int, h: int) -> Image.Image:
    """A wall of bricks or tiles, uneven, in slanting light."""
    tint = pick_colour(rng, 0.5, 0.6, str(rng.choice(["brick", "brick", "earth", "sky", ""])))
    mortar = pick_colour(rng, 0.08, 0.65)
    image, draw = make_canvas(w, h, mortar)
    bh = max(8, int(h / rng.integers(5, 22)))
    bw = int(bh * rng.uniform(1.0, 3.2))
    gap, shift = max(2, bh // 10), rng.choice([0.0, 0.5, 0.33])
    for row in range(h // bh + 1):
        for column in range(-1, w // bw + 2):
            x = column * bw + (row * shift % 1) * bw + rng.normal(0, gap * 0.3)
            y = row * bh + rng.normal(0, gap * 0.3)
            shade = mix(tint, (30, 20, 15) if rng.random() < 0.5 else (235, 215, 200), rng.uniform(0, 0.35))
            draw.rectangle((x, y, x + bw - gap, y + bh - gap), fill=shade)
    light = 0.75 + 0.4 * make_ramp(rng, w, h) + 0.18 * make_noise(rng, w, h, 30, 4)
    return to_image(np.asarray(image, np.float32) * light[..., None])


def fence(rng: Rng, w: int, h: int) -> Image.Image:
    """Slats or railings in front of a view."""
    image = landscape(rng, w, h).filter(ImageFilter.GaussianBlur(2))
    draw = ImageDraw.Draw(image)
    colour, step = (
        pick_colour(rng, 0.25, 0.6, str(rng.choice(["wood", "wood", "grass", "sky"]))),
        max(6, w / rng.uniform(5, 22)),
    )
    lean, share, top = rng.normal(0, step * 0.5), rng.uniform(0.15, 0.8), h * rng.uniform(0, 0.4)
    for rail in rng.uniform(0.3, 0.95, 2):
        draw.rectangle((0, h * rail, w, h * rail + step * 0.3), fill=mix(colour, (0, 0, 0), 0.4))
    for k in range(-2, int(w / step) + 3):
        x, shade = k * step, mix(colour, (0, 0, 0), float(rng.uniform(0, 0.35)))
        y = top + rng.normal(0, 3)
        corners = [(x, h), (x + lean, y), (x + lean + step * share / 2, y - step * 0.3)]
        corners += [(x + lean + step * share, y), (x + step * share, h)]
        draw.polygon(corners, fill=shade)
    return image


def fabric(rng: Rng, w: int, h: int) -> Image.Image:
    """Woven cloth, plain or checked, in folds."""
    x, y = np.arange(w)[None, :], np.arange(h)[:, None]
    fold = make_noise(rng, w, h, float(rng.uniform(2, 4)), 3)
    angle, pitch = rng.uniform(0, math.pi), rng.uniform(18, 90)
    u = np.cos(angle) * x + np.sin(angle) * y + 25 * fold
    v = -np.sin(angle) * x + np.cos(angle) * y + 25 * fold
    plaid = (np.sin(u * 2 * math.pi / pitch) > rng.uniform(-0.5, 0.8)) * 0.5
    plaid = plaid + (np.sin(v * 2 * math.pi / (pitch * rng.uniform(0.6, 1.8))) > rng.uniform(-0.5, 1.1)) * 0.5
    weave = 0.93 + 0.07 * np.sin(u * 2.1) * np.sin(v * 2.1)
    rgb = blend(pick_colour(rng, 0.5, 0.55), pick_colour(rng, 0.4, 0.8), plaid)
    return to_image(rgb * (weave * (0.85 + 0.35 * fold))[..., None])


def wood(rng: Rng, w: int, h: int) -> Image.Image:
    """Planks, or marble where the veins are wild."""
    wild = rng.choice([0.6, 1.5, 5.0])
    x, y = np.linspace(0, 1, w)[None, :], np.linspace(0, 1, h)[:, None]
    if rng.random() < 0.5:
        x, y = y, x
    field = np.sin(2 * math.pi * (y * rng.uniform(4, 18) + wild * make_noise(rng, w, h, 2, 5) + x))
    field = field * 0.5 + 0.5 + 0.25 * make_noise(rng, w, h, 40, 2)
    saturation = 0.12 if wild == 5.0 else 0.5
    dark = pick_colour(rng, saturation, float(rng.uniform(0.25, 0.5)), "wood")
    light = pick_colour(rng, saturation, float(rng.uniform(0.55, 0.85)), "wood")
    return to_image(blend(dark, light, field))


def bokeh(rng: Rng, w: int, h: int) -> Image.Image:
    """Lights out of focus at night."""
    total = np.zeros((h, w, 3), np.float32) + np.asarray(pick_colour(rng, 0.5, 0.18), np.float32)
    for _ in range(int(rng.integers(4, 8))):
        layer, draw = make_canvas(w, h, (0, 0, 0))
        r = min(w, h) * rng.uniform(0.02, 0.14)
        for _ in range(int(rng.integers(3, 14))):
            cx, cy = rng.uniform(0, w), rng.normal(0.5, 0.25) * h
            colour = mix((0, 0, 0), pick_colour(rng, 0.6, 0.95), rng.uniform(0.25, 0.8))
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=colour)
        total += np.asarray(layer.filter(ImageFilter.GaussianBlur(r * rng.uniform(0.05, 0.4))), np.float32)
    return to_image(total)


def still_life(rng: Rng, w: int, h: int) -> Image.Image:
    """Balls, fruit and boxes with shading and shadows, a few or a heap."""
    ground = (
        wood(rng, w, h)
        if rng.random() < 0.4
        else to_image(blend(pick_colour(rng, 0.3, 0.8), pick_colour(rng, 0.4, 0.5), make_ramp(rng, w, h)))
    )
    rgb = np.array(ground, np.float32)
    many = rng.random() < 0.4
    reach = math.sqrt(w * h) * (0.07 if many else 0.2)
    x, y = np.arange(w)[None, :], np.arange(h)[:, None]
    for cy in np.sort(rng.uniform(0.15, 0.95, 70 if many else int(rng.integers(1, 6)))) * h:
        cx, r = rng.uniform(0, w), reach * rng.uniform(0.5, 1.4)
        squash, power = rng.uniform(0.7, 1.3), rng.choice([2, 2, 2, 6])  # 6: nearly a box
        top, left = max(0, int(cy - 2 * r)), max(0, int(cx - 2 * r))
        cut = np.s_[top : int(cy + 2 * r), left : int(cx + 2 * r)]
        dx, dy = (x[:, cut[1]] - cx) / r, (y[cut[0]] - cy) / (r * squash)
        distance = np.abs(dx) ** power + np.abs(dy) ** power
        shadow = np.clip(1.2 - ((dx - 0.25) ** 2 + ((dy - 0.6) * 1.6) ** 2), 0, 1) * 0.5
        rgb[cut] *= (1 - shadow)[..., None]
        shade = np.clip(1.1 - 0.5 * ((dx + 0.35) ** 2 + (dy + 0.4) ** 2), 0.15, 1.3)
        body = np.asarray(pick_colour(rng, 0.65, 0.75), np.float32) * shade[..., None]
        body += 110 * np.exp(-12 * ((dx + 0.4) ** 2 + (dy + 0.45) ** 2))[..., None]
        rgb[cut] = np.where((distance < 1)[..., None], body, rgb[cut])
    return to_image(rgb)


def city(rng: Rng, w: int, h: int) -> Image.Image:
    """Buildings with lit windows: rows of small bright shapes that are not text."""
    night = rng.random() < 0.5
    image = to_image(
        blend(
            pick_colour(rng, 0.5, 0.15 if night else 0.8, "sky"),
            pick_colour(rng, 0.25, 0.35 if night else 0.9, "sky"),
            make_ramp(rng, w, h),
        )
    )
    draw = ImageDraw.Draw(image)
    for k in range(int(rng.integers(5, 14))):
        bw, top = int(w * rng.uniform(0.08, 0.3)), int(h * (rng.uniform(0.05, 0.5) + 0.03 * k))
        x = int(rng.uniform(-0.05, 0.95) * w)
        wall = pick_colour(rng, 0.2, 0.25 if night else 0.55)
        draw.rectangle((x, top, x + bw, h), fill=wall)
        pitch = max(5, int(bw / rng.integers(3, 9)))
        lit = (255, 225, 140) if night else mix(wall, (160, 200, 230), 0.6)
        size = (pitch * rng.uniform(0.3, 0.7), pitch * rng.uniform(0.4, 0.9))
        for wy in range(top + pitch // 2, h, int(pitch * 1.4)):
            for wx in range(x + pitch // 4, x + bw - pitch // 2, pitch):
                fill = lit if rng.random() < 0.6 else mix(wall, (0, 0, 0), 0.4)
                draw.rectangle((wx, wy, wx + size[0], wy + size[1]), fill=fill)
    return image


def logo(rng: Rng, w: int, h: int) -> Image.Image:
    """Flat shapes on a plain ground, as icons and logos have them."""
    image, draw = make_canvas(w, h, (255, 255, 255) if rng.random() < 0.6 else pick_colour(rng))
    for _ in range(int(rng.integers(2, 7))):
        cx, cy = w * rng.normal(0.5, 0.18), h * rng.normal(0.5, 0.18)
        r, sides = min(w, h) * rng.uniform(0.08, 0.38), int(rng.integers(0, 9))
        if sides < 3:
            box = (cx - r, cy - r, cx + r, cy + r)
            fill = pick_colour(rng)
            draw.ellipse(box, fill=fill if sides else None, outline=fill, width=int(r / 3))
            continue
        turn, star = rng.uniform(0, 2 * math.pi), rng.choice([1.0, 0.45])
        points = []
        for k in range(sides * 2):
            reach = r * (star if k % 2 else 1)
            points.append(
                (
                    cx + reach * math.cos(turn + k * math.pi / sides),
                    cy + reach * math.sin(turn + k * math.pi / sides),
                )
            )
        draw.polygon(points, fill=pick_colour(rng))
    return image


def person(rng: Rng, w: int, h: int) -> Image.Image:
    """Someone's head and shoulders before a blurred view."""
    ground = foliage(rng, w, h) if rng.random() < 0.5 else city(rng, w, h)
    image = ground.filter(ImageFilter.GaussianBlur(min(w, h) / 40))
    draw = ImageDraw.Draw(image)
    skin = mix((240, 205, 180), (80, 50, 35), float(rng.random()))
    hair = mix((30, 22, 18), (200, 160, 90), float(rng.random() ** 2))
    cx, cy, r = w * rng.uniform(0.25, 0.75), h * rng.uniform(0.3, 0.5), min(w, h) * rng.uniform(0.12, 0.24)
    draw.ellipse((cx - 2.3 * r, cy + 1.4 * r, cx + 2.3 * r, cy + 9 * r), fill=pick_colour(rng, 0.5, 0.5))
    draw.rectangle((cx - 0.4 * r, cy + 0.7 * r, cx + 0.4 * r, cy + 1.8 * r), fill=mix(skin, (0, 0, 0), 0.2))
    long = float(rng.uniform(0.6, 2.2))
    draw.rounded_rectangle((cx - 1.1 * r, cy - 1.4 * r, cx + 1.1 * r, cy + long * r), int(r), fill=hair)
    draw.ellipse((cx - 0.85 * r, cy - 1.05 * r, cx + 0.85 * r, cy + 1.2 * r), fill=skin)
    for side in (-0.33, 0.33):
        ex, ey = cx + side * r, cy - 0.1 * r
        draw.ellipse((ex - 0.16 * r, ey - 0.09 * r, ex + 0.16 * r, ey + 0.09 * r), fill=(250, 250, 250))
        draw.ellipse((ex - 0.08 * r, ey - 0.08 * r, ex + 0.08 * r, ey + 0.08 * r), fill=(40, 30, 30))
        draw.line((ex - 0.2 * r, ey - 0.2 * r, ex + 0.2 * r, ey - 0.22 * r), fill=hair, width=max(1, int(r / 14)))
    draw.line((cx, cy, cx - 0.1 * r, cy + 0.35 * r), fill=mix(skin, (0, 0, 0), 0.25), width=max(1, int(r / 16)))
    draw.arc((cx - 0.4 * r, cy + 0.3 * r, cx + 0.4 * r, cy + 0.75 * r), 20, 160, (150, 60, 60), max(2, int(r / 12)))
    return image.filter(ImageFilter.GaussianBlur(max(0.6, r / 60)))


# ------------------------------------------------------------ some


def _view(rng: Rng, w: int, h: int) -> Image.Image:
    painters = (landscape, foliage, bricks, still_life, city, person)
    return painters[rng.integers(0, len(painters))](rng, w, h)


def sign(rng: Rng, w: int, h: int) -> Image.Image:
    """A view with a sign on a post, a shop's board or a number plate in it."""
    image = _view(rng, w, h)
    style = pick_style(rng, 30, (250, 250, 250))
    text = pick_name(rng, style.script, int(rng.integers(1, 3))).upper()
    style = replace(fit_width(text, style, w * rng.uniform(0.2, 0.4)), is_bold=True)
    style = replace(style, size_px=max(12, min(style.size_px, int(h * 0.12))))
    bw, bh = int(style.width_px(text) + style.size_px * 1.4), int(style.size_px * 2.0)
    board, draw = make_canvas(bw, bh, pick_colour(rng, 0.8, 0.45))
    draw.rectangle((3, 3, bw - 4, bh - 4), outline=style.colour, width=2)
    write_centred(draw, (bw / 2, bh / 2), text, style)
    board = board.convert("RGBA").rotate(float(rng.normal(0, 5)), Image.Resampling.BICUBIC, expand=True)
    x = int(rng.uniform(0, max(1, w - board.width)))
    y = int(rng.uniform(0.05, 0.6) * max(1, h - board.height))
    if rng.random() < 0.6:
        post = ImageDraw.Draw(image)
        post.rectangle((x + board.width * 0.48, y, x + board.width * 0.53, h), fill=(95, 95, 98))
    image.paste(board, (x, y), board)
    return image


def watermark(rng: Rng, w: int, h: int) -> Image.Image:
    """A photograph with an agency's mark across it, or a name and date in a corner."""
    image = _view(rng, w, h)
    layer = Image.new("RGBA", (w, h), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    text = f"© {pick_name(rng, 'latin', 1)}images.example"
    tiled = rng.random() < 0.5
    style = fit_width(text, pick_style(rng, 30, (255, 255, 255), "latin"), w * (0.55 if tiled else 0.35))
    if tiled:
        for k in range(3):
            at = (w * (0.3 + 0.2 * k), h * (0.2 + 0.3 * k))
            draw.text(at, text, font=style.font, fill=(255, 255, 255, 165), anchor="mm")
        layer = layer.rotate(float(rng.uniform(-35, 35)), Image.Resampling.BICUBIC)
    else:
        draw.text((w - 8, h - 6), text, font=style.font, fill=(255, 255, 255, 235), anchor="rd")
    image.paste(layer, (0, 0), layer)
    return image


def meme(rng: Rng, w: int, h: int) -> Image.Image:
    """A picture with a line in capitals above and at times one below."""
    image = _view(rng, w, h)
    draw = ImageDraw.Draw(image)
    base = replace(pick_style(rng, 30, (255, 255, 255), "latin"), is_bold=True)
    for y in (0.09, 0.9) if rng.random() < 0.6 else (0.9,):
        text = (pick_phrase(rng, "latin", 2) + " " + pick_name(rng, "latin", int(rng.integers(1, 4)))).upper()
        style = fit_width(text, base, w * 0.85)
        style = replace(style, size_px=min(style.size_px, int(h * 0.13)))
        stroke = max(1, style.size_px // 12)
        at = (w / 2, h * y)
        draw.text(
            at,
            text,
            font=style.font,
            fill=style.colour,
            anchor="mm",
            stroke_width=stroke,
            stroke_fill=(0, 0, 0),
        )
    return image


def product(rng: Rng, w: int, h: int) -> Image.Image:
    """A bottle or a tin with a label, before a plain ground."""
    image = to_image(blend(pick_colour(rng, 0.15, 0.95), pick_colour(rng, 0.3, 0.6), make_ramp(rng, w, h)))
    draw = ImageDraw.Draw(image)
    bw, top = min(w, h) * rng.uniform(0.3, 0.5), h * rng.uniform(0.12, 0.3)
    left, glass = (w - bw) * rng.uniform(0.25, 0.75), pick_colour(rng, 0.6, 0.45)
    if rng.random() < 0.6:
        draw.rectangle((left + bw * 0.36, top - h * 0.1, left + bw * 0.64, top + 20), fill=mix(glass, (0, 0, 0), 0.3))
    draw.rounded_rectangle((left, top, left + bw, h * 0.95), int(bw / 6), fill=glass)
    for k in range(int(bw)):
        tone = (255, 255, 255) if k < bw / 2 else (0, 0, 0)
        shade = mix(glass, tone, 0.4 * math.sin(k / bw * 2 * math.pi) ** 2)
        if bw / 6 < k < bw * 5 / 6:
            draw.line((left + k, top + 1, left + k, h * 0.95 - 1), fill=shade)
    label_top = top + (h * 0.95 - top) * 0.35
    draw.rectangle((left, label_top, left + bw, label_top + bw * 0.55), fill=pick_colour(rng, 0.2, 0.95))
    style = pick_style(rng, 24, pick_colour(rng, 0.9, 0.3))
    name = pick_name(rng, style.script, 1)[:9].upper()
    fitted = replace(fit_width(name, style, bw * 0.75), is_bold=True)
    fitted = replace(fitted, size_px=min(fitted.size_px, int(bw * 0.3)))
    write_centred(draw, (left + bw / 2, label_top + bw * 0.2), name, fitted)
    small = replace(style, size_px=max(9, int(bw / 14)))
    write_centred(draw, (left + bw / 2, label_top + bw * 0.44), f"{rng.integers(1, 10) * 50} ml", small)
    return image
