"""Kernels of coordinate descent: sums over columns, and sweeps that follow the quadratic model written out in NumPy."""

from functools import partial

import numpy as np
import pytest
from helpers import rng
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from scipy.special import log_softmax

from fastsoftmax import kernels, num_threads
from fastsoftmax._threads import run
from fastsoftmax.training.columns import Columns

N, D, C = 37, 5, 3


@pytest.fixture(params=["dense", "csr", "csr float32"])
def problem(request):
    r = rng(1)
    X = np.round(np.where(r.random((N, D)) < 0.6, r.standard_normal((N, D)), 0.0), 3).astype(np.float32)
    share = r.exponential(size=N)
    share[::6] = 0
    if request.param == "dense":
        columns = Columns(X.astype(float), X.shape[1], share, centres=True)
    else:
        matrix = csr_array(X.astype(np.float32 if "32" in request.param else float))
        columns = Columns((matrix.data, matrix.indices, matrix.indptr), X.shape[1], share, centres=True)
    plain = np.hstack([X.astype(float), np.ones((N, 1))])
    if request.param == "dense":
        mean = share @ X / share.sum()
        np.testing.assert_allclose(columns.mean, mean, rtol=1e-12)
        plain[:, :-1] -= mean
        assert not columns.data[:, share == 0].any()
    features = np.array([0, 0, 0, 2, 2, 4, 5, 5])
    classes = np.array([0, 1, 2, 0, 2, 1, 0, 2])
    return columns, plain * (share > 0)[:, None], share, columns.select(features, classes)


def test_sums_over_the_rows(problem):
    columns, X, share, some = problem
    weighted = rng(2).standard_normal((C, N)) * (share > 0)
    at = some.classes, some.features
    np.testing.assert_allclose(columns.sums(some, weighted), (weighted @ X)[at], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(columns.squares(some, weighted), (weighted @ X**2)[at], rtol=1e-12, atol=1e-12)
    weight, logits = np.zeros((C, D + 1)), rng(3).standard_normal((C, N)) * (share > 0)
    weight[at] = steps = rng(4).standard_normal(len(some.features))
    steps[1] = weight[at[0][1], at[1][1]] = 0.0
    changed = logits.copy()
    columns.add(some, steps, changed)
    np.testing.assert_allclose(changed * (share > 0), logits + weight @ X.T, rtol=1e-12, atol=1e-12)
    largest = columns.largest(some.features)
    assert (largest >= np.abs(X).max(axis=0)[some.features]).all()


def test_a_call_takes_some_of_the_coordinates_at_a_time(problem, monkeypatch):
    columns, _, share, some = problem
    weighted = rng(2).standard_normal((C, N)) * (share > 0)
    monkeypatch.setattr("fastsoftmax.training.columns.CALL", 2 * N)
    by_parts = columns.select(some.features, some.classes)
    assert len(by_parts.calls) > 1 == len(some.calls)
    np.testing.assert_array_equal(columns.sums(by_parts, weighted), columns.sums(some, weighted))


def model_of(X, share, probs, some, rows):
    """The value at weights of the quadratic model, penalty included."""
    start, slopes, _, l1, l2, _, _ = rows
    dw = np.zeros((C, D + 1))

    def value(weights):
        dw[some.classes, some.features] = weights - start
        v = dw @ X.T
        mean = (probs * v).sum(axis=0)
        curved = (share * ((probs * v * v).sum(axis=0) - mean**2)).sum()
        return slopes @ (weights - start) + curved / 2 + l1 @ np.abs(weights) + l2 @ weights**2 / 2

    return value


def value_along(value, weights, k, weight):
    weights[k] = weight
    return value(weights)


@pytest.mark.parametrize("reach", [10.0, 0.05])
def test_sweeps_minimise_the_model_coordinate_by_coordinate(problem, reach):
    columns, X, share, some = problem
    probs, r = rng(5).dirichlet(np.ones(C), N).T.copy(), rng(6)
    start = np.where(r.random(8) < 0.5, r.standard_normal(8), 0.0)
    is_weight = some.features < D
    curvature = columns.squares(some, share * probs * (1 - probs))
    rows = np.stack(
        [start, 5 * r.standard_normal(8), curvature, 2.0 * is_weight, 0.5 * is_weight, start - reach, start + reach]
    )
    value, motion, weights = model_of(X, share, probs, some, rows.copy()), columns.at_rest(share, probs), rows[0]
    expected, steps = start.copy(), []
    for k in range(8):
        along, low, high = partial(value_along, value, expected.copy(), k), start[k] - reach, start[k] + reach
        best = minimize_scalar(along, bounds=(low, high), method="bounded", options={"xatol": 1e-10}).x
        expected[k] = min([best, low, high, *([0.0] if low <= 0 <= high else [])], key=along)
        steps.append(abs(expected[k] - start[k]) * (curvature[k] + 0.5 * is_weight[k]))
    assert columns.sweep(some, motion, rows) == pytest.approx(max(steps), rel=1e-5)
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    for _ in range(500):
        worst = columns.sweep(some, motion, rows)
    assert worst < 1e-10
    assert (np.abs(weights - start) <= reach * (1 + 1e-12)).all()
    dw = np.zeros((C, D + 1))
    dw[some.classes, some.features] = weights - start
    np.testing.assert_allclose(motion.changes * (share > 0), dw @ X.T, atol=1e-9)
    np.testing.assert_allclose(motion.mean * (share > 0), (probs * (dw @ X.T)).sum(axis=0), atol=1e-9)
    least = value(weights)
    for k in range(8):
        for nudge in (-1e-3, 1e-3):
            other = weights.copy()
            other[k] = np.clip(other[k] + nudge, *rows[5:, k])
            assert value(other) >= least - 1e-12


@pytest.mark.parametrize("class_mean", [0.0, 1 / 3])
def test_sweeps_of_a_hessian_that_a_memory_tells(class_mean):
    """Theta (I - class_mean J) - Q R Q^T, written out: of a feature J adds up the weights of the classes."""
    r, theta, features = rng(7), 2.0, np.array([0, 0, 0, 1, 1, 2])
    rows = r.standard_normal((6, 2))
    middle = np.diag([0.3, -0.2])
    J = (features[:, None] == features).astype(float)
    hessian = theta * (np.eye(6) - class_mean * J) - rows @ middle @ rows.T
    start, slopes, l1, l2 = r.standard_normal(6), 5 * r.standard_normal(6), 2.0, 0.5
    curvature, most = np.maximum(np.diagonal(hessian), 1e-3), np.full(6, np.inf)
    model = np.stack([start, slopes, curvature, np.full(6, l1), np.full(6, l2), -most, most])
    sums, by_feature, weights = np.zeros(2), np.zeros(3), start.copy()
    for _ in range(3):
        worst = 0.0
        for k in range(6):
            slope = slopes[k] + hessian[k] @ (weights - start)
            target = weights[k] * curvature[k] - slope
            new = np.sign(target) * max(abs(target) - l1, 0.0) / (curvature[k] + l2)
            worst, weights[k] = max(worst, abs(new - weights[k]) * (curvature[k] + l2)), new
        given = (rows, np.ascontiguousarray(rows @ middle), theta, features, class_mean, start, sums, by_feature, model)
        assert kernels.memory_sweep(*given) == pytest.approx(worst)
        np.testing.assert_allclose(model[0], weights, atol=1e-12)
    np.testing.assert_allclose(sums, middle @ rows.T @ (weights - start), atol=1e-12)
    np.testing.assert_allclose(by_feature, np.bincount(features, weights - start), atol=1e-12)


def test_sweeps_by_a_hessian_that_is_built():
    """H d is what changes slopes; coordinates that are left out have no step."""
    r, places = rng(8), np.array([4, 0, 2])
    root = r.standard_normal((5, 9))
    hessian = (root @ root.T).astype(np.float32)
    start, slopes, l1, l2 = r.standard_normal(3), 9 * r.standard_normal(3), 2.0, 0.5
    curvature, most = hessian.diagonal()[places].astype(float), np.full(3, np.inf)
    model = np.stack([start, slopes, curvature, np.full(3, l1), np.full(3, l2), -most, most])
    changes, weights, steps = np.zeros(5, np.float32), start.copy(), np.zeros(5)
    for _ in range(3):
        worst = 0.0
        for k, place in enumerate(places):
            target = weights[k] * curvature[k] - slopes[k] - hessian[place] @ steps
            new = np.sign(target) * max(abs(target) - l1, 0.0) / (curvature[k] + l2)
            worst = max(worst, abs(new - weights[k]) * (curvature[k] + l2))
            steps[place], weights[k] = steps[place] + new - weights[k], new
        assert kernels.hessian_sweep(hessian, places, changes, model) == pytest.approx(worst, rel=1e-4, abs=1e-5)
        np.testing.assert_allclose(model[0], weights, atol=1e-5)
    np.testing.assert_allclose(changes, hessian @ steps, atol=1e-4)


@pytest.mark.parametrize("counts", [(3, 0, 2), (30, 1, 26)])  # of coordinates of each class: more than a band of rows
def test_the_hessian_of_columns(counts):
    r, n_rows, n_features = rng(9), 37, 30
    columns, factors = r.standard_normal((n_features, n_rows)), r.random((3, n_rows))
    factors[:, :3] = 1e-40  # 0, rather than what float32 has no normal number for
    features = np.concatenate([r.permutation(n_features)[:count] for count in counts])
    classes = np.repeat(np.arange(3), counts)
    within, across = np.empty((2, len(features), 30), np.float32)
    run(kernels.scaled_columns, 2**20, columns, features, classes, factors, 5, within)
    np.testing.assert_allclose(within, (columns[features] * factors[classes])[:, 5:35], rtol=1e-6)
    run(kernels.scaled_columns, 2**20, columns, features, classes, factors, 0, across)
    assert not across[:, :3].any()
    out = np.empty((len(features), len(features)), np.float32)
    ends = np.searchsorted(classes, classes, side="right")
    run(kernels.hessian_of_columns, 2**20, within, across, ends, out)
    a, b = within.astype(float), across.astype(float)
    expected = np.where(classes[:, None] == classes, a @ a.T, -b @ b.T)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_array_equal(out, out.T)
    with num_threads(1):
        alone = np.empty_like(out)
        run(kernels.hessian_of_columns, 2**20, within, across, ends, alone)
    np.testing.assert_array_equal(alone, out)


@pytest.mark.parametrize("pinned", [0, 1])
@pytest.mark.parametrize("n_rows", [1, 37, 1024 + 37])
def test_softmax_and_loss_class_by_class(n_rows, pinned):
    r = rng(10)
    logits, targets = 5 * r.standard_normal((C, n_rows)), r.dirichlet(np.ones(C + pinned), n_rows).T[pinned:].copy()
    logits[0, 0], weights = 900.0, r.exponential(size=n_rows)
    every = np.vstack([np.zeros((pinned, n_rows)), logits])
    expected = log_softmax(every, axis=0)[pinned:]
    probs, cotangent = np.empty((2, C, n_rows))
    loss = run(kernels.softmax_by_class, 2**20, logits, targets, weights, pinned, probs, cotangent)
    np.testing.assert_allclose(probs, np.exp(np.maximum(expected, -200)), rtol=1e-12)
    np.testing.assert_allclose(cotangent, weights * (probs - targets), atol=1e-15)
    top = np.log(np.exp(every - every.max(axis=0)).sum(axis=0)) + every.max(axis=0)
    assert loss == pytest.approx(weights @ (top - (targets * logits).sum(axis=0)), rel=1e-12)
    with num_threads(1):
        assert loss == run(kernels.softmax_by_class, 2**20, logits, targets, weights, pinned, probs, cotangent)
    for bad in (np.nan, np.inf, -np.inf):
        logits[1, -1] = bad
        assert not np.isfinite(run(kernels.softmax_by_class, 1, logits, targets, weights, pinned, probs, cotangent))
