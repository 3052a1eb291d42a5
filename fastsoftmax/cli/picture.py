"""--plot FILE: what can be known of it before the work, and the file at the end."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastsoftmax.cli.arguments import check_place
from fastsoftmax.cli.errors import CommandError

KINDS = (".png", ".svg", ".pdf")
DPI = 150


def add_plot_option(add: Callable[..., object]) -> None:
    """--plot."""
    add("--plot", type=_file, metavar="FILE", help=f"draw the result, too: a path that ends in {', '.join(KINDS)}")


def _file(text: str) -> str:
    if Path(text).suffix.lower() not in KINDS:
        raise argparse.ArgumentTypeError(f"{text!r} ends in none of {', '.join(KINDS)}")
    return text


def check_plot(path: str | None) -> None:
    """Refuse before the work what could not be drawn after it."""
    if path is None:
        return
    check_place("--plot", path)
    try:
        import matplotlib
    except ImportError:
        raise CommandError("--plot takes the package matplotlib: pip install matplotlib") from None
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "fastsoftmax"  # the same picture is the same file


def save(path: str, figure: Any) -> None:
    """Write the picture; what was there is replaced when it is whole."""
    from fastsoftmax._files import replacing

    kind = Path(path).suffix.lower()[1:]
    metadata = {"Date": None} if kind == "svg" else {"CreationDate": None} if kind == "pdf" else {}
    try:
        with replacing(path) as file:
            figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
