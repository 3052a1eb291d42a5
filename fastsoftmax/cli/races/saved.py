"""Runs that were saved: read, and compared with another one."""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fastsoftmax.cli.errors import DataError
from fastsoftmax.cli.races.suite import Race


class Change(NamedTuple):
    """Our seconds before and now.

    drift is how many times as long the other libraries take now, percent what ours has grown by beside that.
    """

    operation: str
    shape: tuple[int, ...]
    dtype: str
    threads: int
    before: float
    now: float
    drift: float
    percent: float


def read_saved(path: str | Path) -> list[Race]:
    """The races of a file that `fastsoftmax bench --save` or pytest-benchmark has written.

    Raises
    ------
    DataError
        It cannot be read, is something else, or has none.
    """
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        kept = [entry["extra_info"] for entry in saved["benchmarks"] if entry["extra_info"].get("medians")]
        races = [
            Race(
                str(info["operation"]),
                tuple(int(n) for n in info["shape"]),
                str(info["dtype"]),
                int(info["threads"]),
                int(info["bytes"]),
                info.get("flops"),
                {str(name): float(seconds) for name, seconds in info["medians"].items()},
                {},
            )
            for info in kept
            if "fastsoftmax" in info["medians"]
        ]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: not a run that `fastsoftmax bench --save` has written, or a damaged one") from None
    if not races:
        raise DataError(f"{path}: no races in it")
    return races


def compared(before: Iterable[Race], now: Iterable[Race]) -> list[Change]:
    """The cases that both runs have."""
    old = {race.key: race for race in before}
    return [_change(old[race.key], race) for race in now if race.key in old]


def _change(old: Race, new: Race) -> Change:
    """The machine was faster or slower as a whole: the other libraries of both races tell by how much."""
    both = [new.peers[name] / old.peers[name] for name in new.peers if name in old.peers]
    drift = statistics.median(both) if both else 1.0
    a, b = old.medians["fastsoftmax"], new.medians["fastsoftmax"]
    return Change(new.operation, new.shape, new.dtype, new.threads, a, b, drift, 100 * (b / a / drift - 1))
