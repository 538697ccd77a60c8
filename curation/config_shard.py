"""The settings of the stage shard."""

from typing import Literal

import pydantic
from pydantic import Field

from curation.config_types import PositiveInt, Salt, Section
from curation.pictures.resize import Resize
from curation.shards.layout import DEFAULT_JSON_COLUMNS, Layout, ShardForm
from manifests.format.schema import Stage, schema


class ShardConfig(Section):
    """The tars that trainers read."""

    samples_per_shard: PositiveInt = Field(10_000, description="samples in a tar, unless target_shard_bytes is set")
    target_shard_bytes: PositiveInt | None = Field(
        None, description="image bytes in a tar, about, instead of a count"
    )
    salt: Salt = Field("curate", description="hashed to shuffle all samples; another salt gives another order")
    layout: Literal["uniform", "original"] = Field(
        "uniform",
        description="uniform: every sample has key.jpg, key.json and key.txt, whatever its picture's format, as "
        "trainers expect; original: its files as they are in the source",
    )
    json_columns: tuple[str, ...] = Field(
        DEFAULT_JSON_COLUMNS, description="columns that key.json has under `curate`, for layout: uniform"
    )
    resize: str | None = Field(
        None,
        description="pictures whose shorter side is longer get this one, such as 512:keep-ratio, and are encoded "
        "anew; null keeps the bytes of every picture",
    )
    read: Literal["auto", "gather", "stream"] = Field(
        "auto",
        description="how samples are read: each by its byte range (gather), or the sources from start to end, into "
        "temporary copies next to the shards (stream); auto takes what needs less time; the tars are the same",
    )

    @pydantic.field_validator("json_columns")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in schema(Stage.CHOOSE).names]:
            raise ValueError(f"{', '.join(unknown)}: not a column of the stages before shard")
        return tuple(dict.fromkeys(names))

    @pydantic.field_validator("resize")
    @classmethod
    def _sides(cls, text: str | None) -> str | None:
        if text is not None:
            Resize.parse(text)
        return text

    def form(self) -> ShardForm:
        """Return what samples become in a tar."""
        resize = None if self.resize is None else Resize.parse(self.resize)
        return ShardForm(layout=Layout(self.layout), json_columns=self.json_columns, resize=resize)
