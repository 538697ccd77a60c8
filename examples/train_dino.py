"""Trains a small network by self-distillation, as DINOv2 does, on the samples of a manifest.

    python -m examples.train_dino demo/out/shards -o runs/dino
    python -m examples.train_dino demo/out/shards -o runs/dino-518 --size 518 --from runs/dino --batch 8 --steps 30

A student sees small and large crops of a picture, and learns to say of each what its teacher, a moving average of
itself, says of the other large one: DINO's loss (Caron et al., 2021, arXiv:2104.14294), and KoLeo, which spreads the
features of a batch, as in DINOv2 (Oquab et al., 2023, arXiv:2304.07193; without iBOT's masked patches). Both losses
are lightly's. The same command goes on from the last checkpoint. The teacher is written to runs/dino/model, for
`curate embed`. docs/guides/train.md explains it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lightly.loss import DINOLoss, KoLeoLoss
from lightly.models.modules.heads import DINOProjectionHead
from lightly.models.utils import update_momentum
from lightly.utils.scheduler import cosine_schedule
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

import curate
from examples.training import PATCH, Plan, Ready, command, normalised, weights_of

NETWORK = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2}
PROTOTYPES = 1024
KOLEO_WEIGHT = 0.1
TEACHER_TEMPERATURE = 0.04
MOMENTUM = (0.992, 1.0)  # of the teacher, along a cosine
LARGE_AREA, SMALL_AREA = (0.32, 1.0), (0.05, 0.32)  # of the picture, of which crops show this share
SMALL_CROPS = 2


@dataclass(frozen=True, kw_only=True)
class MultiCrop:
    """Makes two large and some small crops of a sample's picture. They are not mirrored: text never is."""

    size: int

    def __call__(self, sample: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Return the crops, (crops, side, side, 3) uint8; `random` depends on seed, epoch and position alone."""
        rgb = sample["image"]
        small = 7 * PATCH * self.size // (16 * PATCH) // PATCH * PATCH  # 98 of 224
        large = [_crop(rgb, self.size, LARGE_AREA, random) for _ in range(2)]
        return {
            "key": sample["key"],
            "large": np.stack(large),
            "small": np.stack([_crop(rgb, small, SMALL_AREA, random) for _ in range(SMALL_CROPS)]),
        }


def _crop(
    rgb: NDArray[np.uint8], side: int, area: tuple[float, float], random: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a random square part of a picture, scaled to `side`, in another brightness and contrast."""
    height, width = rgb.shape[:2]
    length = max(1, round((random.uniform(*area) * height * width) ** 0.5))
    length = min(length, height, width)
    top, left = int(random.integers(height - length + 1)), int(random.integers(width - length + 1))
    part = np.ascontiguousarray(rgb[top : top + length, left : left + length])
    part = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if length > side else cv2.INTER_LINEAR)
    contrast, brightness = random.uniform(0.7, 1.3), random.uniform(-30, 30)
    return np.clip(contrast * (part.astype(np.float32) - 128) + 128 + brightness, 0, 255).astype(np.uint8)


class SelfDistillation:
    """A student and its teacher, each a network with a head that gives PROTOTYPES numbers for a picture."""

    def __init__(self, plan: Plan, *, start: Path | None = None, device: str = "cpu") -> None:
        torch.manual_seed(plan.seed)
        self.student = _network(plan.size).to(device)
        if start is not None:
            self.student.load_state_dict(weights_of(start, "teacher", plan.size))
        self.teacher = _network(plan.size).to(device).requires_grad_(False)
        self.teacher.load_state_dict(self.student.state_dict())
        self.dino = DINOLoss(PROTOTYPES).to(device)
        self.koleo = KoLeoLoss()
        self.device = device
        learned = [parameter for parameter in self.student.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(learned, weight_decay=0.04)

    def state(self) -> Mapping[str, nn.Module]:
        """Return both networks, and the centre of the teacher's answers."""
        return {"student": self.student, "teacher": self.teacher, "dino": self.dino}

    def loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the loss of a batch of crops, of the shapes (batch, crops, side, side, 3)."""
        large, small = (
            [normalised(crop.to(self.device)) for crop in batch[name].permute(1, 0, 4, 2, 3)]
            for name in ("large", "small")
        )
        with torch.no_grad():
            taught = [_answer(self.teacher, crop)[1] for crop in large]
        seen = [_answer(self.student, crop) for crop in (*large, *small)]
        found: Tensor = self.dino(taught, [answer for _, answer in seen], teacher_temp=TEACHER_TEMPERATURE)
        spread = sum(self.koleo(features) for features, _ in seen[:2])
        return found + KOLEO_WEIGHT * spread

    def after_step(self, progress: float) -> None:
        """Move the teacher towards the student."""
        momentum = cosine_schedule(round(1e6 * progress), 10**6, *MOMENTUM)
        update_momentum(self.student, self.teacher, momentum)

    def save(self, folder: Path) -> None:
        """Write the teacher's network, without its head."""
        self.teacher["network"].cpu().save_pretrained(folder)


def _network(size: int) -> nn.ModuleDict:
    network = Dinov2Model(Dinov2Config(**NETWORK, image_size=size, patch_size=PATCH))
    return nn.ModuleDict(
        {"network": network, "head": DINOProjectionHead(NETWORK["hidden_size"], 256, 64, PROTOTYPES)}
    )


def _answer(model: nn.ModuleDict, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features of pictures, (batch, dimensions), and the head's answers, (batch, PROTOTYPES)."""
    features = model["network"](pixel_values=pictures).pooler_output
    return features, model["head"](features)


def prepare(manifest: str, plan: Plan, *, start: Path | None = None, device: str = "cpu", workers: int = 0) -> Ready:
    """Return the task and the batches of a training on the images of a manifest."""
    feed = curate.feed(
        manifest,
        batch_size=plan.batch,
        size=plan.size * 8 // 7,  # more than a large crop needs, so that small ones are not blurred
        transform=MultiCrop(size=plan.size),
        seed=plan.seed,
        remainder="pad",
    )
    return SelfDistillation(plan, start=start, device=device), feed.loader(workers=workers)


if __name__ == "__main__":
    command(prepare, rate=5e-4)()
