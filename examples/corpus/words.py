"""Words for pictures, in four scripts, and their layout in lines."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import ImageDraw

from examples.corpus.fonts import Style
from examples.corpus.textures import Rng

Box = tuple[int, int, int, int]

WORDS = {  # the most common first; the first third are words without meaning on a sign
    "latin": """
        the of and to in a is that for it as was with be by on not he this are or his from at which but have
        an had they you were their one all we can her has there been if more when will would who so no report
        annual market water house school between number system program question during government small large
        company under national result study model value figure method energy price garden river music history
        light travel season kitchen summer morning open coffee free sale welcome monday parking exit fresh
        Größe für über naïve café señor château öffnen année première niño façade""",
    "greek": """
        και το της του να για με από στην που είναι θα ένα σε ότι δεν αυτό χρόνια πόλη νερό σπίτι δρόμος ημέρα
        κόσμος γλώσσα βιβλίο μουσική ιστορία θάλασσα αγορά τιμή φαρμακείο καφές άνοιξη""",
    "cyrillic": """
        и в не на что с по это как его к но они мы все год время человек дело жизнь день рука работа слово
        место вопрос город вода дом школа книга музыка история рынок цена отчёт компания система кофе""",
    "cjk": """
        は の を が に で と も です ます した から まで など ください 東京 大学 研究 時間 日本 世界 今日
        天気 電車 料理 新聞 経済 社会 問題 情報 図書館 音楽 映画 学校 会社 中国 北京 上海 市場 商品 使用
        技術 開発 旅行 写真 価格 カメラ コーヒー ニュース セール""",
}
BAGS = {script: words.split() for script, words in WORDS.items()}
CODE = "def return for if else import class self value count range print None True yield items key open path"


def pick_words(rng: Rng, script: str, count: int) -> list[str]:
    """`count` words of `script`, the common ones more often."""
    bag = BAGS.get(script, BAGS["latin"])
    weights = 1 / (4 + np.arange(len(bag)))  # common words are common
    return [str(x) for x in rng.choice(bag, size=count, p=weights / weights.sum())]


def pick_phrase(rng: Rng, script: str, count: int) -> str:
    """`count` words that start with a capital."""
    text = ("" if script == "cjk" else " ").join(pick_words(rng, script, count))
    return text[:1].upper() + text[1:]


def pick_name(rng: Rng, script: str, count: int) -> str:
    """A few meaningful words, as on titles, signs and shops."""
    bag = BAGS[script]
    words = rng.choice(bag[len(bag) // 3 :], size=count, replace=False)
    text = ("" if script == "cjk" else " ").join(map(str, words))
    return text[:1].upper() + text[1:]


def pick_prose(rng: Rng, script: str, sentences: int) -> str:
    """`count` sentences, each with its full stop."""
    stop = "。" if script == "cjk" else ". "
    return stop.join(pick_phrase(rng, script, int(rng.integers(5, 15))) for _ in range(sentences)) + stop.strip()


def pick_money(rng: Rng) -> str:
    """A price below 900 with two decimals."""
    return f"{rng.integers(0, 900)}.{rng.integers(0, 100):02d}"


def wrap(text: str, style: Style, width_px: int) -> Iterator[str]:
    """`text` broken into lines of at most `width_px`; a longer word stands alone."""
    joiner = "" if style.script == "cjk" else " "
    tokens = list(text) if style.script == "cjk" else text.split()
    line: list[str] = []
    used = 0.0
    for token in tokens:
        need = style.width_px(token + joiner)
        if line and used + need > width_px:
            yield joiner.join(line)
            line, used = [], 0.0
        line.append(token)
        used += need
    if line:
        yield joiner.join(line)


def write_lines(draw: ImageDraw.ImageDraw, box: Box, text: str, style: Style) -> int:
    """The y below `text`, written into `box` from its top, as many lines as fit."""
    left, y, right, bottom = box
    for line in wrap(text, style, right - left):
        if y + style.line_px > bottom:
            break
        draw.text((left, y), line, font=style.font, fill=style.colour)
        y += style.line_px
    return y


def write_centred(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, style: Style) -> None:
    """Write `text` on one line whose middle is `at`."""
    draw.text(at, text, font=style.font, fill=style.colour, anchor="mm")


def fit_width(text: str, style: Style, width_px: float) -> Style:
    """`style` made so large or small that `text` is about `width_px` wide."""
    size = style.size_px * width_px / max(1.0, style.width_px(text))
    return replace(style, size_px=max(9, int(size)))
