"""lbfgs and Newton's methods on features of any spread and offset: a minimum to a thousandth, or a ConvergenceWarning.

The minimum is that of a dense Newton iteration on standardised features, which shares nothing with the package.
"""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from helpers import FLOATS, JIT, rng
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

import fastsoftmax as fs
from fastsoftmax.training import objective, spread
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.network import Network

needs_jit = pytest.mark.skipif(not JIT, reason="takes minutes as Python")
N, D = 300, 4
SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky")
BASE = rng(3).standard_normal((N, D))


def labels_of(n_classes):
    logits = BASE @ rng(n_classes).standard_normal((D, n_classes))
    return (logits + rng(1).gumbel(size=logits.shape)).argmax(axis=1)


def minimum(X, y, alpha, with_bias=True, orthogonal=False):
    """The least of 1/N (sum_n cross-entropy + alpha/2 |W|^2), by Newton's method with halved steps."""
    X, n_classes = X.astype(np.longdouble), y.max() + 1
    offset = X.mean(axis=0) if with_bias else 0 * X[0]
    size = np.abs(X - offset).max(axis=0)
    size[size == 0] = 1
    size = size * np.sqrt((((X - offset) / size) ** 2).mean(axis=0))
    size[size == 0] = 1
    ridge = np.minimum(alpha / N / size / size, 1e300).astype(float)  # of a weight of the standardised feature
    Z = ((X - offset) / size).astype(float)  # without biases far from 0: as it is, of which pinv takes what it can
    if with_bias:
        Z, ridge = np.column_stack([Z, np.ones(N)]), np.append(ridge, 0.0)
    unit = 1 / np.sqrt(np.maximum(ridge, 1))  # a weight that is hardly allowed counts in smaller steps
    Z, ridge, free = Z * unit, np.diag(ridge * unit**2), slice(1 if n_classes == 2 else 0, n_classes)  # of two one is 0
    if orthogonal:  # features that say nearly the same: others that span the same space
        Z, R = np.linalg.qr(Z)
        Z, back = Z * np.sqrt(N), np.linalg.inv(R) * np.sqrt(N)
        ridge = back.T @ ridge @ back
    weight, targets = np.zeros((n_classes, Z.shape[1])), np.eye(n_classes)[y]

    def value(weight):
        logits = Z @ weight.T
        logits = logits - logits.max(axis=1, keepdims=True)
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -(targets * log_probs).sum() / N + 0.5 * ((weight @ ridge) * weight).sum(), np.exp(log_probs)

    now, probs = value(weight)
    for _ in range(100):
        grad = ((probs - targets)[:, free].T @ Z / N + weight[free] @ ridge).ravel()
        p = probs[:, free]
        blocks = [
            [Z.T @ (p[:, [a]] * ((a == b) - p[:, [b]]) * Z) / N for b in range(p.shape[1])] for a in range(p.shape[1])
        ]
        hessian = np.block(blocks) + np.kron(np.eye(p.shape[1]), ridge)
        step = -np.linalg.pinv(hessian, rcond=1e-13, hermitian=True) @ grad
        share = 1.0
        while share > 1e-9:
            trial = weight.copy()
            trial[free] += share * step.reshape(p.shape[1], -1)
            then, probs_then = value(trial)
            if then < now:
                break
            share /= 2
        else:
            return now
        weight, now, probs = trial, then, probs_then
    raise AssertionError("the oracle did not converge")


def objective_of(model, X, y, alpha):
    """What the model has reached, in longdouble."""
    coef = model.coefs_[0].astype(np.longdouble)
    logits = X.astype(np.longdouble) @ coef + model.intercepts_[0].astype(np.longdouble)
    if logits.shape[1] == 1:
        logits = np.column_stack([0 * logits, logits])
    top = logits.max(axis=1)
    losses = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(N), y]
    return float(losses.mean() + alpha / (2 * N) * (coef**2).sum())


def check(X, y, alpha, dtype, solver, *, may_warn=False, with_bias=True, sparse=False, orthogonal=False, **more):
    X = X.astype(dtype)
    model = fs.SoftmaxClassifier(solver=solver, alpha=alpha, fit_intercept=with_bias, **more)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(csr_array(X) if sparse else X, y)
    if caught and may_warn:
        assert {w.category for w in caught} == {ConvergenceWarning}
        assert "Maximum iterations" in str(caught[0].message) or "no step goes down" in str(caught[0].message)
        assert (
            objective_of(model, X, y, alpha) <= minimum(X, y, alpha, with_bias, orthogonal) * 1.05
        )  # it ended near, all the same
    else:
        assert not caught, caught[0].message
        assert objective_of(model, X, y, alpha) <= minimum(X, y, alpha, with_bias, orthogonal) * 1.001
    return model, [str(w.message) for w in caught]


@needs_jit
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
class TestTheMinimumIsFound:
    @pytest.mark.parametrize("with_bias", [True, False])
    def test_whatever_the_spreads(self, alpha, n_classes, solver, dtype, with_bias):
        """A time stamp beside a rate; what was decided by the largest feature of all was wrong from 1e7 on."""
        reach = 150 if dtype == np.float64 else 25
        for powers in ([-8, 0, 8, 3], [reach, -reach, 0, 0], [reach, reach, reach, reach], [-reach] * 4, [-7, 0, 0, 0]):
            check(BASE * 10.0 ** np.array(powers), labels_of(n_classes), alpha, dtype, solver, with_bias=with_bias)

    def test_whatever_the_offsets(self, alpha, n_classes, solver, dtype):
        spreads = np.array([1e-8, 1, 1e8, 1e3])
        for ratio in (10, 1e3, 1e6, 1e9) if dtype == np.float64 else (10, 1e2, 1e3, 1e4):
            X = (BASE + ratio * np.array([1, -1, 0.5, 0])) * spreads
            check(X, labels_of(n_classes), alpha, dtype, solver, may_warn=dtype == np.float32)

    @pytest.mark.parametrize("sparse", [False, True])
    def test_with_constant_columns(self, alpha, n_classes, solver, dtype, sparse):
        X = np.column_stack([BASE, np.full(N, 0.1), np.zeros(N), np.full(N, -1e9)])
        model, _ = check(X, labels_of(n_classes), alpha, dtype, solver, sparse=sparse)
        assert not model.coefs_[0][D:].any()
        check(X[:, : D + 2], labels_of(n_classes), alpha, dtype, solver, sparse=sparse, with_bias=False)

    def test_with_features_that_say_nearly_the_same(self, alpha, n_classes, solver, dtype):
        """Of two time stamps the difference is all that counts; and sums of other features, exact and nearly so."""
        start = 1e6 * rng(5).random(N)
        close = 3 if dtype == np.float64 else 1e3
        stamps, single = np.column_stack([start, start + close * BASE[:, 0], BASE[:, 1]]), dtype == np.float32
        check(stamps, labels_of(n_classes), alpha, dtype, solver, may_warn=single, orthogonal=True)
        nearly = BASE @ rng(6).standard_normal((D, 3)) + 1e-3 * rng(7).standard_normal((N, 3))
        check(np.column_stack([BASE, nearly]), labels_of(n_classes), alpha, dtype, solver, may_warn=single)
        check(np.column_stack([BASE, BASE.sum(axis=1), BASE[:, 0]]), labels_of(n_classes), alpha, dtype, solver)

    def test_without_biases_far_from_zero(self, alpha, n_classes, solver, dtype):
        """Then features say nearly the same, their offset: a year and its square."""
        for offset in (1e2, 1e4, 1e6) if dtype == np.float64 else (1e1, 1e2):
            X, single = np.column_stack([BASE[:, 0] + offset, BASE[:, 1:3], BASE[:, 3] - offset]), dtype == np.float32
            check(X, labels_of(n_classes), alpha, dtype, solver, with_bias=False, may_warn=single, orthogonal=True)
        if dtype == np.float64:
            year = 2000 + 10 * BASE[:, 0]
            X = np.column_stack([year, year**2, BASE[:, 1]])
            check(X, labels_of(n_classes), alpha, dtype, solver, with_bias=False, orthogonal=True)

    def test_with_powers_of_a_feature(self, alpha, n_classes, solver, dtype):
        if dtype == np.float64:
            for feature in (BASE[:, 0] + 3, 1000 + 100 * BASE[:, 0]):
                powers = feature[:, None] ** np.arange(1, 6)
                check(powers, labels_of(n_classes), alpha, dtype, solver, orthogonal=True)

    def test_with_rare_and_outlying_values(self, alpha, n_classes, solver, dtype):
        X = np.column_stack([BASE, np.arange(N) == 7, 1e-5 * (rng().random(N) < 0.02)])
        X[3, 1] = 100.0
        # what happens in one class alone has, unpenalised, an infinite weight, to which the oracle goes less far
        check(X if alpha else X[:, :D], labels_of(n_classes), alpha, dtype, solver)


@needs_jit
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("stride", [2, 3, 10])
def test_samples_that_repeat_take_no_longer(solver, stride):
    """Moments of every k-th row would be those of one kind of rows alone."""
    n = 12_000
    random = rng(0)
    X = random.standard_normal((n, D)) * [1, 100, 1, 1]
    X[::stride] *= 1e-3
    y = (X @ [1, 0.01, 1, 1] + random.standard_normal(n) > 0).astype(int)
    shuffled = random.permutation(n)
    as_it_is = fs.SoftmaxClassifier(solver=solver).fit(X, y)
    anyhow = fs.SoftmaxClassifier(solver=solver).fit(X[shuffled], y[shuffled])
    assert abs(as_it_is.n_iter_[0] - anyhow.n_iter_[0]) <= 2


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_moments_are_those_of_all_rows(dtype, sparse, with_bias):
    X = (rng(0).standard_normal((2500, 5)) * [1, 1e-20, 1e20, 3, 0] + [0, 0, 1e23, 1e3, 7]).astype(dtype)
    X[rng(1).random(X.shape) < 0.3] = 0
    X[:, 4] = 7
    weights = rng(2).random(2500) * (rng(3).random(2500) < 0.8)
    X[weights == 0] = 1e30 if dtype == np.float32 else 1e200  # rows of weight 0 count as absent
    network = Network(np.array([5, 3]))
    for by_row in (weights, 1e200 * weights):
        objective = ArrayObjective(
            csr_array(X) if sparse else X, np.zeros(2500, np.int64), network, by_row, fit_intercept=with_bias
        )
        spread = objective.spread(0)
        exact, w = X.astype(np.longdouble), (weights / weights.sum()).astype(np.longdouble)
        expected = w @ exact if with_bias else 0 * exact[0]
        assert np.allclose(spread.mean, expected.astype(float) if with_bias else [], rtol=1e-12, atol=0)
        squares = w @ (exact - expected) ** 2
        assert np.allclose(spread.deviation[:4], np.sqrt(squares[:4]).astype(float), rtol=1e-9, atol=0)
        assert spread.deviation[4] == (0 if with_bias else pytest.approx(7))


@needs_jit
def test_moments_read_no_memory_that_was_given_back():
    """In a process whose freed memory is overwritten: scratch arrays must outlive the pointers into them."""
    code = """
import numpy as np, fastsoftmax as fs
X = np.random.default_rng(0).standard_normal((300, 400)) * 10.0 ** np.arange(-200, 200)[None, :].clip(-100, 100)
y = (X[:, 200] > 0).astype(int)
print(fs.SoftmaxClassifier(alpha=1.0).fit(X, y).loss_ == fs.SoftmaxClassifier(alpha=1.0).fit(X, y).loss_ < 0.2)
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.network import Network
objective = ArrayObjective(X, y, Network(np.array([400, 2])), np.empty(0))
deviation = objective.spread(0).deviation
print(np.allclose(deviation, X.std(axis=0), rtol=1e-9, atol=0))
"""
    settings = {**os.environ, "MALLOC_PERTURB_": "165", "MALLOC_MMAP_THRESHOLD_": "1024"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=settings, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "True"]), done.stderr


def test_an_interrupt_before_the_first_iteration(monkeypatch):
    """The kernels of the moments may be compiling then, for seconds."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(objective, "Spread", interrupted)
    with pytest.warns(UserWarning, match="interrupted by user after 0 iterations"):
        model = fs.SoftmaxClassifier().fit(BASE, labels_of(3))
    assert not model.coef_.any()


def test_no_features_scale_depends_on_another():
    y, none = np.zeros(N, np.int64), np.empty(0)
    alone, beside = (
        Coordinates(ArrayObjective(X, y, Network(np.array([X.shape[1], 3])), none, alpha=1.0))._how[0]
        for X in (BASE[:, :1].copy(), np.column_stack([BASE[:, 0], 1e12 * BASE[:, 1], 1e-12 * BASE[:, 2]]))
    )
    assert alone[0] == beside[0]


@pytest.mark.parametrize("alpha", [0.0, 1e-3, 1.0, 1e3])
def test_features_that_are_no_combinations_are_none_with_a_penalty_either(alpha, monkeypatch):
    """A look at the correlations, once in a path, stands for one for each alpha."""
    seen = set()
    for seed, noise in enumerate([0.3, 0.1, 0.07, 0.05, 0.04, 0.02]):
        X = np.column_stack([BASE, BASE[:, 0] + noise * rng(seed).standard_normal(N)]) * [1, 1e3, 1e-3, 1, 1]
        problem = ArrayObjective(X, labels_of(3), Network(np.array([5, 3])), np.empty(0), alpha=alpha)
        by_sight = Coordinates(problem)._whitener
        is_dependent = problem.spread(512).is_dependent
        seen.add(is_dependent)
        with monkeypatch.context() as patched:
            patched.setattr(spread.Spread, "is_dependent", True)
            by_penalty = Coordinates(
                ArrayObjective(X, problem.targets, problem.network, np.empty(0), alpha=alpha)
            )._whitener
        assert (by_sight is None) == (by_penalty is None)
        assert by_penalty is None or is_dependent
    assert seen == {False, True}


def test_coordinates_of_another_alpha_tell_what_became_of_them():
    scale = [1.0, 1e3, 1e-3, 1.0]
    problem = ArrayObjective(BASE * scale, labels_of(3), Network(np.array([D, 3])), np.empty(0), alpha=10.0)
    before = Coordinates(problem)
    problem.alpha = 0.5
    after = Coordinates(problem)
    ratio, ridge = after.since(before)
    direction = rng(4).standard_normal(3 * (D + 1))
    there = direction * np.append(np.tile(ratio, 3), np.ones(3))
    params = [c.params(u, np.empty(u.size)) for c, u in ((before, direction), (after, there))]
    np.testing.assert_allclose(*params, rtol=1e-12)
    weights = after.params(there, np.empty(there.size))[: 3 * D]
    along = (np.tile(ridge, 3) * there[: 3 * D] ** 2).sum()
    assert along == pytest.approx((0.5 - 10.0) / N * (weights @ weights))  # of the penalty's second derivative
    twice = np.column_stack([BASE, BASE[:, 0] + 1e-3 * rng(5).standard_normal(N)])
    whitened = Coordinates(ArrayObjective(twice, problem.targets, Network(np.array([D + 1, 3])), np.empty(0)))
    assert whitened._whitener is not None
    assert whitened.since(whitened) is None
    network = Coordinates(ArrayObjective(BASE, problem.targets, Network(np.array([D, 2, 3])), np.empty(0)))
    assert network.since(network) is None
    after.scaling[0][1] = 0.0  # a weight that the dtype does not hold any more
    assert after.since(before) is None


@needs_jit
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("dtype", "power"), [(np.float64, 290), (np.float64, -290), (np.float32, 33), (np.float32, -33)]
)
def test_features_whose_weights_the_dtype_cannot_hold_are_left_out_and_named(solver, dtype, power):
    import pandas as pd

    X = (BASE * [1, 10.0**power, 1, 1]).astype(dtype)
    y = labels_of(3)
    with pytest.warns(ConvergenceWarning, match=rf"{solver}: left out, because {np.dtype(dtype)} .*: feature 1\. Cure"):
        model = fs.SoftmaxClassifier(solver=solver, alpha=0.0).fit(X, y)
    assert not model.coef_[:, 1].any()
    others = fs.SoftmaxClassifier(solver=solver, alpha=0.0).fit(X[:, [0, 2, 3]], y)
    assert np.allclose(model.coef_[:, [0, 2, 3]], others.coef_, rtol=1e-3, atol=1e-4)
    with pytest.warns(ConvergenceWarning, match=r"feature 'time'\."):
        fs.SoftmaxClassifier(solver=solver, alpha=0.0).fit(pd.DataFrame(X, columns=["a", "time", "c", "d"]), y)


@needs_jit
def test_features_far_from_zero_are_named_where_rounding_ends_the_fit():
    X = (BASE + np.array([0, 1e6, 0, 0])).astype(np.float32)
    with pytest.warns(ConvergenceWarning, match="no step goes down.* above all for feature 1, which vary little"):
        fs.SoftmaxClassifier(solver="newton-cg", alpha=0.0).fit(X, labels_of(3))


@needs_jit
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_warm_start_with_weights_of_features_that_are_constant_now(solver):
    """What they said is the biases' from then on, and the first loss is that of before."""
    y = labels_of(3)
    model = fs.SoftmaxClassifier(solver=solver, alpha=0.0, warm_start=True).fit(BASE, y)
    X = BASE.copy()
    X[:, 2] = 5.0
    model.fit(X, y)
    assert not model.coef_[:, 2].any()
    assert objective_of(model, X, y, 0.0) <= minimum(X, y, 0.0) * 1.001


@needs_jit
@pytest.mark.parametrize("seed", range(6))
def test_a_small_gradient_is_not_taken_for_the_end(seed):
    """Heavy tails: it is small long before the minimum, because the Hessian is far from the identity."""
    X = np.exp(3 * rng(seed).standard_normal((N, D)))
    for solver in SOLVERS:
        for alpha in (0.0, 1.0):
            check(X, labels_of(3), alpha, np.float64, solver, may_warn=True, max_iter=500)
