"""The settings of a pipeline: their names, types, bounds and defaults, all checked before anything starts.

`curation.config_files` reads them from pipeline files; `check_config` takes them from a mapping.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic import Field, NonNegativeInt
from pydantic.json_schema import SkipJsonSchema

from curation.config_choose import ChooseConfig, split_variants
from curation.config_errors import describe_errors
from curation.config_shard import ShardConfig
from curation.config_types import Fraction, Place, PositiveInt, Section
from curation.copies.kinds import SEARCHED_LOCALLY, Strictness
from curation.pictures.decode import MAX_PIXELS
from curation.scan.embedder import EmbeddingModel
from curation.scan.user_filters import FilterSpecs
from curation.text.bounds import Bounds, CascadeSettings, TextStep, default_bounds
from filters.embedding import Preprocessing
from manifests.errors import InputError
from manifests.format.schema import DuplicateKind

_CASCADE = CascadeSettings()
_STRICTNESS = Strictness()


def flat_settings(nested: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return Spark settings by dotted names, as texts: `--set spark.conf.spark.log.level=WARN` arrives nested."""
    flat: dict[str, str] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


class FilterConfig(Section):
    """A filter that the user wrote: its class and the arguments to build it with, or the class alone, as a text."""

    path: str = Field(alias="class", description="the class, as package.module:Class")
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of the class")

    @pydantic.model_validator(mode="before")
    @classmethod
    def _class_alone(cls, value: Any) -> Any:
        return {"class": value} if isinstance(value, str) else value


_SSCD = Preprocessing()
Channels = tuple[float, float, float]


class EmbeddingConfig(Section):
    """The model that makes a vector of each picture; all but `model` and `download` apply only to TorchScript."""

    model: str = Field(min_length=1, description="TorchScript file, or folder or name of a Hugging Face vision model")
    size: int = Field(_SSCD.size, gt=0, le=2048, description="short side of what the network sees, in pixels")
    square: bool = Field(_SSCD.square, description="scale both sides to this length, instead of only the short one")
    mean: Channels = Field(_SSCD.mean, description="subtracted from red, green and blue, which range from 0 to 1")
    std: Channels = Field(_SSCD.std, description="then red, green and blue are divided by these")
    download: bool = Field(False, description="fetch a Hugging Face model that is missing; changes no result")

    @pydantic.field_validator("std")
    @classmethod
    def _divides(cls, std: Channels) -> Channels:
        if min(std) <= 0:
            raise ValueError("every number must be above 0")
        return std

    def as_model(self) -> EmbeddingModel:
        """Return the model and its preprocessing, as the scan uses them."""
        preprocessing = Preprocessing(size=self.size, square=self.square, mean=self.mean, std=self.std)
        return EmbeddingModel(path=self.model, preprocessing=preprocessing, download=self.download)

    def recorded(self) -> dict[str, Any]:
        """Return the settings that a manifest records."""
        return self.model_dump(mode="json", exclude={"download"})


class ScanConfig(Section):
    """Reading and measuring every sample once."""

    unit_bytes: PositiveInt = Field(1 << 30, description="bytes of input in one unit, about: half to twice as many")
    max_image_bytes: PositiveInt = Field(64 << 20, description="larger images are not decoded: too_large")
    max_image_pixels: PositiveInt = Field(
        100_000_000, le=MAX_PIXELS, description="larger images are not decoded: too_large"
    )
    sample_names: Literal["auto", "first_dot", "last_dot"] = Field(
        "auto",
        description="where a sample's name ends: first_dot, as webdataset reads; last_dot; or auto, which joins "
        "k.input.jpg and k.meta.json but not 22.05.png and 22.06.txt",
    )
    ignore_zeros: bool = Field(
        False, description="read on after the end of an archive, as tar -i does, for tars that were concatenated"
    )
    text_density: bool = Field(
        True, description="measure text density; without it, score runs detection on every image"
    )
    filters: dict[str, FilterConfig] = Field(
        default_factory=dict,
        description="your filters, as name: package.module:Class, or name: {class: package.module:Class, options: …}",
    )
    embedding: EmbeddingConfig | None = Field(
        None, description="model that makes a vector of each picture, as {model: file, size: …}; null for none"
    )
    takedown: tuple[Place, ...] = Field(
        (), description="manifests or lists of hashes of what was taken down: their pictures become taken_down"
    )
    max_broken_tars: int = Field(0, ge=0, description="number of unreadable tars with which the scan still succeeds")

    @pydantic.field_validator("filters")
    @classmethod
    def _plain_names(cls, filters: dict[str, FilterConfig]) -> dict[str, FilterConfig]:
        for name in filters:
            if not name.isidentifier():
                raise ValueError(f"{name!r} cannot name a filter; use letters, digits and _")
        return filters

    def user_filters(self) -> FilterSpecs:
        """Return name → (class, arguments) of the filters."""
        return {name: (each.path, each.options) for name, each in self.filters.items()}


class StrictnessConfig(Section):
    """The share of the area common to two pictures that must agree; 1 allows no difference."""

    mild: Fraction = Field(_STRICTNESS.mild, description="share of the whole pictures")
    overlay: Fraction = Field(_STRICTNESS.overlay, description="share of the picture that the overlay does not cover")
    crop: Fraction = Field(_STRICTNESS.crop, description="share of the cropped part")
    mirror: Fraction = Field(_STRICTNESS.mirror, description="share of the pictures, one of them mirrored")
    turn: Fraction = Field(_STRICTNESS.turn, description="share of the pictures, one of them turned")


class DedupeConfig(Section):
    """Which pictures count as copies of each other."""

    copies: tuple[Literal["exact", "mild", "recolour", "overlay", "crop", "mirror", "turn"], ...] = Field(
        ("exact", "mild", "overlay", "crop", "mirror", "turn"),
        description="kinds of copies to find, recolour also if named; overlay, crop, mirror and turn cost the scan "
        "milliseconds an image",
    )
    fingerprint: Literal["pdq", "embedding"] = Field(
        "pdq", description="pdq, with local features; or embedding, which needs a scan with scan.embedding"
    )
    min_cosine: float = Field(
        0.75, gt=0, le=1, description="least cosine of two copies' embeddings; SSCD's authors recommend 0.75"
    )
    strictness: StrictnessConfig = Field(StrictnessConfig(), description="how much must agree, by kind of copy")
    verify: bool = Field(True, description="compare pixels of likely copies; without it PDQ decides alone")
    max_distance: int = Field(31, ge=0, le=64, description="largest PDQ distance of mild copies, in bits of 256")
    max_text_distance: int = Field(
        24, ge=0, le=64, description="the same for two pictures full of text, if pixels are not compared"
    )
    min_quality: int = Field(50, ge=0, le=100, description="a fingerprint of lower PDQ quality is not used")
    rows_in_process: NonNegativeInt = Field(
        20_000,
        description="up to so many rows, of all manifests, workers only compare pictures; the command does the rest",
    )
    min_points: PositiveInt = Field(4, description="keypoints of two pictures that must match in position")
    cell_bytes: PositiveInt = Field(
        80_000_000,
        description="bytes of fingerprints (32 each) or of vectors that are searched together, about; a worker needs "
        "up to about 1 GB for the default with 3 `probes`",
    )
    probes: PositiveInt = Field(
        3, description="cells searched for each fingerprint, when there are several; more find more copies"
    )
    references: dict[str, Place] = Field(
        default_factory=dict, description="sets whose pictures are dropped, name: manifest of their scan"
    )
    against: tuple[Place, ...] = Field((), description="deduplicated manifests in which to search copies, too")

    @pydantic.model_validator(mode="after")
    def _possible(self) -> "DedupeConfig":
        if "exact" not in self.copies:
            raise ValueError("copies: add exact; equal bytes are always copies")
        if not self.verify and set(self.copies) - {"exact", "mild"}:
            raise ValueError("verify: false finds only exact and mild; set copies to [exact, mild], too")
        return self

    @property
    def needs_local_features(self) -> bool:
        """Whether `copies` has a kind that PDQ cannot find."""
        return self.fingerprint == "pdq" and bool(SEARCHED_LOCALLY & {DuplicateKind(kind) for kind in self.copies})


_NEVER = Bounds()


class BoundsConfig(Section):
    """The probabilities, from 0 to 1, at which a step of the cascade decides; a bound above 1 is never reached."""

    drop_light: float = Field(_NEVER.drop_light, ge=0, description="decide none below this probability of any text")
    keep_light: float = Field(_NEVER.keep_light, ge=0, description="decide light from this probability of any text")
    drop_heavy: float = Field(
        _NEVER.drop_heavy, ge=0, description="decide not heavy below this probability of rich text"
    )
    keep_heavy: float = Field(_NEVER.keep_heavy, ge=0, description="decide heavy from this probability of rich text")

    def bounds(self) -> Bounds:
        """Return the bounds, as the cascade uses them."""
        return Bounds(**self.model_dump())


def _step(step: TextStep) -> Any:
    default = BoundsConfig(**dataclasses.asdict(default_bounds()[step]))
    return Field(default, description=f"probabilities at which {step} decides; above 1, never")


class StepsConfig(Section):
    """The bounds of each step of the cascade, cheapest first."""

    density: BoundsConfig = _step(TextStep.DENSITY)
    kind: BoundsConfig = _step(TextStep.KIND)
    density_large: BoundsConfig = _step(TextStep.DENSITY_LARGE)
    detect_small: BoundsConfig = _step(TextStep.DETECT_SMALL)
    detect_large: BoundsConfig = _step(TextStep.DETECT_LARGE)
    read: BoundsConfig = _step(TextStep.READ)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _others_stay(cls, value: Any) -> Any:
        """Keep the default of every bound of a step that is not set."""
        if not isinstance(value, Mapping):
            return value
        defaults = {step.value: dataclasses.asdict(bounds) for step, bounds in default_bounds().items()}
        return {
            step: {**defaults.get(step, {}), **given} if isinstance(given, Mapping) else given
            for step, given in value.items()
        }


class ScoreConfig(Section):
    """The cascade that measures text."""

    engine: str = Field("rapidocr", description="rapidocr, easyocr, tesseract, or your class as package.module:Class")
    engine_options: dict[str, Any] = Field(default_factory=dict, description="arguments of the engine")
    ask: Literal["light", "heavy"] = Field(
        "light", description="light: measure any text and rich text; heavy: only rich text, several times cheaper"
    )
    small_area_pixels: PositiveInt = Field(
        _CASCADE.small_area_pixels, description="area to which a picture is scaled for the first detection"
    )
    large_area_pixels: PositiveInt = Field(
        _CASCADE.large_area_pixels, description="the same for the second, which finds small print"
    )
    max_lines: int = Field(_CASCADE.max_lines, ge=1, description="lines read at most in one picture")
    batch_images: PositiveInt = Field(8, description="pictures in one call of the engine; changes no score")
    exhaustive: bool = Field(False, description="run every step on every image, as calibration needs")
    bounds: StepsConfig = Field(StepsConfig(), description="when each step decides; `curate calibrate` computes them")

    def cascade(self) -> CascadeSettings:
        """Return the settings of the cascade."""
        return CascadeSettings(
            with_light=self.ask == "light",
            small_area_pixels=self.small_area_pixels,
            large_area_pixels=self.large_area_pixels,
            max_lines=self.max_lines,
            bounds={step: getattr(self.bounds, step).bounds() for step in TextStep},
            is_exhaustive=self.exhaustive,
        )


class SparkConfig(Section):
    """Where the work runs. These settings change no result."""

    master: str | None = Field(None, description="Spark master; by default that of spark-submit, or local[*]")
    conf: dict[str, str] = Field(default_factory=dict, description="Spark settings")

    @pydantic.field_validator("conf", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        return flat_settings(value) if isinstance(value, Mapping) else value


class PipelineConfig(Section):
    """All settings of a pipeline: the content of a pipeline file."""

    input: tuple[Place, ...] = Field(min_length=1, description="tars, folders, globs, braces, or lists as @file.txt")
    output: Place = Field(description="folder or URI; each stage writes its manifest to a folder in it")
    scan: ScanConfig = ScanConfig()
    dedupe: DedupeConfig = DedupeConfig()
    score: ScoreConfig = ScoreConfig()
    choose: ChooseConfig = ChooseConfig()
    choose_variants: SkipJsonSchema[dict[str, ChooseConfig]] = Field(
        default_factory=dict, description="the choices, if there are several, by name; written in `choose`"
    )
    shard: ShardConfig = ShardConfig()
    spark: SparkConfig = SparkConfig()
    storage: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="fsspec arguments by protocol, and `retries`; never part of a manifest"
    )

    @pydantic.field_validator("input", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @pydantic.model_validator(mode="before")
    @classmethod
    def _named_choices(cls, values: Any) -> Any:
        """Take the variants that are written in `choose` out of it; settings beside them hold for all."""
        if not isinstance(values, Mapping) or not isinstance(values.get("choose"), Mapping):
            return values
        shared, variants = split_variants(values["choose"])
        return {**values, "choose": {}, "choose_variants": variants} if variants else {**values, "choose": shared}

    @pydantic.model_validator(mode="after")
    def _light_is_measured(self) -> "PipelineConfig":
        for each in (self.choose, *self.choose_variants.values()):
            if self.score.ask == "heavy" and (setting := each.needs_light):
                raise ValueError(f"{setting} needs score.ask: light; score.ask: heavy measures only rich text")
        return self

    def variants(self) -> dict[str, "PipelineConfig"]:
        """Return this configuration with each of its choices alone, by name; the only one has the name ""."""
        one_each = {name: {"choose": each, "choose_variants": {}} for name, each in self.choose_variants.items()}
        return {name: self.model_copy(update=each) for name, each in one_each.items()} or {"": self}

    def variant(self, name: str | None = None) -> "PipelineConfig":
        """Return this configuration with the choice `name` alone, or with its only one.

        Raises InputError when there are several and no name is given, or none of that name.
        """
        found = self.variants()
        if name is None and len(found) > 1:
            raise InputError(f"choose: has the variants {', '.join(found)}; say which with --variant")
        if name is not None and name not in found:
            named = f"its variants are {', '.join(found)}" if self.choose_variants else "it has no variants"
            raise InputError(f"choose: no variant {name!r}; {named}")
        return next(iter(found.values())) if name is None else found[name]

    def check_run(self) -> None:
        """Raise InputError when a stage would not produce what a later stage needs."""
        if self.dedupe.fingerprint == "embedding" and self.scan.embedding is None:
            raise InputError(
                "dedupe.fingerprint: embedding needs vectors, which the scan makes only with a model; "
                "set scan.embedding.model"
            )


def check_config(
    values: Mapping[str, Any], *, origin: str, options: Mapping[str, str] | None = None
) -> PipelineConfig:
    """Return the configuration that `values`, nested mappings as in a pipeline file, describe.

    `options` is the dotted name of a setting → the option that gave its value. Raises InputError that names every
    wrong entry by its option, or by its name below `origin`, with the nearest known name for an unknown one.
    """
    try:
        return PipelineConfig.model_validate(values)
    except pydantic.ValidationError as e:
        raise InputError(describe_errors(e, PipelineConfig, origin=origin, options=options or {})) from e
