"""What this process may have: cores, by its affinity, and memory; both by the limits of its control group (Linux)."""

import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable_cores() -> int:
    """The cores that this thread may run on now, and no more than the quota gives time for."""
    allowed, quota = allowed_cores(), quota_cores()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def allowed_cores() -> int:
    """The cores that this thread may run on now."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def quota_cores() -> float | None:
    """How many cores' time the control group of this process may take, as containers are given it; None: no limit.

    A group may take no more than those that it lies in. Read once, because that takes longer than a call.
    """
    quotas = [
        quota for folder in _groups("cpu") for quota in (_quota_v2(folder), _quota_v1(folder)) if quota is not None
    ]
    return min(quotas, default=None)


def usable_memory() -> int:
    """Bytes that the machine has, and no more than the control groups of this process may take, page cache included."""
    names = ("memory.max", "memory.limit_in_bytes")
    words = [word for folder in _groups("memory") for name in names for word in _words(folder / name)]
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    return min([machine, *(int(word) for word in words if word.isdigit())])


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the groups that hold this process, of version 2 and of a controller of version 1.

    In a container the path may be that of the host, where the container's own group is what is mounted: each folder on
    the way is looked for, and the mounted one is among them.
    """
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except (OSError, ValueError):  # another system; a path that is no text
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "" or controller in controllers.split(","):
            root = CGROUPS / controllers
            parts = [part for part in path.split("/") if part not in ("", "..")]
            yield from (root.joinpath(*parts[:n]) for n in range(len(parts) + 1))


def _quota_v2(folder: Path) -> float | None:
    """cpu.max holds microseconds of time and in what period, or "max" and the period."""
    return _ratio(_words(folder / "cpu.max"))


def _quota_v1(folder: Path) -> float | None:
    """The quota is -1 where there is none."""
    return _ratio([*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")])


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, ValueError):
        return []


def _ratio(words: list[str]) -> float | None:
    if len(words) != 2 or not all(word.isdigit() and int(word) > 0 for word in words):
        return None
    return int(words[0]) / int(words[1])
