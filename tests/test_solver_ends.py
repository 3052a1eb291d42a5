"""Ends of a solver's way that data seldom lead to: exact zeros, directions that are none, memory that is lost."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import quiet, rng
from test_training import of

import fastsoftmax as fs
from fastsoftmax.classifier.options import DETERMINISTIC
from fastsoftmax.training import duality, lbfgs, newton_cg, newton_cholesky, proximal, quadratic
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.line_search import Trial
from fastsoftmax.training.loop import train
from fastsoftmax.training.network import Network


def trained(objective, method, tol, max_iter):
    params = np.zeros(objective.network.n_params)
    return train(objective, params, DETERMINISTIC[method](tol, max_iter)), params


def test_newton_cg_ends_at_once_where_the_gradient_is_exactly_zero():
    objective = ArrayObjective(
        np.zeros((4, 3)), np.array([0, 1, 0, 1]), Network(np.array([3, 2])), np.empty(0), alpha=1.0
    )
    training, params = trained(objective, "newton-cg", 0.0, 10)
    assert training.converged
    assert training.loss_curve == [pytest.approx(np.log(2))]
    assert not params.any()


def test_newton_cg_without_tolerance_goes_on_until_no_step_goes_down():
    training, _ = trained(of(), "newton-cg", 0.0, 500)
    assert training.converged
    assert 3 < len(training.loss_curve) < 500


@pytest.mark.parametrize("tol", [1e-2, 3e-3, 1e-3, 3e-4, 1e-4])
def test_newton_cg_says_no_more_than_it_knows_when_max_iter_is_reached(tol):
    """The gradient may be small enough where conjugate gradients find more left to gain: that is no minimum."""
    enough = len(trained(of(), "newton-cg", tol, 100)[0].loss_curve)
    for max_iter in range(enough + 2):
        training, _ = trained(of(), "newton-cg", tol, max_iter)
        assert len(training.loss_curve) == min(enough, max_iter)
        assert training.converged == (max_iter >= enough)


def test_conjugate_gradients_stop_where_the_function_is_flat():
    """Curvature along the first direction, none along the second: the first is what is found."""
    hessian, grad = np.diag([4.0, 0.0]), np.array([2.0, 1.0])
    direction = newton_cg._Direction(grad)

    def hvp(v, out):
        out[:] = hessian @ v
        return out

    assert direction.find(hvp, grad, -1.0) is False
    assert direction.direction @ grad < 0
    flat = newton_cg._Direction(grad)
    hessian[:] = 0
    assert flat.find(hvp, grad, -1.0) is False
    assert (flat.direction == -grad).all()


def test_conjugate_gradients_end_after_so_many_steps(monkeypatch):
    matrix = np.diag(10.0 ** np.arange(8))
    monkeypatch.setattr(newton_cg, "CG_STEPS", 2)
    direction = newton_cg._Direction(np.ones(8))

    def hvp(v, out):
        out[:] = matrix @ v
        return out

    assert direction.find(hvp, np.full(8, 1e-6), -1.0) is False
    assert direction.direction.any()


def memory_of(grads, trials):
    """The memory of lbfgs, and a problem whose searches end as the trials say."""
    waiting = list(trials)

    def search(direction, slope, first, grad_there):
        if waiting[0] is None:
            return waiting.pop(0)
        step, there = waiting.pop(0)
        grad_there[:] = there
        return Trial(step, 0.0, 0.0)

    problem = SimpleNamespace(grad=np.array(grads), search=search, iterates=False)
    problem.accept = lambda trial: None
    return lbfgs._Memory(problem.grad), problem


def test_lbfgs_forgets_what_leads_nowhere_and_tries_the_gradient():
    grad = [1.0, -2.0, 3.0]
    memory, problem = memory_of(grad, [(1.0, [0.5, 0.5, 0.5]), None, (1.0, [0.1, 0.1, 0.1])])
    assert memory.search(problem)
    assert memory._n_pairs == 1
    assert memory.search(problem)  # the second search found none: the third goes along the gradient alone
    assert memory._n_pairs == 1
    memory, problem = memory_of(grad, [None])
    assert not memory.search(problem)


def test_lbfgs_does_not_go_along_a_gradient_that_is_no_number():
    memory, problem = memory_of([np.nan, 1.0], [])
    assert not memory.search(problem)


def test_lbfgs_loses_its_memory_when_the_oldest_pair_is_overwritten_by_one_without_curvature(monkeypatch):
    monkeypatch.setattr(lbfgs, "PAIRS", ((np.inf, 2),))
    rising = [(1.0, [0.5, -1.0]), (1.0, [0.25, -0.5])]
    memory, problem = memory_of([1.0, -2.0], [*rising, (1.0, [9.0, -9.0])])
    for expected in (1, 2, 0):
        assert memory.search(problem)
        assert memory._n_pairs == expected
        problem.grad = memory._rows[2 + (memory._place - 1) % 2].copy() if memory._n_pairs else problem.grad


def test_a_matrix_that_no_larger_diagonal_makes_definite():
    matrix = np.array([[1.0, 1e9], [1e9, 1.0]])
    assert newton_cholesky._cholesky(matrix) is None


def test_lbfgs_does_not_keep_a_pair_without_curvature():
    memory, problem = memory_of([1.0, -2.0], [(1.0, [9.0, -9.0])])
    assert memory.search(problem)
    assert memory._n_pairs == 0


@pytest.mark.parametrize(("ridge", "n_pairs"), [(-1.0, 1), (-10.0, 0)])
def test_lbfgs_forgets_pairs_that_another_penalty_leaves_without_curvature(ridge, n_pairs):
    memory, problem = memory_of([1.0, -2.0], [(1.0, [0.5, -0.5])])
    assert memory.search(problem)
    assert memory._n_pairs == 1
    memory.move(np.ones(1), np.array([ridge]), problem.grad)  # of a weight and a bias
    step, change = np.array([-1.0, 2.0]), np.array([-0.5 - ridge, 1.5])
    np.testing.assert_array_equal(memory._rows[[0, memory._most]], [step, change])
    assert memory._n_pairs == memory._place == n_pairs == (step @ change > 0)


@pytest.mark.parametrize("hidden", [(), (4,)])
def test_a_gradient_in_place_is_the_one_in_another_array(hidden):
    X, y = rng().standard_normal((20, 3)), np.arange(20) % 3
    objective = ArrayObjective(X, y, Network(np.array([3, *hidden, 3])), np.empty(0), alpha=1.0)
    coordinates, vector = Coordinates(objective), rng(1).standard_normal(objective.network.n_params)
    apart, same = coordinates.grad(vector, np.empty_like(vector)), vector.copy()
    assert coordinates.grad(same, same) is same
    assert np.array_equal(apart, same)


def l1_fit(**options):
    """A fit with L1 of data whose features are nearly combinations of one another, so that sweeps are many."""
    random = rng(2)
    X = random.standard_normal((80, 4)) @ random.standard_normal((4, 12)) + 0.05 * random.standard_normal((80, 12))
    y = (X[:, :3] + 0.3 * random.standard_normal((80, 3))).argmax(axis=1)
    settings = {"l1_ratio": 1.0, "alpha": 0.3, "tol": 1e-7, "max_iter": 300} | options
    return quiet(fs.SoftmaxClassifier(solver="coordinate-descent", **settings), X, y)


def refuse(*_):
    raise np.linalg.LinAlgError


@pytest.mark.parametrize("instead", [refuse, lambda matrix, vector: np.full(len(vector), np.nan)])
def test_an_extrapolation_that_cannot_be_made_is_left_out(instead, monkeypatch):
    right, calls = l1_fit(), []

    def solve(*given):
        calls.append(given)
        return instead(*given)

    monkeypatch.setattr(quadratic.np.linalg, "solve", solve)
    model = l1_fit()
    assert calls
    assert model.loss_ == pytest.approx(right.loss_, rel=1e-6)
    assert model.dual_gap_ <= 1e-7 * (model.loss_ + 1e-7)


def test_a_working_set_that_is_too_small_at_first_grows(monkeypatch):
    right = l1_fit()
    monkeypatch.setattr(proximal, "LEAST_SET", 2)
    model = l1_fit()
    assert model.loss_ == pytest.approx(right.loss_, rel=1e-6)
    assert model.dual_gap_ <= 1e-7 * (model.loss_ + 1e-7)


@pytest.mark.parametrize(("limit", "value"), [("BIAS_STEPS", 0), ("HALVINGS", 0)])
def test_biases_that_do_not_balance_give_no_bound(limit, value, monkeypatch):
    """A gap that is small would be a promise that nobody keeps."""
    monkeypatch.setattr(duality, limit, value)
    model = l1_fit(max_iter=2)
    assert model.dual_gap_ > 1e-3 * model.loss_
