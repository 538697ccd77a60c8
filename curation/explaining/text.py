"""What the text cascade measured on a row, step by step, and which step settled what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.text.bounds import Bounds
from curation.text.cascade import parse_text_trail
from filters.protocol import TextProbabilities

MEASURED = ("text_boxes", "text_area_fraction", "text_lines", "text_chars", "text_confidence")
HEAVY, NOT_HEAVY, LIGHT, NOT_LIGHT = "heavy", "not heavy", "light", "not light"


@dataclass(frozen=True, kw_only=True)
class StepStory:
    """One step of the cascade on one picture.

    `light`, `heavy`: the probabilities after it. `bounds`: its bounds, by name, without those that are never
    reached; None if they are not known. `settled`: what they settle: heavy or not heavy, light or not light; a
    question that is not there stays open.
    """

    step: str
    light: float
    heavy: float
    bounds: Mapping[str, float] | None
    settled: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TextStory:
    """The text that was measured on a picture: `score` and `kind`, by which `step`, and the steps before it.

    `measured`: the columns of boxes and lines, None where the step that measures them did not run.
    """

    score: float
    kind: str | None
    step: str
    engine: str | None
    steps: tuple[StepStory, ...]
    measured: Mapping[str, float | None]


def text_story(row: Mapping[str, Any], config: Mapping[str, Any] | None) -> TextStory | None:
    """Return the story of a row of the score stage or of a later one; None if it was not scored.

    `config`: the recorded settings of its score stage, or None if they are not known.
    """
    if row.get("text_score") is None:
        return None
    trail = parse_text_trail(row["text_trail"]) if row.get("text_trail") else {}
    known = _bounds_of(config)
    with_light = (config or {}).get("ask") != HEAVY
    steps = tuple(
        _step_story(
            str(step), found, None if known is None else known.get(str(step), Bounds()), with_light=with_light
        )
        for step, found in trail.items()
    )
    return TextStory(
        score=row["text_score"],
        kind=row.get("text_kind"),
        step=row["text_step"],
        engine=row.get("text_engine"),
        steps=steps,
        measured={name: row.get(name) for name in MEASURED},
    )


def _bounds_of(config: Mapping[str, Any] | None) -> Mapping[str, Bounds] | None:
    """Return the recorded bounds of each step; None if they are not recorded in a form that this version reads."""
    try:
        return None if config is None else {step: Bounds(**bounds) for step, bounds in config["bounds"].items()}
    except (KeyError, TypeError, AttributeError):
        return None


def _step_story(step: str, found: TextProbabilities, bounds: Bounds | None, *, with_light: bool) -> StepStory:
    questions = [("heavy", found.heavy, HEAVY, NOT_HEAVY), *[("light", found.light, LIGHT, NOT_LIGHT)] * with_light]
    shown: dict[str, float] = {}
    settled: list[str] = []
    for question, value, yes, no in questions if bounds is not None else ():
        low, high = getattr(bounds, f"drop_{question}"), getattr(bounds, f"keep_{question}")
        shown |= {f"drop_{question}": low} if low > 0 else {}
        shown |= {f"keep_{question}": high} if high <= 1 else {}
        if value >= high:
            settled.append(yes)
        elif value < low:
            settled.append(no)
    if HEAVY in settled and with_light:
        settled = [HEAVY, LIGHT]  # what is heavy is also light
    return StepStory(
        step=step,
        light=found.light,
        heavy=found.heavy,
        bounds=None if bounds is None else shown,
        settled=tuple(settled),
    )
