"""What commands print: results to stdout, progress to stderr."""

import sys
from typing import Any

from rich.console import Console
from rich.table import Table


def progress(line: str) -> None:
    """A line on stderr."""
    print(shown(line), file=sys.stderr, flush=True)


def shown(text: str, but: str = "") -> str:
    """The text with what would command the terminal (in the name of a file) spelt out, but for some characters."""
    return text.translate({n: f"\\x{n:02x}" for n in (*range(32), *range(127, 160)) if chr(n) not in but})


def duration(seconds: float) -> str:
    """In a unit that suits it."""
    unit, scale = next(((u, s) for u, s in (("s", 1.0), ("ms", 1e3), ("us", 1e6)) if seconds * s >= 1), ("ns", 1e9))
    return f"{seconds * scale:.1f} {unit}"


def new_table() -> Table:
    """One without lines."""
    return Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")


def print_table(table: Table) -> None:
    """To stdout, 160 columns wide unless it is a terminal."""
    plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}  # names of files stay as they are
    if sys.stdout is None:
        return
    console = Console(**plain)
    (console if console.is_terminal else Console(width=160, **plain)).print(table)
