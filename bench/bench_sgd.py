"""Mini-batch SGD in turns with other libraries; the model of each is checked on samples that were held out.

`--jax-old PYTHON` lets another JAX take part, too (sgd_jax.py).
"""

import statistics

import pytest
from judge import accuracy, finish, objective, quietly
from sgd_cases import ALIKE, DIGITS, LARGE, SgdCase, providers


@pytest.fixture
def sgd_race(benchmark, threads, request):
    """The race of descents; ours must end like each other one, over splits and seeds."""

    def run(case: SgdCase):
        calls, fits = {}, {}
        for name, provider in providers(request.config.getoption("--jax-old")).items():
            losses, hits = [], []
            for seed in range(case.n_seeds):
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
            assert abs(difference) <= case.close, f"ours is more accurate than {name} by {difference:.4f}"
            ratio = fits["fastsoftmax"]["objective"] / fit["objective"]
            assert 1 / ALIKE <= ratio <= ALIKE, f"our loss at the end is {ratio:.3f} of that of {name}"
        X, _, y, _ = case.split(0)
        finish(benchmark, case, threads, calls, fits, X, int(y.max()) + 1)

    return run


@pytest.mark.parametrize("case", DIGITS, ids=["linear", "hidden-64"])
def bench_sgd(sgd_race, case):
    sgd_race(case)


def bench_sgd_large(sgd_race):
    sgd_race(LARGE)
