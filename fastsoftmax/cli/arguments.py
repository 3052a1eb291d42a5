"""The arguments of the commands: their types, which argparse calls, and those that several commands have."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

DATA_SETS = ("iris", "wine", "breast_cancer", "digits")
FILES = (".csv", ".npz", ".svmlight", ".parquet")
WITH_COLUMNS = (".csv", ".parquet")
HEADER = {"auto": None, "yes": True, "no": False}


def data_set(names: Sequence[str], suffixes: Sequence[str]) -> Callable[[str], str]:
    """The type of an argument that names a data set or is the path of a file."""

    def read(text: str) -> str:
        if text not in names and Path(text).suffix.lower() not in suffixes:
            ends = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(names)}, and no path that ends in {ends}")
        return text

    return read


def add_label_options(add: Callable[..., object], kinds: str) -> None:
    """--label and --header."""
    add("--label", metavar="COLUMN", help=f"label column of a {kinds} file: its name, or if no column is called so its "
        "position from 0 (default: the last)")  # fmt: skip
    add("--header", choices=tuple(HEADER), default="auto",
        help="whether line 1 of a .csv file has names (default: auto, by what stands there)")  # fmt: skip


def add_drop_option(add: Callable[..., object], kinds: str) -> None:
    """--drop."""
    add("--drop", type=lambda text: tuple(text.split(",")), default=(), metavar="A,B",
        help=f"columns of a {kinds} file to leave out, such as row numbers: names, or positions from 0")  # fmt: skip


def check_label_options(arguments: argparse.Namespace, name: str | None, kinds: Sequence[str], where: str = "") -> None:
    """Refuse --label and --drop with files of other kinds, which have no columns, and --header with all but .csv."""
    kind, header, drop = Path(name or "").suffix.lower(), arguments.header != "auto", getattr(arguments, "drop", ())
    options = (("--label", arguments.label is not None, kinds), ("--drop", bool(drop), kinds))
    for option, given, fit in (*options, ("--header", header, (".csv",))):
        if given and kind not in fit:
            raise argparse.ArgumentError(None, f"{option} goes with a {' or '.join(fit)} file{where}")


def check_place(option: str, path: str) -> None:
    """Refuse a path that cannot be written before the work rather than after it."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise argparse.ArgumentError(None, f"{option} {path} is a folder")
    if target.exists() and not target.is_file():
        raise argparse.ArgumentError(None, f"{option} {path} is not an ordinary file, so it is not replaced")
    if not target.parent.is_dir():
        raise argparse.ArgumentError(None, f"{option} {path}: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise argparse.ArgumentError(None, f"{option} {path}: the folder {target.parent} cannot be written")


def class_counts(text: str) -> tuple[int, ...]:
    """10,100,1000, without a number twice, sorted."""
    numbers = counts(text)
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"{text!r} has a number twice")
    return tuple(sorted(numbers))


def counts(text: str) -> tuple[int, ...]:
    """64,32: whole numbers from 1."""
    return tuple(count(part) for part in text.split(","))


def count(text: str) -> int:
    """A whole number from 1."""
    return _whole(text, 1, 10**9)


def seed(text: str) -> int:
    """What NumPy takes."""
    return _whole(text, 0, 2**32 - 1)


def _whole(text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
    return value


def positive(text: str) -> float:
    """A finite number above 0."""
    value = not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be above 0")
    return value


def not_negative(text: str) -> float:
    """A finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be finite and at least 0")
    return value


def fraction(text: str) -> float:
    """A number from 0 to below 1."""
    value = not_negative(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be below 1")
    return value
