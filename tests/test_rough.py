"""Paths of lbfgs, in float32 for the larger part: the minimum is that of float64, and the exact gradient says so."""

import warnings

import numpy as np
import pytest
from helpers import rng

import fastsoftmax as fs
from fastsoftmax.training import lbfgs, rough
from fastsoftmax.training.lbfgs import LBFGS
from fastsoftmax.training.loop import train
from fastsoftmax.training.objective import ArrayObjective, Network
from fastsoftmax.training.scaled import Scaled

N, D, C = 700, 20, 5


def made(dtype=np.float64, offset=0.0, unit=1.0, **options):
    X = rng(1).standard_normal((N, D)) @ rng(2).standard_normal((D, D))
    y = (X @ rng(3).standard_normal((D, C)) / 4 + rng(4).gumbel(size=(N, C))).argmax(axis=1)
    options = {"alpha": 0.1, **options}
    return ArrayObjective((X * unit + offset).astype(dtype), y, Network(np.array([D, C])), np.empty(0), **options)


def evaluations(objective, monkeypatch):
    """How often F of the objective itself, and of others, is evaluated from now on."""
    counts, evaluate = {True: 0, False: 0}, ArrayObjective.value_and_grad

    def counted(self, *arguments):
        counts[self is objective] += 1
        return evaluate(self, *arguments)

    monkeypatch.setattr(ArrayObjective, "value_and_grad", counted)
    monkeypatch.setattr(ArrayObjective, "iteration", lambda *_: None)  # so that each is a call of its own
    return counts


@pytest.mark.parametrize("tol", [1e-3, 1e-4, 1e-6, 1e-7])
def test_the_exact_gradient_is_as_small_as_tol_asks(tol):
    objective = made()
    assert rough.rough_form(objective) is not None
    params = np.zeros(objective.network.n_params)
    training = train(objective, params, LBFGS(tol, 500, keeps=True))
    assert training.converged
    assert Scaled(objective, params.copy()).is_good(tol)
    assert training.loss_curve[-1] == pytest.approx(objective.value_and_grad(params)[0], rel=1e-15)
    assert np.diff(training.loss_curve).max() < 1e-6


def test_the_minimum_is_that_of_float64_alone(monkeypatch):
    found = []
    for most in (rough.MOST_COPIED, 0):
        monkeypatch.setattr(rough, "MOST_COPIED", most)
        found.append(np.zeros(made().network.n_params))
        assert train(made(), found[-1], LBFGS(1e-9, 500, keeps=True)).converged
    np.testing.assert_allclose(*found, rtol=0, atol=2e-5)


def test_most_of_the_way_is_gone_in_float32(monkeypatch):
    objective = made()
    counts = evaluations(objective, monkeypatch)
    n_iter = len(train(objective, np.zeros(objective.network.n_params), LBFGS(1e-4, 500, keeps=True)).loss_curve)
    assert counts[True] == 1
    assert counts[False] > n_iter > 10


@pytest.mark.parametrize("max_iter", [1, 2, 5, 20, 40])
def test_iterations_in_both_dtypes_are_counted(max_iter):
    objective = made()
    training = train(objective, np.zeros(objective.network.n_params), LBFGS(1e-12, max_iter, keeps=True))
    assert len(training.loss_curve) == max_iter
    assert not training.converged


def test_a_caller_may_stop_it_at_any_iteration():
    for last in (1, 7, 25, 45):
        objective, told = made(), []
        params = np.zeros(objective.network.n_params)
        training = train(
            objective,
            params,
            LBFGS(1e-9, 500, keeps=True),
            lambda _, loss, told=told, last=last: told.append(loss) or len(told) == last,
        )
        assert training.stopped
        assert len(told) == last
        assert told[-1] == pytest.approx(objective.value_and_grad(params)[0], rel=1e-5)


@pytest.mark.parametrize(
    "objective",
    [
        made(np.float32),
        made(offset=1e4),
        made(unit=1e30),
        made(unit=1e-30),
        made(backward="vjp"),
    ],
    ids=["float32 already", "far from 0", "large", "small", "another way back"],
)
def test_what_float32_would_lose_too_much_of_is_left_alone(objective):
    assert rough.rough_form(objective) is None


def test_where_float32_leads_nowhere_float64_does_it_all(monkeypatch):
    def broken(objective):
        form = made(alpha=objective.alpha)
        form.value_and_grad = lambda params, out=None: (np.inf, np.zeros_like(params))
        return form

    monkeypatch.setattr(lbfgs, "rough_form", broken)
    objective = made()
    params = np.zeros(objective.network.n_params)
    assert train(objective, params, LBFGS(1e-4, 500, keeps=True)).converged
    assert Scaled(objective, params).is_good(1e-4)


def test_where_no_step_in_float32_goes_down_float64_goes_on(monkeypatch):
    objective, search, steps = made(), lbfgs._Memory.search, []

    def searched(self, problem):
        steps.append(problem.objective is objective)
        return len(steps) != 4 and search(self, problem)

    monkeypatch.setattr(lbfgs._Memory, "search", searched)
    params = np.zeros(objective.network.n_params)
    training = train(objective, params, LBFGS(1e-4, 500, keeps=True))
    assert training.converged
    assert not any(steps[:4])
    assert all(steps[4:])
    assert len(training.loss_curve) == len(steps) - 1
    assert Scaled(objective, params).is_good(1e-4)


def test_a_fit_alone_is_in_float64(monkeypatch):
    """It has the bits that it has from files and on workers, where there is no copy in float32."""
    objective = made()
    counts = evaluations(objective, monkeypatch)
    assert train(objective, np.zeros(objective.network.n_params), LBFGS(1e-4, 500)).converged
    assert counts[False] == 0


@pytest.mark.parametrize("weight", [1e-200, 1e200])
def test_weights_near_the_ends_of_float64(weight):
    """The path of a model is that with ones."""
    X, y = made().X, made().targets
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models = [
            fs.SoftmaxClassifierCV(alphas=[w, 0.1 * w], cv=3, tol=1e-6, max_iter=1000).fit(X, y, np.full(N, w))
            for w in (1.0, weight)
        ]
    scores = [np.asarray(model.scores_) for model in models]
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-4)
