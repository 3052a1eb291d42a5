"""Gradient and Hessian for boosters: right, bounded below, and fit for training one."""

import mpmath
import numpy as np
import pytest
from helpers import FLOATS, JIT, derivative, layouts, nasty_rows, rng, same_bits, tolerance, uneven

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


@pytest.mark.parametrize("dtype", FLOATS)
def test_in_50_digits(dtype):
    """To the promised error of a probability, (max - x + 8) eps, and the rounding of what is made of it."""
    logits, labels, eps = uneven((40, 5), dtype), rng(3).integers(0, 5, 40), float(np.finfo(dtype).eps)
    grad, hess = fs.softmax_grad_hess(logits, labels)
    least = float(dtype(1e-6))
    with mpmath.workdps(50):
        for n, row in enumerate(logits.tolist()):
            e = [mpmath.exp(x) for x in row]
            for c, x in enumerate(row):
                p, hot = e[c] / mpmath.fsum(e), int(c == labels[n])
                error = p * (max(row) - x + 8) * eps
                assert abs(grad[n, c].item() - (p - hot)) <= error + 2 * hot * eps
                assert abs(hess[n, c].item() - max(2 * p * (1 - p), least)) <= 2 * error + 2 * p * eps


@pytest.mark.parametrize("soft", [False, True])
def test_the_gradient_is_the_losss_and_the_hessian_bounds_its(soft):
    logits, targets, weight = data(soft=soft, n=20)
    logits /= 10
    grad, hess = fs.softmax_grad_hess(logits, targets, weight)
    direction = rng(5).standard_normal(logits.shape)

    def loss(z):
        return fs.reference.cross_entropy(z, targets, sample_weight=weight, reduction="sum")

    assert np.vdot(grad, direction) == pytest.approx(derivative(loss, logits, direction), rel=1e-8)
    probs = fs.reference.softmax(logits)
    by_row = weight * (targets.sum(axis=1) if soft else 1)
    curvature = (direction * fs.reference.softmax_jvp(probs, direction)).sum(axis=1) * by_row
    assert (curvature <= (hess * direction**2).sum(axis=1)).all()
    np.testing.assert_allclose(hess, np.maximum(2 * by_row[:, None] * probs * (1 - probs), 1e-6), rtol=1e-9)


def test_a_distribution_that_sums_to_2_counts_as_weight_2():
    logits, targets, weight = data(soft=True)
    twice = fs.softmax_grad_hess(logits, 2 * targets, weight)
    for array, right in zip(twice, fs.softmax_grad_hess(logits, targets, 2 * weight), strict=True):
        assert same_bits(array, right)


def test_layouts_threads_and_labels_as_floats_do_not_change_a_bit():
    logits, labels, weight = data(np.float32, 9000 if JIT else 200)
    right = fs.softmax_grad_hess(logits, labels, weight)
    for threads in (1, 2, 3):
        with fs.num_threads(threads):
            again = fs.softmax_grad_hess(logits, labels.astype(np.float32), weight)
        assert all(same_bits(a, b) for a, b in zip(again, right, strict=True))
    few = fs.softmax_grad_hess(logits[:20], labels[:20])
    for name, array in layouts(logits[:20]):
        again = fs.softmax_grad_hess(array, labels[:20])
        assert all(same_bits(a, b) for a, b in zip(again, few, strict=True)), name


@pytest.mark.parametrize("name", nasty_rows())
def test_nasty_rows_leave_their_neighbours_alone(name):
    row = np.array(nasty_rows()[name])
    logits = np.stack([np.zeros(3), row, np.ones(3)])
    grad, hess = fs.softmax_grad_hess(logits, [0, 1, 2])
    assert np.isnan(grad[1]).all() == np.isnan(hess[1]).all() == (not np.isfinite(row.max()))
    for array, clean in zip((grad, hess), fs.softmax_grad_hess(logits[[0, 2]], [0, 2]), strict=True):
        assert same_bits(array[[0, 2]], clean)
    for array, nothing in zip(fs.softmax_grad_hess(logits, [0, 1, 2], [1, 0, 1]), (0, 1e-6), strict=True):
        assert (array[1] == nothing).all()


def test_contract():
    grad, hess = fs.softmax_grad_hess([[1e4, 0, -1e4]], [0])
    assert np.array_equal(grad, np.zeros((1, 3)))
    assert np.array_equal(hess, np.full((1, 3), 1e-6))
    assert np.array_equal(fs.softmax_grad_hess([[3.0], [4.0]], [0, 0])[0], np.zeros((2, 1)))
    half = fs.softmax_grad_hess(np.array([[0, 0], [50, 0]], np.float16), [0, 1])
    assert half[0].dtype == half[1].dtype == np.float16
    assert (half[1] > 0).all()
    assert fs.softmax_grad_hess(np.zeros((2, 3), int), [0, 1])[0].dtype == np.float64
    for shape, targets in (((0, 3), []), ((0, 3), np.zeros((0, 3))), ((3, 0), np.zeros((3, 0)))):
        assert [array.shape for array in fs.softmax_grad_hess(np.zeros(shape), targets)] == [shape, shape]


def test_bad_input():
    raw = [[0.0, 1.0]]
    for arguments, message in (
        (([0.0, 1.0], [0]), r"raw must have shape \(n_samples, n_classes\), got \(2,\)"),
        ((raw, [2]), r"targets\[0\] = 2 is not a class"),
        ((raw, [-1]), r"targets\[0\] = -1 is not a class"),
        ((raw, [0.5]), r"targets\[0\] = 0.5 is not a class"),
        ((raw, [np.nan]), r"targets\[0\] = nan is not a class"),
        ((raw, [0, 1]), r"targets must have shape \(1,\), got \(2,\)"),
        ((raw, [[0.0, 0.5, 0.5]]), r"targets must have shape \(1, 2\), got \(1, 3\)"),
        ((raw, [0], [-1.0]), r"sample_weight\[0\] = -1.0 is not a weight"),
        ((raw, [0], [np.nan]), r"sample_weight\[0\] = nan is not a weight"),
        ((raw, [0], []), r"sample_weight must have shape \(1,\), got \(0,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            fs.softmax_grad_hess(*arguments)
    for arguments, name in ((([["a"]], [0]), "raw"), ((raw, ["a"]), "targets"), ((raw, [0], ["a"]), "sample_weight")):
        with pytest.raises(TypeError, match=f"{name} must hold real numbers"):
            fs.softmax_grad_hess(*arguments)


def objective(raw, data):
    """For xgboost.train, where weights that are not given are empty, and lightgbm.train, where they are None."""
    weight = data.get_weight()
    return fs.softmax_grad_hess(raw, data.get_label(), None if weight is None or not weight.size else weight)


def samples(weighted):
    random = rng(1)
    X = random.standard_normal((600, 6))
    y = (X[:, :3] + 0.3 * random.standard_normal((600, 3))).argmax(axis=1)
    return X, y, random.integers(1, 4, 600) if weighted else None


@pytest.mark.parametrize("weighted", [False, True])
def test_xgboost_trains_with_it_as_with_its_own_objective(weighted):
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
    X, y, weight = samples(weighted)
    data = xgboost.DMatrix(X, y, weight=weight)
    common = {"num_class": 3, "max_depth": 3, "base_score": 0.5}
    ours = xgboost.train({**common, "disable_default_eval_metric": True}, data, 20, obj=objective)
    own = xgboost.train({**common, "objective": "multi:softprob"}, data, 20)
    probs, own_probs = fs.softmax(ours.predict(data, output_margin=True)), own.predict(data)
    np.testing.assert_allclose(probs, own_probs, atol=1e-5)
    accuracy, own_accuracy = ((p.argmax(axis=1) == y).mean() for p in (probs, own_probs))
    assert accuracy == own_accuracy > 0.9


@pytest.mark.parametrize("weighted", [False, True])
def test_lightgbm_trains_with_it_and_with_its_own_factor_as_with_its_own_objective(weighted):
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    X, y, weight = samples(weighted)
    data = lightgbm.Dataset(X, y, weight=weight)
    common = {"num_class": 3, "verbose": -1, "boost_from_average": False}

    def with_its_factor(raw, data):
        grad, hess = objective(raw, data)
        return grad, hess * 3 / (2 * (3 - 1))

    own = lightgbm.train({**common, "objective": "multiclass"}, data, 20).predict(X)
    same = lightgbm.train({**common, "objective": with_its_factor}, data, 20).predict(X)
    np.testing.assert_allclose(fs.softmax(same), own, atol=1e-6)
    ours = lightgbm.train({**common, "objective": objective}, data, 20).predict(X)
    assert (ours.argmax(axis=1) == y).mean() > 0.9
