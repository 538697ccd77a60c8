"""The command `python -m examples.corpus`."""

from pathlib import Path

import click

from examples.corpus.tars import make_corpus


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--images", default=400, show_default=True, type=click.IntRange(1), help="How many samples.")
@click.option("--tars", default=8, show_default=True, type=click.IntRange(1), help="In how many tars.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Another seed, other pictures.")
def main(out: Path, images: int, tars: int, seed: int) -> None:
    """Make the demo corpus in the folder OUT: tars, their parquet files, and truth.csv."""
    try:
        click.echo(make_corpus(out, images=images, tars=tars, seed=seed))
    except (ValueError, FileExistsError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
