"""lbfgs on float64, in float32 for the larger part: the minimum is that of float64, and the exact gradient says so."""

import numpy as np
import pytest
from helpers import JIT, rng, same_bits
from scipy.sparse import csr_array

import fastsoftmax as fs
from fastsoftmax.training import lbfgs, parts, rough
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.lbfgs import LBFGS
from fastsoftmax.training.loop import train
from fastsoftmax.training.network import Network
from fastsoftmax.training.scaled import Scaled

N, D, C = 2000, 20, 5


def made(dtype=np.float64, offset=0.0, unit=1.0, sparse=False, sample_weight=None, **options):
    X = rng(1).standard_normal((N, D)) @ rng(2).standard_normal((D, D))
    y = (X @ rng(3).standard_normal((D, C)) / 4 + rng(4).gumbel(size=(N, C))).argmax(axis=1)
    options, by_row = {"alpha": 0.1, **options}, np.empty(0) if sample_weight is None else sample_weight
    X = (X * unit + offset).astype(dtype)
    if sparse:
        X = csr_array(np.where(rng(5).random(X.shape) < 0.2, 0, X))
    return ArrayObjective(X, y, Network(np.array([D, C])), by_row, **options)


def evaluations(objective, monkeypatch):
    """How often F of the objective itself, and of others, is evaluated from now on."""
    counts, evaluate = {True: 0, False: 0}, ArrayObjective.value_and_grad

    def counted(self, *arguments):
        counts[self is objective] += 1
        return evaluate(self, *arguments)

    monkeypatch.setattr(ArrayObjective, "value_and_grad", counted)
    monkeypatch.setattr(ArrayObjective, "iteration", lambda *_: None)  # so that each is a call of its own
    return counts


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("tol", [1e-3, 1e-4, 1e-6, 1e-7])
def test_the_exact_gradient_is_as_small_as_tol_asks(tol, sparse):
    objective = made(sparse=sparse)
    assert rough.rough_form(objective) is not None
    params = np.zeros(objective.network.n_params)
    training = train(objective, params, LBFGS(tol, 500))
    assert training.converged
    assert Scaled(objective, params.copy()).is_good(tol)
    assert training.loss_curve[-1] == pytest.approx(objective.value_and_grad(params)[0], rel=1e-15)
    assert np.diff(training.loss_curve).max() < 1e-6


def test_the_minimum_is_that_of_float64_alone():
    found = []
    for most in (rough.MOST_COPIED, 0):
        found.append(np.zeros(made().network.n_params))
        assert train(made(), found[-1], LBFGS(1e-9, 500, most_copied=most)).converged
    np.testing.assert_allclose(*found, rtol=0, atol=2e-5)


def test_most_of_the_way_is_gone_in_float32(monkeypatch):
    objective = made()
    counts = evaluations(objective, monkeypatch)
    n_iter = len(train(objective, np.zeros(objective.network.n_params), LBFGS(1e-4, 500)).loss_curve)
    assert counts[True] == 1
    assert counts[False] > n_iter > 10


@pytest.mark.parametrize("max_iter", [1, 2, 5, 20, 40])
def test_iterations_in_both_dtypes_are_counted(max_iter):
    objective = made()
    training = train(objective, np.zeros(objective.network.n_params), LBFGS(1e-12, max_iter))
    assert len(training.loss_curve) == max_iter
    assert not training.converged


def test_a_caller_may_stop_it_at_any_iteration():
    for last in (1, 7, 25, 45):
        objective, told = made(), []
        params = np.zeros(objective.network.n_params)
        training = train(
            objective,
            params,
            LBFGS(1e-9, 500),
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
    def broken(objective, most_copied):
        form = made(alpha=objective.alpha)
        form.value_and_grad = lambda params, out=None: (np.inf, np.zeros_like(params))
        return form

    monkeypatch.setattr(lbfgs, "rough_form", broken)
    objective = made()
    params = np.zeros(objective.network.n_params)
    assert train(objective, params, LBFGS(1e-4, 500)).converged
    assert Scaled(objective, params).is_good(1e-4)


def test_where_no_step_in_float32_goes_down_float64_goes_on(monkeypatch):
    objective, search, steps = made(), lbfgs._Memory.search, []

    def searched(self, problem):
        steps.append(problem.objective is objective)
        return len(steps) != 4 and search(self, problem)

    monkeypatch.setattr(lbfgs._Memory, "search", searched)
    params = np.zeros(objective.network.n_params)
    training = train(objective, params, LBFGS(1e-4, 500))
    assert training.converged
    assert not any(steps[:4])
    assert all(steps[4:])
    assert len(training.loss_curve) == len(steps) - 1
    assert Scaled(objective, params).is_good(1e-4)


@pytest.mark.skipif(not JIT, reason="takes minutes as Python")
@pytest.mark.parametrize("kind", ["labels", "distributions"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_bits_are_the_same_wherever_the_rows_lie(monkeypatch, kind, weighted, sparse):
    X, y = made(sparse=sparse).X, made().targets
    y = y if kind == "labels" else fs.softmax(3 * rng(5).standard_normal((N, C)))
    weight = rng(6).integers(0, 9, N).astype(float) if weighted else None
    forms = []
    monkeypatch.setattr(lbfgs, "rough_form", lambda *given: forms.append(rough.rough_form(*given)) or forms[-1])
    blocks = fs.data.from_blocks(
        lambda: (
            (X[n : n + 300], y[n : n + 300], *([] if weight is None else [weight[n : n + 300]]))
            for n in range(0, N, 300)
        )
    )
    options = {"solver": "lbfgs", "alpha": 0.1, "class_weight": "balanced"}
    in_memory = fs.SoftmaxClassifier(**options).fit(X, y, weight)
    read = fs.SoftmaxClassifier(**options).fit(blocks)
    assert len(forms) == 2
    assert all(form is not None for form in forms)
    assert same_bits(read.coef_, in_memory.coef_)
    assert read.loss_curve_ == in_memory.loss_curve_


@pytest.mark.parametrize("sparse", [False, True])
def test_parts_become_one_copy(monkeypatch, sparse):
    monkeypatch.setattr(parts, "ELEMENTS", 480 * D)
    monkeypatch.setattr(parts, "CSR_GROUPS", 1)
    objective = made(sparse=sparse, sample_weight=rng(6).random(N))
    assert len(list(objective.parts)) > 2
    form = rough.rough_form(objective)
    wanted = objective.X.astype(np.float32)
    if sparse:
        assert form.X.shape == wanted.shape
        for name in ("data", "indices", "indptr"):
            assert np.array_equal(getattr(form.X, name), getattr(wanted, name))
    else:
        assert same_bits(form.X, wanted)
    assert same_bits(form.targets, objective.targets)
    assert same_bits(form.sample_weight, objective.sample_weight)
