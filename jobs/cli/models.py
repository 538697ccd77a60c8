"""`curate models`: the files that text engines load, listed and fetched."""

from collections.abc import Sequence

import click

from filters.protocol import BUILT_IN_ENGINES, EngineUnavailable
from jobs.cli.options import examples
from manifests import storage

_ENGINES = tuple(sorted(BUILT_IN_ENGINES))
_ELSEWHERE = {
    "rapidocr": "its models come with the package: pip install rapidocr",
    "tesseract": "its language data are Debian packages: apt-get install tesseract-ocr, tesseract-ocr-deu and so on",
}


def _codes(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of `--languages a,b --languages c`, in order, each once."""
    return tuple(dict.fromkeys(code for each in given for code in each.replace(",", " ").split()))


@click.group(
    epilog=examples("curate models list", "curate models fetch easyocr --languages en,ch_sim --folder /opt/easyocr")
)
def models() -> None:
    """List the files that text engines load, and fetch those that come with no package."""


@models.command(
    "list",
    epilog=examples(
        "curate models list", "curate models list --engine easyocr --languages en,ch_sim", "curate models list --json"
    ),
)
@click.option("--engine", type=click.Choice(_ENGINES), help="This engine alone.")
@click.option(
    "--languages",
    multiple=True,
    callback=_codes,
    metavar="CODES",
    help="Languages to be read, as easyocr (en,ch_sim) or tesseract (eng,chi_sim) calls them; needs --engine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_models(engine: str | None, languages: tuple[str, ...], as_json: bool) -> None:
    """Print the files each built-in text engine loads: where, how large, and what is missing."""
    from jobs.setup.models import find_models  # noqa: PLC0415
    from jobs.show import answers  # noqa: PLC0415 - `curate --help` needs none of it

    if languages and engine in (None, "rapidocr"):
        raise click.UsageError(
            "--languages: each engine has its own codes; add --engine easyocr or --engine tesseract"
        )
    answers.print_models(find_models([engine] if engine else list(BUILT_IN_ENGINES), languages), as_json=as_json)


@models.command(
    epilog=examples(
        "curate models fetch easyocr",
        "curate models fetch easyocr --languages en --languages ch_sim --folder /opt/easyocr",
    )
)
@click.argument("engine", type=click.Choice(_ENGINES))
@click.option(
    "--languages",
    default=["en"],
    show_default=True,
    multiple=True,
    callback=_codes,
    metavar="CODES",
    help="Languages to be read, by EasyOCR's codes; may be repeated.",
)
@click.option("--folder", metavar="DIR", help="Write to DIR/model; by default EASYOCR_MODULE_PATH or ~/.EasyOCR.")
def fetch(engine: str, languages: tuple[str, ...], folder: str | None) -> None:
    """Download the weights that EasyOCR publishes for ENGINE easyocr and check their MD5.

    For a machine with a network; what is there already is not fetched again. Nothing else in curate downloads.
    """
    from filters.engines.model_files import model_files  # noqa: PLC0415
    from jobs.setup.models import fetch_models  # noqa: PLC0415
    from jobs.units.output_place import require_folder  # noqa: PLC0415

    if engine in _ELSEWHERE:
        raise EngineUnavailable(f"text engine {engine!r}: there is nothing to fetch; {_ELSEWHERE[engine]}")
    if folder is not None:
        require_folder(storage.absolute(folder))
    files = model_files(engine, languages=languages, module_path=folder)
    for path, is_new in fetch_models(files):
        click.echo(f"{path}: {'fetched' if is_new else 'was there'}")
    copied = files[0].path.parent.parent
    click.echo(f"curate: copy {copied} to every worker, and set EASYOCR_MODULE_PATH to it there", err=True)
