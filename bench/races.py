"""What a run of the suites measured, read from pytest-benchmark's JSON, and the cells of tables."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastsoftmax.cli.races import layers, rows

_KNOWN = ("numpy", "scipy", "sklearn", "onnxruntime", "torch", "torch in chunks", "jax", "jax old", "peers")
_OURS = ("fastsoftmax", "jacobian", "ceiling blas")  # and what is no library
_ADDED = tuple(name for name in {**rows.PROVIDERS, **layers.PROVIDERS} if name not in _KNOWN + _OURS)
LIBRARIES = (*_KNOWN, *_ADDED, "fastsoftmax")  # in the order of the tables
TITLES = {"numpy": "NumPy", "scipy": "SciPy", "sklearn": "scikit-learn", "onnxruntime": "ONNX Runtime", "jax": "JAX"}
TITLES |= {"jax old": "the older JAX", "peers": "the fastest other"}


@dataclass(frozen=True)
class Race:
    """Medians in seconds of all that took part in one case."""

    operation: str
    shape: tuple[int, ...]
    dtype: str
    threads: int
    n_bytes: int
    medians: dict[str, float]
    flops: int | None = None
    fits: dict[str, dict[str, Any]] | None = None  # of training: what is known of the model of each

    @property
    def ours(self) -> float:
        """Seconds a call of fastsoftmax."""
        return self.medians["fastsoftmax"]

    @property
    def size(self) -> int:
        """Elements of one array."""
        size = 1
        for n in self.shape:
            size *= n
        return size

    def ratio(self, library: str) -> float | None:
        """How many times as long as fastsoftmax another library takes."""
        return self.medians[library] / self.ours if library in self.medians else None


def machines(paths: list[Path]) -> list[str]:
    """On what the races were held, and for which instruction set our code was compiled; a line each."""
    lines = []
    for path in paths:
        saved = json.loads(path.read_text())
        for entry in saved["benchmarks"]:
            info = entry["extra_info"]
            if "isa" in info:
                brand = saved.get("machine_info", {}).get("cpu", {}).get("brand_raw", "")
                versions = ", ".join(f"{name} {version}" for name, version in info.get("versions", {}).items())
                line = f"{info['cpu']} ({brand}), {info['isa']} code, commit {info['commit']}"
                lines.append(f"{line}; {versions}" if versions else line)
    return list(dict.fromkeys(lines))


def read(paths: list[Path]) -> list[Race]:
    """The races in pytest-benchmark's JSON files; other benchmarks are passed over."""
    races = []
    for path in paths:
        for entry in json.loads(path.read_text())["benchmarks"]:
            info: dict[str, Any] = entry["extra_info"]
            if info.get("medians"):
                shape = tuple(info["shape"])
                race = (
                    info["operation"],
                    shape,
                    info["dtype"],
                    info["threads"],
                    info["bytes"],
                    info["medians"],
                    info.get("flops"),
                    info.get("fits"),
                )
                races.append(Race(*race))
    return races


def row(cells: list[str]) -> str:
    """Of a table."""
    return f"| {' | '.join(cells)} |"


def shape_of(shape: tuple[int, ...]) -> str:
    """In brackets."""
    return f"({', '.join(map(str, shape))})"


def threads_of(n: int) -> str:
    """How many."""
    return "1 thread" if n == 1 else f"{n} threads"


def time_of(seconds: float | None, best: float) -> str:
    """Microseconds, bold if they are the best."""
    if seconds is None:
        return "-"
    us = seconds * 1e6
    text = f"{us:.2f}" if us < 10 else f"{us:.1f}" if us < 100 else f"{us:,.0f}".replace(",", " ")
    return f"**{text}**" if seconds == best else text


def ms(seconds: float) -> str:
    """Milliseconds."""
    ms = seconds * 1e3
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}".replace(",", " ")
