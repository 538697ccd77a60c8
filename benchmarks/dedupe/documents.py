"""Whether the comparison of pixels is exact about documents: pairs of drawn pages, other ones and the same ones.

    python -m benchmarks.dedupe.documents [--pairs 2400] [--kinds TEXT] [--sheet FILE] [--json]

Nothing is stored: pair n of a seed depends on both alone. Every pair is judged in both orders by what `dedupe` judges
with, without candidates: `curation.copies.compare_pixels` and `curation.copies.kinds` at the default settings.

other     Pages of one template, with other content; with one value changed (a digit, a word, a line, the height of
          a bar, the marked room, the place of a pin, a tick or a piece); pictures of examples/corpus with one of
          their words or numbers changed; and things and charts in another colour, which must be named a recolour
          where that counts. Both are encoded anew, and a third of the pairs has one page resized, scanned, toned and
          so on besides. They must stay apart. What is changed is legible in both: letters have at least
          MIN_TEXT_PIXELS in the smaller picture, and some pixels differ clearly.
signed    Papers with one value changed of which one is also stamped or signed, perhaps over that value. They must
          stay apart, too.
same      A page, and the page after one of the changes of `rescans`. They must be proven copies.
plain     Photographs of few textured patches in one of four situations. The share that is proven in a situation
          should be 0 or 1: the same answer for the same situation.

Words are Latin, Greek, Cyrillic and Japanese, in the typefaces of the extra `demo`; without them, Latin only.
Intervals are Jeffreys', 95 %.
"""

import json
import math
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.dedupe import rescans
from benchmarks.dedupe.content import Content, DrawnTexts, other_digit, other_word
from benchmarks.dedupe.corpus import one_thread_pool
from benchmarks.dedupe.marked import MARKED
from benchmarks.dedupe.plain import SCENES, SITUATIONS, draw_plain
from benchmarks.dedupe.sheets import draw_pairs
from benchmarks.dedupe.templates import RECOLOURED, TEMPLATES, Template, make_page
from curation.config import DedupeConfig
from curation.copies.compare_pixels import compare
from curation.copies.kinds import Strictness, kind_of
from curation.copies.rendering import renderings
from curation.pictures.decode import DEFAULT_LIMITS
from curation.trust.calibration import share
from examples.corpus.kinds import PAINTERS_BY_KIND
from examples.corpus.textures import Rng
from examples.corpus.words import BAGS

PAIRS = 2400
SHORTEST_PIXELS, LONGEST_PIXELS = 600, 1800
MIN_TEXT_PIXELS = 12  # of the changed letters, with their ascenders, in the smaller picture
MIN_CHANGED_PIXELS, CHANGED_LEVELS = 10, 64
SCRIPTS, OF_SCRIPTS = ("latin", "greek", "cyrillic", "cjk"), (0.4, 0.2, 0.2, 0.2)
RELABELLED = ("document", "table", "chart", "diagram", "screenshot", "slide", "handwriting", "map", "designed")
MILD = ("smaller", "yellowed", "shaded", "blurred", "noisy", "turned", "toned", "grey", "scanned")
SIGNED = ("receipt", "invoice", "form", "table", "questionnaire")  # of which one is stamped or signed, too
LAID_OVER = ("stamped", "signed")
TRIES = 12
RECOLOUR, RECOLOURED_KIND = "recolour", ", recoloured"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two encoded pictures, what they are, and whether they show the same."""

    name: str
    kind: str
    is_same: bool | None  # None: only that the answer is the same for all of the kind
    first: bytes
    second: bytes
    about: str


# --- pairs ----------------------------------------------------------------------------------------------------


def kinds() -> dict[str, Callable[[Rng, int], Pair]]:
    """Return what draws pair n of each kind, by the kind's name."""
    found: dict[str, Callable[[Rng, int], Pair]] = {}
    for name, template in (TEMPLATES | MARKED).items():
        for manner in ("other", "one"):
            found[f"other: {name}, {manner}"] = _of_template(template, manner)
    for name in SIGNED:
        found[f"signed: {name}"] = _of_template((TEMPLATES | MARKED)[name], "signed")
    for name, template in RECOLOURED.items():
        found[f"other: {name}{RECOLOURED_KIND}"] = _of_template(template, "recoloured")
    for group in RELABELLED:
        found[f"other: {group}, one label"] = _relabelled(group)
    for name in (*rescans.CHANGES, *rescans.ENCODINGS):
        found[f"same: {name}"] = _same(name)
    for scene in SCENES:
        for situation in SITUATIONS:
            found[f"plain: {scene}, {situation}"] = _plain(scene, situation)
    return found


def draw_pair(seed: int, kind: str, number: int) -> Pair:
    """Return pair `number` of `kind`; it depends on these three alone."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
    pair = kinds()[kind](rng, number)
    return Pair(**{**vars(pair), "name": f"{kind} #{number}", "kind": kind})


def plan(pairs: int) -> list[tuple[str, int]]:
    """Return kind and number of each pair: less than half are the same page, a tenth are plain photographs."""
    names = list(kinds())
    shares = {"other": 0.48, "signed": 0.03, "same": 0.4, "plain": 0.09}
    found = []
    for what, part in shares.items():
        mine = [name for name in names if name.startswith(f"{what}:")]
        found += [(name, number) for name in mine for number in range(max(1, round(pairs * part / len(mine))))]
    return found


def pick_size(rng: Rng) -> tuple[int, int]:
    """Return the width and height of a page in pixels."""
    longest = math.exp(rng.uniform(math.log(SHORTEST_PIXELS * 1.15), math.log(LONGEST_PIXELS)))
    shortest = max(SHORTEST_PIXELS * 0.8, longest * float(rng.choice([0.71, 0.75, 0.67, 0.9])))
    size = round(longest), round(shortest)
    return size if rng.random() < 0.45 else size[::-1]


def _of_template(template: Template, manner: str) -> Callable[[Rng, int], Pair]:
    def draw(rng: Rng, number: int) -> Pair:
        size, script = pick_size(rng), str(rng.choice(SCRIPTS, p=OF_SCRIPTS))
        look, filled, other = (int(seed) for seed in rng.integers(0, 2**31, 3))

        def page(seed: int, changed: int | None = None) -> tuple[Image.Image, Content]:
            content = Content([seed], script, changed)
            return template(make_page(np.random.default_rng(look), script, *size), content), content

        with DrawnTexts() as texts:
            first, content = page(filled)
        if texts.smallest_px < MIN_TEXT_PIXELS:
            return draw(rng, number)
        if manner == "other":
            second, _ = page(other)
            return (
                _other(rng, first, second, texts.smallest_px, script) if differs(first, second) else draw(rng, number)
            )
        for place in rng.permutation(content.count)[:TRIES]:
            second, _ = page(filled, int(place))
            if differs(first, second):
                if manner == "signed":
                    second = rescans.CHANGES[str(rng.choice(LAID_OVER))](rng, second)
                about = f"{script}, value {place}"
                return _other(rng, first, second, texts.smallest_px, about, in_colour=manner == "recoloured")
        return draw(rng, number)

    return draw


def _relabelled(group: str) -> Callable[[Rng, int], Pair]:
    def draw(rng: Rng, number: int) -> Pair:
        painters = PAINTERS_BY_KIND[group]
        painter, size, seed = painters[number % len(painters)], pick_size(rng), int(rng.integers(0, 2**31))
        with DrawnTexts() as texts:
            first = painter(np.random.default_rng(seed), *size).convert("RGB")
        for place in rng.permutation(len(texts.texts))[:TRIES]:
            old, size_px = texts.texts[place], texts.sizes_px[place] * first.width / texts.width_px
            new = edited(rng, old)
            if new == old or size_px < MIN_TEXT_PIXELS or texts.texts.count(old) > 1:
                continue  # a word with a shadow is drawn twice: the old one would hide the new one
            with DrawnTexts(int(place), lambda _, new=new: new):  # type: ignore[misc]
                second = painter(np.random.default_rng(seed), *size).convert("RGB")
            if differs(first, second) and not _is_cut_off(first, second):
                return _other(rng, first, second, size_px, f"{painter.__name__}: {old!r}, {new!r}")
        return draw(rng, number + 1)

    return draw


def edited(rng: Rng, text: str) -> str:
    """Return `text` with one digit or one word replaced; unchanged if it has neither."""
    words = [(word, script) for script, bag in BAGS.items() for word in bag if len(word) > 1 and word in text.lower()]
    if any(letter.isdecimal() for letter in text) and (not words or rng.random() < 0.6):
        return other_digit(rng, text)
    for at in rng.permutation(len(words)):
        word, script = words[at]
        place = text.lower().index(word)
        around = text[max(0, place - 1) : place] + text[place + len(word) : place + len(word) + 1]
        if script == "cjk" or not any(letter.isalpha() for letter in around):
            return text[:place] + other_word(rng, text[place : place + len(word)], script) + text[place + len(word) :]
    return text


def differs(first: Image.Image, second: Image.Image) -> bool:
    """Return whether enough pixels differ clearly."""
    return first.size != second.size or int(_changed(first, second).sum()) >= MIN_CHANGED_PIXELS


def _is_cut_off(first: Image.Image, second: Image.Image) -> bool:
    """Return whether what differs in two pictures of one size reaches an edge, so that less of it is seen."""
    changed = _changed(first, second)
    return bool(changed[[0, -1]].any() or changed[:, [0, -1]].any())


def _changed(first: Image.Image, second: Image.Image) -> NDArray[np.bool_]:
    """Return which pixels differ clearly, (height, width)."""
    levels = np.abs(np.asarray(first, np.int16) - np.asarray(second, np.int16))
    return np.asarray((levels.max(axis=2) if levels.ndim == 3 else levels) > CHANGED_LEVELS)


def _other(
    rng: Rng, first: Image.Image, second: Image.Image, text_px: float, about: str, *, in_colour: bool = False
) -> Pair:
    """Return a pair that shows different things, a third of them changed in other ways besides, both legible.

    What differs in colour alone, as all does if `in_colour`, is not made grey.
    """
    is_seen_in_grey = not in_colour and differs(first.convert("L"), second.convert("L"))
    changes = [change for change in MILD if change != "grey" or is_seen_in_grey]
    if rng.random() < 1 / 3:
        change = str(rng.choice(changes))
        about = f"{about}, {change}"
        if change == "smaller":
            second = rescans.resized(second, float(rng.uniform(min(0.95, max(0.5, MIN_TEXT_PIXELS / text_px)), 0.95)))
        else:
            second = rescans.CHANGES[change](rng, second)
    return _pair(first, second, rng, about, is_same=False)


def _same(name: str) -> Callable[[Rng, int], Pair]:
    def draw(rng: Rng, number: int) -> Pair:
        image, about = _any_page(rng, number)
        if name in rescans.ON_PAPER and not rescans.is_light(image):
            return draw(rng, number + 1)
        if name in rescans.CHANGES:
            return _pair(image, rescans.CHANGES[name](rng, image), rng, about, is_same=True)
        second = rescans.ENCODINGS[name](rng, image)
        return Pair(name="", kind="", is_same=True, first=rescans.encoded(rng, image), second=second, about=about)

    return draw


def _any_page(rng: Rng, number: int) -> tuple[Image.Image, str]:
    """Return a page by a template or by a painter of examples/corpus, by turns."""
    size, script = pick_size(rng), str(rng.choice(SCRIPTS, p=OF_SCRIPTS))
    if number % 2:
        templates = list((TEMPLATES | RECOLOURED | MARKED).items())
        name, template = templates[number // 2 % len(templates)]
        return template(make_page(rng, script, *size), Content([int(rng.integers(0, 2**31))], script)), name
    painters = [painter for group in RELABELLED for painter in PAINTERS_BY_KIND[group]]
    painter = painters[int(rng.integers(0, len(painters)))]
    return painter(rng, *size).convert("RGB"), painter.__name__


def _plain(scene: str, situation: str) -> Callable[[Rng, int], Pair]:
    def draw(rng: Rng, number: int) -> Pair:
        first, second = draw_plain(rng, scene, situation, *pick_size(rng))
        return _pair(first, second, rng, "", is_same=None)

    return draw


def _pair(first: Image.Image, second: Image.Image, rng: Rng, about: str, *, is_same: bool | None) -> Pair:
    data = rescans.encoded(rng, first), rescans.encoded(rng, second)
    return Pair(name="", kind="", is_same=is_same, first=data[0], second=data[1], about=about)


# --- judging --------------------------------------------------------------------------------------------------


def judge(first: bytes, second: bytes, besides: str = "") -> str | None:
    """Return the kind of copy that `first` is of `second`, None if it is none, at the default settings.

    `besides`: a kind that counts, too.
    """
    evidence = compare(renderings(first, DEFAULT_LIMITS), renderings(second, DEFAULT_LIMITS))
    kind = kind_of(evidence, Strictness(), {*DedupeConfig().copies, besides}) if evidence else None
    return None if kind is None else str(kind)


def judge_pair(seed: int, kind: str, number: int) -> dict[str, Any]:
    """Return what the comparison says of a pair, in both orders."""
    pair = draw_pair(seed, kind, number)
    verdicts = judge(pair.first, pair.second), judge(pair.second, pair.first)
    found = {"kind": kind, "number": number, "is_same": pair.is_same, "verdicts": verdicts, "about": pair.about}
    if kind.endswith(RECOLOURED_KIND):
        found["is_named"] = judge(pair.first, pair.second, RECOLOUR) == RECOLOUR
    return found


def is_mistake(found: Mapping[str, Any]) -> bool:
    """Return whether either order is answered wrongly."""
    if found["is_same"] is None:
        return False
    return any((verdict is not None) != found["is_same"] for verdict in found["verdicts"])


def measure_documents(pairs: int, *, seed: int = 0, only: str = "", workers: int = 2) -> dict[str, Any]:
    """Return what is found of the pairs whose kind contains `only`: by kind, in all, and the mistakes."""
    wanted = [(kind, number) for kind, number in plan(pairs) if only in kind]
    with one_thread_pool(workers) as pool:
        judged = list(pool.map(judge_pair, *zip(*((seed, *each) for each in wanted), strict=True), chunksize=4))
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for found in judged:
        what = found["kind"].partition(":")[0]
        for name in (found["kind"], what if what != "plain" else None):
            if name is not None:
                by_kind[name].append(found)
    return {
        "seed": seed,
        "kinds": {name: _row(mine) for name, mine in by_kind.items()},
        "mistakes": [found for found in judged if is_mistake(found)],
    }


def _row(mine: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the share of pairs that are proven, with its interval, and how often the orders disagree."""
    proven = np.array([all(found["verdicts"]) if found["is_same"] else any(found["verdicts"]) for found in mine])
    interval = share(proven, np.ones(len(mine)))
    named = [found["is_named"] for found in mine if "is_named" in found]
    return {
        "pairs": len(mine),
        "proven": int(proven.sum()),
        "share": round(interval.share, 4),
        "low": round(interval.low, 4),
        "high": round(interval.high, 4),
        **({"named_recolour": round(sum(named) / len(named), 4)} if len(named) == len(mine) else {}),
        "orders_disagree": sum((found["verdicts"][0] is None) != (found["verdicts"][1] is None) for found in mine),
    }


def print_documents(found: Mapping[str, Any]) -> None:
    """Print the table of kinds, and the mistakes by their names."""
    click.echo(f"{'proven to be copies':36}{'pairs':>7}{'proven':>8}{'share':>8}   {'95 %':18}orders disagree")
    for name, row in sorted(found["kinds"].items()):
        numbers = f"{name:36}{row['pairs']:7,}{row['proven']:8,}{row['share']:8.4f}"
        named = f"   named recolour: {row['named_recolour']:.4f}" if "named_recolour" in row else ""
        click.echo(f"{numbers}   {row['low']:.4f} to {row['high']:.4f}{row['orders_disagree']:8}{named}")
    click.echo(f"\n{len(found['mistakes'])} mistakes, seed {found['seed']}")
    for each in found["mistakes"]:
        verdicts = " / ".join(str(verdict) for verdict in each["verdicts"])
        click.echo(f"  {each['kind']} #{each['number']}: {verdicts}: {each['about']}")


def mistaken_pairs(found: Mapping[str, Any]) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield caption and pictures of each mistake."""
    for each in found["mistakes"]:
        pair = draw_pair(found["seed"], each["kind"], each["number"])
        verdicts = " / ".join(str(verdict) for verdict in each["verdicts"])
        yield f"{pair.name}: {verdicts}: {pair.about}", pair.first, pair.second


@click.command()
@click.option("--pairs", default=PAIRS, show_default=True, help="About how many pairs.")
@click.option("--seed", default=0, show_default=True, help="Another seed, other pairs.")
@click.option("--kinds", "only", default="", help="Only kinds whose name contains this, such as 'other: receipt'.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Image file that shows the mistakes.")
@click.option("--cores", default=os.cpu_count() or 1, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(*, pairs: int, seed: int, only: str, sheet: Path | None, cores: int, as_json: bool) -> None:
    """Measure whether documents of one template stay apart and copies of one document are proven."""
    found = measure_documents(pairs, seed=seed, only=only, workers=cores)
    if sheet is not None:
        draw_pairs(mistaken_pairs(found), sheet)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        print_documents(found)


if __name__ == "__main__":
    main()
