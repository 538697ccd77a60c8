"""Trains the text network on a pool of pictures and writes it as ONNX.

The network sees a picture of about 384 × 384 pixels and says, of each cell of 8 × 8, how likely it is part of a
line of text, and how high that line is. It is fully convolutional, about 100,000 parameters in plain 3 × 3
convolutions, which one core runs in a few milliseconds.

Every picture is scaled, cut, turned, recoloured, blurred and compressed anew each time it is seen, text is pasted on
half of the photographs, and all go through the same JPEG encoder: so the network can lean on nothing but what text
looks like.
"""

import copy
import io
import math
import time
from collections.abc import Iterator
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

SIDE = 320
CELL = 8
WEIGHTS = {"web-none": 0.26, "web-some": 0.14, "web-rich": 0.09, "drawn-rich": 0.22, "drawn-some": 0.08,
           "drawn-none": 0.07, "drawn-pattern": 0.14}  # fmt: skip
PASTE_ON = {"web-none": 0.45, "web-some": 0.3, "drawn-none": 0.4, "drawn-pattern": 0.3, "drawn-some": 0.2}
MIXED, MIXED_KIND = 0.55, "web-none"
MIN_LINE_PIXELS, MAX_LINE_PIXELS = 5.0, 110.0
MIN_OPACITY, MIN_CONTRAST = 0.12, 14  # watermarks; grey levels by which ink must change what it covers to be seen
AVERAGED_STEPS = 500  # the weights that are kept are a moving average over about as many steps
HEIGHT_CENTRE = 3.5  # log2 of about 11 pixels


class Conv(nn.Sequential):
    """A 3 × 3 convolution, normalised, rectified."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """A convolution around which the input passes."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.convolution = Conv(width, width, dilation=dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of the shape of `x`."""
        return x + self.convolution(x)


class TextNet(nn.Module):
    """From (N, H, W, 3) uint8, H and W multiples of 16, to (N, 2, H/8, W/8): logit of text, log2 of height."""

    def __init__(self, w2: int = 8, w4: int = 16, w8: int = 32, w16: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(Conv(3, w2, 2), Conv(w2, w4, 2))
        self.eighth = nn.Sequential(Conv(w4, w8, 2), Residual(w8))
        self.sixteenth = nn.Sequential(Conv(w8, w16, 2), Residual(w16), Residual(w16, 2), Residual(w16, 4))
        self.narrow = nn.Conv2d(w16, w8, 1)
        self.head = nn.Sequential(Conv(w8, w8), nn.Conv2d(w8, 2, 1))
        self.pixel_scale = 1 / 128

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the two maps."""
        fine = self.eighth(self.stem(x.permute(0, 3, 1, 2).float() * self.pixel_scale))
        coarse = F.interpolate(self.narrow(self.sixteenth(fine)), scale_factor=2.0, mode="nearest")
        return self.head(fine + coarse)  # type: ignore[no-any-return]


class Pool:
    """The stored pictures by kind, and the strips of text to paste."""

    def __init__(self, folder: Path, without_fold: int | None = None) -> None:
        self.kinds: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {kind: [] for kind in WEIGHTS}
        for path in sorted(folder.glob("*.npz")):
            if path.name.startswith(f"web-{without_fold}-"):
                continue
            with np.load(io.BytesIO(path.read_bytes())) as stored:
                kind = f"{path.stem.split('-')[0]}-{stored['label']}"
                self.kinds[kind].append((stored["jpeg"], stored["quads"], stored["sure"]))
        self.kinds = {kind: found for kind, found in self.kinds.items() if found}
        self.strips = [np.fromfile(path, np.uint8) for path in sorted(folder.glob("strip-*.png"))]
        weights = np.array([WEIGHTS[kind] for kind in self.kinds])
        self.names, self.chances = list(self.kinds), weights / weights.sum()


def _photometric(rng: np.random.Generator, rgb: np.ndarray) -> np.ndarray:
    x = rgb.astype(np.float32)
    if rng.random() < 0.12:
        x = 255 - x
    if rng.random() < 0.15:
        x = np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2)
    elif rng.random() < 0.2:
        x = x[:, :, rng.permutation(3)]
    if rng.random() < 0.6:
        mean = x.mean()
        x = (x - mean) * rng.uniform(0.3, 1.25) + mean + rng.uniform(-35, 35)
    if rng.random() < 0.3:
        x = 255 * np.power(np.clip(x, 0, 255) / 255, float(np.exp(rng.normal(0, 0.35))))
    if rng.random() < 0.25:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.3, 1.1)))
    if rng.random() < 0.25:
        x += rng.normal(0, rng.uniform(2, 14), x.shape).astype(np.float32)
    out = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < 0.75:
        coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 96))])[1]
        out = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return out


def _paste(rng: np.random.Generator, rgb: np.ndarray, strip: np.ndarray) -> tuple[np.ndarray, bool]:
    """Paste a strip of text on `rgb` in place, opaque or as a watermark; return its corners, and if it shows."""
    ink = cv2.imdecode(strip, cv2.IMREAD_UNCHANGED)
    height, width = rgb.shape[:2]
    line = float(np.exp(rng.uniform(math.log(MIN_LINE_PIXELS), math.log(MAX_LINE_PIXELS))))
    scale = min(line / ink.shape[0], 1.2 * max(height, width) / ink.shape[1])
    if scale < 0.5:
        ink = cv2.resize(ink, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        scale = 0.5
    draw = rng.random()
    angle = rng.normal(0, 4) if draw < 0.65 else 90 * rng.integers(0, 4) if draw < 0.8 else rng.uniform(-60, 60)
    middle = (rng.uniform(0.05, 0.95) * width, rng.uniform(0.05, 0.95) * height)
    turn = cv2.getRotationMatrix2D((ink.shape[1] / 2, ink.shape[0] / 2), float(angle), scale)
    turn[:, 2] += (middle[0] - ink.shape[1] / 2, middle[1] - ink.shape[0] / 2)
    warped = cv2.warpAffine(ink, turn, (width, height), flags=cv2.INTER_LINEAR)
    alpha = warped[:, :, 3:].astype(np.float32) / 255 * (1.0 if rng.random() < 0.5 else rng.uniform(MIN_OPACITY, 1))
    # premultiplied by the warp's interpolation against transparent black: undo where there is ink
    colour = warped[:, :, :3].astype(np.float32)
    pasted = np.clip(rgb * (1 - alpha) + colour * alpha, 0, 255).astype(np.uint8)
    change = cv2.absdiff(pasted, rgb).max(axis=2)[warped[:, :, 3] > 128]
    rgb[:] = pasted
    h, w = ink.shape[:2]
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    is_seen = bool(change.size and change.mean() >= MIN_CONTRAST)
    return corners @ turn[:, :2].T.astype(np.float32) + turn[:, 2].astype(np.float32), is_seen


def _mix_in(rng: np.random.Generator, rgb: np.ndarray, pool: Pool) -> None:
    """Blend or set another photograph without text into `rgb` in place: few photographs become many."""
    jpeg, _, _ = pool.kinds[MIXED_KIND][int(rng.integers(len(pool.kinds[MIXED_KIND])))]
    other = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    height, width = rgb.shape[:2]
    scale = max(height / other.shape[0], width / other.shape[1]) * math.exp(rng.uniform(0, 0.8))
    other = cv2.resize(other, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (int(rng.integers(0, max(1, o - d))) for o, d in zip(other.shape, (height, width), strict=False))
    other = cv2.resize(other[top : top + height, left : left + width], (width, height))
    if rng.random() < 0.5:
        share = rng.uniform(0.25, 0.75)
        rgb[:] = (rgb * share + other * (1 - share)).astype(np.uint8)
    else:
        up, side = int(rng.integers(0, height)), int(rng.integers(0, width))
        down, far = up + int(rng.integers(height // 4, height)), side + int(rng.integers(width // 4, width))
        rgb[up:down, side:far] = other[up:down, side:far]


def _line_height(quad: np.ndarray) -> float:
    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    return float(max(1.0, min(sides[0] + sides[2], sides[1] + sides[3]) / 2))


def make_sample(rng: np.random.Generator, pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture (SIDE, SIDE, 3) uint8 and its maps (3, cells, cells) float32: text, ignored, log2 height."""
    kind = pool.names[int(rng.choice(len(pool.names), p=pool.chances))]
    jpeg, quads, sure = pool.kinds[kind][int(rng.integers(len(pool.kinds[kind])))]
    rgb = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    side = math.exp(rng.uniform(math.log(270), math.log(620)))
    scale = min(1.7, side / math.sqrt(rgb.shape[0] * rgb.shape[1]))
    squeeze = math.exp(rng.normal(0, 0.08))
    size = (max(48, round(rgb.shape[1] * scale * squeeze)), max(48, round(rgb.shape[0] * scale / squeeze)))
    ratio = np.array([size[0] / rgb.shape[1], size[1] / rgb.shape[0]], np.float32)
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    lines = [(quad * ratio, bool(s)) for quad, s in zip(quads, sure, strict=True)]
    y, x = (int(rng.integers(0, max(1, d - SIDE + 1))) for d in rgb.shape[:2])
    rgb = np.ascontiguousarray(rgb[y : y + SIDE, x : x + SIDE])
    if not len(quads) and pool.kinds.get(MIXED_KIND) and rng.random() < MIXED:
        _mix_in(rng, rgb, pool)
    if rng.random() < PASTE_ON.get(kind, 0):
        for _ in range(int(rng.integers(1, 4))):
            quad, is_seen = _paste(rng, rgb, pool.strips[int(rng.integers(len(pool.strips)))])
            lines.append((quad + np.array([x, y], np.float32), is_seen))
    below, beside = SIDE - rgb.shape[0], SIDE - rgb.shape[1]
    if below or beside:
        rgb = cv2.copyMakeBorder(rgb, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=(127, 127, 127))
    masks = np.zeros((3, SIDE, SIDE), np.float32)
    for quad, is_sure in sorted(lines, key=lambda line: line[1]):
        points = np.rint(quad - np.array([x, y], np.float32)).astype(np.int32)
        height = _line_height(quad)
        cv2.fillPoly(masks[0], [points], 1.0 if is_sure else 0.0)
        cv2.fillPoly(masks[1], [points], 0.0 if is_sure else 1.0)
        cv2.fillPoly(masks[2], [points], math.log2(height))
    rgb = _photometric(rng, rgb)
    if rng.random() < 0.3:
        turns = int(rng.integers(1, 4))
        rgb, masks = np.rot90(rgb, turns), np.rot90(masks, turns, (1, 2))
    if not lines and rng.random() < 0.5:
        rgb = rgb[:, ::-1]
    cells = SIDE // CELL
    pooled = masks.reshape(3, cells, CELL, cells, CELL).mean(axis=(2, 4))
    pooled[2] = np.where(pooled[0] > 0.3, masks[2].reshape(cells, CELL, cells, CELL).max(axis=(1, 3)), 0)
    return np.ascontiguousarray(rgb), pooled.astype(np.float32)


class Samples(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    """An endless stream of samples; each worker draws its own."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool, self.seed = pool, seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        cv2.setNumThreads(1)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            rgb, maps = make_sample(rng, self.pool)
            yield torch.from_numpy(rgb), torch.from_numpy(maps)


def loss_of(out: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Return the loss: cross entropy of each cell, of the picture's surest cells, and the error of the height."""
    text, ignored, height = maps[:, 0], maps[:, 1], maps[:, 2]
    counts = 1 - ignored
    cells = F.binary_cross_entropy_with_logits(out[:, 0], text, reduction="none")
    weight = counts * torch.where(text > 0.3, 2.5, 1.0)
    each = (cells * weight).sum() / weight.sum()
    surest = (out[:, 0] - 20 * ignored).flatten(1).topk(6, dim=1).values.mean(dim=1)
    has_text = (text > 0.6).flatten(1).sum(dim=1)
    is_clear = (has_text >= 4) | (has_text == 0)
    whole = F.binary_cross_entropy_with_logits(surest, (has_text >= 4).float(), reduction="none")
    picture = (whole * is_clear).sum() / is_clear.sum().clamp(min=1)
    lines = (text > 0.5).float()
    error = ((out[:, 1] - (height - HEIGHT_CENTRE)).abs() * lines).sum() / lines.sum().clamp(min=1)
    return each + 0.15 * picture + 0.1 * error


def export(net: TextNet, path: Path) -> None:
    """Write `net` as ONNX, its normalisations and the scale of its pixels folded into the convolutions."""
    folded = copy.deepcopy(net).eval()
    with torch.no_grad():
        first = folded.stem[0][0].weight
        first.copy_(first.flip(1) * folded.pixel_scale)  # trained on OpenCV's B, G, R; asked with R, G, B
    folded.pixel_scale = 1.0
    torch.onnx.export(
        folded, (torch.zeros(1, 384, 384, 3, dtype=torch.uint8),), str(path),
        input_names=["x"], output_names=["maps"],
        dynamic_axes={"x": {0: "n", 1: "h", 2: "w"}, "maps": {0: "n", 2: "rows", 3: "columns"}},
        dynamo=False, opset_version=17,
    )  # fmt: skip


@click.command()
@click.argument("pool", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=9000, show_default=True)
@click.option("--batch", default=24, show_default=True)
@click.option("--rate", default=2.5e-3, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--without-fold", type=int, help="Leave out the photographs of this fold: to fit and calibrate on them."
)
def main(  # noqa: PLR0913, PLR0917 - one for each option
    pool: Path, output: Path, steps: int, batch: int, rate: float, threads: int, seed: int, without_fold: int | None
) -> None:
    """Train on the pictures of POOL."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    net = TextNet().to(memory_format=torch.channels_last)
    click.echo(f"{sum(p.numel() for p in net.parameters()):,} parameters")
    loader = torch.utils.data.DataLoader(
        Samples(Pool(pool, without_fold), seed), batch_size=batch, num_workers=1, prefetch_factor=6
    )
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / AVERAGED_STEPS), use_buffers=True)
    smooth, started = 0.0, time.monotonic()
    for step, (pictures, maps) in zip(range(steps), loader, strict=False):
        out = net(pictures)
        loss = loss_of(out, maps)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        averaged.update_parameters(net)
        smooth = loss.item() if step == 0 else 0.99 * smooth + 0.01 * loss.item()
        if step % 100 == 0:
            click.echo(f"step {step} loss {smooth:.4f} {time.monotonic() - started:.0f} s")
        if step % 1500 == 1499:
            export(averaged.module, output)
    export(averaged.module, output)


if __name__ == "__main__":
    main()
