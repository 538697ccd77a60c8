"""The parts that results on stdout are made of: consoles, JSON, cells of tables, sizes."""

import datetime
import decimal
import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from jobs.show import terminal

if TYPE_CHECKING:  # takes a while to import
    from rich.console import Console

NOTHING = "[dim]–[/dim]"
MAX_CELL_CHARS = 40
PIPED_WIDTH = 140


def stdout_console() -> "Console":
    """Return a console on stdout, as wide as the terminal, or PIPED_WIDTH when stdout is no terminal."""
    return terminal.console(width=None if sys.stdout.isatty() else PIPED_WIDTH)


def print_json(value: Any) -> None:
    """Print `value` as JSON on several lines; what JSON does not have becomes text."""
    print(json.dumps(value, indent=1, default=str))


def human_bytes(size: float | None) -> str:
    """Return a size in bytes as people read it."""
    if size is None:
        return ""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    raise AssertionError("TB ends the loop")


def plain(value: Any) -> Any:
    """Return a value as JSON has it: bytes in hexadecimal, whole decimals as integers, null for NaN and infinity."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, str | int) else str(value)


def visible(text: str) -> str:
    """Return `text` with a dot in place of each character that could control a terminal."""
    return "".join(c if c.isprintable() else "·" for c in text)


def settings_line(settings: Mapping[str, Any]) -> str:
    """Return settings in one line."""
    return visible(", ".join(f"{name}={setting_text(value)}" for name, value in settings.items()))


def setting_text(value: Any) -> str:
    """Return the value of a setting as a person would type it: texts as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def cell(value: Any) -> str:
    """Return the text of a cell, cut after MAX_CELL_CHARS characters and escaped for rich."""
    if value is None:
        return NOTHING
    text = value.hex() if isinstance(value, bytes) else str(value)
    printable = visible(text)
    return escape(printable if len(printable) <= MAX_CELL_CHARS else printable[: MAX_CELL_CHARS - 1] + "…")
