"""Runs that were saved: read, and compared with another one."""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

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
        races = races_in(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: not a run that `fastsoftmax bench --save` has written, or a damaged one") from None
    ours = [race for race in races if "fastsoftmax" in race.medians]
    if not ours:
        raise DataError(f"{path}: no races in it")
    return ours


def races_in(saved: dict[str, Any]) -> list[Race]:
    """The races among the benchmarks of a run; others are passed over."""
    kept = [entry["extra_info"] for entry in saved["benchmarks"] if entry["extra_info"].get("medians")]
    return [
        Race(
            str(info["operation"]),
            tuple(int(n) for n in info["shape"]),
            str(info["dtype"]),
            int(info["threads"]),
            int(info["bytes"]),
            {str(name): float(seconds) for name, seconds in info["medians"].items()},
            flops=info.get("flops"),
            fits=info.get("fits"),
        )
        for info in kept
    ]


def compared(before: Iterable[Race], now: Iterable[Race]) -> list[Change]:
    """The cases that both runs have."""
    old = {race.key: race for race in before}
    return [_change(old[race.key], race) for race in now if race.key in old]


def _change(old: Race, new: Race) -> Change:
    """The machine was faster or slower as a whole: the other libraries of both races tell by how much."""
    both = [new.peers[name] / old.peers[name] for name in new.peers if name in old.peers]
    drift = statistics.median(both) if both else 1.0
    percent = 100 * (new.ours / old.ours / drift - 1)
    return Change(new.operation, new.shape, new.dtype, new.threads, old.ours, new.ours, drift, percent)
