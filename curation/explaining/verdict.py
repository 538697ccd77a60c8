"""Why a row was kept or dropped: the rule that decided, and by how much."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.choosing.rules import DROP_TARGET
from curation.explaining.measure import Measure, at_least, at_most

Config = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cutoff:
    """Where the target of `choose` cut.

    `score`: the lowest `text_score` that was kept. `kept`, `missed`: how many rows met the rules and the target, and
    the rules alone.
    """

    score: float | None
    kept: int
    missed: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What `choose` decided about a row, and why.

    `reason`: its `drop_reason`, None if it was kept. `why`: a sentence. `measures`: what was held against which
    setting; of a row that was kept, what it passed.
    """

    keep: bool
    reason: str | None
    why: str
    text_class: str | None
    measures: tuple[Measure, ...] = ()


def verdict(row: Mapping[str, Any], config: Config | None, cutoff: Cutoff | None = None) -> Verdict | None:
    """Return the verdict on a row of the choose stage or of a later one; None for earlier rows.

    `config`: the recorded settings of its choose stage, or None if they are not known. `cutoff`: needed for rows
    that are `below_target`.
    """
    if row.get("keep") is None:
        return None
    known = config or {}
    reason = row.get("drop_reason")
    why, measures = _kept(row, known) if row["keep"] else _dropped(row, str(reason), known, cutoff)
    return Verdict(
        keep=row["keep"],
        reason=reason,
        why=why,
        text_class=row.get("text_class"),
        measures=tuple(each for each in measures if each.bound is not None),
    )


def _kept(row: Mapping[str, Any], config: Config) -> tuple[str, list[Measure]]:
    wanted = config.get("keep")
    if wanted not in ("heavy", "light"):
        return "it meets every rule", []
    return _class_sentence(row, wanted), _score_measures(row, config, wanted)


def _dropped(row: Mapping[str, Any], reason: str, config: Config, cutoff: Cutoff | None) -> tuple[str, list[Measure]]:
    kind, _, detail = reason.partition(":")
    if kind == "status":
        allowed = ", ".join(config.get("statuses") or ("ok",))
        error = f" ({row['error']})" if row.get("error") else ""
        return f"it is {detail}{error}, and only {allowed} may be kept", []
    if kind == "duplicate":
        return f"it is a copy ({detail}) of {row.get('duplicate_of')}, which represents the cluster", []
    if kind == "where":
        return f"your rule {detail} is not true: {(config.get('where') or {}).get(detail, 'not recorded')}", []
    if kind == "kind":
        kinds = ", ".join(config.get("kinds") or ()) or "others"
        return f"it is of kind {detail}, and {kinds} are kept", []
    by_reason = {
        "too_small": _too_small,
        "aspect": _aspect,
        "has_text": _has_text,
        "not_light": _below_class,
        "not_heavy": _below_class,
    }
    if reason == DROP_TARGET:
        return _below_target(row, config, cutoff)
    if reason == "not_scored":
        return "it has no text_score, which a rule needs: its picture could not be decoded when it was scored", []
    return by_reason[reason](row, config) if reason in by_reason else (f"its drop_reason is {reason}", [])


def _too_small(row: Mapping[str, Any], config: Config) -> tuple[str, list[Measure]]:
    side = min(row["width"] or 0, row["height"] or 0)
    least = config.get("min_side")
    measures = [] if least is None else [at_least("shorter side, pixels", side, "choose.min_side", least)]
    return f"its shorter side has {side:,} pixels", measures


def _aspect(row: Mapping[str, Any], config: Config) -> tuple[str, list[Measure]]:
    short, long = sorted((row["width"] or 0, row["height"] or 0))
    ratio = round(long / short, 3) if short else None
    most = config.get("max_aspect")
    measures = [] if most is None else [at_most("longer side by shorter", ratio, "choose.max_aspect", most)]
    return f"its longer side is {ratio} times the shorter one", measures


def _has_text(row: Mapping[str, Any], config: Config) -> tuple[str, list[Measure]]:
    most, score = config.get("max_text_score"), row.get("text_score")
    measures = [] if most is None else [at_most("text_score", score, "choose.max_text_score", most)]
    return f"its text_score is {score}, and pictures without text are wanted", measures


def _below_class(row: Mapping[str, Any], config: Config) -> tuple[str, list[Measure]]:
    wanted = str(row["drop_reason"]).removeprefix("not_")
    measures = _score_measures(row, config, wanted)
    lines = [each for each in measures if each.name == "text_lines"]
    if lines and all((each.margin or 0) >= 0 for each in measures if each.name == "text_score"):
        return "its text_score is that of heavy, but no line was read with confidence", measures
    return _class_sentence(row, wanted), measures


def _class_sentence(row: Mapping[str, Any], wanted: str) -> str:
    kept = "heavy is kept" if wanted == "heavy" else "light and heavy are kept"
    return f"its text_class is {row.get('text_class')}, and {kept}"


def _score_measures(row: Mapping[str, Any], config: Config, wanted: str) -> list[Measure]:
    """Return the score against the threshold of a class, and for heavy the lines read, where they decided."""
    setting = f"min_{wanted}_score"
    bound, score = config.get(setting), row.get("text_score")
    if bound is None or score is None:
        return []
    measures = [at_least("text_score", score, f"choose.{setting}", bound)]
    if wanted == "heavy" and score >= bound:
        lines = row.get("text_lines") or 0
        measures.append(at_least("text_lines", lines, "legible lines that heavy needs", 1))
    return measures


def _below_target(row: Mapping[str, Any], config: Config, cutoff: Cutoff | None) -> tuple[str, list[Measure]]:
    fraction, count = config.get("target_fraction"), config.get("target_count")
    setting = "target_fraction" if fraction is not None else "target_count"
    target = fraction if fraction is not None else count
    if cutoff is None:
        return f"it meets the rules, and rows of higher text_score reach the target ({setting} {target})", []
    why = (
        f"it meets the rules, but {setting} {target} keeps the {cutoff.kept:,} rows of highest text_score, and "
        f"{cutoff.missed:,} more met the rules"
    )
    if cutoff.score is None:
        return why, []
    if row.get("text_score") == cutoff.score:
        why += "; of rows with the score of the last one kept, a hash of the key decides"
    return why, [at_least("text_score", row.get("text_score"), "lowest text_score kept", cutoff.score)]
