"""Fits of a classifier by solvers that run until they are done, in turns with other libraries.

Each provider's model is checked first: its objective against the best that any finds. A peer that misses the goal runs
all the same, and the table tells by how much. extra_info has the medians of all, and as "fastsoftmax", "sklearn" and
"peers" (all but ours) those of their fastest solver that reaches the goal.

Cases too large for a smoke run have `large` in their name.
"""

from functools import partial

import numpy as np
import pytest
from fit_cases import GOAL, OURS, TOLERANCES, FitCase, estimators, exact, solver_alone
from judge import accuracy, finish, layers_of, objective, quietly


@pytest.fixture
def fit_race(benchmark, threads):
    """The race of solvers on a FitCase; each of ours must reach the goal."""

    def run(case):
        X, y = case.data
        models, nearest = {}, exact(case)

        def objective_of(model):
            return objective(X, y, layers_of(model), case.alpha, case.l1_ratio)

        best = objective_of(quietly(partial(nearest.fit, X, y)))
        for name, make in estimators(case, threads).items():
            for tol in TOLERANCES if case.loosest else [None]:
                model = make() if tol is None else make(tol=tol)
                models[name] = quietly(lambda model=model: model.fit(X, y))
                if objective_of(model) <= (1 + GOAL) * best:
                    break
        objectives = {name: objective_of(model) for name, model in models.items()}
        best = min(best, *objectives.values())
        fits = {
            name: {
                "objective": objectives[name],
                "gap": objectives[name] / best - 1,
                "reached": bool(objectives[name] <= (1 + GOAL) * best),
                "accuracy": accuracy(X, y, layers_of(model)),
                "n_iter": int(np.max(getattr(model, "n_iter_", 0), initial=0)),
                "tol": getattr(model, "tol", None),
            }
            for name, model in models.items()
        }
        calls = {name: partial(model.fit, X, y) for name, model in models.items()}
        for solver in case.ours:
            name = f"fastsoftmax {solver}"
            assert fits[name]["reached"], f"{name} ends {fits[name]['gap']:.1e} above the best"
            if solver in OURS:
                alone = solver_alone(case, solver, fits[name]["tol"])
                np.testing.assert_allclose(objective(X, y, alone(), case.alpha), objectives[name], rtol=1e-6)
                calls[f"{name}, solver"] = alone
        finish(benchmark, case, threads, calls, fits, X, int(y.max()) + 1)

    return run


SMALL = ["digits", "digits by 16", "iris", "iris standardised", "wine", "wine standardised"]
BINARY = ["breast_cancer", "breast_cancer standardised"]
LARGE = [
    ("digits standardised", "float64"),
    ("made large", "float32"),
    ("newsgroups large", "float32"),
    ("newsgroups large", "float64"),
]


def name_of(value):
    return value.replace(" ", "-") if isinstance(value, str) else None


loosest_or_not = pytest.mark.parametrize("loosest", [False, True], ids=["default-tol", "loosest-tol"])


@loosest_or_not
@pytest.mark.parametrize("data_set", SMALL + BINARY, ids=name_of)
def bench_fit(fit_race, data_set, loosest):
    fit_race(FitCase(data_set, loosest=loosest))


@loosest_or_not
@pytest.mark.parametrize(("data_set", "dtype"), LARGE, ids=name_of)
def bench_fit_large(fit_race, data_set, dtype, loosest):
    fit_race(FitCase(data_set, dtype, loosest))


@loosest_or_not
@pytest.mark.parametrize("data_set", ["iris standardised", "breast_cancer standardised"], ids=name_of)
def bench_l1(fit_race, data_set, loosest):
    fit_race(FitCase(data_set, loosest=loosest, l1_ratio=1.0))


@loosest_or_not
@pytest.mark.parametrize("data_set", ["digits standardised", "newsgroups large"], ids=name_of)
def bench_l1_large(fit_race, data_set, loosest):
    fit_race(FitCase(data_set, loosest=loosest, l1_ratio=1.0))
