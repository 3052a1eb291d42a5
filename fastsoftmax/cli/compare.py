"""Naive against fast, on data sets: what skipping the Jacobian buys, and that nothing is lost by it.

Each way back trains the same classifier from the same weights on the same batches. Machine code is compiled first; then
the ways take turns (A B C, A B C, ...), and the median of their times is told.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from fastsoftmax._gate.arrays import Array
from fastsoftmax.classifier.estimator import SoftmaxClassifier
from fastsoftmax.cli.compiling import told
from fastsoftmax.cli.datasets import DataSet, many_classes, split
from fastsoftmax.training.backward import BACKWARD

Progress = Callable[[str], None]
Step = Callable[[], None]  # told of each fit that is done
BASELINE = "jacobian"
N_WAYS = len(BACKWARD)


@dataclass(frozen=True)
class Settings:
    """How to train and how often to repeat; the fields that SoftmaxClassifier knows mean what they mean there."""

    hidden_layer_sizes: tuple[int, ...] = ()
    activation: str = "relu"
    loss: str = "cross_entropy"
    alpha: float = 0.0
    learning_rate_init: float = 0.05
    momentum: float = 0.9
    batch_size: int = 64
    max_iter: int = 30
    random_state: int = 0
    repeats: int = 5
    dtype: str = "float64"

    def classifier(self, n_samples: int, **changes: Any) -> SoftmaxClassifier:
        """One for so many samples that takes plain steps with momentum, max_iter epochs in any case."""
        known = {name: value for name, value in vars(self).items() if name not in ("repeats", "dtype")} | changes
        known["batch_size"] = min(self.batch_size, n_samples)
        return SoftmaxClassifier(solver="sgd", nesterovs_momentum=False, n_iter_no_change=known["max_iter"], **known)


@dataclass(frozen=True)
class Result:
    """One way back on one data set.

    Attributes
    ----------
    fit_seconds : median over the repeats
    speedup : the jacobian's time over this one's
    accuracy : on the part of the samples that was not trained on (a quarter)
    loss : the objective in the last epoch
    max_abs_diff : the largest difference of a weight or bias from the jacobian's
    """

    dataset: str
    backward: str
    n_samples: int
    n_features: int
    n_classes: int
    fit_seconds: float
    speedup: float
    accuracy: float
    loss: float
    max_abs_diff: float


def _no_step() -> None:
    """Nobody counts."""


def compare(
    data: DataSet, settings: Settings | None = None, progress: Progress = lambda line: None, step: Step = _no_step
) -> list[Result]:
    """Train on three quarters of a data set, standardised, by each way back, and test on the rest.

    Parameters
    ----------
    data : DataSet
    settings : Settings, optional
    progress : callable
        Given a line of text now and then.
    step : callable
        Called after each fit: of each way there are as many as repeats, and one before.

    Returns
    -------
    list of Result
        One for each of BACKWARD, the jacobian first.
    """
    settings = settings or Settings()
    X_train, X_test, y_train, y_test = _split(data, settings)
    started = time.perf_counter()
    few = _rows_of_two_classes(y_train, settings.batch_size)
    with told(progress):
        for way in BACKWARD:
            _fit(settings.classifier(len(few), backward=way, max_iter=1), X_train[few], y_train[few])
            step()
    progress(f"{data.name}: {len(data.X)} samples, {data.X.shape[1]} features, {data.n_classes} classes")
    progress(f"{data.name}: machine code ready after {time.perf_counter() - started:.2f} s (not in the times)")

    fitted = {way: settings.classifier(len(y_train), backward=way) for way in BACKWARD}
    calls = {way: partial(_fit, classifier, X_train, y_train) for way, classifier in fitted.items()}
    times = _take_turns(calls, settings.repeats, step)
    medians = {way: statistics.median(seconds) for way, seconds in times.items()}
    progress(f"{data.name}: trained {settings.repeats} times by each way")
    return [
        Result(
            dataset=data.name,
            backward=way,
            n_samples=len(data.X),
            n_features=data.X.shape[1],
            n_classes=data.n_classes,
            fit_seconds=medians[way],
            speedup=medians[BASELINE] / medians[way],
            accuracy=classifier.score(X_test, y_test),
            loss=classifier.loss_,
            max_abs_diff=_largest_difference(classifier, fitted[BASELINE]),
        )
        for way, classifier in fitted.items()
    ]


def compare_classes(
    class_counts: Sequence[int],
    settings: Settings | None = None,
    progress: Progress = lambda line: None,
    step: Step = _no_step,
) -> list[Result]:
    """`compare` on made data sets that differ in the number of classes alone.

    The step is learning_rate_init times the number of classes, because the gradient of each class shrinks as their
    number grows. The naive way holds batch_size times n_classes squared numbers at once.
    """
    settings = settings or Settings(max_iter=1, batch_size=128)
    results = []
    for n_classes in class_counts:
        scaled = replace(settings, learning_rate_init=settings.learning_rate_init * n_classes)
        results += compare(many_classes(n_classes, random_state=settings.random_state), scaled, progress, step)
    return results


def backward_seconds(
    class_counts: Sequence[int],
    settings: Settings | None = None,
    progress: Progress = lambda line: None,
    step: Step = _no_step,
) -> dict[str, list[float]]:
    """Seconds a sample that each way takes from the logits to the loss and dL/dlogits, for each number of classes.

    This is the part of training that tells the ways apart. 4096 samples at once, or as many as keep the naive way's
    Jacobians within 256 MiB (at least one).
    """
    settings = settings or Settings()
    seconds: dict[str, list[float]] = {way: [] for way in BACKWARD}
    rng = np.random.default_rng(settings.random_state)
    for n_classes in class_counts:
        progress(f"{n_classes} classes: timing the way back alone")
        logits = rng.standard_normal((4096, n_classes)).astype(settings.dtype)
        labels = rng.integers(0, n_classes, len(logits))
        rows = {way: len(logits) for way in BACKWARD}
        rows[BASELINE] = max(1, min(len(logits), 2**28 // (logits.itemsize * n_classes**2)))
        calls = {way: partial(BACKWARD[way], settings.loss, logits[:n], labels[:n], {}) for way, n in rows.items()}
        times = _take_turns(calls, settings.repeats + 1)
        for way in BACKWARD:
            seconds[way].append(statistics.median(times[way][1:]) / rows[way])  # the first one compiles
        step()
    return seconds


def slope(class_counts: Sequence[int], seconds: Sequence[float]) -> float:
    """Of log time against log classes: the power of C that the cost grows with."""
    return float(np.polyfit(np.log(class_counts), np.log(seconds), 1)[0])


def _take_turns(calls: Mapping[str, Callable[[], Any]], repeats: int, step: Step = _no_step) -> dict[str, list[float]]:
    """Seconds of each call, A B C A B C ..., so that a slow moment of the machine is shared."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
            step()
    return times


def _fit(classifier: SoftmaxClassifier, X: Array, y: Array) -> None:
    """Fit; an interrupt, of which a fit warns and then goes on with its last good weights, ends the comparison."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs were asked for
        warnings.filterwarnings("error", "Training interrupted", UserWarning)
        try:
            classifier.fit(X, y)
        except UserWarning:
            raise KeyboardInterrupt from None


def _split(data: DataSet, settings: Settings) -> tuple[Array, Array, Array, Array]:
    """Three quarters for training, one for testing, with every class in both where there are samples enough."""
    rows, held = split(data, max(1, len(data.y) // 4), settings.random_state)
    scaler = StandardScaler().fit(data.X[rows])
    X_train, X_test = (scaler.transform(data.X[part]).astype(settings.dtype) for part in (rows, held))
    return X_train, X_test, data.y[rows], data.y[held]


def _rows_of_two_classes(y: Array, count: int) -> Array:
    """The first rows, and one of another class than the first."""
    return np.unique([*range(min(count, len(y))), (y != y[0]).argmax()])


def _largest_difference(a: SoftmaxClassifier, b: SoftmaxClassifier) -> float:
    arrays = zip([*a.coefs_, *a.intercepts_], [*b.coefs_, *b.intercepts_], strict=True)
    return max(float(np.abs(p - q).max()) for p, q in arrays)
