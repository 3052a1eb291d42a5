"""The loop and its solvers: they find the minimum, stop when they should, and never lose the last good weights."""

import threading

import numpy as np
import pytest
from helpers import rng
from scipy.optimize import minimize
from sklearn.datasets import load_iris, load_wine
from test_objective import free, problem
from threadpoolctl import threadpool_info

from fastsoftmax.objective import Network, Objective
from fastsoftmax.training import Coordinates, Descent, QuasiNewton, start_descent, train


def of(load=load_iris, alpha=1.0, dtype=np.float64):
    X, y = load(return_X_y=True)
    network = Network(np.array([X.shape[1], 3]))
    return Objective(X.astype(dtype), y, network, np.empty(0), np.empty(0, dtype), alpha=alpha)


def descent(params, **options):
    state = start_descent(
        params,
        solver=options.pop("solver", "sgd"),
        learning_rate_init=options.get("learning_rate_init", 0.05),
        decays=(0.9, 0.999),
        nesterovs_momentum=False,
        epsilon=1e-8,
        seed=options.pop("seed", 0),
    )
    settings = {"batch_size": 30, "max_iter": 20, "tol": 1e-4, "n_iter_no_change": 10} | options
    return Descent(state, **settings)


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


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg", "sgd", "adam"])
def test_max_iter_is_kept_and_told(method):
    objective = of()
    params = np.zeros(objective.network.n_params)
    solver = descent(params, solver=method, max_iter=3) if method in ("sgd", "adam") else QuasiNewton(method, 1e-12, 3)
    training = train(objective, params, solver)
    assert len(training.loss_curve) == 3
    assert not training.converged


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg", "sgd"])
def test_a_report_can_stop_it(method):
    objective, seen = of(), []
    params = np.zeros(objective.network.n_params)

    def report(now, loss):
        seen.append(now.copy())
        return len(seen) == 2

    solver = descent(params) if method == "sgd" else QuasiNewton(method, 1e-12, 50)
    training = train(objective, params, solver, report)
    assert training.stopped
    assert len(training.loss_curve) == len(seen) == 2
    assert np.array_equal(params, seen[-1])
    assert not np.array_equal(seen[0], seen[1])


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg", "sgd"])
def test_an_interrupt_leaves_the_last_good_weights(method):
    objective, seen = of(), []
    params = np.zeros(objective.network.n_params)

    def report(now, loss):
        seen.append(now.copy())
        if len(seen) == 2:
            raise KeyboardInterrupt
        return False

    solver = descent(params) if method == "sgd" else QuasiNewton(method, 1e-12, 50)
    training = train(objective, params, solver, report)
    assert training.interrupted
    assert np.array_equal(params, seen[1])


def test_a_loss_that_is_not_finite_leaves_the_last_good_weights():
    objective = of()
    params = np.zeros(objective.network.n_params)
    objective.X[7] = 1e200
    objective.alpha = 1e250
    solver, seen = descent(params, learning_rate_init=1e60, max_iter=50), []
    training = train(objective, params, solver, lambda now, loss: seen.append(now.copy()) or False)
    assert training.failed
    assert len(training.loss_curve) == len(seen)
    assert np.isfinite(params).all()
    assert np.array_equal(params, seen[-1] if seen else np.zeros_like(params))


def test_a_bad_start_fails_at_once():
    objective = of()
    params = np.full(objective.network.n_params, 1e200)
    for method in ("lbfgs", "newton-cg"):
        training = train(objective, params, QuasiNewton(method, 1e-4, 10))
        assert training.failed
        assert (params == 1e200).all()


def test_patience_counts_epochs_without_progress():
    """The rule of MLPClassifier, fed with losses."""
    solver = descent(np.zeros(3), tol=0.1, n_iter_no_change=2)
    stops = []
    for loss in (5.0, 4.0, 3.95, 3.9, 3.0, 2.95, 2.92, 2.9):
        solver._note(loss)
        stops.append(solver._idle_for_long())
    assert stops == [False] * 7 + [True]
    assert solver.best == 2.9


def test_learning_rate_schedules():
    adaptive = descent(np.zeros(3), tol=0.1, n_iter_no_change=1, learning_rate="adaptive")
    rates = []
    for _ in range(40):
        adaptive._note(1.0)
        stopped = adaptive._idle_for_long()
        rates.append(adaptive.state.rule[1])
        if stopped:
            break
    assert rates[:5] == [0.05, 0.05, 0.01, 0.01, pytest.approx(0.002)]
    assert stopped
    assert rates[-1] <= 1e-6 < rates[-1] * 5
    falling = descent(np.zeros(3), learning_rate_init=0.05, learning_rate="invscaling", power_t=0.5)
    falling.seen = 99
    falling._idle_for_long()
    assert falling.state.rule[1] == pytest.approx(0.05 / 10)


def test_the_best_of_the_validated_weights_stay():
    objective, seen = of(), []
    params = np.zeros(objective.network.n_params)
    scores = iter([0.2, 0.9, 0.5, 0.6, 0.7, 0.1])

    def validate(now):
        seen.append(now.copy())
        return next(scores)

    solver = descent(params, validate=validate, n_iter_no_change=3)
    training = train(objective, params, solver)
    assert training.converged
    assert solver.scores == [0.2, 0.9, 0.5, 0.6, 0.7, 0.1]
    assert np.array_equal(params, seen[1])


def test_an_interrupt_while_validating_keeps_the_epoch():
    objective = of()
    params = np.zeros(objective.network.n_params)

    def validate(now):
        raise KeyboardInterrupt

    training = train(objective, params, descent(params, validate=validate))
    assert training.interrupted
    assert len(training.loss_curve) == 1
    assert params.any()
