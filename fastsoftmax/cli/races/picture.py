"""The picture of a run: how many times as long each library takes, case by case."""

from typing import Any

from fastsoftmax.classifier.displays import STYLES, axes_of
from fastsoftmax.cli.races.suite import Race

TITLES = {"numpy": "NumPy", "scipy": "SciPy", "sklearn": "scikit-learn", "onnxruntime": "ONNX Runtime", "jax": "JAX"}
ORDER = ("torch", "jax", "onnxruntime", "sklearn", "numpy", "scipy", "torch in chunks")


def speedups(races: list[Race]) -> Any:
    """A row for each case, a marker for each library; left of the line at 1 we lose."""
    found = dict.fromkeys(name for race in races for name in race.peers)
    axes = axes_of(None, figsize=(7, 1.5 + 0.26 * len(races)))
    for name, style in zip(sorted(found, key=_place), STYLES, strict=False):
        points = [
            (race.peers[name] / race.medians["fastsoftmax"], y) for y, race in enumerate(races) if name in race.peers
        ]
        axes.plot(
            *zip(*points, strict=True), style.marker, color=style.color, label=TITLES.get(name, name), markersize=6
        )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(
        range(len(races)), [f"{r.operation}  {'x'.join(map(str, r.shape))}" for r in races], fontsize="small"
    )
    axes.set_ylim(len(races) - 0.5, -0.5)
    axes.set_xlabel(
        f"times as long as fastsoftmax ({races[0].dtype}, {races[0].threads} thread(s)); below 1 it is faster"
    )
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.3, 1.0), frameon=False)
    return axes.figure


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER)), name
