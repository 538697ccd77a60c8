"""Lists and fetches the files that text engines load."""

import click

from filters.engines.model_files import model_files
from filters.protocol import BUILT_IN_ENGINES, EngineUnavailable
from jobs.commands.shared import note
from jobs.setup.models import fetch_models, find_models
from jobs.show import logs
from jobs.show.setup import print_models
from jobs.units.output_place import require_folder
from manifests import storage

_IN_PACKAGES = {
    "rapidocr": "its models come with the package: pip install rapidocr",
    "tesseract": "its language data are Debian packages: apt-get install tesseract-ocr, tesseract-ocr-deu and so on",
}


def list_models(engine: str | None, languages: tuple[str, ...], as_json: bool) -> None:
    """Print the files that each built-in text engine, or `engine` alone, loads."""
    if languages and engine in (None, "rapidocr"):
        raise click.UsageError(
            "--languages: each engine has its own codes; add --engine easyocr or --engine tesseract"
        )
    print_models(find_models([engine] if engine else list(BUILT_IN_ENGINES), languages), as_json=as_json)


def fetch(engine: str, languages: tuple[str, ...], folder: str | None) -> None:
    """Fetch the weights that EasyOCR publishes."""
    if engine in _IN_PACKAGES:
        raise EngineUnavailable(f"text engine {engine!r}: there is nothing to fetch; {_IN_PACKAGES[engine]}")
    if folder is not None:
        require_folder(storage.absolute(folder))
    files = model_files(engine, languages=languages, module_path=folder)
    for path, is_new in fetch_models(files):
        if not logs.is_quiet():
            click.echo(f"{path}: {'fetched' if is_new else 'was there'}")
    copied = files[0].path.parent.parent
    note(f"curate: copy {copied} to every worker, and set EASYOCR_MODULE_PATH to it there")
