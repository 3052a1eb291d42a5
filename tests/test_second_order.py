"""lbfgs and newton-cg: they find the minimum, by a short way, and leave everything else alone."""

import numpy as np
import pytest
from helpers import FLOATS, rng
from scipy.optimize import minimize
from sklearn.datasets import load_wine
from test_objective import free, problem
from test_training import of

import fastsoftmax as fs
from fastsoftmax.classifier.options import DETERMINISTIC
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.loop import train
from fastsoftmax.training.network import Network


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg"])
@pytest.mark.parametrize(
    "case",
    [{"alpha": 1.0}, {"alpha": 0.5, "n_classes": 2}, {"alpha": 1.0, "sparse": True, "fit_intercept": False}],
    ids=str,
)
def test_the_minimum_is_that_of_a_plain_search(case, method):
    objective, _ = problem(**case)
    params = np.zeros(objective.network.n_params)
    training = train(objective, params, DETERMINISTIC[method](1e-9, 500))
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
    direction, h = rng(8).standard_normal(params.shape), 1e-6
    grad = coordinates.grad(objective.value_and_grad(params)[1], np.empty_like(params))
    image = coordinates.params(direction, np.empty_like(params))
    if not fit_intercept:
        image[-4:] = direction[-4:] = 0

    def value(step):
        return objective.value_and_grad(params + step * image)[0]

    assert np.vdot(grad, direction) == pytest.approx((value(h) - value(-h)) / (2 * h), rel=1e-6)


def test_features_of_unlike_scale_cost_few_iterations():
    """Wine as it comes: without other coordinates lbfgs is not there after 2000 iterations."""
    objective = of(load_wine)
    params = np.zeros(objective.network.n_params)
    training = train(objective, params, DETERMINISTIC["lbfgs"](1e-4, 100))
    assert training.converged
    best = train(objective, np.zeros_like(params), DETERMINISTIC["newton-cg"](1e-8, 100)).loss_curve[-1]
    assert best <= training.loss_curve[-1] < best * (1 + 1e-4)


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_threads_do_not_change_a_bit(method, dtype):
    found = []
    for n in (1, 2, 3):
        with fs.num_threads(n):
            objective, _ = problem(n=5000, alpha=1.0, dtype=dtype)
            params = np.zeros(objective.network.n_params, dtype)
            train(objective, params, DETERMINISTIC[method](1e-5, 50))
            found.append(params)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_lbfgs_takes_hardly_more_evaluations_than_scipys():
    """On the same function: its coordinates are those of the parameters where features are standardised already."""
    random = rng(6)
    X = random.standard_normal((300, 6))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (X @ random.standard_normal((6, 4)) + random.gumbel(size=(300, 4))).argmax(axis=1)
    objective, counts = ArrayObjective(X, y, Network(np.array([6, 4])), np.empty(0), alpha=1.0), []
    plain = ArrayObjective.value_and_grad

    def counted(self, *arguments):
        counts[-1] += 1
        return plain(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArrayObjective, "value_and_grad", counted)
        counts.append(0)
        ours = train(objective, np.zeros(28), DETERMINISTIC["lbfgs"](1e-7, 200))
        counts.append(0)
        goal = ours.loss_curve[-1] * (1 + 1e-12)

        def reached(result):
            if result.fun <= goal:
                raise StopIteration

        minimize(
            objective.value_and_grad,
            np.zeros(28),
            jac=True,
            method="L-BFGS-B",
            callback=lambda intermediate_result: reached(intermediate_result),
            options={"gtol": 0, "ftol": 0},
        )
    assert ours.converged
    assert counts[0] <= 1.3 * counts[1]


def test_many_rows_are_sampled_for_the_coordinates_alone():
    """More rows than are looked at: the minimum is still that of all."""
    objective, _ = problem(n=9000, alpha=1.0)
    objective.sample_weight[::3] = 0  # and what is looked at may weigh nothing
    objective = ArrayObjective(objective.X, objective.targets, objective.network, objective.sample_weight, alpha=1.0)
    params = np.zeros(objective.network.n_params)
    assert train(objective, params, DETERMINISTIC["newton-cg"](1e-8, 100)).converged
    assert np.abs(objective.value_and_grad(params)[1]).max() < 1e-7


def test_a_good_start_is_left_alone():
    objective = of()
    params = np.zeros(objective.network.n_params)
    train(objective, params, DETERMINISTIC["newton-cg"](1e-9, 100))
    before = params.copy()
    training = train(objective, params, DETERMINISTIC["lbfgs"](1e-6, 100))
    assert training.converged
    assert len(training.loss_curve) == 1
    assert np.array_equal(params, before)


def test_a_bad_start_fails_at_once():
    objective = of()
    params = np.full(objective.network.n_params, 1e200)
    for method in ("lbfgs", "newton-cg"):
        training = train(objective, params, DETERMINISTIC[method](1e-4, 10))
        assert training.failed
        assert (params == 1e200).all()
