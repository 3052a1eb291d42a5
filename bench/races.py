"""What a run of the suites measured, read from pytest-benchmark's JSON, and the cells of tables."""

import json
from pathlib import Path

from fastsoftmax.cli.races import layers, rows
from fastsoftmax.cli.races.saved import races_in
from fastsoftmax.cli.races.suite import Race

_KNOWN = ("numpy", "scipy", "sklearn", "onnxruntime", "torch", "torch in chunks", "jax", "jax old", "peers")
_OURS = ("fastsoftmax", "jacobian", "ceiling blas")  # and what is no library
_ADDED = tuple(name for name in {**rows.PROVIDERS, **layers.PROVIDERS} if name not in _KNOWN + _OURS)
LIBRARIES = (*_KNOWN, *_ADDED, "fastsoftmax")  # in the order of the tables
TITLES = {"numpy": "NumPy", "scipy": "SciPy", "sklearn": "scikit-learn", "onnxruntime": "ONNX Runtime", "jax": "JAX"}
TITLES |= {"jax old": "the older JAX", "peers": "the fastest other"}


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
    return [race for path in paths for race in races_in(json.loads(path.read_text()))]


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
