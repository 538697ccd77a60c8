"""What only the publisher of a data set knows, from a YAML file: names, licence, answers that nothing measures."""

import datetime
from typing import Annotated, Any

import pydantic
import yaml
from pydantic import ConfigDict, Field, StringConstraints

from curation.config_errors import describe_errors
from curation.release.questions import QUESTIONS
from manifests import storage
from manifests.errors import InputError

MAX_ABOUT_BYTES = 1 << 20
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?$")]


class About(pydantic.BaseModel):
    """The publisher's part of a release. What is left out is marked as open wherever a reader would look for it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Name = Field("curated-images", description="short name: letters, digits, dots, hyphens")
    title: Text | None = Field(None, description="name for people")
    description: Text | None = Field(None, description="what it is, in a few sentences")
    license: Text | None = Field(None, description="of the collection: an SPDX identifier or a URL")
    creators: tuple[Text, ...] = Field((), description="persons or organisations")
    contact: Text | None = Field(None, description="where takedowns and questions go: a mail address or a URL")
    url: Text | None = Field(None, description="page of the data set")
    citation: Text | None = Field(None, description="BibTeX")
    keywords: tuple[Text, ...] = Field((), description="words to find it by")
    languages: tuple[Text, ...] = Field((), description="of captions and texts: codes such as en")
    date: datetime.date | None = Field(None, description="when it is published; else when the shards were made")
    answers: dict[str, Text] = Field({}, description="answers of the datasheet, by the names of its questions")

    @pydantic.field_validator("creators", "keywords", "languages", mode="before")
    @classmethod
    def _tuple_of(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value

    @pydantic.field_validator("answers")
    @classmethod
    def _answers_of_questions(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(value) - {question.name for question in QUESTIONS}):
            raise ValueError(f"{unknown[0]}: no question of the datasheet; it names each of its own")
        return value


def read_about(uri: str | None) -> About:
    """Return the publisher's part from the YAML file at `uri`, or an empty one. Raises InputError."""
    if uri is None:
        return About()
    try:
        raw = storage.read_bytes(uri, end=MAX_ABOUT_BYTES + 1)
    except FileNotFoundError as e:
        raise InputError(f"--about {uri}: no such file; `curate release --help` names what it may say") from e
    if len(raw) > MAX_ABOUT_BYTES:
        raise InputError(f"--about {uri}: more than {MAX_ABOUT_BYTES:,} bytes; write a shorter file")
    try:
        fields = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as e:
        raise InputError(f"--about {uri}: not YAML ({str(e).splitlines()[0]}); write `name: value` lines") from e
    if not isinstance(fields, dict):
        raise InputError(f"--about {uri}: not a YAML mapping; write `name: value` lines")
    try:
        return About.model_validate(fields)
    except pydantic.ValidationError as e:
        raise InputError(describe_errors(e, About, origin=f"--about {uri}", options={})) from e
