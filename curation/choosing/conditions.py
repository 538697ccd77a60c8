"""The conditions for keeping a row, as values: settings are made into them without an SQL engine."""

from dataclasses import dataclass, field
from typing import Literal

from curation.text.bounds import TextRules
from filters.text_kind import TextKind
from manifests.format.schema import Status


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The conditions for keeping a row.

    `kinds`: the `text_kind` of a row must be one of these. `max_text_score`: its `text_score` must be at most this.
    None allows all. `where`: (name, SQL expression) of each of the user's rules.
    """

    least_class: Literal["heavy", "light", "all"] = "heavy"
    kinds: tuple[TextKind, ...] | None = None
    max_text_score: float | None = None
    text: TextRules = field(default_factory=TextRules)
    statuses: tuple[Status, ...] = (Status.OK,)
    min_side_pixels: int = 0
    max_aspect: float | None = None
    where: tuple[tuple[str, str], ...] = ()
