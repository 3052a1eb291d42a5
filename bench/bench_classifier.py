"""Training a classifier: fits by a solver until they are done, and mini-batch SGD, in turns with other libraries.

Each provider's model is checked first: objective against the best that LogisticRegression finds, or accuracy on samples
that were held out. A peer that misses the goal runs all the same, and the table tells by how much. extra_info has
the medians of all, and as "fastsoftmax" and "sklearn" those of their fastest solver that reaches the goal.

Cases too large for a smoke run have `large` in their name.
"""

import statistics
import time
from functools import partial

import numpy as np
import pytest
from classifier_cases import (
    ALIKE,
    CLOSE,
    ENOUGH,
    GOAL,
    OURS,
    SEEDS,
    TOLERANCES,
    FitCase,
    SgdCase,
    estimators,
    installed,
    layers_of,
    quietly,
    solver_alone,
)
from sklearn.linear_model import LogisticRegression

ROUNDS = 7
TURN = 0.02  # seconds at least, of many calls if they are short
PAUSE = 0.12  # threads of OpenBLAS spin for some 75 ms after their work
BUDGET = 15.0  # seconds of a provider: no further turn is begun after these


def logits_of(X, layers):
    """Of a model in float64: relu between its layers."""
    a = X.astype(np.float64)
    for weight, bias in layers[:-1]:
        a = np.maximum(a @ weight.astype(np.float64) + bias, 0)
    weight, bias = layers[-1]
    return a @ weight.astype(np.float64) + bias


def objective(X, y, layers, alpha):
    """1/N (sum_n loss_n + alpha/2 sum_k |W_k|^2), as LogisticRegression(C=1/alpha) minimises it."""
    z = logits_of(X, layers)
    z -= z.max(axis=1, keepdims=True)
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]
    penalty = sum(np.square(weight, dtype=np.float64).sum() for weight, _ in layers)
    return float((losses.sum() + alpha / 2 * penalty) / len(y))


def accuracy(X, y, layers):
    """The part of the samples that a model names rightly."""
    return float((logits_of(X, layers).argmax(axis=1) == y).mean())


def best_of_all(case):
    """The objective of LogisticRegression at its most exact; infinity where that takes minutes."""
    if "large" in case.data_set:
        return np.inf
    X, y = case.data
    exact = LogisticRegression(solver="newton-cholesky", C=1 / case.alpha, tol=1e-10, max_iter=ENOUGH)
    return objective(X, y, layers_of(exact.fit(X, y)), case.alpha)


def take_turns(calls):
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


def finish(benchmark, case, threads, calls, fits, X, n_classes):
    """Time the calls, unless this is a smoke run, and put down what is known of each."""
    medians = {} if benchmark.disabled else take_turns({name: partial(quietly, call) for name, call in calls.items()})
    for library in ("fastsoftmax", "sklearn") if medians else ():
        good = [medians[name] for name, fit in fits.items() if name.startswith(library) and fit["reached"]]
        if good:
            medians[library] = min(good)
    shape = [*X.shape, n_classes]
    benchmark.group = f"{case.name} {'x'.join(map(str, shape))} {case.dtype}"
    benchmark.extra_info.update(
        operation=case.name,
        shape=shape,
        dtype=case.dtype,
        threads=threads,
        bytes=X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes + X.indices.nbytes + X.indptr.nbytes,
        medians=medians,
        fits=fits,
    )
    ours = next(name for name in calls if name.startswith("fastsoftmax"))
    benchmark.pedantic(quietly, (calls[ours],), rounds=3)


@pytest.fixture
def fit_race(benchmark, threads):
    """The race of solvers on a FitCase; each of ours must reach the goal."""

    def run(case):
        X, y = case.data
        best, makers, models = best_of_all(case), estimators(case), {}

        def objective_of(model):
            return objective(X, y, layers_of(model), case.alpha)

        for name, make in makers.items():
            for tol in TOLERANCES if case.loosest else [None]:
                model = make() if tol is None else make(tol=tol)
                models[name] = quietly(lambda model=model: model.fit(X, y))
                if objective_of(model) <= (1 + GOAL) * best:
                    break
        objectives = {name: objective_of(model) for name, model in models.items()}
        best = min(best, *(value for name, value in objectives.items() if name.startswith("sklearn")))
        fits = {
            name: {
                "objective": objectives[name],
                "gap": objectives[name] / best - 1,
                "reached": bool(objectives[name] <= (1 + GOAL) * best),
                "accuracy": accuracy(X, y, layers_of(model)),
                "n_iter": int(np.max(model.n_iter_)),
                "tol": model.tol,
            }
            for name, model in models.items()
        }
        calls = {name: partial(model.fit, X, y) for name, model in models.items()}
        for solver in OURS:
            name = f"fastsoftmax {solver}"
            assert fits[name]["reached"], f"{name} ends {fits[name]['gap']:.1e} above the best of LogisticRegression"
            alone = solver_alone(case, solver, fits[name]["tol"])
            np.testing.assert_allclose(objective(X, y, alone(), case.alpha), objectives[name], rtol=1e-6)
            calls[f"{name}, solver"] = alone
        finish(benchmark, case, threads, calls, fits, X, int(y.max()) + 1)

    return run


@pytest.fixture
def sgd_race(benchmark, threads):
    """The race of descents; ours must end like each other one, over splits and seeds."""

    def run(case):
        calls, fits = {}, {}
        for name, provider in installed().items():
            losses, hits = [], []
            for seed in SEEDS:
                X, X_held, y, y_held = case.split(seed)
                call = provider(case, X, y, seed, threads)
                if call is None:
                    break
                layers = quietly(call)
                losses.append(objective(X, y, layers, 0.0))
                hits.append(accuracy(X_held, y_held, layers))
                calls.setdefault(name, call)  # the first seed's is timed
            if hits:
                means = {"objective": statistics.mean(losses), "accuracy": statistics.mean(hits)}
                fits[name] = {**means, "accuracies": hits, "reached": True}
        for name, fit in fits.items():
            difference = fits["fastsoftmax"]["accuracy"] - fit["accuracy"]
            assert abs(difference) <= CLOSE, f"ours is more accurate than {name} by {difference:.4f}"
            ratio = fits["fastsoftmax"]["objective"] / fit["objective"]
            assert 1 / ALIKE <= ratio <= ALIKE, f"our loss at the end is {ratio:.3f} of that of {name}"
        X, _, y, _ = case.split(SEEDS[0])
        finish(benchmark, case, threads, calls, fits, X, int(y.max()) + 1)

    return run


SMALL = ["digits", "digits by 16", "iris", "iris standardised", "wine", "wine standardised"]


def name_of(value):
    return value.replace(" ", "-") if isinstance(value, str) else None


@pytest.mark.parametrize("loosest", [False, True], ids=["default-tol", "loosest-tol"])
@pytest.mark.parametrize("data_set", SMALL, ids=name_of)
def bench_fit(fit_race, data_set, loosest):
    fit_race(FitCase(data_set, loosest=loosest))


@pytest.mark.parametrize(
    ("data_set", "dtype"),
    [("made large", "float32"), ("newsgroups large", "float32"), ("newsgroups large", "float64")],
    ids=name_of,
)
def bench_fit_large(fit_race, data_set, dtype):
    fit_race(FitCase(data_set, dtype))


@pytest.mark.parametrize("hidden", [(), (64,)], ids=["linear", "hidden-64"])
def bench_sgd(sgd_race, hidden):
    sgd_race(SgdCase(hidden))
