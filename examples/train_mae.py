"""Trains a small masked autoencoder (He et al., 2022, arXiv:2111.06377) on the samples of a manifest.

    python -m examples.train_mae demo/out/shards -o runs/mae
    python -m examples.train_mae demo/out/shards -o runs/mae-518 --size 518 --from runs/mae --batch 8 --steps 30

The same command goes on from the last checkpoint. The encoder is written to runs/mae/model, for `curate embed`.
docs/guides/train.md explains it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ViTConfig, ViTMAEConfig, ViTMAEForPreTraining, ViTModel

import curate
from examples.training import PATCH, Plan, Ready, command, normalised, weights_of

ENCODER = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3, "intermediate_size": 768}
DECODER = {
    "decoder_hidden_size": 96,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 3,
    "decoder_intermediate_size": 384,
}


class MaskedAutoencoder:
    """Three quarters of the patches are hidden, and predicted from the others, each normalised by its own pixels."""

    def __init__(self, plan: Plan, *, start: Path | None = None, device: str = "cpu") -> None:
        torch.manual_seed(plan.seed)
        config = ViTMAEConfig(
            **ENCODER, **DECODER, image_size=plan.size, patch_size=PATCH, mask_ratio=0.75, norm_pix_loss=True
        )
        self.model = ViTMAEForPreTraining(config).to(device)
        if start is not None:
            self.model.load_state_dict(weights_of(start, "model", plan.size))
        self.device = device
        learned = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(learned, betas=(0.9, 0.95), weight_decay=0.05)

    def state(self) -> Mapping[str, nn.Module]:
        """Return the network."""
        return {"model": self.model}

    def loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the mean squared error of the hidden patches; a blank patch's deviation is 1."""
        found: Tensor = self.model(normalised(batch["image"].to(self.device))).loss
        return found

    def after_step(self, progress: float) -> None:
        """Do nothing more."""

    def save(self, folder: Path) -> None:
        """Write the encoder as a ViT, which hides nothing and so has no randomness."""
        encoder = self.model.vit.cpu()
        config = ViTConfig(**ENCODER, image_size=encoder.config.image_size, patch_size=PATCH)
        plain = ViTModel(config, add_pooling_layer=False)
        plain.load_state_dict(encoder.state_dict())
        plain.save_pretrained(folder)


def prepare(manifest: str, plan: Plan, *, start: Path | None = None, device: str = "cpu", workers: int = 0) -> Ready:
    """Return the task and the batches of a training on the images of a manifest."""
    feed = curate.feed(manifest, batch_size=plan.batch, size=plan.size, seed=plan.seed, remainder="pad")
    return MaskedAutoencoder(plan, start=start, device=device), feed.loader(workers=workers)


if __name__ == "__main__":
    command(prepare, rate=1e-3)()
