"""The types that the sections of a pipeline file are made of."""

from typing import Annotated, Any

import pydantic
from pydantic import Field


class Section(pydantic.BaseModel):
    """Some settings under one name. Unknown names are refused; values cannot be changed afterwards."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


PositiveInt = Annotated[int, Field(gt=0)]


def _place(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a path or URI must be a text")
    if not value:
        raise ValueError("an empty path; write . for the working folder")
    return value


# pydantic's own str refuses the surrogate characters that represent bytes of a file name that are not UTF-8.
Place = Annotated[str, pydantic.PlainValidator(_place), pydantic.WithJsonSchema({"type": "string", "minLength": 1})]
Salt = Annotated[str, Field(coerce_numbers_to_str=True)]
Fraction = Annotated[float, Field(ge=0, le=1)]
