"""Tiny networks that nobody trained, saved as real ones are, so that the real loaders can load and run them."""

import importlib.util
import warnings
from pathlib import Path

import pytest

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, 6 GB: make setup-easyocr"
)
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None,
    reason="needs PyTorch and transformers, 6 GB: make setup-easyocr",
)

HIDDEN, SIDE = 32, 56


def write_torchscript(path: Path, *, dimensions: int = 24, seed: int = 0, kind: str = "pooled") -> Path:
    """Write a convolutional network at `path` and return it; of another `kind`, one whose answer is no vector."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 16, 7, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()]
    if kind == "pooled":
        layers += [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, dimensions, bias=False)]
    if kind == "grows":
        layers += [nn.Flatten()]
    if kind == "zero":
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), _Contrast()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch prefers torch.export
        torch.jit.script(nn.Sequential(*layers).eval()).save(str(path))
    return path


def _Contrast() -> object:
    from torch import Tensor, nn

    class Contrast(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 0 + (x - x.mean())[:, :0].sum()

    return Contrast()


def write_hugging_face(folder: Path, kind: str, *, seed: int = 0) -> Path:
    """Write a model of class `kind`, and its image processor, into `folder`, and return it."""
    import torch
    import transformers

    torch.manual_seed(seed)
    sizes = {
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": SIDE,
        "patch_size": 14,
    }
    sized, square = {"shortest_edge": SIDE}, {"height": SIDE, "width": SIDE}
    if kind == "Dinov2Model":  # as Web-SSL's DINO models
        model = transformers.Dinov2Model(transformers.Dinov2Config(**sizes))
        processor = transformers.BitImageProcessor(size=sized, crop_size=square)
    elif kind == "CLIPModel":
        vision = transformers.CLIPVisionConfig(**sizes)
        text = transformers.CLIPTextConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=99)
        both = transformers.CLIPConfig(
            text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=HIDDEN
        )
        model = transformers.CLIPModel(both)
        processor = transformers.CLIPImageProcessor(size=sized, crop_size=square)
    elif kind == "ViTMAEModel":
        model = transformers.ViTMAEModel(transformers.ViTMAEConfig(**sizes))
        processor = transformers.ViTImageProcessor(size=square)
    else:
        has_pooler = kind == "ViTModel"
        model = transformers.ViTModel(transformers.ViTConfig(**sizes), add_pooling_layer=has_pooler)
        processor = transformers.ViTImageProcessor(size=square)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
