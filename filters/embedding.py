"""Embeddings of pictures by a network that the user chooses: vectors of length 1, close for similar pictures.

The network is a TorchScript file, such as SSCD's, or a Hugging Face vision model, such as Web-SSL's. The model is
trusted (TorchScript is code), but the pictures are not: the size of the network's input is bounded here.
"""

import hashlib
import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filters.engines.model_files import path_from_home
from filters.protocol import FilterFailed, FilterUnavailable, Rgb

Vector = NDArray[np.float32]
"""(dimensions,), of length 1."""

INSTALL_ADVICE = "pip install torch transformers, on every machine"
TORCHSCRIPT_ADVICE = (
    "name a file that torch.jit.save wrote; of SSCD's files, that is the one that ends in .torchscript.pt"
)
HUGGING_FACE_ADVICE = (
    "name a folder with config.json, preprocessor_config.json and *.safetensors of a vision model, as "
    "save_pretrained or `hf download` write it"
)
TORCHSCRIPT_ENDINGS = (".pt", ".pts", ".ts", ".torchscript")
_LOADED = ("*.json", "*.safetensors")

MAX_ASPECT = 4
"""Longer pictures are squeezed to this aspect ratio: a line of pixels would be enlarged to gigabytes."""

_PROBE = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a picture is prepared for a TorchScript network; by default as SSCD's authors recommend.

    The short side is resized to `size` pixels, or with `square` both sides. Channels are scaled to [0, 1], then
    `mean` is subtracted and the result divided by `std`.
    """

    size: int = 288
    square: bool = False
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def apply(self, rgb: Rgb) -> NDArray[np.float32]:
        """Return `rgb`, (height, width, 3) uint8, as (1, 3, height, width) float32."""
        height, width = rgb.shape[:2]
        short = min(height, width)
        sides = (self.size, self.size) if self.square else (self.size * width // short, self.size * height // short)
        resized = Image.fromarray(rgb).resize(sides, Image.Resampling.BILINEAR)
        scaled = np.asarray(resized, np.float32) / np.float32(255)
        normal = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1)[np.newaxis])

    def __str__(self) -> str:
        shape = "square" if self.square else "short"
        mean, std = (",".join(f"{each:g}" for each in values) for values in (self.mean, self.std))
        return f"{shape}-{self.size}+mean-{mean}+std-{std}"


class Embedder:
    """A loaded network. The same picture gives the same vector, whatever was embedded before it."""

    def __init__(self, prepare: Callable[[Rgb], Any], forward: Callable[[Sequence[Any]], Any], version: str) -> None:
        """Try the network on a picture.

        Args:
            prepare: makes the network's input of one picture, with the attribute `shape`.
            forward: gives the network's output, (pictures, dimensions), for inputs of one shape.
            version: names the network, and all else that a vector depends on.

        Raises FilterUnavailable if it gives no vector, or another each time.
        """
        self.version = version
        self._prepare, self._forward = prepare, forward
        try:
            first, second = (self._raw([prepare(_PROBE)]) for _ in range(2))
        except Exception as error:
            raise FilterUnavailable(
                f"the model gives no vector for a picture: {_describe(error)}; name one that needs only pictures"
            ) from error
        if not np.array_equal(first, second):
            raise FilterUnavailable(
                "the model gives a different vector each time for the same picture (a masked autoencoder does); "
                "name one without randomness"
            )
        self.dimensions = first.shape[1]

    def embed(self, rgb: Rgb) -> Vector | None:
        """Return the vector of one picture, (height, width, 3) uint8; None if the network's output is 0 or not
        finite.

        Raises FilterFailed when the network fails on the picture, or its output has another shape than before.
        """
        return self.embed_prepared([self.prepare(rgb)])[0]

    def prepare(self, rgb: Rgb) -> Any:
        """Return the network's input of one picture, (height, width, 3) uint8, which is small. Raises as `embed`."""
        try:
            return self._prepare(_squeezed(rgb))
        except Exception as error:
            raise _failed(error) from error

    def embed_prepared(self, prepared: Sequence[Any]) -> list[Vector | None]:
        """Return the vectors of several pictures, as `embed` does, from what `prepare` returned.

        Those of one shape go through the network together, which is faster, on a GPU many times. The last digits of
        a vector can depend on how many those are. Raises as `embed`.
        """
        found: list[Vector | None] = [None] * len(prepared)
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for place, each in enumerate(prepared):
            by_shape.setdefault(tuple(each.shape), []).append(place)
        for places in by_shape.values():
            try:
                rows = self._raw([prepared[place] for place in places])
            except Exception as error:
                raise _failed(error) from error
            if rows.shape[1] != self.dimensions:
                raise FilterFailed(
                    f"the embedding's model gave {rows.shape[1]} numbers, {self.dimensions} before; name one whose "
                    "output does not depend on the size of the picture, or make pictures `square`"
                )
            for place, raw in zip(places, rows, strict=True):
                length = np.linalg.norm(raw)
                if np.isfinite(length) and length > 0:
                    found[place] = (raw / length).astype(np.float32)
        return found

    def _raw(self, prepared: Sequence[Any]) -> NDArray[np.float64]:
        output = self._forward(prepared)
        shape = tuple(getattr(output, "shape", ()))
        if len(shape) < 2 or shape[0] != len(prepared) or max(shape[1:], default=0) != np.prod(shape[1:]):
            raise ValueError(
                f"a {type(output).__name__} of shape {shape}, where ({len(prepared)}, dimensions) was expected"
            )
        vectors: NDArray[np.float64] = output.reshape(len(prepared), -1).double().cpu().numpy()
        return vectors


def _failed(error: Exception) -> FilterFailed:
    return FilterFailed(f"the embedding's model failed on a picture: {_describe(error)}; name another")


def load_embedder(
    model: str, *, preprocessing: Preprocessing | None = None, download: bool = False, device: str = "cpu"
) -> Embedder:
    """Return the network that `model` names: a TorchScript file, or a folder or name of a Hugging Face model.

    `preprocessing` is for TorchScript; a Hugging Face model has its own. Its name is looked up in the local cache,
    and on the network only with `download`. `device` is PyTorch's name of the device that computes; `auto` is a GPU
    where there is one. Raises FilterUnavailable, with advice, when a package, the device or the model is missing, or
    when it gives no vector.
    """
    torch = _import("torch")
    torch.set_num_threads(1)  # a worker has one core
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise FilterUnavailable(f"device {device}: PyTorch finds no GPU here; name cpu")
    path = path_from_home(model)
    if path.is_file() or path.suffix in TORCHSCRIPT_ENDINGS:
        return _torchscript(torch, path, preprocessing or Preprocessing(), device)
    return _hugging_face(torch, path if path.is_dir() else _fetched(model, download=download), device)


def _torchscript(torch: Any, path: Path, preprocessing: Preprocessing, device: str) -> Embedder:
    if not path.is_file():
        raise FilterUnavailable(f"model file {path} is missing; copy it to every worker, under this name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PyTorch prefers torch.export; SSCD is in TorchScript
            network = torch.jit.load(str(path), map_location=device).eval()
    except Exception as error:
        raise FilterUnavailable(f"{path} is not TorchScript ({_describe(error)}); {TORCHSCRIPT_ADVICE}") from error

    def prepare(rgb: Rgb) -> Any:
        return torch.from_numpy(preprocessing.apply(rgb))

    def forward(prepared: Sequence[Any]) -> Any:
        # The optimizing executor rewrites a network after some pictures, which then changes the rounding.
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            return network(torch.cat(list(prepared)).to(device))

    version = f"{path.stem}@{_short_hash([path])}+{_release(torch, device)}+{preprocessing}+squeeze-{MAX_ASPECT}"
    return Embedder(prepare, forward, version)


def _hugging_face(torch: Any, folder: Path, device: str) -> Embedder:
    transformers = _import("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    safely: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        network, loaded = transformers.AutoModel.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **safely
        )
        processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", **safely)
    except Exception as error:
        raise FilterUnavailable(
            f"{folder} contains no usable model ({_describe(error)}); {HUGGING_FACE_ADVICE}"
        ) from error
    missing = sorted(loaded["missing_keys"])
    if not all(_is_of_pooler(name) for name in missing):
        raise FilterUnavailable(f"{folder} lacks weights of its network: {', '.join(missing[:3])} …; copy it again")
    network.eval().to(device)
    read = _reader(torch, network, with_pooler=not missing)

    def prepare(rgb: Rgb) -> Any:
        return processor(images=Image.fromarray(rgb), return_tensors="pt")["pixel_values"]

    def forward(prepared: Sequence[Any]) -> Any:
        with torch.inference_mode():
            return read(torch.cat(list(prepared)).to(device))

    files = [file for pattern in _LOADED for file in folder.glob(pattern)]
    version = (
        f"{type(network).__name__}@{_short_hash(files)}+{_release(torch, device)}"
        f"+transformers-{transformers.__version__}+{type(processor).__name__}+squeeze-{MAX_ASPECT}"
    )
    return Embedder(prepare, forward, version)


def _is_of_pooler(weight: str) -> bool:
    return "pooler" in weight.split(".")


def _reader(torch: Any, network: Any, *, with_pooler: bool) -> Callable[[Any], Any]:
    """Return a function from pixels to the network's vector for the whole picture.

    The vector is the image features (CLIP), else the pooled output, else the class token, else the mean of the
    tokens. A pooler without weights in the files has random ones, and is not used.
    """
    forward = getattr(network, "get_image_features", network)
    has_class = any(name.endswith(("cls_token", "class_embedding")) for name, _ in network.named_parameters())

    def read(pixels: Any) -> Any:
        output = forward(pixel_values=pixels)
        if torch.is_tensor(output):
            return output
        pooled = getattr(output, "pooler_output", None) if with_pooler else None
        if pooled is not None:
            return pooled
        tokens = output.last_hidden_state
        return tokens[:, 0] if has_class else tokens.mean(dim=1)

    return read


def _fetched(model: str, *, download: bool) -> Path:
    """Return the folder of a model of the Hugging Face hub, in the local cache."""
    hub = _import("huggingface_hub")
    try:
        return Path(hub.snapshot_download(model, local_files_only=not download, allow_patterns=list(_LOADED)))
    except Exception as error:
        raise FilterUnavailable(
            f"model {model!r} is not a file or folder here, nor in the local cache of the Hugging Face hub "
            f"({_describe(error)}); {HUGGING_FACE_ADVICE}, or allow the network with `download`"
        ) from error


def _squeezed(rgb: Rgb) -> Rgb:
    """Return `rgb` with its long side at most MAX_ASPECT times its short one."""
    height, width = rgb.shape[:2]
    most = MAX_ASPECT * min(height, width)
    if max(height, width) <= most:
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((min(width, most), min(height, most)), Image.Resampling.BOX))


def _short_hash(files: Sequence[Path]) -> str:
    """Return a short sha256 of the names and contents of the files."""
    together = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as stream:
            together.update(f"{path.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return together.hexdigest()[:16]


def _release(torch: Any, device: str) -> str:
    """Return the version of PyTorch, and the kind of device if it is no CPU, whose last digits differ."""
    kind = device.partition(":")[0]
    return f"torch-{str(torch.__version__).split('+')[0]}" + (f"+{kind}" if kind != "cpu" else "")


def _import(package: str) -> Any:
    if util.find_spec(package) is None:
        raise FilterUnavailable(f"package {package} is missing; {INSTALL_ADVICE}")
    return importlib.import_module(package)


def _describe(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:200] if lines else ''}"
