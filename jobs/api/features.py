"""Features of pictures by a network, and what they are worth: `curate.features`.

    curate.features.embed(manifest, "features.parquet", model="facebook/webssl-dino300m-full2b-224")
    found = curate.features.read("features.parquet")
    held_out = curate.features.held_out(found.keys, 0.2)
    curate.features.knn_classify(found.vectors[~held_out], labels[~held_out], found.vectors[held_out])

docs/guides/features.md explains them.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from curation.features.alignment import Alignment, mutual_knn
from curation.features.knn import knn_classify
from curation.features.probe import Probe, choose_probe, fit_probe, held_out
from curation.features.stored import Features, in_common
from curation.features.stored import read as read_stored
from jobs.api.errors import naming_arguments, translated
from jobs.api.manifest import Manifest, committed_of, configure
from jobs.api.stages import Storage
from jobs.operations.embed import Embedded, Rows
from jobs.operations.embed import embed as write
from jobs.operations.embed_workers import Embedding

__all__ = [
    "Alignment",
    "Embedded",
    "Features",
    "Probe",
    "choose_probe",
    "embed",
    "fit_probe",
    "held_out",
    "in_common",
    "knn_classify",
    "mutual_knn",
    "read",
]


def embed(
    manifest: str | Manifest,
    output: str,
    *,
    model: str,
    where: str | None = None,
    columns: Sequence[str] = (),
    dtype: Literal["float16", "float32"] = "float16",
    batch_images: int = 32,
    workers: int = 0,
    device: str = "auto",
    download: bool = False,
    force: bool = False,
    storage: Storage | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Embedded:
    """Write a vector of each image of `manifest` to the Parquet file `output`, for `read`.

    Args:
        model: a folder or name of a Hugging Face vision model, or a TorchScript file.
        where: embed only rows for which this SQL expression is true. Rows without a picture are left out anyway.
        columns: columns of the manifest to copy beside the vectors.
        dtype: the numbers of the vectors.
        batch_images: how many images go through the model together.
        workers: processes, each with the model in memory; 0 embeds in this one. A script that wants more must start
            under `if __name__ == "__main__":`, because each process imports it.
        device: PyTorch's name of the device; "auto" is a GPU where there is one.
        download: fetch a model from the Hugging Face hub.
        force: replace a file that exists, and what another call left unfinished.
        storage: fsspec arguments by protocol.
        on_progress: is called with the number of rows that are done, and of all.

    Returns:
        `rows`, `dimensions` and `model`; `problems`, pairs of key and reason for each row without a vector.

    The same call goes on where an interrupted one ended. Raises InputError when the arguments do not fit the manifest
    or the output, and FilterError when the model cannot be loaded.
    """
    configure(storage)
    which = Rows(where=where, columns=tuple(columns), dtype=dtype)
    how = Embedding(model=model, batch_images=batch_images, device=device, download=download, workers=workers)
    with naming_arguments(), translated():
        return write(committed_of(manifest), output, which, how, is_forced=force, on_progress=on_progress)


def read(uri: str) -> Features:
    """Return the features in the file at `uri`, which `embed` wrote; rows without a vector are left out.

    Raises InputError when it is another file, and StorageUnavailable when it cannot be read.
    """
    with translated():
        return read_stored(uri)
