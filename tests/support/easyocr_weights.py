"""Weights for EasyOCR's networks that nobody trained: right in shape, so that its real code can load and run them."""

import importlib
import importlib.util
from collections import OrderedDict
from pathlib import Path

import pytest

from filters.engines.easyocr import model_files

needs_easyocr = pytest.mark.skipif(
    importlib.util.find_spec("easyocr") is None, reason="needs EasyOCR, 6 GB: make setup-easyocr"
)


def write_random_weights(folder: Path, languages: tuple[str, ...] = ("en",), *, seed: int = 0) -> Path:
    """Write what an engine for `languages` loads below `folder`, and return it: an EASYOCR_MODULE_PATH."""
    import torch

    torch.manual_seed(seed)
    detection, recognition = model_files(languages=languages, module_path=str(folder))
    detection.path.parent.mkdir(parents=True, exist_ok=True)
    config = importlib.import_module("easyocr.config")
    models = {m["filename"]: (g, m) for g, named in config.recognition_models.items() for m in named.values()}
    generation, model = models[recognition.path.name]
    width = 512 if generation == "gen1" else 256
    module = importlib.import_module(f"easyocr.model.{'model' if generation == 'gen1' else 'vgg_model'}")
    networks = {
        detection.path: importlib.import_module("easyocr.craft").CRAFT(),
        recognition.path: module.Model(1, width, width, len(model["characters"]) + 1),
    }
    for path, network in networks.items():
        torch.save(OrderedDict((f"module.{k}", v) for k, v in network.state_dict().items()), path)
    return folder
