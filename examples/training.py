"""What the example trainings share: the loop, a checkpoint that goes on exactly, and larger position embeddings."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import click
import torch
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses
from transformers import BitImageProcessor

from curation.feed.torch_loaders import Loader

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which vision models are used to
PATCH = 14
WARM_UP = 0.1  # of all steps
CHECKPOINT, MODEL = "checkpoint.pt", "model"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What decides the result of a training, besides the data: two of equal plans on one machine are equal."""

    steps: int
    batch: int
    size: int
    rate: float
    seed: int
    threads: int


class Task(Protocol):
    """One method of self-supervised training."""

    optimiser: torch.optim.Optimizer

    def state(self) -> Mapping[str, nn.Module]:
        """Return the modules that a checkpoint needs."""

    def loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the loss of a batch."""

    def after_step(self, progress: float) -> None:
        """Do what follows a step of the optimiser; `progress` is the share of the training that is done."""

    def save(self, folder: Path) -> None:
        """Write the network as `save_pretrained` does, for `curate embed`."""


Ready = tuple[Task, Loader]
Prepare = Callable[..., Ready]
Log = Callable[[Mapping[str, Any]], None]


def train(task: Task, loader: Loader, plan: Plan, output: Path, *, save_every: int, log: Log) -> None:
    """Train until `plan.steps` steps are done, from the checkpoint in `output` if there is one.

    A checkpoint is written every `save_every` steps. `log` gets the step, the epoch, the loss and the rate of each
    step, and how many images a second were trained on.
    """
    output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(plan.threads)
    step = _restore(task, loader, plan, output / CHECKPOINT)
    started, first = time.monotonic(), step
    for batch in _endless(loader) if step < plan.steps else ():
        progress = step / plan.steps
        # Masks and dropout draw from here, so a step draws the same whether or not the training was interrupted.
        torch.manual_seed(plan.seed * 1_000_003 + step)
        rate = (
            plan.rate * min(1.0, (step + 1) / (WARM_UP * plan.steps)) * cosine_schedule(step, plan.steps, 1.0, 0.01)
        )
        for group in task.optimiser.param_groups:
            group["lr"] = rate
        loss = task.loss(batch)
        task.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in task.optimiser.param_groups for p in g["params"]], 3.0)
        task.optimiser.step()
        task.after_step(progress)
        step += 1
        speed = (step - first) * plan.batch / (time.monotonic() - started)
        log({"step": step, "epoch": loader.feed.epoch, "loss": loss.item(), "rate": rate, "images_per_second": speed})
        if step % save_every == 0 or step == plan.steps:
            _save(task, loader, plan, step, output / CHECKPOINT)
        if step == plan.steps:
            break
    loader.close()
    task.save(output / MODEL)
    processor = BitImageProcessor(
        size={"shortest_edge": plan.size},
        crop_size={"height": plan.size, "width": plan.size},
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    processor.save_pretrained(output / MODEL)


def _endless(loader: Loader) -> Iterator[Mapping[str, Any]]:
    while True:
        yield from loader


def _save(task: Task, loader: Loader, plan: Plan, step: int, path: Path) -> None:
    """Write a checkpoint, completely or not at all."""
    states = {name: module.state_dict() for name, module in task.state().items()}
    new = path.with_suffix(".tmp")
    torch.save(
        {
            "plan": dataclasses.asdict(plan),
            "step": step,
            "feed": loader.state_dict(),
            "optimiser": task.optimiser.state_dict(),
            **states,
        },
        new,
    )
    new.rename(path)


def _restore(task: Task, loader: Loader, plan: Plan, path: Path) -> int:
    """Put all as it was when the checkpoint was written, and return how many steps were done; 0 without one."""
    if not path.exists():
        return 0
    found = torch.load(path, weights_only=True)
    if found["plan"] != dataclasses.asdict(plan):
        raise click.ClickException(
            f"{path} is of a training with {found['plan']}; repeat those, or name another folder"
        )
    for name, module in task.state().items():
        module.load_state_dict(found[name])
    task.optimiser.load_state_dict(found["optimiser"])
    loader.load_state_dict(found["feed"])
    return int(found["step"])


def weights_of(folder: Path, name: str, size: int) -> dict[str, Tensor]:
    """Return the weights of the module `name` in a checkpoint, for pictures of `size` pixels."""
    weights: dict[str, Tensor] = torch.load(folder / CHECKPOINT, weights_only=True)[name]
    for key, value in weights.items():
        if key.endswith(("position_embeddings", "decoder_pos_embed")):
            weights[key] = resized(value, size // PATCH)
    return weights


def resized(positions: Tensor, grid: int) -> Tensor:
    """Return position embeddings, (1, 1 + patches, dimensions), for a grid of `grid` × `grid` patches.

    That of the class token stays; the others are interpolated, bicubically, as DINOv2 does for its last phase at 518
    pixels (Oquab et al., 2023, arXiv:2304.07193).
    """
    first, patches = positions[:, :1], positions[:, 1:]
    side = round(patches.shape[1] ** 0.5)
    squares = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    larger = F.interpolate(squares, (grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([first, larger.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def normalised(images: Tensor) -> Tensor:
    """Return uint8 images, (…, 3, height, width), as a network takes them: float32, about of mean 0, deviation 1."""
    mean, std = (torch.tensor(each, device=images.device).view(3, 1, 1) for each in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def command(prepare: Prepare, *, rate: float) -> click.Command:
    """Return the command of a training; `prepare` makes its task and its batches, `rate` is its usual rate."""

    @click.command()
    @click.argument("manifest")
    @click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for all it writes.")
    @click.option("--steps", default=120, show_default=True, help="How many batches to train on, in all.")
    @click.option("--batch", default=32, show_default=True, help="Images in a batch.")
    @click.option("--size", default=224, show_default=True, help="Pixels of a side: a multiple of 14.")
    @click.option("--from", "start", type=click.Path(path_type=Path), help="Output of a training to start from.")
    @click.option("--rate", default=rate, show_default=True, help="The highest learning rate.")
    @click.option("--seed", default=0, show_default=True, help="Another seed, another training.")
    @click.option("--threads", default=2, show_default=True, help="Of PyTorch, on a CPU.")
    @click.option("--workers", default=0, show_default=True, help="Processes that decode; 0: threads of this one.")
    @click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
    @click.option("--save-every", default=50, show_default=True, metavar="STEPS", help="Between checkpoints.")
    @click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each step.")
    def main(manifest: str, output: Path, as_json: bool, save_every: int, **given: Any) -> None:
        """Train on the images of MANIFEST, of any stage, and write checkpoints and the network to OUTPUT."""
        plan = Plan(**{field.name: given.pop(field.name) for field in dataclasses.fields(Plan)})
        if plan.size % PATCH:
            raise click.UsageError(
                f"--size {plan.size}: no multiple of {PATCH}, the side of a patch; 224 and 518 are"
            )
        task, loader = prepare(manifest, plan, **given)
        train(task, loader, plan, output, save_every=save_every, log=printer(as_json=as_json, steps=plan.steps))

    return main


def printer(*, as_json: bool, steps: int) -> Log:
    """Return a function that prints each step as JSON, or the mean of about twelve parts of the training."""
    losses: list[float] = []
    every = max(1, steps // 12)

    def log(facts: Mapping[str, Any]) -> None:
        if as_json:
            click.echo(json.dumps(facts))
            return
        losses.append(facts["loss"])
        if facts["step"] % every == 0 or facts["step"] == steps:
            mean = sum(losses) / len(losses)
            click.echo(
                f"step {facts['step']:4} of {steps}  epoch {facts['epoch']:3}  loss {mean:.4f}  "
                f"{facts['images_per_second']:.1f} images/s"
            )
            losses.clear()

    return log
