"""`curate models`: the files that text engines load, listed and fetched."""

from collections.abc import Sequence

import click

from jobs.cli.lazy import FullHelpGroup, runs
from jobs.cli.options import examples

ENGINES = ("easyocr", "rapidocr", "tesseract")


def _codes(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of `--languages a,b --languages c`, in order, each once."""
    return tuple(dict.fromkeys(code for each in given for code in each.replace(",", " ").split()))


@click.group(
    cls=FullHelpGroup,
    epilog=examples("curate models list", "curate models fetch easyocr --languages en,ch_sim --folder /opt/easyocr"),
)
def models() -> None:
    """List and fetch the model files of text engines.

    Only EasyOCR's files must be fetched; those of the other engines are part of packages.
    """


@models.command(
    "list",
    epilog=examples(
        "curate models list", "curate models list --engine easyocr --languages en,ch_sim", "curate models list --json"
    ),
)
@click.option("--engine", type=click.Choice(ENGINES), help="List the files of this engine alone.")
@click.option(
    "--languages",
    multiple=True,
    callback=_codes,
    metavar="CODES",
    help="Languages to read, as easyocr (en,ch_sim) or tesseract (eng,chi_sim) names them; needs --engine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@runs("jobs.commands.models:list_models")
def list_models() -> None:
    """Print the files each built-in text engine loads: path, size, and what is missing."""


@models.command(
    epilog=examples(
        "curate models fetch easyocr",
        "curate models fetch easyocr --languages en --languages ch_sim --folder /opt/easyocr",
    )
)
@click.argument("engine", type=click.Choice(ENGINES))
@click.option(
    "--languages",
    default=["en"],
    show_default=True,
    multiple=True,
    callback=_codes,
    metavar="CODES",
    help="Languages to read, by EasyOCR's codes; may be repeated.",
)
@click.option("--folder", metavar="DIR", help="Write to DIR/model; by default EASYOCR_MODULE_PATH or ~/.EasyOCR.")
@runs("jobs.commands.models:fetch")
def fetch() -> None:
    """Download the weights that EasyOCR publishes and check their MD5.

    This needs a network. Files that are there already are not fetched again. No other command downloads anything.
    """
