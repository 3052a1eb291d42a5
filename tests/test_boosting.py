"""Gradient and Hessian for boosters: right, bounded below, and fit for training one."""

import numpy as np
import pytest
from helpers import FLOATS, derivative, layouts, rng, same_bits, tolerance, uneven

import fastsoftmax as fs


def data(dtype=np.float64, n=300, n_classes=7, soft=False):
    random = rng(n_classes)
    logits = uneven((n, n_classes), dtype)
    targets = random.dirichlet(np.ones(n_classes), n) * 1.5 if soft else random.integers(0, n_classes, n)
    return logits, targets, random.integers(0, 3, n) + 0.25


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("n_classes", [1, 2, 7, 40, 700])
@pytest.mark.parametrize("dtype", FLOATS)
def test_against_the_reference(dtype, n_classes, soft):
    logits, targets, weight = data(dtype, 30, n_classes, soft)
    grad, hess = fs.softmax_grad_hess(logits, targets, weight)
    right_grad, right_hess = fs.reference.softmax_grad_hess(logits.astype(np.float64), targets, weight)
    allowed = 50 * tolerance(dtype, n_classes)
    assert grad.dtype == hess.dtype == dtype
    np.testing.assert_allclose(grad, right_grad, atol=3 * allowed)
    np.testing.assert_allclose(hess, right_hess, atol=3 * allowed)
    assert hess.min() >= np.dtype(dtype).type(1e-6)


@pytest.mark.parametrize("soft", [False, True])
def test_the_gradient_is_the_losss_and_the_hessian_bounds_its(soft):
    logits, targets, weight = data(soft=soft, n=20)
    logits /= 10
    targets = targets / 1.5 if soft else targets
    grad, hess = fs.softmax_grad_hess(logits, targets, weight)
    direction = rng(5).standard_normal(logits.shape)

    def loss(z):
        return fs.reference.cross_entropy(z, targets, sample_weight=weight, reduction="sum")

    assert np.vdot(grad, direction) == pytest.approx(derivative(loss, logits, direction), rel=1e-8)
    curvature = (direction * fs.reference.softmax_jvp(fs.reference.softmax(logits), direction)).sum(axis=1) * weight
    assert (curvature <= (hess * direction**2).sum(axis=1)).all()
    probs = fs.reference.softmax(logits)
    np.testing.assert_allclose(hess, np.maximum(2 * weight[:, None] * probs * (1 - probs), 1e-6), rtol=1e-9)


def test_layouts_threads_and_labels_as_floats_do_not_change_a_bit():
    logits, labels, weight = data(np.float32, 9000)
    right = fs.softmax_grad_hess(logits, labels, weight)
    for threads in (1, 2, 3):
        with fs.num_threads(threads):
            again = fs.softmax_grad_hess(logits, labels.astype(np.float32), weight)
        assert all(same_bits(a, b) for a, b in zip(again, right, strict=True))
    few = fs.softmax_grad_hess(logits[:20], labels[:20])
    for name, array in layouts(logits[:20]):
        again = fs.softmax_grad_hess(array, labels[:20])
        assert all(same_bits(a, b) for a, b in zip(again, few, strict=True)), name


def test_contract():
    grad, hess = fs.softmax_grad_hess([[1e4, 0, -1e4], [np.nan, 0, 0], [0, 0, 0]], [0, 1, 2], [1, 1, 0])
    assert np.array_equal(grad[[0, 2]], np.zeros((2, 3)))
    assert np.array_equal(hess[[0, 2]], np.full((2, 3), 1e-6))
    assert np.isnan(grad[1]).all()
    assert np.isnan(hess[1]).all()
    assert fs.softmax_grad_hess(np.zeros((2, 3), np.float16), [0, 1])[1].dtype == np.float16
    assert fs.softmax_grad_hess(np.zeros((2, 3), int), [0, 1])[0].dtype == np.float64
    assert fs.softmax_grad_hess(np.zeros((0, 3)), [])[0].shape == (0, 3)
    for arguments, message in (
        (([0.0, 1.0], [0]), r"raw must have shape \(n_samples, n_classes\), got \(2,\)"),
        (([[0.0, 1.0]], [2]), r"targets\[0\] = 2 is not a class"),
        (([[0.0, 1.0]], [0.5]), r"targets\[0\] = 0.5 is not a class"),
        (([[0.0, 1.0]], [0, 1]), r"targets must have shape \(1,\), got \(2,\)"),
        (([[0.0, 1.0]], [0], [-1.0]), r"sample_weight\[0\] = -1.0 is not a weight"),
    ):
        with pytest.raises(ValueError, match=message):
            fs.softmax_grad_hess(*arguments)
    with pytest.raises(TypeError, match="raw must hold real numbers"):
        fs.softmax_grad_hess([["a"]], [0])


def test_xgboost_trains_with_it_as_with_its_own_objective():
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
    random = rng(1)
    X = random.standard_normal((600, 6))
    y = (X[:, :3] + 0.3 * random.standard_normal((600, 3))).argmax(axis=1)
    weight = random.integers(1, 4, 600)
    data = xgboost.DMatrix(X, y, weight=weight)
    common = {"num_class": 3, "max_depth": 3, "learning_rate": 0.3, "base_score": 0.0}

    def objective(raw, data):
        return fs.softmax_grad_hess(raw, data.get_label(), data.get_weight())

    ours = xgboost.train({**common, "disable_default_eval_metric": True}, data, 20, obj=objective)
    own = xgboost.train({**common, "objective": "multi:softprob"}, data, 20)
    raw, own_raw = (booster.predict(data, output_margin=True) for booster in (ours, own))
    assert (raw.argmax(axis=1) == y).mean() > 0.95
    centred, own_centred = (z - z.mean(axis=1, keepdims=True) for z in (raw, own_raw))
    np.testing.assert_allclose(centred, own_centred, atol=1e-3)
