"""The picture of a comparison of the ways back through softmax."""

import statistics
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastsoftmax.classifier.displays import STYLES, axes_of, line_look
from fastsoftmax.training.backward import BACKWARD

BASELINE = "jacobian"
WAY_STYLES = dict(zip(("fused", BASELINE, "vjp"), STYLES, strict=False))


class ComparisonDisplay:
    """How long fits take by each way back through softmax: dots by data set, or lines by the number of classes.

    Parameters
    ----------
    names : sequence of str
        Data sets, or whatever the ways are compared on.
    seconds : mapping of str to sequence of float
        For each of "jacobian", "vjp" and "fused" the seconds of a fit on each data set.
    n_classes : sequence of int, optional
        If it is given, lines are drawn by it, of which the slope is the power that the cost grows with.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> seconds = {"jacobian": [3e-3, 2.4], "fused": [7e-4, 5.5e-3]}
    >>> display = fs.ComparisonDisplay(names=["10", "1000"], seconds=seconds, n_classes=[10, 1000])
    >>> display.plot()  # doctest: +SKIP
    >>> round(display.seconds["jacobian"][1] / display.seconds["fused"][1])
    436
    """

    def __init__(
        self, *, names: Sequence[str], seconds: Mapping[str, Sequence[float]], n_classes: Sequence[int] | None = None
    ) -> None:
        self.names, self.n_classes = list(names), None if n_classes is None else list(n_classes)
        self.seconds = {way: list(times) for way, times in seconds.items()}

    @classmethod
    def from_results(cls, results: Iterable[Any], *, ax: Any = None) -> "ComparisonDisplay":
        """Draw what `fastsoftmax compare --json` prints.

        Parameters
        ----------
        results : iterable of mapping
            With "dataset", "backward", "n_samples", "n_features", "n_classes" and "fit_seconds". Where they differ in
            the number of classes alone, lines are drawn by it.
        ax : matplotlib Axes, optional
            Where to draw (default: a new figure).

        Returns
        -------
        ComparisonDisplay

        Examples
        --------
        >>> import json, fastsoftmax as fs
        >>> results = json.load(open("results.json"))  # doctest: +SKIP
        >>> fs.ComparisonDisplay.from_results(results)  # doctest: +SKIP
        """
        rows = [asdict(r) if is_dataclass(r) and not isinstance(r, type) else r for r in results]
        names = list(dict.fromkeys(row["dataset"] for row in rows))
        seconds: dict[str, list[float]] = {}
        for row in rows:
            seconds.setdefault(row["backward"], []).append(row["fit_seconds"])
        shapes = list(dict.fromkeys((row["n_samples"], row["n_features"], row["n_classes"]) for row in rows))
        alike = len(shapes) == len(names) > 1 and len({shape[:2] for shape in shapes}) == 1
        n_classes = [shape[2] for shape in shapes] if alike else None
        return cls(names=names, seconds=seconds, n_classes=n_classes).plot(ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, repeats: int = 3, ax: Any = None, name: str | None = None
    ) -> "ComparisonDisplay":
        """Fit clones of a SoftmaxClassifier by each way back, in turns, and draw the medians of their times.

        Parameters
        ----------
        estimator : SoftmaxClassifier
        X, y : array_like
            To fit to.
        repeats : int, default 3
            Fits by each way, after one that is not timed and compiles.
        ax : matplotlib Axes, optional
            Where to draw (default: a new figure).
        name : str, optional
            Of the data (default: their shape).

        Returns
        -------
        ComparisonDisplay

        Raises
        ------
        TypeError
            The estimator has no parameter `backward`.

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> from sklearn.datasets import load_digits
        >>> model = fs.SoftmaxClassifier(solver="sgd", max_iter=20)
        >>> fs.ComparisonDisplay.from_estimator(model, *load_digits(return_X_y=True))  # doctest: +SKIP
        """
        if "backward" not in estimator.get_params():
            raise TypeError(f"estimator must have the parameter backward, got {type(estimator).__name__}")
        models = {way: clone(estimator).set_params(backward=way) for way in BACKWARD}
        times: dict[str, list[float]] = {way: [] for way in models}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for turn in range(repeats + 1):
                for way, model in models.items():
                    started = time.perf_counter()
                    model.fit(X, y)
                    times[way] += [time.perf_counter() - started] if turn else []
        shape = (*np.shape(X), len(model.classes_))
        label = "x".join(map(str, shape)) if name is None else name
        return cls(names=[label], seconds={way: [statistics.median(t)] for way, t in times.items()}).plot(ax)

    def plot(self, ax: Any = None) -> "ComparisonDisplay":
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where (default: a new figure).

        Returns
        -------
        ComparisonDisplay
            Itself.

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> display = fs.ComparisonDisplay(names=["iris"], seconds={"jacobian": [12e-3], "fused": [1.2e-3]})
        >>> display.plot().ax_.get_xlabel()  # doctest: +SKIP
        'seconds of a fit'
        """
        height = 4.0 if self.n_classes else 1.4 + 0.55 * len(self.names)
        self.ax_ = axes_of(ax, figsize=(6, height))
        self.figure_ = self.ax_.figure
        if self.n_classes:
            self._plot_lines(self.n_classes)
        else:
            self._plot_dots()
        self.ax_.grid(alpha=0.3, which="both" if self.n_classes else "major", axis="both" if self.n_classes else "x")
        self.ax_.set_axisbelow(True)
        return self

    def _plot_lines(self, n_classes: list[int]) -> None:
        for way, times in self.seconds.items():
            power = ""
            if len(times) > 1:
                steepness = np.diff(np.log(times[-2:]))[0] / np.diff(np.log(n_classes[-2:]))[0]
                power = f": C to the {steepness:.1f} at the end"
            self.ax_.loglog(n_classes, times, **line_look(WAY_STYLES.get(way, STYLES[3])), label=f"{way}{power}")
        self.ax_.set(xlabel="classes C", ylabel="seconds of a fit")
        self.ax_.set_xticks(n_classes, [str(n) for n in n_classes], minor=False)
        self.ax_.set_xticks([], minor=True)
        self.ax_.legend()

    def _plot_dots(self) -> None:
        at = np.arange(len(self.names))
        times = np.array(list(self.seconds.values()))
        self.ax_.hlines(at, times.min(axis=0), times.max(axis=0), color="0.7", linewidth=1, zorder=1)
        slowest = self.seconds.get(BASELINE)
        for way, seconds in self.seconds.items():
            style = WAY_STYLES.get(way, STYLES[3])
            self.ax_.plot(seconds, at, **{**line_look(style), "linestyle": "", "markersize": 8}, label=way)
            for x, y, slow in zip(seconds, at, slowest or [], strict=False):
                if way != BASELINE:
                    told = f"{slow / x:.1f} x"
                    self.ax_.annotate(told, (x, y), (0, 7), textcoords="offset points", ha="center", fontsize="small")
        self.ax_.set_xscale("log")
        self.ax_.set_yticks(at, self.names)
        self.ax_.set_ylim(len(at) - 0.5, -0.7)
        self.ax_.set(xlabel="seconds of a fit")
        self.ax_.legend(ncols=len(self.seconds), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
