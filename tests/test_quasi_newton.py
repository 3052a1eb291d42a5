"""lbfgs and newton-cg: they find the minimum, by a short way, and leave everything else alone."""

import threading

import numpy as np
import pytest
from helpers import rng
from scipy.optimize import minimize
from sklearn.datasets import load_wine
from test_objective import free, problem
from test_training import of
from threadpoolctl import threadpool_info

from fastsoftmax.training.loop import train
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.quasi_newton import Coordinates, QuasiNewton


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg"])
@pytest.mark.parametrize(
    "case",
    [{"alpha": 1.0}, {"alpha": 0.5, "n_classes": 2}, {"alpha": 1.0, "sparse": True, "fit_intercept": False}],
    ids=str,
)
def test_the_minimum_is_that_of_a_plain_search(case, method):
    objective, _ = problem(**case)
    params = np.zeros(objective.network.n_params)
    training = train(objective, params, QuasiNewton(method, 1e-9, 500))
    assert training.converged
    assert (params[free(objective, params) == 0] == 0).all()
    plain = minimize(objective.value_and_grad, np.zeros_like(params), jac=True, options={"gtol": 1e-9})
    assert training.loss_curve[-1] == pytest.approx(plain.fun, rel=1e-9)
    assert np.abs(objective.value_and_grad(params)[1]).max() < 1e-7
    assert np.all(np.diff(training.loss_curve) < 1e-12)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_other_coordinates_are_the_same_function(fit_intercept, sparse):
    objective, params = problem(alpha=2.0, fit_intercept=fit_intercept, sparse=sparse)
    coordinates = Coordinates(objective)
    u = coordinates.back(params)
    np.testing.assert_allclose(coordinates.params(u, float), params, rtol=1e-12, atol=1e-14)
    direction, h = rng(8).standard_normal(u.shape), 1e-6
    grad = coordinates.grad(objective.value_and_grad(params)[1])

    def value(u):
        return objective.value_and_grad(coordinates.params(u, float))[0]

    if not fit_intercept:
        direction[-4:] = 0
    numerical = (value(u + h * direction) - value(u - h * direction)) / (2 * h)
    assert np.vdot(grad, direction) == pytest.approx(numerical, rel=1e-6)


def test_features_of_unlike_scale_cost_few_iterations():
    """Wine as it comes: without other coordinates lbfgs is not there after 2000 iterations."""
    objective = of(load_wine)
    params = np.zeros(objective.network.n_params)
    training = train(objective, params, QuasiNewton("lbfgs", 1e-4, 100))
    assert training.converged
    best = train(objective, np.zeros_like(params), QuasiNewton("newton-cg", 1e-8, 100)).loss_curve[-1]
    assert best <= training.loss_curve[-1] < best * (1 + 1e-4)


def test_the_threads_of_blas_are_as_many_as_before():
    """However many Python threads train at once."""

    def counts():
        return {info["filepath"]: info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}

    def fit():
        for _ in range(10):
            objective = of()
            train(objective, np.zeros(objective.network.n_params), QuasiNewton("lbfgs", 1e-4, 100))

    fit()
    before = counts()
    threads = [threading.Thread(target=fit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts() == before


def test_many_rows_are_sampled_for_the_coordinates_alone():
    """More rows than are looked at: the minimum is still that of all."""
    objective, _ = problem(n=9000, alpha=1.0)
    objective.sample_weight[::3] = 0  # and what is looked at may weigh nothing
    objective = Objective(
        objective.X, objective.targets, objective.network, objective.sample_weight, objective.class_weight, alpha=1.0
    )
    params = np.zeros(objective.network.n_params)
    assert train(objective, params, QuasiNewton("newton-cg", 1e-8, 100)).converged
    assert np.abs(objective.value_and_grad(params)[1]).max() < 1e-7


def test_a_good_start_is_left_alone():
    objective = of()
    params = np.zeros(objective.network.n_params)
    train(objective, params, QuasiNewton("newton-cg", 1e-9, 100))
    before = params.copy()
    training = train(objective, params, QuasiNewton("lbfgs", 1e-6, 100))
    assert training.converged
    assert len(training.loss_curve) == 1
    assert np.array_equal(params, before)


def test_a_bad_start_fails_at_once():
    objective = of()
    params = np.full(objective.network.n_params, 1e200)
    for method in ("lbfgs", "newton-cg"):
        training = train(objective, params, QuasiNewton(method, 1e-4, 10))
        assert training.failed
        assert (params == 1e200).all()
