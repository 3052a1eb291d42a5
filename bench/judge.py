"""What all classifiers are judged by, whoever fitted them: one objective, one accuracy, in float64; and the turns."""

import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

Layers = list[tuple[np.ndarray, np.ndarray]]  # weight (n_in, n_out) and bias (n_out,) of each
Call = Callable[[], Any]


class Title(NamedTuple):
    """A case that is known by its name and dtype alone."""

    name: str
    dtype: str


ROUNDS = 7
TURN = 0.02  # seconds at least, of many calls if they are short
BUDGET = 15.0  # seconds of a provider: no further turn is begun after these
PAUSE = 0.12  # threads of OpenBLAS spin for some 75 ms after their work


def layers_of(model: Any) -> Layers:
    """Of a fitted classifier. One logit of two classes is that of the second; the first has logits 0."""
    if hasattr(model, "coefs_"):
        layers = list(zip(model.coefs_, model.intercepts_, strict=True))
    else:
        coef, bias = np.atleast_2d(np.squeeze(model.coef_)), np.atleast_1d(np.squeeze(model.intercept_))
        layers = [(coef.T if len(coef) == len(bias) else coef, bias)]  # of several classes cyanure's is the other way
    weight, bias = layers[-1]
    if len(bias) == 1:
        layers[-1] = np.hstack([np.zeros_like(weight), weight]), np.append(np.zeros_like(bias), bias)
    return layers


def quietly(fit: Call) -> Any:
    """The fit without its warnings, of line searches or too few iterations: how good it is, is checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit()


def logits_of(X: Any, layers: Layers) -> np.ndarray:
    """Of a model in float64: relu between its layers."""
    a = X.astype(np.float64)
    for weight, bias in layers[:-1]:
        a = np.maximum(a @ weight.astype(np.float64) + bias, 0)
    weight, bias = layers[-1]
    return a @ weight.astype(np.float64) + bias


def objective(X: Any, y: np.ndarray, layers: Layers, alpha: float, l1_ratio: float = 0.0) -> float:
    """1/N (sum_n loss_n + alpha ((1 - l1_ratio)/2 |W|^2 + l1_ratio |W|_1)): LogisticRegression's, C = 1/alpha."""
    z = logits_of(X, layers)
    z -= z.max(axis=1, keepdims=True)
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]
    weights = np.concatenate([weight.ravel() for weight, _ in layers]).astype(np.float64)
    penalty = (1 - l1_ratio) / 2 * np.square(weights).sum() + l1_ratio * np.abs(weights).sum()
    return float((losses.sum() + alpha * penalty) / len(y))


def accuracy(X: Any, y: np.ndarray, layers: Layers) -> float:
    """The part of the samples that a model names rightly."""
    return float((logits_of(X, layers).argmax(axis=1) == y).mean())


def take_turns(calls: dict[str, Call]) -> dict[str, float]:
    """The median of the seconds a call of each provider, of calls that have run before; slow ones have few turns."""
    seconds, counts = {name: [] for name in calls}, dict.fromkeys(calls, 1)
    for _ in range(ROUNDS):
        for name, call in calls.items():
            if sum(seconds[name]) < BUDGET:
                time.sleep(PAUSE)
                start = time.perf_counter()
                for _ in range(counts[name]):
                    call()
                seconds[name].append((time.perf_counter() - start) / counts[name])
                counts[name] = max(1, int(TURN / seconds[name][-1]))
    return {name: statistics.median(times) for name, times in seconds.items()}


def finish(
    benchmark: Any, case: Any, threads: int, calls: dict[str, Call], fits: dict[str, Any], X: Any, n_classes: int
) -> None:
    """Time the calls, unless this is a smoke run, and put down what is known of each.

    The medians of "fastsoftmax", "sklearn" and "peers" (all but ours) are those of the fastest that reaches the goal.
    """
    medians = {} if benchmark.disabled else take_turns({name: partial(quietly, call) for name, call in calls.items()})
    good = {name: medians[name] for name, fit in fits.items() if medians and fit["reached"]}
    of = {
        library: [t for name, t in good.items() if name.startswith(library)] for library in ("fastsoftmax", "sklearn")
    }
    of["peers"] = [t for name, t in good.items() if not name.startswith("fastsoftmax")]
    medians |= {library: min(times) for library, times in of.items() if times}
    shape = [*X.shape, n_classes]
    benchmark.group = f"{case.name} {'x'.join(map(str, shape))} {case.dtype}"
    benchmark.extra_info.update(
        operation=case.name,
        shape=shape,
        dtype=case.dtype,
        threads=threads,
        bytes=X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if scipy.sparse.issparse(X) else X.nbytes,
        medians=medians,
        fits=fits,
    )
    ours = next(name for name in calls if name.startswith("fastsoftmax"))
    benchmark.pedantic(quietly, (calls[ours],), rounds=3)
