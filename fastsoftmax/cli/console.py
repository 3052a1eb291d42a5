"""What commands print: results to stdout, progress to stderr."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table


def progress(line: str) -> None:
    """A line on stderr."""
    print(shown(line), file=sys.stderr, flush=True)


class Bar:
    """How far a command is: a bar on a terminal, lines elsewhere."""

    def __init__(self, drawn: Any = None, task: Any = None) -> None:
        self._drawn, self._task = drawn, task

    def line(self, text: str) -> None:
        """A line that stays, above the bar."""
        if self._drawn is None:
            progress(text)
        else:
            self._drawn.console.print(shown(text), markup=False, emoji=False, highlight=False)

    def note(self, text: str) -> None:
        """What is being done: beside the bar, or a line."""
        if self._drawn is None:
            progress(text)
        else:
            self._drawn.update(self._task, description=shown(text))

    def step(self) -> None:
        """One of the bar's steps is done."""
        if self._drawn is not None:
            self._drawn.advance(self._task)


@contextlib.contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Bar]:
    """A bar of so many steps (None: it only moves) on stderr while the block lasts, if that is a terminal."""
    console = Console(stderr=True)
    if sys.stderr is None or not console.is_terminal:
        yield Bar()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    counted = () if total is None else (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counted, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as drawn:
        yield Bar(drawn, drawn.add_task(shown(what), total=total))


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
