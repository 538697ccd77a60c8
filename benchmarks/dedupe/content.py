"""What the pages of one template are filled in with, and the texts that painters draw."""

import colorsys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from PIL import ImageDraw, ImageFont

from examples.corpus.textures import Colour, Rng
from examples.corpus.words import BAGS

Value = TypeVar("Value")


class Content:
    """Values to fill a template in with, the same for the same seed, but for the value at the place `changed`.

    `script`: of its words. `count`: how many values have been asked for.
    """

    def __init__(self, seed: Sequence[int], script: str, changed: int | None = None) -> None:
        self.rng, self._aside = np.random.default_rng([*seed, 0]), np.random.default_rng([*seed, 1])
        self.script, self.changed, self.count = script, changed, 0

    def _value(self, value: Value, another: Callable[[Value], Value]) -> Value:
        self.count += 1
        return another(value) if self.count - 1 == self.changed else value

    def name(self, words: int = 2) -> str:
        """Return a few words, one of them another one where changed."""
        names = pick_names(self.rng, self.script, words)
        return joined(self._value(names, self._with_other_word), self.script)

    def sentence(self, words: int) -> str:
        """Return words, all of them others where changed."""
        names = pick_names(self.rng, self.script, words)
        return joined(self._value(names, self._all_other), self.script)

    def money(self) -> str:
        """Return an amount, one digit of it another one where changed."""
        return self._value(f"{self.rng.integers(1, 900)}.{self.rng.integers(0, 100):02d}", self._other_digit)

    def digits(self, count: int) -> str:
        """Return digits, one of them another one where changed."""
        return self._value("".join(map(str, self.rng.integers(0, 10, count))), self._other_digit)

    def date(self) -> str:
        """Return a day, one digit of it another one where changed."""
        day = f"{self.rng.integers(1, 29):02d}.{self.rng.integers(1, 13):02d}.20{self.rng.integers(10, 26)}"
        return self._value(day, self._other_digit)

    def level(self) -> float:
        """Return a number from 0.1 to 0.95, at least 0.12 away where changed."""
        value = float(self.rng.uniform(0.1, 0.95))
        return self._value(value, lambda old: 0.1 + (old - 0.1 + float(self._aside.uniform(0.12, 0.73))) % 0.85)

    def pick(self, count: int) -> int:
        """Return one of `count` places, another one where changed."""
        value = int(self.rng.integers(0, count))
        return self._value(value, lambda old: (old + int(self._aside.integers(1, count))) % count)

    def colour(self) -> Colour:
        """Return a full colour, of a hue that is far from it where changed."""
        hue = self._value(float(self.rng.random()), lambda old: old + float(self._aside.uniform(0.25, 0.75)))
        red, green, blue = colorsys.hsv_to_rgb(hue % 1, 0.75, 0.8)
        return round(red * 255), round(green * 255), round(blue * 255)

    def _other_digit(self, text: str) -> str:
        return other_digit(self._aside, text)

    def _with_other_word(self, words: Sequence[str]) -> list[str]:
        at = int(self._aside.integers(0, len(words)))
        return [self._other(word) if place == at else word for place, word in enumerate(words)]

    def _all_other(self, words: Sequence[str]) -> list[str]:
        return [self._other(word) for word in words]

    def _other(self, word: str) -> str:
        return other_word(self._aside, word, self.script)


def joined(words: Sequence[str], script: str) -> str:
    """Return `words` as one text."""
    return ("" if script == "cjk" else " ").join(words)


def pick_names(rng: Rng, script: str, count: int) -> list[str]:
    """Return words that are not the most common ones, with a capital at first."""
    bag = BAGS[script]
    words = [str(word) for word in rng.choice(bag[len(bag) // 3 :], count)]
    return [words[0].capitalize(), *words[1:]]


def other_digit(rng: Rng, text: str) -> str:
    """Return `text` with one of its digits replaced by another digit."""
    places = [place for place, letter in enumerate(text) if letter.isdecimal()]
    at = int(rng.choice(places))
    digit = (int(text[at]) + int(rng.integers(1, 10))) % 10
    return f"{text[:at]}{digit}{text[at + 1 :]}"


def other_word(rng: Rng, word: str, script: str) -> str:
    """Return another word of `script`, about as long as `word` where there is one, with a capital if it has one."""
    bag = BAGS.get(script, BAGS["latin"])
    lower = [each for each in bag if each.lower() != word.lower()]
    lower.sort(key=lambda each: (abs(len(each) - len(word)), each))
    other = str(rng.choice(lower[:8]))
    return other.upper() if word.isupper() and len(word) > 1 else other.capitalize() if word[:1].isupper() else other


class DrawnTexts:
    """While active, the texts that are drawn with Pillow: each with its size, and one of them replaced.

    `replaced`: the place of the text that `by` replaces, of all in their order; None: none is. `texts` and `sizes_px`
    are what was to be drawn. `width_px`: of the widest picture drawn on.
    """

    def __init__(self, replaced: int | None = None, by: Callable[[str], str] = str) -> None:
        self.replaced, self.by = replaced, by
        self.texts: list[str] = []
        self.sizes_px: list[int] = []
        self.width_px = 1

    @property
    def smallest_px(self) -> float:
        """The size of the smallest text."""
        return float(min(self.sizes_px, default=0))

    def __enter__(self) -> "DrawnTexts":
        self._text = write = ImageDraw.ImageDraw.text

        def text(draw: ImageDraw.ImageDraw, xy: Any, text: str, *args: Any, **options: Any) -> None:
            font = options.get("font")
            self.texts.append(text)
            self.sizes_px.append(round(font.size) if isinstance(font, ImageFont.FreeTypeFont) else 0)
            self.width_px = max(self.width_px, draw.im.size[0])
            write(draw, xy, self.by(text) if len(self.texts) - 1 == self.replaced else text, *args, **options)

        ImageDraw.ImageDraw.text = text  # type: ignore[assignment, method-assign]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ImageDraw.ImageDraw.text = self._text  # type: ignore[method-assign]
