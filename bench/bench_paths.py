"""Many fits to choose alpha from: a path by warm starts against one fit, and cross-validation over a grid."""

from functools import partial
from inspect import signature

import numpy as np
import pytest
from fit_cases import ENOUGH, GOAL, FitCase, exact, ours, theirs
from judge import Title, accuracy, finish, layers_of, objective, quietly
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

import fastsoftmax as fs

LEAST, STEPS = 1.0, 30  # of a path: its last alpha, and how many, falling, so that each minimum is near the one before
GRID = np.geomspace(1e4, 1e-1, 10)
FOLDS = 5


def path_from(X, y, l1_ratio):
    """Alphas from 1000, or with L1 from the largest at which any weight would not be 0."""
    targets = np.eye(int(y.max()) + 1)[y]
    first = float(np.abs(X.T @ (targets - targets.mean(axis=0))).max()) / l1_ratio if l1_ratio else 1000.0
    return np.geomspace(first, LEAST, STEPS)


def path_of(model, set_alpha, alphas, X, y):
    """Fits the model for each alpha from where it stands; the last one is for the smallest."""

    def call():
        for name in ("coef_", "coefs_", "classes_"):  # a start from nothing
            vars(model).pop(name, None)
        models = []
        for alpha in alphas:
            model.set_params(**set_alpha(alpha)).fit(X, y)
            models.append(layers_of(model))
        return models

    return call


@pytest.fixture
def path_race(benchmark, threads):
    """30 alphas in one go, beside one fit for the smallest of them; each of ours must reach the goal."""

    def run(data_set, l1_ratio, solver, their_solver):
        case = FitCase(data_set, alpha=LEAST, l1_ratio=l1_ratio)
        X, y = case.data
        alphas = path_from(X, y, l1_ratio)
        mine, other = ours(case, solver)(warm_start=True), theirs(case, their_solver)(warm_start=True)
        calls = {
            f"fastsoftmax {solver}": path_of(mine, lambda alpha: {"alpha": alpha}, alphas, X, y),
            f"sklearn {their_solver}": path_of(other, lambda alpha: {"C": 1 / alpha}, alphas, X, y),
        }
        cases = [FitCase(data_set, alpha=alpha, l1_ratio=l1_ratio) for alpha in alphas]
        models = {name: quietly(call) for name, call in calls.items()}
        models["exact"] = [layers_of(quietly(partial(exact(one).fit, X, y))) for one in cases]
        values = {
            name: np.array([objective(X, y, m, c.alpha, l1_ratio) for m, c in zip(found, cases, strict=True)])
            for name, found in models.items()
        }
        best = np.min(list(values.values()), axis=0)
        fits = {}
        for name in calls:
            gap = float((values[name] / best - 1).max())
            last = {"objective": float(values[name][-1]), "accuracy": accuracy(X, y, models[name][-1])}
            fits[name] = {**last, "gap": gap, "reached": gap <= GOAL}
        assert fits[f"fastsoftmax {solver}"]["reached"], f"a fit ends {fits[f'fastsoftmax {solver}']['gap']:.1e} above"
        one, their_one = ours(case, solver)(), theirs(case, their_solver)()
        calls |= {f"fastsoftmax {solver}, one fit": partial(one.fit, X, y)}
        calls |= {f"sklearn {their_solver}, one fit": partial(their_one.fit, X, y)}
        title = Title(f"path {data_set}" + ", L1" * bool(l1_ratio), case.dtype)
        finish(benchmark, title, threads, calls, fits, X, int(y.max()) + 1)

    return run


def bench_path(path_race):
    path_race("wine standardised", 0.0, "lbfgs", "lbfgs")


def bench_path_large(path_race):
    path_race("digits standardised", 0.0, "lbfgs", "lbfgs")


def bench_path_l1_large(path_race):
    path_race("digits standardised", 1.0, "coordinate-descent", "saga")


def their_cv(solver, threads):
    """LogisticRegressionCV over GRID, by likelihood; its folds in as many processes as there are threads."""
    grid = {"Cs": 1 / GRID, "cv": StratifiedKFold(FOLDS), "scoring": "neg_log_loss", "l1_ratios": (0.0,)}
    new = "use_legacy_attributes" in signature(LogisticRegressionCV).parameters
    shape = {"use_legacy_attributes": False} if new else {}
    return LogisticRegressionCV(**grid, solver=solver, max_iter=ENOUGH, n_jobs=threads, **shape)


@pytest.mark.parametrize("data_set", ["wine standardised", "digits standardised large"])
def bench_cv(benchmark, threads, data_set):
    """5 folds of 10 alphas; by their scores no alpha is better than the one that ours chooses, by more than GOAL."""
    case = FitCase(data_set.removesuffix(" large"))
    X, y = case.data
    models = {f"sklearn {solver}": their_cv(solver, threads) for solver in ("lbfgs", "newton-cholesky")}
    mine = fs.SoftmaxClassifierCV(alphas=GRID, cv=StratifiedKFold(FOLDS), scoring="neg_log_loss", max_iter=ENOUGH)
    models["fastsoftmax"] = mine
    fits = {}
    for name, model in models.items():
        quietly(partial(model.fit, X, y))
        alpha = float(model.alpha_ if model is mine else 1 / np.ravel(model.C_)[0])
        value = objective(X, y, layers_of(model), alpha)
        fits[name] = {"alpha": alpha, "objective": value, "accuracy": accuracy(X, y, layers_of(model)), "reached": True}
        fits[name]["gap"] = 0.0
    at = int(np.abs(GRID - mine.alpha_).argmin())
    for name, model in models.items():
        scores = model.scores_.mean(axis=0).ravel()
        assert scores[at] >= scores.max() - GOAL * abs(scores.max()), f"{name} has better scores: {scores}"
    calls = {name: partial(model.fit, X, y) for name, model in models.items()}
    finish(benchmark, Title(f"cv {case.data_set}", case.dtype), threads, calls, fits, X, int(y.max()) + 1)
