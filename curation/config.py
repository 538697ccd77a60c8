"""The pipeline file: what may be said in it, checked whole before anything starts.

YAML is read and `--set section.name=value` merged by OmegaConf; every value is checked by pydantic.
"""

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import omegaconf
import pydantic
import yaml
from pydantic import Field

from curation.copies.kinds import SEARCHED_LOCALLY, Strictness
from curation.pictures.decode import MAX_PIXELS
from curation.scan.embedder import Model
from curation.scan.own_filters import Wanted
from curation.text.bounds import Bounds, CascadeSettings, TextRules, TextStep, default_bounds
from filters.embedding import Preprocessing
from manifests import storage
from manifests.errors import InputError
from manifests.format.schema import DuplicateKind, Status

_CASCADE = CascadeSettings()
_STRICTNESS = Strictness()
_RULES = TextRules()


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and texts: `--set spark.conf.spark.log.level=WARN` arrives nested."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + str(name), str(value).lower() if isinstance(value, bool) else str(value)


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


PositiveInt = Annotated[int, Field(gt=0)]


def _place(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a path or URI is a text")
    if not value:
        raise ValueError("an empty path; write . for the working folder")
    return value


# Not pydantic's own str, which refuses the characters that stand for bytes of a file name that are no UTF-8.
Place = Annotated[str, pydantic.PlainValidator(_place), pydantic.WithJsonSchema({"type": "string", "minLength": 1})]
Salt = Annotated[str, Field(coerce_numbers_to_str=True)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class FilterConfig(_Section):
    """A filter of the user's own: its class, and the arguments it is built with; or the class alone, as a text."""

    path: str = Field(alias="class", description="the class, as package.module:Class")
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of the class")

    @pydantic.model_validator(mode="before")
    @classmethod
    def _class_alone(cls, value: Any) -> Any:
        return {"class": value} if isinstance(value, str) else value


_SSCD = Preprocessing()
Channels = tuple[float, float, float]


class EmbeddingConfig(_Section):
    """The model that makes a vector of each picture; all but `model` and `download` are for TorchScript alone."""

    model: str = Field(min_length=1, description="TorchScript file, or folder or name of a Hugging Face vision model")
    size: int = Field(_SSCD.size, gt=0, le=2048, description="short side of what the network sees, in pixels")
    square: bool = Field(_SSCD.square, description="make both sides that long, instead of the short one alone")
    mean: Channels = Field(_SSCD.mean, description="taken off red, green and blue, which run from 0 to 1")
    std: Channels = Field(_SSCD.std, description="what red, green and blue are then divided by")
    download: bool = Field(False, description="fetch a Hugging Face model that is not here; changes no result")

    @pydantic.field_validator("std")
    @classmethod
    def _divides(cls, std: Channels) -> Channels:
        if min(std) <= 0:
            raise ValueError("every number must be above 0")
        return std

    def as_model(self) -> Model:
        """Return them as the scan takes them."""
        preprocessing = Preprocessing(size=self.size, square=self.square, mean=self.mean, std=self.std)
        return Model(path=self.model, preprocessing=preprocessing, download=self.download)

    def recorded(self) -> dict[str, Any]:
        """Return what a manifest records of them."""
        return self.model_dump(mode="json", exclude={"download"})


class ScanConfig(_Section):
    """Reading and measuring every sample once."""

    tars_per_unit: PositiveInt = Field(1, description="source tars a unit of work reads, and a part holds")
    files_per_unit: PositiveInt = Field(1000, description="loose images a unit reads, for folders")
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
    text_density: bool = Field(True, description="measure text density; without it, score reads every image")
    filters: dict[str, FilterConfig] = Field(
        default_factory=dict,
        description="own filters, name: package.module:Class, or name: {class: package.module:Class, options: …}",
    )
    embedding: EmbeddingConfig | None = Field(
        None, description="model that makes a vector of each picture, as {model: file, size: …}; null: none is made"
    )
    max_broken_tars: int = Field(0, ge=0, description="tars that may be unreadable before the scan fails")

    @pydantic.field_validator("filters")
    @classmethod
    def _plain_names(cls, filters: dict[str, FilterConfig]) -> dict[str, FilterConfig]:
        for name in filters:
            if not name.isidentifier():
                raise ValueError(f"{name!r} cannot name a filter; use letters, digits and _")
        return filters

    def own_filters(self) -> Wanted:
        """Return the filters as the scan builds them."""
        return {name: (each.path, each.options) for name, each in self.filters.items()}


class StrictnessConfig(_Section):
    """The share of what two pictures have in common that must agree; 1 forgives nothing."""

    mild: Fraction = Field(_STRICTNESS.mild, description="of the whole pictures")
    overlay: Fraction = Field(_STRICTNESS.overlay, description="of the picture that nothing lies over")
    crop: Fraction = Field(_STRICTNESS.crop, description="of the part")
    mirror: Fraction = Field(_STRICTNESS.mirror, description="of the pictures, one of them mirrored")
    turn: Fraction = Field(_STRICTNESS.turn, description="of the pictures, one of them turned")


class DedupeConfig(_Section):
    """What counts as a copy."""

    copies: tuple[Literal["exact", "mild", "overlay", "crop", "mirror", "turn"], ...] = Field(
        ("exact", "mild", "overlay", "crop", "mirror", "turn"),
        description="kinds that count; overlay, crop, mirror and turn cost the scan some milliseconds an image",
    )
    fingerprint: Literal["pdq", "embedding"] = Field(
        "pdq", description="pdq, with local features; or embedding, which needs a scan with scan.embedding"
    )
    min_cosine: float = Field(
        0.75, gt=0, le=1, description="least cosine of two copies' embeddings; 0.75 is what SSCD's authors name"
    )
    strictness: StrictnessConfig = Field(StrictnessConfig(), description="how much must agree, by kind")
    verify: bool = Field(True, description="prove copies by their pixels; otherwise PDQ alone decides, for mild")
    max_distance: int = Field(31, ge=0, le=64, description="largest PDQ distance of mild copies, in bits of 256")
    max_text_distance: int = Field(
        24, ge=0, le=64, description="the same between two pictures full of text, where pixels are not compared"
    )
    min_quality: int = Field(50, ge=0, le=100, description="lower PDQ quality is not trusted")
    neighbours: PositiveInt = Field(32, description="pictures with the nearest local features that are looked at")
    min_points: PositiveInt = Field(4, description="keypoints of two pictures that must agree on how they lie")
    fingerprints_per_cell: PositiveInt = Field(
        2_500_000, description="distinct fingerprints searched together; a worker holds about `probes` times as many"
    )
    probes: PositiveInt = Field(
        3, description="cells each fingerprint is compared in, when there are several; more find more"
    )
    pictures_per_cell: PositiveInt = Field(100_000, description="pictures whose local features are searched together")
    references: dict[str, Place] = Field(
        default_factory=dict, description="sets to keep out, name: manifest of their scan"
    )
    against: tuple[Place, ...] = Field((), description="deduplicated manifests that new samples may be copies of")

    @pydantic.model_validator(mode="after")
    def _possible(self) -> "DedupeConfig":
        if "exact" not in self.copies:
            raise ValueError("copies: name exact, too; equal bytes are copies whatever else is")
        if not self.verify and set(self.copies) - {"exact", "mild"}:
            raise ValueError("verify: false finds exact and mild alone; set copies to [exact, mild] as well")
        return self

    @property
    def needs_local_features(self) -> bool:
        """Whether a kind is asked for that PDQ does not find."""
        return self.fingerprint == "pdq" and bool(SEARCHED_LOCALLY & {DuplicateKind(kind) for kind in self.copies})


_NEVER = Bounds()


class BoundsConfig(_Section):
    """When a step of the cascade settles a question; chances from 0 to 1, above 1 never."""

    drop_light: float = Field(_NEVER.drop_light, ge=0, description="chance of any text below which: none")
    keep_light: float = Field(_NEVER.keep_light, ge=0, description="chance of any text from which: light")
    drop_heavy: float = Field(_NEVER.drop_heavy, ge=0, description="chance of rich text below which: not heavy")
    keep_heavy: float = Field(_NEVER.keep_heavy, ge=0, description="chance of rich text from which: heavy")

    def bounds(self) -> Bounds:
        """Return them as the cascade takes them."""
        return Bounds(**self.model_dump())


def _step(step: TextStep) -> Any:
    default = BoundsConfig(**dataclasses.asdict(default_bounds()[step]))
    return Field(default, description=f"after {step}: chances that settle a question; above 1, never")


class StepsConfig(_Section):
    """The bounds of each step of the cascade, cheapest first."""

    density: BoundsConfig = _step(TextStep.DENSITY)
    density_large: BoundsConfig = _step(TextStep.DENSITY_LARGE)
    detect_small: BoundsConfig = _step(TextStep.DETECT_SMALL)
    detect_large: BoundsConfig = _step(TextStep.DETECT_LARGE)
    read: BoundsConfig = _step(TextStep.READ)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _others_stay(cls, value: Any) -> Any:
        """Let the bounds that a step is not given keep their defaults."""
        if not isinstance(value, Mapping):
            return value
        defaults = {step.value: dataclasses.asdict(bounds) for step, bounds in default_bounds().items()}
        return {
            step: {**defaults.get(step, {}), **given} if isinstance(given, Mapping) else given
            for step, given in value.items()
        }


class ScoreConfig(_Section):
    """The cascade that measures text."""

    engine: str = Field("rapidocr", description="rapidocr, easyocr, tesseract, or your own as package.module:Class")
    engine_options: dict[str, Any] = Field(default_factory=dict, description="arguments of the engine")
    ask: Literal["light", "heavy"] = Field(
        "light", description="light: any text, and rich in text; heavy: that alone, several times cheaper"
    )
    small_area_pixels: PositiveInt = Field(
        _CASCADE.small_area_pixels, description="what the first detection looks at in a picture, in all"
    )
    large_area_pixels: PositiveInt = Field(
        _CASCADE.large_area_pixels, description="the same of the second, for small print"
    )
    max_lines: int = Field(_CASCADE.max_lines, ge=0, description="lines read at most in one picture; 0 reads none")
    batch_images: PositiveInt = Field(8, description="pictures an engine is given at once; changes no score")
    exhaustive: bool = Field(False, description="run every step on every image, to calibrate by")
    bounds: StepsConfig = Field(
        StepsConfig(), description="when a step settles a question; `curate calibrate` makes them"
    )

    def cascade(self) -> CascadeSettings:
        """Return the cascade that they describe."""
        return CascadeSettings(
            with_light=self.ask == "light",
            small_area_pixels=self.small_area_pixels,
            large_area_pixels=self.large_area_pixels,
            max_lines=self.max_lines,
            bounds={step: getattr(self.bounds, step).bounds() for step in TextStep},
            is_exhaustive=self.exhaustive,
        )


class ChooseConfig(_Section):
    """Which measured samples go on."""

    keep: Literal["heavy", "light", "all"] = Field("heavy", description="the least text_class that is kept")
    min_light_score: Fraction = Field(_RULES.min_light_score, description="text_score from which it is light")
    min_heavy_score: Fraction = Field(_RULES.min_heavy_score, description="text_score from which it is heavy")
    statuses: tuple[Status, ...] = Field((Status.OK,), description="statuses that may be kept: ok, truncated")
    min_side: int = Field(0, ge=0, description="shortest side kept, in pixels")
    max_aspect: float | None = Field(None, ge=1, description="longest by shortest side, at most")
    where: dict[str, str] = Field(
        default_factory=dict, description="own rules, name: SQL expression over the columns that must be true"
    )
    target_fraction: Fraction | None = Field(None, description="keep this share of all rows, best text_score first")
    target_count: int | None = Field(None, ge=0, description="keep this many rows, best text_score first")
    salt: Salt = Field("curate", description="names the keyed order that breaks ties")

    @pydantic.model_validator(mode="after")
    def _one_target(self) -> "ChooseConfig":
        if self.target_fraction is not None and self.target_count is not None:
            raise ValueError("target_fraction and target_count exclude each other; set one")
        if not self.statuses or not set(self.statuses) <= {Status.OK, Status.TRUNCATED}:
            raise ValueError("statuses: only ok and truncated samples have an image to keep; name one or both")
        if self.min_light_score > self.min_heavy_score:
            raise ValueError("min_light_score must not exceed min_heavy_score")
        return self


class ShardConfig(_Section):
    """The tars that trainers read."""

    samples_per_shard: PositiveInt = Field(10_000, description="samples in a tar, when not bounded by bytes")
    target_shard_bytes: PositiveInt | None = Field(None, description="image bytes in a tar, instead of a count")
    salt: Salt = Field("curate", description="names the global shuffle; another salt, another order")


class SparkConfig(_Section):
    """Where the work runs. Nothing here changes a result."""

    master: str | None = Field(None, description="Spark master; by default the submitted one, or local[*]")
    conf: dict[str, str] = Field(default_factory=dict, description="Spark settings")

    @pydantic.field_validator("conf", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        return dict(_flatten(value)) if isinstance(value, Mapping) else value


class PipelineConfig(_Section):
    """A pipeline file."""

    input: tuple[Place, ...] = Field(min_length=1, description="tars, folders, globs, braces, or lists as @file.txt")
    output: Place = Field(description="folder or URI; each stage commits its manifest below it")
    scan: ScanConfig = ScanConfig()
    dedupe: DedupeConfig = DedupeConfig()
    score: ScoreConfig = ScoreConfig()
    choose: ChooseConfig = ChooseConfig()
    shard: ShardConfig = ShardConfig()
    spark: SparkConfig = SparkConfig()
    storage: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="fsspec arguments by protocol; never part of a manifest"
    )

    @pydantic.field_validator("input", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _light_is_asked(self) -> "PipelineConfig":
        if self.choose.keep == "light" and self.score.ask == "heavy":
            raise ValueError("choose.keep: light needs score.ask: light; heavy alone does not look for any text")
        return self

    def check_run(self) -> None:
        """Raise InputError when the stages, run one after the other, would not fit together."""
        if self.dedupe.fingerprint == "embedding" and self.scan.embedding is None:
            raise InputError(
                "dedupe.fingerprint: embedding needs vectors, and scan.embedding makes none; "
                "set scan.embedding.model to a model"
            )


def load_config(
    path: str | Sequence[str] | None, overrides: Sequence[str] = (), *, last: Mapping[str, Any] | None = None
) -> PipelineConfig:
    """Return the checked configuration: the YAML files at `path` (any URIs), `section.name=value` overrides, `last`.

    What comes later wins. Raises InputError that names every wrong entry, with the nearest known name for an
    unknown one.
    """
    paths = [path] if isinstance(path, str) else list(path or ())
    layers = [_read_file(each) for each in paths]
    origin = paths[-1] if paths else "--set"
    try:
        for override in overrides:
            if "=" not in override:
                raise InputError(f"--set {override}: write section.name=value")
        layers.append(omegaconf.OmegaConf.from_dotlist(list(overrides)))
        values = omegaconf.OmegaConf.to_container(omegaconf.OmegaConf.merge(*layers), resolve=True)
    except (yaml.YAMLError, omegaconf.errors.OmegaConfBaseException, TypeError) as e:
        raise InputError(f"{origin}: {e}") from e
    return check_config(_overlaid(values, last or {}), origin=origin)


def _overlaid(values: Any, last: Mapping[str, Any]) -> Any:
    """Return `values` with those of `last` in their place. OmegaConf would take a path with ${…} for a reference."""
    if not isinstance(values, dict):
        return values
    return values | {
        name: _overlaid(values.get(name) or {}, value) if isinstance(value, Mapping) else value
        for name, value in last.items()
    }


def _read_file(path: str) -> Any:
    try:
        from_file = yaml.safe_load(storage.read_bytes(storage.absolute(path)).decode())
        if not isinstance(from_file, dict):
            raise InputError(f"{path}: a pipeline file is a mapping with at least `input` and `output`")
        return omegaconf.OmegaConf.create(from_file)
    except FileNotFoundError as e:
        raise InputError(f"{path}: no such file; `curate init` writes one to start from") from e
    except OSError as e:
        raise InputError(f"{path}: not readable ({e}); name a pipeline file") from e
    except (yaml.YAMLError, UnicodeDecodeError, omegaconf.errors.OmegaConfBaseException, TypeError) as e:
        raise InputError(f"{path}: {e}") from e


def check_config(values: Any, *, origin: str) -> PipelineConfig:
    """Return `values` as a configuration. Raises InputError naming every wrong entry."""
    try:
        return PipelineConfig.model_validate(values)
    except pydantic.ValidationError as e:
        problems = "\n".join(f"  {_explain(dict(error))}" for error in e.errors())
        raise InputError(f"{origin}: the configuration is refused, nothing was started\n{problems}") from e


def _explain(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "(top)"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg'].removeprefix('Value error, ')}"
    *parents, name = (str(part) for part in error["loc"])
    section = PipelineConfig.model_fields.get(parents[0]) if parents else None
    model = type(section.default) if section else PipelineConfig
    if parents[:2] == ["scan", "filters"]:
        model = FilterConfig
    if parents[:2] == ["scan", "embedding"]:
        model = EmbeddingConfig
    known = [field.alias or each for each, field in model.model_fields.items()]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"{where}: unknown; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")


def template() -> str:
    """Return a commented pipeline file with every setting at its default."""
    lines = [
        "# A pipeline for `curate run`. Every setting is shown with its default; delete what you do not change.",
        "",
    ]
    for name, field in PipelineConfig.model_fields.items():
        lines += [f"# {field.description}"] if field.description else []
        if name == "input":
            lines += ["input:", "  - data/{00000..00007}.tar", ""]
        elif name == "output":
            lines += ["output: out", ""]
        elif isinstance(field.default, _Section):
            lines += [f"# {(type(field.default).__doc__ or '').strip()}", f"{name}:"]
            lines += [f"  {line}" for line in _settings(field.default)] + [""]
        else:
            lines += [f"{name}: {{}}"]
    return "\n".join(lines) + "\n"


def _settings(section: _Section) -> Iterator[str]:
    values = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        if isinstance(field.default, StepsConfig | StrictnessConfig):
            yield f"{name}:  # {field.description}"
            yield from (f"  {line}" for line in _settings(field.default))
            continue
        text = yaml.safe_dump(values[name], default_flow_style=True).removesuffix("...\n").strip()
        yield f"{name}: {text}  # {field.description}"
