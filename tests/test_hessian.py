"""The whole Hessian of a linear model's cross-entropy, against brute force through the Jacobian of softmax and against
finite differences of its gradient, which is checked, too; all in float64.
"""

import numpy as np
import pytest
import scipy.sparse
from helpers import FLOATS, JIT, derivative, rng, same_bits
from scipy.special import log_softmax, softmax

import fastsoftmax as fs
from fastsoftmax import kernels
from fastsoftmax._threads import run
from fastsoftmax.kernels.layer.dense import ROWS
from fastsoftmax.kernels.layer.hessian import GROUPS
from fastsoftmax.kernels.layer.passes import GROUP
from fastsoftmax.training.array_objective import kernel_samples

SHAPES = [  # N, D, C: no feature, one row, one class, a row more than a block; pairs of classes; features of several
    # strips of columns; several reduction groups
    (5, 0, 3),
    (1, 3, 4),
    (4, 2, 1),
    (49, 3, 2),
    (150, 4, 3),
    (130, 15, 5),
    (97, 40, 3),
    (1100, 5, 4),
]
SHAPES = SHAPES if JIT else SHAPES[:5]
CASES = [
    {},
    {"soft": True},
    {"smoothing": 0.3, "weighted": True},
    {"soft": True, "smoothing": 0.2, "weighted": True},
    {"sparse": True, "weighted": True},
    {"sparse": True, "soft": True, "far": True},
    {"weighted": True, "far": True},
]


class Layer:
    """Uneven data for the kernel; rows of weight 0 hold what would spoil all sums."""

    def __init__(
        self, n, n_features, n_classes, dtype=np.float64, *, soft=False, smoothing=0.0, weighted=False, sparse=False,
        far=False,
    ):  # fmt: skip
        random = rng(n + 10 * n_features + 1000 * n_classes)
        X = random.standard_normal((n, n_features)) * 10 ** random.uniform(-1, 1, n_features)
        X = np.where(random.random(X.shape) < 0.5, 0.0, X) if sparse else X
        X = (X + 1e3 * (X != 0) if far else X).astype(dtype)
        self.mean = random.standard_normal(n_features) + 1e3 * far
        self.scale, self.bias_scale = 10 ** random.uniform(-1, 1, n_features), 1.7
        self.weight = random.standard_normal((n_classes, n_features + 1)) / (1 + 10 * n_features)
        self.labels, self.soft = random.integers(0, n_classes, n), np.empty((0, n_classes))
        if soft:
            self.labels, self.soft = np.empty(0, np.int64), random.uniform(0, 2, (n, n_classes))
        self.by_row = random.integers(0, 3, n) * random.random(n) if weighted else np.empty(0)
        self.smoothing, self.factor = smoothing, 0.37
        self.exact = X.astype(np.float64)
        if weighted:
            X = X.copy()
            X[self.by_row == 0] = np.finfo(dtype).max
            self.exact[self.by_row == 0] = 0
        self.X = kernel_samples(scipy.sparse.csr_array(X) if sparse else X)

    def run(self, weight=None):
        weight = self.weight if weight is None else weight
        size = (len(weight) - 1) * weight.shape[1]
        losses, grad, hessian = (
            np.full(len(self.exact), np.nan),
            np.full(weight.shape, np.nan),
            np.full((size,) * 2, 7.0),
        )
        targets = (self.labels, self.soft, self.by_row, self.smoothing, self.factor)
        features = (self.mean, self.scale, self.bias_scale)
        kernel = kernels.linear_cross_entropy_hessian_rows
        run(kernel, 10**9, self.X, *features, weight, *targets, losses, grad, hessian)
        return losses, grad, hessian

    @property
    def features(self):
        return np.column_stack([(self.exact - self.mean) * self.scale, np.full(len(self.exact), self.bias_scale)])

    @property
    def targets(self):
        n_classes = len(self.weight)
        plain = self.soft if self.soft.size else np.eye(n_classes)[self.labels]
        return (1 - self.smoothing) * plain + self.smoothing / n_classes

    @property
    def weights(self):
        return self.by_row if self.by_row.size else np.ones(len(self.exact))


def brute_force(layer):
    """X'^T diag(w M J) X', the Jacobians built, of all classes."""
    x, (n_classes, n_features) = layer.features, layer.weight.shape
    jacobians = fs.reference.softmax_jacobian(softmax(x @ layer.weight.T, axis=1))
    by_row = layer.factor * layer.weights * layer.targets.sum(axis=1)
    whole = np.einsum("n,nck,nd,ne->cdke", by_row, jacobians, x, x)
    return whole.reshape(n_classes * n_features, n_classes * n_features)


def assert_near(found, right, rtol=1e-11, size=0.0):
    """To a part of the largest, or of what was added up to it."""
    assert found.shape == right.shape
    np.testing.assert_allclose(found, right, rtol=rtol, atol=rtol * max(size, np.abs(right).max(initial=0)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_brute_force(shape, case, dtype):
    layer = Layer(*shape, dtype, **case)
    losses, grad, hessian = layer.run()
    log_probs = log_softmax(layer.features @ layer.weight.T, axis=1)
    assert_near(losses, layer.weights * -(layer.targets * log_probs).sum(axis=1))
    mass = layer.targets.sum(axis=1, keepdims=True)
    cotangent = layer.factor * layer.weights[:, None] * (mass * np.exp(log_probs) - layer.targets)
    assert_near(grad, cotangent.T @ layer.features, size=np.abs(layer.features).max())
    n_features = layer.weight.shape[1]
    assert_near(hessian, brute_force(layer)[n_features:, n_features:])
    assert np.array_equal(hessian, hessian.T)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_the_derivative_of_the_gradient(case):
    layer = Layer(60, 3, 4, **case)
    direction = rng(1).standard_normal(layer.weight.shape) / 100
    direction[0] = 0

    def grad(weight):
        return layer.run(weight)[1]

    numerical = derivative(grad, layer.weight, direction, h=1e-3)[1:].ravel()
    assert_near(layer.run()[2] @ direction[1:].ravel(), numerical, 1e-7)


def test_what_is_sure_keeps_its_digits():
    """Of a row whose class has nearly all: 1 - p is what the others have, though p is 1 to rounding."""
    layer = Layer(1, 1, 3, weighted=False)
    layer.exact[:], layer.mean, layer.scale, layer.bias_scale = 1.0, np.zeros(1), np.ones(1), 0.0
    layer.X = layer.exact.copy()
    layer.weight = np.array([[0.0, 0], [45, 0], [1, 0]])
    e = np.exp(np.longdouble([-45, 0, -44]))
    p = e / e.sum()
    hessian = layer.run()[2]
    np.testing.assert_allclose(hessian[0, 0], float(layer.factor * p[1] * (p[0] + p[2])), rtol=1e-13)
    np.testing.assert_allclose(hessian[2, 2], float(layer.factor * p[2] * (p[0] + p[1])), rtol=1e-13)


@pytest.mark.skipif(not JIT, reason="threads are for compiled code")
@pytest.mark.parametrize("case", CASES[-3:], ids=str)
@pytest.mark.parametrize("n", [GROUP + 1, 5 * GROUP, (GROUPS + 3) * GROUP])
def test_threads_do_not_change_a_bit(n, case):
    layer = Layer(n, 6, 4, np.float32, **case)
    with fs.num_threads(1):
        alone = layer.run()
    assert_near(alone[2], brute_force(layer)[7:, 7:])
    for n_threads in (2, 3):
        with fs.num_threads(n_threads):
            for found, right in zip(layer.run(), alone, strict=True):
                assert same_bits(found, right)


def test_a_group_is_made_of_whole_blocks():
    assert GROUP % ROWS == 0
