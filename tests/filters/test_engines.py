"""The contract that every text engine meets, and what each engine adds to it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from filters.engines.model_files import check_model_files, model_files
from filters.protocol import Boxes, EngineUnavailable, FilterError, Line, Rgb, TextEngine, UnknownEngine, load_engine
from tests.support.easyocr_weights import needs_easyocr, write_random_weights

pytestmark = pytest.mark.model

AREA_PIXELS = 384 * 384


def has_models(engine: str) -> bool:
    try:
        check_model_files(engine, model_files(engine))
    except EngineUnavailable:
        return False
    return True


needs_tesseract = pytest.mark.skipif(
    not has_models("tesseract"), reason="needs Debian's tesseract-ocr: make tesseract"
)


def render(lines: Sequence[str], *, size_pixels: int = 20, ink: int = 0, paper: int = 255) -> Rgb:
    font = ImageFont.load_default(size_pixels)
    step = round(size_pixels * 1.6)
    page = Image.new("RGB", (40 + round(max(map(font.getlength, lines))), 40 + step * len(lines)), (paper,) * 3)
    pen = ImageDraw.Draw(page)
    for row, line in enumerate(lines):
        pen.text((20, 20 + row * step), line, font=font, fill=(ink,) * 3)
    return np.asarray(page)


def noise(height: int, width: int) -> Rgb:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


PAGE = render(["Annual report 2026", "Sales grew by 12 percent", "Total 48,913.50"])
PICTURES = [PAGE, noise(70, 190), render(["Second page", "of two"], size_pixels=30), PAGE[:, ::-1].copy(), PAGE]


@pytest.fixture(scope="module")
def easyocr_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_weights(tmp_path_factory.mktemp("easyocr"))


@pytest.fixture(
    scope="module",
    params=[
        "rapidocr",
        pytest.param("easyocr", marks=needs_easyocr),
        pytest.param("tesseract", marks=needs_tesseract),
        "examples.row_engine:RowEngine",
    ],
)
def engine(request: pytest.FixtureRequest) -> TextEngine:
    if request.param == "easyocr":
        return load_engine("easyocr", module_path=str(request.getfixturevalue("easyocr_weights")))
    return load_engine(request.param)


# --- the contract -----------------------------------------------------------------------------------------


def equal(a: Boxes, b: Boxes) -> bool:
    return np.array_equal(a.quads, b.quads) and np.array_equal(a.scores, b.scores)


def test_an_engine_has_a_name_and_a_more_detailed_version(engine: TextEngine):
    assert isinstance(engine, TextEngine)
    assert engine.version.startswith(engine.name)
    assert len(engine.version) > len(engine.name)
    assert "/" not in engine.version.replace("//", ""), "a version names no place on a machine"


def test_boxes_are_inside_the_picture_and_scores_between_0_and_1(engine: TextEngine):
    for rgb, boxes in zip(PICTURES, engine.detect(PICTURES, max_area_pixels=AREA_PIXELS), strict=True):
        assert boxes.quads.dtype == boxes.scores.dtype == np.float32
        assert boxes.quads.min(initial=0) >= 0
        assert boxes.quads[:, :, 0].max(initial=0) <= rgb.shape[1]
        assert boxes.quads[:, :, 1].max(initial=0) <= rgb.shape[0]
        assert ((boxes.scores >= 0) & (boxes.scores <= 1)).all()


def test_what_is_found_does_not_depend_on_the_batch_or_its_order(engine: TextEngine):
    together = engine.detect(PICTURES, max_area_pixels=AREA_PIXELS)
    alone = [engine.detect([rgb], max_area_pixels=AREA_PIXELS)[0] for rgb in PICTURES]
    backwards = engine.detect(PICTURES[::-1], max_area_pixels=AREA_PIXELS)[::-1]
    assert all(map(equal, together, alone))
    assert all(map(equal, together, backwards))


def test_what_is_read_does_not_depend_on_the_batch_or_its_order(engine: TextEngine):
    quads = np.array(
        [[[10, 15], [210, 15], [210, 45], [10, 45]], [[5, 48], [150, 46], [151, 70], [6, 72]]], np.float32
    )
    boxes = [Boxes(quads=quads, scores=np.ones(2, np.float32)) for _ in PICTURES]
    together = engine.read(PICTURES, boxes)
    assert [len(lines) for lines in together] == [2] * len(PICTURES)
    for rgb, mine, lines in zip(PICTURES, boxes, together, strict=True):
        alone = [engine.read([rgb], [mine.take([place])])[0][0] for place in (1, 0)][::-1]
        assert list(lines) == alone
    assert all(0 <= line.confidence <= 1 for lines in together for line in lines)


@pytest.mark.parametrize("shape", [(1, 1), (3, 60), (60, 3), (33, 31), (20, 3000), (3000, 20)])
def test_any_shape_is_accepted(engine: TextEngine, shape: tuple[int, int]):
    rgb = noise(*shape)
    (boxes,) = engine.detect([rgb], max_area_pixels=AREA_PIXELS)
    (lines,) = engine.read([rgb], [boxes.take(range(min(3, len(boxes))))])
    assert len(lines) == min(3, len(boxes))


def test_no_input_gives_no_output(engine: TextEngine):
    none = Boxes(quads=np.zeros((0, 4, 2), np.float32), scores=np.zeros(0, np.float32))
    assert list(engine.detect([], max_area_pixels=AREA_PIXELS)) == []
    assert [list(lines) for lines in engine.read([PAGE], [none])] == [[]]


def test_a_picture_is_shrunk_to_the_area_and_boxes_are_in_pixels_of_the_original(engine: TextEngine):
    large = np.full((1500, 1200, 3), 255, dtype=np.uint8)
    word = render(["Quarterly results"], size_pixels=60)
    large[900 : 900 + word.shape[0], 300 : 300 + word.shape[1]] = word
    (boxes,) = engine.detect([large], max_area_pixels=AREA_PIXELS)
    if engine.name == "easyocr":  # its weights are random: only the scale can be checked
        assert boxes.quads.max(initial=0) > 400 or len(boxes) == 0
        return
    assert len(boxes) >= 1
    assert 880 < boxes.quads[:, :, 1].min() < boxes.quads[:, :, 1].max() < 920 + word.shape[0]
    assert 280 < boxes.quads[:, :, 0].min() < boxes.quads[:, :, 0].max() < 320 + word.shape[1]


# --- an engine is found by name ----------------------------------------------------------------------------


class FixedEngine:
    """A user's engine: it finds one line in every picture."""

    name = "fixed"
    version = "fixed-1"

    def __init__(self, *, text: str = "total 42") -> None:
        self.text = text

    def detect(self, pictures: Sequence[Rgb], *, max_area_pixels: int) -> Sequence[Boxes]:
        quad = np.array([[[0, 0], [9, 0], [9, 4], [0, 4]]], dtype=np.float32)
        return [Boxes(quads=quad, scores=np.ones(1, np.float32)) for _ in pictures]

    def read(self, pictures: Sequence[Rgb], boxes: Sequence[Boxes]) -> Sequence[Sequence[Line]]:
        return [[Line(text=self.text, confidence=1.0)] * len(mine) for mine in boxes]


class HalfAnEngine:
    name = "half"


def test_unknown_engine_names_the_nearest():
    with pytest.raises(UnknownEngine, match="did you mean 'rapidocr'"):
        load_engine("rapidorc")
    assert issubclass(UnknownEngine, FilterError)


@pytest.mark.parametrize("name", ["nowhere.at_all:Engine", "filters.protocol:NoSuchEngine", ":Engine"])
def test_a_dotted_path_to_nothing_is_unknown(name: str):
    with pytest.raises(UnknownEngine, match=r"check|package\.module"):
        load_engine(name)


def test_a_users_engine_plugs_in_by_dotted_path():
    engine = load_engine(f"{__name__}:FixedEngine", text="sum 43")
    assert engine.name == "fixed"
    (boxes,) = engine.detect([PAGE], max_area_pixels=100)
    assert engine.read([PAGE], [boxes])[0][0].text == "sum 43"


def test_wrong_options_and_incomplete_engines_are_refused_with_advice():
    with pytest.raises(EngineUnavailable, match="its options are"):
        load_engine(f"{__name__}:FixedEngine", colour="red")
    with pytest.raises(EngineUnavailable, match=r"lacks part of filters\.protocol\.TextEngine"):
        load_engine(f"{__name__}:HalfAnEngine")


def test_boxes_must_fit_their_scores():
    with pytest.raises(ValueError, match="do not fit"):
        Boxes(quads=np.zeros((2, 4, 2), np.float32), scores=np.zeros(3, np.float32))


# --- each engine ------------------------------------------------------------------------------------------


def test_rapidocr_reads_a_line():
    engine, sheet = load_engine("rapidocr"), render(["Invoice 2026"], size_pixels=28)
    (boxes,) = engine.detect([sheet], max_area_pixels=AREA_PIXELS)
    assert len(boxes) == 1
    (line,) = engine.read([sheet], [boxes])[0]
    assert line.text.replace(" ", "") == "Invoice2026"
    assert line.confidence > 0.8


def test_rapidocr_version_names_software_and_models():
    version = load_engine("rapidocr").version
    for part in ("rapidocr-", "onnxruntime-", "PP-OCRv6_det_small@", "PP-OCRv6_rec_small@"):
        assert part in version


def test_rapidocr_names_a_missing_model_file(tmp_path: Path):
    with pytest.raises(EngineUnavailable, match=r"PP-OCRv6_det_small\.onnx is missing; reinstall rapidocr"):
        load_engine("rapidocr", model_folder=str(tmp_path))


@needs_tesseract
def test_tesseract_reads_a_page():
    engine = load_engine("tesseract")
    found = engine.detect([PAGE], max_area_pixels=AREA_PIXELS)
    text = " ".join(line.text for line in engine.read([PAGE], found)[0])
    assert "report 2026" in text
    assert "48,913.50" in text


@needs_tesseract
def test_tesseract_names_the_package_of_a_missing_language(tmp_path: Path):
    with pytest.raises(EngineUnavailable, match="apt-get install tesseract-ocr-chi-sim"):
        load_engine("tesseract", languages=["chi_sim"], tessdata=str(tmp_path))
    with pytest.raises(EngineUnavailable, match="TESSDATA_PREFIX"):
        load_engine("tesseract", tessdata=str(tmp_path / "nowhere"))


@needs_easyocr
def test_easyocr_takes_its_weights_from_the_environment(easyocr_weights: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EASYOCR_MODULE_PATH", str(easyocr_weights))
    assert "craft_mlt_25k@" in load_engine("easyocr").version


@needs_easyocr
@pytest.mark.parametrize(
    ("languages", "file"), [(["en"], "english_g2.pth"), (["ch_sim", "en"], "zh_sim_g2.pth"), (["th"], "thai.pth")]
)
def test_easyocr_names_missing_weights_and_where_to_put_them(tmp_path: Path, languages: list[str], file: str):
    with pytest.raises(EngineUnavailable, match=r"craft_mlt_25k\.pth is missing; .*curate models fetch easyocr"):
        load_engine("easyocr", languages=languages, module_path=str(tmp_path))
    assert not list(tmp_path.iterdir()), "looking makes nothing"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "craft_mlt_25k.pth").write_bytes(b"")
    with pytest.raises(EngineUnavailable, match=file):
        load_engine("easyocr", languages=languages, module_path=str(tmp_path))


@needs_easyocr
def test_easyocr_reads_with_a_recogniser_of_each_generation(tmp_path: Path):
    engine = load_engine("easyocr", languages=["th"], module_path=str(write_random_weights(tmp_path, ("th",))))
    box = Boxes(
        quads=np.array([[[10, 15], [210, 15], [210, 45], [10, 45]]], np.float32), scores=np.ones(1, np.float32)
    )
    assert len(engine.read([PAGE], [box])[0]) == 1


@needs_easyocr
def test_easyocr_refuses_languages_that_no_model_reads_together(tmp_path: Path):
    with pytest.raises(EngineUnavailable, match="only compatible with English"):
        load_engine("easyocr", languages=["ch_sim", "ja"], module_path=str(tmp_path))


@needs_easyocr
def test_easyocr_does_not_unpickle_weights(easyocr_weights: Path, tmp_path: Path):
    import pickle
    import shutil

    class Trap:
        def __reduce__(self):
            return (Path(tmp_path / "sprung").touch, ())

    shutil.copytree(easyocr_weights / "model", tmp_path / "model")
    (tmp_path / "model" / "english_g2.pth").write_bytes(pickle.dumps({"module.x": Trap()}))
    with pytest.raises(EngineUnavailable, match="has other weights than this network"):
        load_engine("easyocr", module_path=str(tmp_path))
    assert not (tmp_path / "sprung").exists()


@needs_easyocr
def test_easyocr_refuses_a_missing_gpu(easyocr_weights: Path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(EngineUnavailable, match="no CUDA device"):
        load_engine("easyocr", gpu=True, module_path=str(easyocr_weights))
