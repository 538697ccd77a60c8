"""Trains the network of kinds on a pool of changed pictures and writes it as ONNX.

The loss has two equal parts: the kind, and whether it is one of RICH_KINDS, which is the question that counts.
"""

import pickle
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from filters.text_kind import RICH_KINDS, TextKind
from scripts.kind_net.network import Head, export
from scripts.kind_net.pictures import Stored, fold_of

KINDS = list(TextKind)
WEIGHTS = {
    TextKind.DOCUMENT: 1.2, TextKind.TABLE: 2.0, TextKind.CHART: 1.6, TextKind.DIAGRAM: 1.6,
    TextKind.SCREENSHOT: 1.2, TextKind.SLIDE: 1.6, TextKind.HANDWRITING: 2.0, TextKind.MAP: 2.0,
    TextKind.DESIGNED: 1.3, TextKind.SCENE: 1.0, TextKind.NONE: 1.0,
}  # fmt: skip
UNSURE = 0.5  # the weight of a label that a person was not sure of
DRAWN_SHARE = 0.4  # the weight of all drawn pictures, by that of all labelled ones
AVERAGED_STEPS = 100
SMOOTHING = 0.03


def weights_of(pool: Sequence[Stored]) -> np.ndarray:
    """Return the weight of each picture, (pictures,)."""
    weights = np.array([WEIGHTS[each.kind] * (1.0 if each.is_sure else UNSURE) for each in pool])
    is_drawn = np.array([not each.source for each in pool])
    if is_drawn.any() and not is_drawn.all():
        weights[is_drawn] = DRAWN_SHARE * weights[~is_drawn].sum() / is_drawn.sum()
    return weights


def batches(
    rng: np.random.Generator, pool: Sequence[Stored], size: int, steps: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (features, kinds) of `size` pictures of one shape each."""
    weights, places = weights_of(pool), defaultdict(list)
    for place, each in enumerate(pool):
        places[each.features.shape].append(place)
    shapes = list(places)
    totals = np.array([weights[places[shape]].sum() for shape in shapes])
    for _ in range(steps):
        mine = np.array(places[shapes[rng.choice(len(shapes), p=totals / totals.sum())]])
        chances = weights[mine] / weights[mine].sum()
        drawn = rng.choice(mine, size, p=chances, replace=len(mine) < size)
        features = np.stack([pool[place].features for place in drawn]).astype(np.float32)
        yield (
            torch.from_numpy(features).contiguous(memory_format=torch.channels_last),
            torch.tensor([KINDS.index(pool[place].kind) for place in drawn]),
        )


def loss_of(outputs: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """Return the loss of `outputs`, (N, 11), for pictures of `kinds`, (N,)."""
    rich = len(RICH_KINDS)  # the first ones
    odds = torch.logsumexp(outputs[:, :rich], 1) - torch.logsumexp(outputs[:, rich:], 1)
    return F.cross_entropy(outputs, kinds, label_smoothing=SMOOTHING) + F.binary_cross_entropy_with_logits(
        odds, (kinds < rich).float()
    )


@click.command()
@click.argument("pool", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="An .onnx file.")
@click.option("--steps", default=1200, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--rate", default=1.2e-3, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--without-fold", type=int, help="Leave out the sources of this fold: to fit weights to them.")
def main(  # noqa: PLR0913, PLR0917 - one for each option
    pool: Path, output: Path, steps: int, batch: int, rate: float, threads: int, seed: int, without_fold: int | None
) -> None:
    """Train on the pictures of POOL."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    stored: list[Stored] = pickle.loads(pool.read_bytes())  # noqa: S301 - made by scripts.kind_net.pictures
    stored = [each for each in stored if not each.source or fold_of(each.source) != without_fold]
    head = Head().to(memory_format=torch.channels_last).train()
    for module in head.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # keeps ImageNet's averages: batches are small and of one shape
    rates = [0.3 * rate, 3 * rate]
    optimiser = torch.optim.AdamW(
        [{"params": head.blocks.parameters(), "lr": rates[0]}, {"params": head.linear.parameters(), "lr": rates[1]}],
        weight_decay=0.05,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps, pct_start=0.12)
    averaged = AveragedModel(head, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / AVERAGED_STEPS))
    started = time.monotonic()
    for step, (features, kinds) in enumerate(batches(np.random.default_rng(seed), stored, batch, steps)):
        loss = loss_of(head(features), kinds)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(head.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        averaged.update_parameters(head)
        if step % 50 == 0:
            click.echo(f"step {step} loss {loss.item():.3f} {time.monotonic() - started:.0f} s")
    export(averaged.module.eval(), output)


if __name__ == "__main__":
    main()
