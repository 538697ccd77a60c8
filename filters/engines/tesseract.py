"""Tesseract as a `TextEngine`, for comparison: its networks and training data differ from those of the others.

It is called through tesserocr, which runs the library inside the process. The language data come separately, in
Debian's packages tesseract-ocr and tesseract-ocr-LANG.
"""

import os
from collections.abc import Sequence
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from filters.engines.model_files import ModelFile, check_model_files
from filters.geometry import crop_line, shrink_to_area
from filters.protocol import Boxes, EngineUnavailable, Line, Rgb, model_id

DATA_FOLDERS = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
)
MIN_LINE_PIXELS = 4
LINE_HEIGHT_PIXELS = 48  # what a line is enlarged to: Tesseract reads capitals of about 30 pixels best


class TesseractEngine:
    """A `TextEngine` of Tesseract's layout analysis and its LSTM recogniser.

    `languages` are Tesseract's codes; `tessdata` is the folder of their files, by default TESSDATA_PREFIX or Debian's
    folder. Raises `EngineUnavailable`, naming the package, if something is missing. Finds only upright lines.
    """

    name = "tesseract"

    def __init__(self, *, languages: Sequence[str] = ("eng",), tessdata: str | None = None) -> None:
        files = model_files(languages=languages, tessdata=tessdata)
        check_model_files(self.name, files)
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")  # a worker has one core
        self._tesserocr: Any = import_module("tesserocr")
        version = self._tesserocr.tesseract_version().split("\n")[0].removeprefix("tesseract ").strip()
        self.version = "+".join([f"tesseract-{version}", *(model_id(file.path) for file in files)])
        mode = self._tesserocr.OEM.LSTM_ONLY
        self._api = self._tesserocr.PyTessBaseAPI(path=str(files[0].path.parent), lang="+".join(languages), oem=mode)
        self._api.SetVariable("debug_file", os.devnull)

    def detect(self, pictures: Sequence[Rgb], *, max_area_pixels: int) -> list[Boxes]:
        """Return the lines that layout analysis finds in each picture shrunk to `max_area_pixels`; all score 1."""
        return [self._detect_one(rgb, max_area_pixels) for rgb in pictures]

    def read(self, pictures: Sequence[Rgb], boxes: Sequence[Boxes]) -> list[list[Line]]:
        """Return the text of each of the boxes of each picture, in their order, each read separately."""
        return [
            [self._read_line(crop_line(rgb, quad)) for quad in mine.quads]
            for rgb, mine in zip(pictures, boxes, strict=True)
        ]

    def _detect_one(self, rgb: Rgb, max_area_pixels: int) -> Boxes:
        shrunk = shrink_to_area(rgb, max_area_pixels)
        if min(shrunk.shape[:2]) < MIN_LINE_PIXELS:  # the library refuses smaller pictures
            return _boxes([], rgb, shrunk)
        self._api.SetPageSegMode(self._tesserocr.PSM.SPARSE_TEXT)
        self._api.SetImage(Image.fromarray(shrunk))
        try:
            lines = self._api.GetComponentImages(self._tesserocr.RIL.TEXTLINE, True)
        finally:
            self._api.Clear()
        return _boxes([(box["x"], box["y"], box["w"], box["h"]) for _, box, _, _ in lines or []], rgb, shrunk)

    def _read_line(self, line: Rgb) -> Line:
        if min(line.shape[:2]) < MIN_LINE_PIXELS:
            return Line(text="", confidence=0.0)
        picture = Image.fromarray(line)
        if picture.height < LINE_HEIGHT_PIXELS:
            wide = max(1, round(picture.width * LINE_HEIGHT_PIXELS / picture.height))
            picture = picture.resize((wide, LINE_HEIGHT_PIXELS), Image.Resampling.BICUBIC)
        self._api.SetPageSegMode(self._tesserocr.PSM.SINGLE_LINE)
        self._api.SetImage(picture)
        text = self._api.GetUTF8Text().strip()
        confidence = self._api.MeanTextConf() / 100
        self._api.Clear()
        return Line(text=text, confidence=float(np.clip(confidence, 0, 1)) if text else 0.0)


def model_files(*, languages: Sequence[str] = ("eng",), tessdata: str | None = None) -> list[ModelFile]:
    """Return the language data of `languages`, in `tessdata`, TESSDATA_PREFIX or Debian's folder."""
    if util.find_spec("tesserocr") is None:
        raise EngineUnavailable("text engine 'tesseract': package tesserocr is missing; pip install tesserocr")
    if not languages:
        raise EngineUnavailable("text engine 'tesseract': no languages; name at least one, such as eng")
    folder = _data_folder(tessdata)
    return [
        ModelFile(path=folder / f"{language}.traineddata", advice=f"apt-get install {_debian_package(language)}")
        for language in languages
    ]


def _data_folder(tessdata: str | None) -> Path:
    named = tessdata or os.environ.get("TESSDATA_PREFIX")
    folders = [named] if named else list(DATA_FOLDERS)
    found = next((Path(folder) for folder in folders if Path(folder).is_dir()), None)
    if found is None:
        raise EngineUnavailable(
            f"text engine 'tesseract': no language data in {' or '.join(folders)}; apt-get install tesseract-ocr, "
            "or set TESSDATA_PREFIX to the folder of *.traineddata"
        )
    return found


def _debian_package(language: str) -> str:
    return "tesseract-ocr" if language == "eng" else f"tesseract-ocr-{language.replace('_', '-')}"


def _boxes(found: Sequence[tuple[int, int, int, int]], rgb: Rgb, shrunk: Rgb) -> Boxes:
    corners = [[(x, y), (x + w, y), (x + w, y + h), (x, y + h)] for x, y, w, h in found]
    ratio = np.array([rgb.shape[1] / shrunk.shape[1], rgb.shape[0] / shrunk.shape[0]], dtype=np.float32)
    quads = np.array(corners, dtype=np.float32).reshape(-1, 4, 2) * ratio
    return Boxes(quads=quads, scores=np.ones(len(quads), dtype=np.float32))
