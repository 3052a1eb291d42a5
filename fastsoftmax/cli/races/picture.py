"""The picture of a run: how many times as long each library takes, case by case."""

from typing import Any

from fastsoftmax.classifier.displays import STYLES, axes_of
from fastsoftmax.cli.races.suite import Race

TITLES = {"numpy": "NumPy", "scipy": "SciPy", "sklearn": "scikit-learn", "onnxruntime": "ONNX Runtime", "jax": "JAX"}
ORDER = ("torch", "jax", "onnxruntime", "sklearn", "numpy", "scipy", "torch in chunks")


def speedups(races: list[Race]) -> Any:
    """A row for each case, a marker for each library; where it is grey, left of 1, we lose."""
    found = dict.fromkeys(name for race in races for name in race.peers)
    axes = axes_of(None, figsize=(8, 1.5 + 0.26 * len(races)))
    for name, style in zip(sorted(found, key=_place), STYLES, strict=False):
        taken = [(y, race) for y, race in enumerate(races) if name in race.peers]
        ratios = [race.peers[name] / race.ours for _, race in taken]
        look = {"color": style.color, "markersize": 7, "markeredgecolor": "white", "markeredgewidth": 0.6}
        axes.plot(ratios, [y for y, _ in taken], style.marker, label=TITLES.get(name, name), **look)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.axvspan(min(low, 0.9), 1, color="0.92", zorder=0)
    axes.set_xlim(min(low, 0.9), high)
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if min(low, 0.9) <= t <= high]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_xticks([], minor=True)
    names = [f"{race.operation}  {'x'.join(map(str, race.shape))}" for race in races]
    axes.set_yticks(range(len(races)), names, fontsize="small")
    axes.set_ylim(len(races) - 0.5, -0.5)
    threads = f"{races[0].threads} thread{'s' * (races[0].threads > 1)}"
    axes.set_xlabel(f"times as long as fastsoftmax ({races[0].dtype}, {threads}); grey: we lose")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.3, 1.0), frameon=False)
    return axes.figure


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER)), name
