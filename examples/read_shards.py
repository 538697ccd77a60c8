"""The command `python -m examples.read_shards FOLDER`: read the shards in FOLDER as a trainer does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import webdataset
from PIL import Image

SHOWN = 5


def samples(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the samples of the tars in `folder`, in their stored order, images decoded to RGB."""
    urls = sorted(str(path) for path in folder.glob("*.tar"))
    yield from webdataset.WebDataset(urls, shardshuffle=False).decode("pil")


def image_of(sample: dict[str, Any]) -> Image.Image:
    """Return the one image of a sample, whatever its extension."""
    return next(value for value in sample.values() if isinstance(value, Image.Image))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    """Read the webdataset tars in FOLDER and print how many samples there are and their shapes."""
    shapes = []
    for sample in samples(folder):
        shapes.append(np.asarray(image_of(sample)).shape)
        if len(shapes) <= SHOWN:
            click.echo(f"{sample['__key__']}  {shapes[-1]}  {sample.get('txt', '')[:50]!r}")
    if not shapes:
        raise click.ClickException(f"{folder} contains no samples")
    heights, widths, _ = zip(*shapes, strict=True)
    click.echo(
        f"webdataset read {len(shapes):,} samples, all decoded: "
        f"{min(heights)} to {max(heights)} pixels high, {min(widths)} to {max(widths)} wide"
    )


if __name__ == "__main__":
    main()
