"""linear_cross_entropy and linear_squared_error: oracles, derivatives, threads, layouts, bad input, rows left out."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from helpers import FLOATS, JIT, all_same_bits, derivative, layouts, rng, same_bits, tolerance
from sklearn._loss import HalfMultinomialLoss
from sklearn.linear_model._linear_loss import LinearModelLoss

import fastsoftmax as fs
from fastsoftmax._gate.samples import Samples
from fastsoftmax._threads import run as threads_run
from fastsoftmax.kernels.layer.passes import GROUP

LOSSES = ("linear_cross_entropy", "linear_squared_error")
needs_jit = pytest.mark.skipif(not JIT, reason="without machine code one thread does all the work, and slowly")
ROWS, FEATURES, CLASSES = (0, 1, 5, 47, 48, 97, 481, 1000), (1, 7, 16, 33, 300), (1, 2, 3, 5, 10, 14, 15, 26, 100)
SIZES = [(n, FEATURES[(i + j) % 5], c) for i, n in enumerate(ROWS) for j, c in enumerate(CLASSES)]  # each pair is there
SIZES += [
    (5, 0, 3),
    (0, 0, 3),
    (49, 1100, 3),
    (5, 1025, 16),
]  # nothing to multiply, and longer than is multiplied at once
TOGETHER = (100, 1000, 300)  # weight is larger than a core's cache, from which on threads share each block of rows
SMALL = (97, 16, 5) if JIT else (7, 5, 3)


def problem(size, dtype=np.float64):
    """All arguments for a size (n_samples, n_features, n_classes); logits are some units apart."""
    n, d, c = size
    random, unit = rng(n + 10 * d + 100 * c), 1 / max(1, d) ** 0.5
    shapes = {"X": (n, d), "weight": (c, d), "bias": (c,), "weight_tangent": (c, d), "bias_tangent": (c,)}
    arrays = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    arrays["weight"] *= 2 * unit
    arrays["weight_tangent"] *= unit
    arrays["soft"] = random.dirichlet(np.ones(c), n)
    p = SimpleNamespace(**{name: array.astype(dtype) for name, array in arrays.items()})
    p.labels = random.integers(0, max(1, c), n)
    return p


def options(size):
    """Every combination of the options, but for ignore_index."""
    random = rng(3)
    sample_weight, class_weight = random.uniform(0.1, 2, size[0]), random.uniform(0.1, 2, size[2])
    choices = {
        "sample_weight": (None, sample_weight),
        "class_weight": (None, class_weight),
        "label_smoothing": (0.0, 0.2, 1.0),
        "reduction": ("mean", "sum", "none"),
    }
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def everything(room, loss, p, targets, **chosen):
    """The loss, the gradients in weight, bias and X, and both halves of H v."""
    value, grads = getattr(room, f"{loss}_value_and_grad")(p.X, p.weight, p.bias, targets, with_grad_X=True, **chosen)
    tangents = (p.weight_tangent, None if p.bias is None else p.bias_tangent)
    return [value, *grads, *getattr(room, f"{loss}_hvp")(p.X, p.weight, p.bias, targets, *tangents, **chosen)]


def wide(p):
    """The same numbers in float64."""
    return SimpleNamespace(
        **{k: v.astype(float) if getattr(v, "dtype", None) == "f4" else v for k, v in vars(p).items()}
    )


def assert_close(results, expected, dtype, size, reduction="mean"):
    """Equal up to rounding, by the largest element of each array, or what a row of logits is worth if that is more."""
    limit, unit = 4 * tolerance(dtype, max(size)), 1 / max(1, size[0]) if reduction == "mean" else 1
    for ours, theirs in zip(results, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert np.asarray(ours).dtype == dtype
            np.testing.assert_allclose(
                ours, theirs, rtol=0, atol=limit * np.max(np.abs(theirs), initial=unit, where=theirs == theirs)
            )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_size_equals_the_reference(loss, dtype):
    for turn, size in enumerate(SIZES if JIT else SIZES[::5]):
        p, chosen = problem(size, dtype), options(size)[turn * 7 % 36]
        p.bias = p.bias if turn % 4 else None
        for targets in (p.labels, p.soft):
            results = everything(fs, loss, p, targets, **chosen)
            assert_close(
                results, everything(fs.reference, loss, wide(p), targets, **chosen), dtype, size, chosen["reduction"]
            )
            assert same_bits(results[0], getattr(fs, loss)(p.X, p.weight, p.bias, targets, **chosen))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_option_equals_the_reference(loss):
    p = problem(SMALL)
    ignored = np.where(np.arange(SMALL[0]) % 3 == 1, -100, p.labels)
    for chosen in options(SMALL):
        for targets, extra in ((p.labels, {}), (p.soft, {}), (ignored, {"ignore_index": -100})):
            results, expected = (everything(room, loss, p, targets, **chosen, **extra) for room in (fs, fs.reference))
            assert_close(results, expected, np.float64, SMALL, chosen["reduction"])


@pytest.mark.parametrize("size", [(7, 5, 3), (9, 40, 35)])
def test_a_csr_matrix_equals_the_dense_one(size):
    """More of them in test_sparse.py, for compiled code alone."""
    p = problem(size)
    p.X *= rng().random(size[:2]) < 0.4
    q = SimpleNamespace(**{**vars(p), "X": scipy.sparse.csr_array(p.X)})
    assert_close(everything(fs, LOSSES[0], q, p.soft), everything(fs, LOSSES[0], p, p.soft), np.float64, size)
    assert_close([fs.dense(q.X, p.weight, p.bias)], [fs.dense(p.X, p.weight, p.bias)], np.float64, size)


@needs_jit
@pytest.mark.parametrize("size", [TOGETHER, (10, 260, 1100)])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_large_weight_equals_the_reference(loss, size):
    p = problem(size, np.float32)
    for targets in (p.labels, p.soft):
        assert_close(everything(fs, loss, p, targets), everything(fs.reference, loss, wide(p), targets), "f4", size)


@needs_jit
@pytest.mark.parametrize("size", [(500, 260, 1100), (250, 6, 50_000)])  # the latter: too many logits for a whole block
def test_many_classes_equal_the_formulas_without_a_jacobian(size):
    p = problem(size, np.float32)
    results, p = everything(fs, LOSSES[0], p, p.labels), wide(p)
    probs, tangent = fs.softmax(p.X @ p.weight.T + p.bias), p.X @ p.weight_tangent.T + p.bias_tangent
    loss, every = -np.log(probs[np.arange(size[0]), p.labels]).mean(), np.arange(size[0])
    moved = probs * (tangent - (probs * tangent).sum(axis=1, keepdims=True)) / size[0]
    probs[every, p.labels] -= 1
    G = probs / size[0]
    assert_close(results, [loss, G.T @ p.X, G.sum(0), G @ p.weight, moved.T @ p.X, moved.sum(0), None], "f4", size)


@pytest.mark.parametrize("room", [fs, fs.reference], ids=["fast", "reference"])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_and_hessian_products_equal_finite_differences(loss, room):
    size = (7, 5, 4)
    p, step_X = problem(size), rng(8).standard_normal(size[:2])

    def along(h, move_X=True):
        return p.X + h * step_X * move_X, p.weight + h * p.weight_tangent, p.bias + h * p.bias_tangent

    value_and_grad = getattr(room, f"{loss}_value_and_grad")
    for targets, chosen in itertools.product((p.labels, p.soft), options(size)):
        if chosen["reduction"] == "none":
            continue
        _, *grads, hvp_weight, hvp_bias, _ = everything(room, loss, p, targets, **chosen)
        slope = sum(np.vdot(g, v) for g, v in zip(grads, (p.weight_tangent, p.bias_tangent, step_X), strict=True))
        numerical = derivative(lambda h, t=targets, o=chosen: getattr(room, loss)(*along(h), t, **o), 0.0, 1.0, 2e-3)
        assert slope == pytest.approx(numerical, rel=1e-7, abs=1e-9)
        for i, product in enumerate((hvp_weight, hvp_bias)):
            moving = lambda h, t=targets, o=chosen, i=i: value_and_grad(*along(h, False), t, **o)[1][i]  # noqa: E731
            np.testing.assert_allclose(product, derivative(moving, 0.0, 1.0), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_hessian_is_symmetric_and_takes_probs_and_tangents_as_they_come(loss):
    p, q = problem(SMALL), problem((*SMALL[:2], SMALL[2]))
    q.weight_tangent, q.bias_tangent = rng(4).standard_normal(q.weight.shape), rng(5).standard_normal(q.bias.shape)
    hvp, probs = getattr(fs, f"{loss}_hvp"), fs.softmax(fs.dense(p.X, p.weight, p.bias))
    for targets in (p.labels, p.soft):
        at = (p.X, p.weight, p.bias, targets)
        one, other = hvp(*at, p.weight_tangent, p.bias_tangent), hvp(*at, q.weight_tangent, q.bias_tangent)
        forth = np.vdot(one.weight, q.weight_tangent) + one.bias @ q.bias_tangent
        assert forth == pytest.approx(np.vdot(other.weight, p.weight_tangent) + other.bias @ p.bias_tangent, rel=1e-12)
        assert_close(hvp(*at, p.weight_tangent, p.bias_tangent, probs=probs), one, np.float64, SMALL)
        alone = hvp(*at, p.weight_tangent, None)
        assert all_same_bits(alone, hvp(*at, p.weight_tangent, np.zeros(SMALL[2])))
        assert_close(hvp(*at, -2 * p.weight_tangent, None)[:2], [-2 * alone.weight, -2 * alone.bias], float, SMALL)
        summed = hvp(*at, p.weight_tangent, p.bias_tangent, reduction="sum")
        assert all_same_bits(summed, hvp(*at, p.weight_tangent, p.bias_tangent, reduction="none"))
        assert hvp(p.X, p.weight, None, targets, p.weight_tangent, None).bias is None
    assert forth != 0


@pytest.mark.parametrize("with_bias", [True, False])
def test_cross_entropy_equals_scikit_learns(with_bias):
    p, sample_weight = problem(SMALL), rng(6).uniform(0.1, 2, SMALL[0])
    theirs = LinearModelLoss(base_loss=HalfMultinomialLoss(n_classes=SMALL[2]), fit_intercept=with_bias)
    coef, tangent = np.c_[p.weight, p.bias], np.c_[p.weight_tangent, p.bias_tangent]
    coef, tangent = (np.asfortranarray(a if with_bias else a[:, :-1]) for a in (coef, tangent))
    p.bias = p.bias if with_bias else None
    arguments = (coef, p.X, p.labels.astype(float), sample_weight)
    value, grad = theirs.loss_gradient(*arguments)
    product = theirs.gradient_hessian_product(*arguments)[1](tangent)
    loss, dW, db, _, hW, hb, _ = everything(fs, LOSSES[0], p, p.labels, sample_weight=sample_weight)
    assert loss == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(np.c_[dW, db] if with_bias else dW, grad, atol=1e-14)
    np.testing.assert_allclose(np.c_[hW, hb] if with_bias else hW, product, atol=1e-14)


def test_cross_entropy_equals_torch():
    torch = pytest.importorskip("torch", reason="torch is an optional peer")
    p = problem(SMALL)
    ignored = np.where(np.arange(SMALL[0]) % 3 == 1, -100, p.labels)
    for chosen in options(SMALL):
        for targets, extra in ((ignored, {"ignore_index": -100}), (p.soft, {})):
            if chosen["sample_weight"] is not None:
                continue
            X, weight, bias = leaves = [torch.tensor(a, requires_grad=True) for a in (p.X, p.weight, p.bias)]
            by_class = None if chosen["class_weight"] is None else torch.tensor(chosen["class_weight"])
            expected = torch.nn.functional.cross_entropy(
                torch.nn.functional.linear(X, weight, bias), torch.tensor(targets), by_class,
                label_smoothing=chosen["label_smoothing"], reduction=chosen["reduction"], **extra,
            )  # fmt: skip
            grad_X, *grads = torch.autograd.grad(expected.sum(), leaves, create_graph=True)
            tangents = [torch.tensor(p.weight_tangent), torch.tensor(p.bias_tangent)]
            products = torch.autograd.grad(sum((g * v).sum() for g, v in zip(grads, tangents, strict=True)), leaves[1:])
            theirs = [a.detach().numpy() for a in (expected, *grads, grad_X, *products)]
            results = everything(fs, LOSSES[0], p, targets, **chosen, **extra)
            assert_close(results, [*theirs, None], np.float64, SMALL, chosen["reduction"])


@needs_jit
@pytest.mark.parametrize("size", [(1001, 63, 99), (9601, 150, 3), (501, 260, 1100)])
@pytest.mark.parametrize("loss", LOSSES)
def test_results_do_not_depend_on_the_number_of_threads(loss, size):
    p = problem(size, np.float32)

    def all_of(targets):
        losses = getattr(fs, loss)(p.X, p.weight, p.bias, targets, reduction="none")  # where no gradients are in turn
        return [losses, *everything(fs, loss, p, targets, label_smoothing=0.1)]

    for targets in (p.labels, p.soft):
        with fs.num_threads(1):
            expected = all_of(targets)
        for n in (2, 3):
            with fs.num_threads(n):
                for _ in range(5):
                    assert all_same_bits(all_of(targets), expected)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [SMALL, (1000, 1100, 3)] if JIT else [SMALL])
def test_any_layout_gives_the_same_bits_and_is_not_written(loss, size):
    p = problem(size)
    clean = {name: getattr(p, name).copy() for name in ("X", "weight", "soft", "weight_tangent")}
    expected = everything(fs, loss, p, p.soft)
    for name, array in clean.items():
        for layout, other in layouts(array):
            setattr(p, name, other)
            assert all_same_bits(everything(fs, loss, p, p.soft), expected), (name, layout)
            assert np.array_equal(other, array)
        setattr(p, name, array)
    strided = np.repeat(p.bias, 2)[::2], np.repeat(p.labels, 3)[::3], np.repeat(p.bias_tangent, 2)[::2]
    expected = everything(fs, loss, p, p.labels)
    p.bias, labels, p.bias_tangent = strided
    assert all_same_bits(everything(fs, loss, p, labels.astype(">i2")), expected)
    assert all(same_bits(getattr(p, name), array) for name, array in clean.items())


@pytest.mark.parametrize("loss", LOSSES)
def test_a_row_does_not_depend_on_the_rows_beside_it(loss):
    p, call = problem((11, 37, 6), np.float32), getattr(fs, f"{loss}_value_and_grad")
    for targets in (p.labels, p.soft):
        losses, grads = call(p.X, p.weight, p.bias, targets, with_grad_X=True, reduction="none")
        for n in range(11):
            some, part = call(p.X[n:], p.weight, p.bias, targets[n:], with_grad_X=True, reduction="none")
            assert same_bits(some, losses[n:])
            assert same_bits(part.X, grads.X[n:])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_nan_row_is_nan_and_its_neighbours_are_not(loss):
    p, call = problem((6, 5, 4)), getattr(fs, f"{loss}_value_and_grad")
    before, clean = call(p.X, p.weight, p.bias, p.labels, with_grad_X=True, reduction="none")
    p.X[2, 3] = np.nan
    after, broken = call(p.X, p.weight, p.bias, p.labels, with_grad_X=True, reduction="none")
    for old, new in ((before, after), (clean.X, broken.X)):
        assert np.isnan(new[2]).all()
        assert same_bits(np.delete(old, 2, 0), np.delete(new, 2, 0))
    assert np.isnan(broken.weight).all()
    assert np.isnan(call(p.X, p.weight, p.bias, p.labels)[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_left_out_count_for_nothing(loss):
    p = problem(SMALL)
    kept = np.arange(SMALL[0]) % 3 != 1
    q = SimpleNamespace(**{**vars(p), "X": p.X[kept]})
    expected = everything(fs, loss, q, p.labels[kept])
    p.X[~kept] *= 1e150
    for arguments in ({"ignore_index": 9**9}, {"sample_weight": kept.astype(float)}):
        labels = np.where(kept, p.labels, 9**9) if "ignore_index" in arguments else p.labels
        value, weight, bias, X, *hvp = everything(fs, loss, p, labels, **arguments)
        assert (X[~kept] == 0).all()
        assert_close([value, weight, bias, X[kept], *hvp], expected, np.float64, SMALL)


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_to_average_is_nan_and_its_gradients_are_0(loss):
    nobody = problem((2, 3, 4))
    for p, labels, extra in ((problem((0, 3, 4)), [], {}), (nobody, [7, 7], {"ignore_index": 7})):
        value, *derivatives = everything(fs, loss, p, np.array(labels, int), **extra)
        assert np.isnan(value)
        assert [a.shape for a in derivatives[:-1]] == [(4, 3), (4,), p.X.shape, (4, 3), (4,)]
        assert all((a == 0).all() for a in derivatives[:-1])
        assert everything(fs, loss, p, np.array(labels, int), reduction="sum", **extra)[0] == 0
    p = problem((3, 4, 0))
    assert everything(fs, loss, p, p.X[:, :0], reduction="sum")[0] == 0
    assert (everything(fs, loss, p, p.X[:, :0])[3] == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_dtypes(loss):
    p = problem((9, 4, 3))
    half = SimpleNamespace(**{k: v if k == "labels" else v.astype(np.float16) for k, v in vars(p).items()})
    single = SimpleNamespace(**{k: v if k == "labels" else v.astype(np.float32) for k, v in vars(half).items()})
    for ours, theirs in zip(everything(fs, loss, half, p.labels), everything(fs, loss, single, p.labels), strict=True):
        assert ours is theirs is None or same_bits(ours, theirs.astype(np.float16))
    whole = SimpleNamespace(**{k: (4 * v).astype(int) if v.dtype.kind == "f" else v for k, v in vars(p).items()})
    double = SimpleNamespace(**{k: v.astype(float) if k != "labels" else v for k, v in vars(whole).items()})
    assert all_same_bits(everything(fs, loss, whole, p.labels), everything(fs, loss, double, p.labels))
    p.X = single.X  # the widest dtype of X, weight and bias counts
    assert all(a is None or a.dtype == np.float64 for a in everything(fs, loss, p, p.labels))


@pytest.mark.parametrize("loss", LOSSES)
def test_out_takes_the_results_and_may_be_an_input_itself(loss):
    p = problem(SMALL)
    n, d, c = SMALL
    value_and_grad, hvp = getattr(fs, f"{loss}_value_and_grad"), getattr(fs, f"{loss}_hvp")
    at, tangents = (p.X, p.weight, p.bias, p.labels), (p.weight_tangent, p.bias_tangent)
    _, expected = value_and_grad(*at, with_grad_X=True)
    product = hvp(*at, *tangents)
    for order in "CF":
        out = fs.LinearGrads(*[np.full(shape, np.nan, order=order) for shape in ((c, d), (c,), (n, d))])
        _, grads = value_and_grad(*at, with_grad_X=True, out=out)
        assert all(a is b for a, b in zip(grads, out, strict=True))
        assert all_same_bits(out, expected)
        grads = hvp(*at, *tangents, out=fs.LinearGrads(out.weight, None))
        assert grads.weight is out.weight
        assert all_same_bits(grads, product)
    _, grads = value_and_grad(*at, out=fs.LinearGrads(None, out.bias))
    assert grads.bias is out.bias
    assert all_same_bits(grads, [*expected[:2], None])
    value_and_grad(*at, with_grad_X=True, out=fs.LinearGrads(p.weight, p.bias, p.X))
    assert all_same_bits((p.weight, p.bias, p.X), expected)
    p = problem(SMALL)
    hvp(p.X, p.weight, p.bias, p.labels, *tangents, out=fs.LinearGrads(*tangents))
    assert all_same_bits(tangents, product[:2])


@pytest.mark.parametrize("loss", LOSSES)
def test_bad_input_is_named_and_nothing_is_written(loss):
    p, out = problem((8, 4, 5)), fs.LinearGrads(np.full((5, 4), 7.0), np.full(5, 7.0), np.full((8, 4), 7.0))
    at = {"X": p.X, "weight": p.weight, "bias": p.bias, "targets": p.labels}
    tangents = {"weight_tangent": p.weight_tangent, "bias_tangent": p.bias_tangent}
    fixed, both = np.full((5, 4), 7.0), np.full((9, 4), 7.0)
    fixed.flags.writeable = False
    for bad, message in (
        ({"X": p.X[:, 1:]}, r"X must have shape \(n_samples, 4\), because weight has shape \(5, 4\), got \(8, 3\)"),
        ({"X": p.X[0]}, r"X must have shape \(n_samples, (4|n_features)\).*, got \(4,\)"),
        ({"X": p.X.astype(complex)}, "X must hold real numbers .* got complex128"),
        ({"weight": p.weight[0]}, r"weight must have shape \(n_classes, n_features\), got \(4,\)"),
        ({"weight": p.weight.astype(str)}, "weight must hold real numbers"),
        ({"bias": p.bias[1:]}, r"bias must have shape \(5,\), got \(4,\)"),
        ({"bias": None}, r"(out\.bias|bias_tangent) must be None"),
        ({"targets": p.labels[:, None]}, r"targets must have shape \(8,\), got \(8, 1\)"),
        ({"targets": p.soft[1:]}, r"targets must have shape \(8, 5\), got \(7, 5\)"),
        ({"targets": [0, 1, 2, 3, 4, 0, 5, -1]}, r"targets\[6\] = 5 is not a class: logits have 5 classes, 0 to 4"),
        ({"sample_weight": np.ones(9)}, r"sample_weight must have shape \(8,\), got \(9,\)"),
        ({"sample_weight": np.arange(8) - 1}, r"sample_weight\[0\] = -1 is not a weight"),
        ({"sample_weight": np.zeros(8)}, "sample_weight must not be all zero"),
        ({"class_weight": [1, 1, np.nan, 1, 1]}, r"class_weight\[2\] = nan is not a weight"),
        ({"class_weight": np.ones(4)}, r"class_weight must have shape \(5,\), got \(4,\)"),
        ({"label_smoothing": 1.5}, r"label_smoothing must be between 0 and 1, got 1\.5"),
        ({"ignore_index": 1.5}, r"ignore_index must be an integer, got 1\.5"),
        ({"reduction": "max"}, r"reduction must be .* got 'max'"),
        ({"weight_tangent": p.weight.T}, r"weight_tangent must have shape \(5, 4\), got \(4, 5\)"),
        ({"bias_tangent": p.bias[1:]}, r"bias_tangent must have shape \(5,\), got \(4,\)"),
        ({"probs": p.soft.T}, r"probs must have shape \(8, 5\), got \(5, 8\)"),
        ({"out": (out.weight, out.bias, None)}, "out must be a LinearGrads, got tuple"),
        ({"out": out._replace(weight=np.empty((4, 5)))}, r"out\.weight must have shape \(5, 4\), got \(4, 5\)"),
        ({"out": out._replace(bias=np.empty(5, "f4"))}, r"out\.bias must have dtype float64, got float32"),
        ({"out": out._replace(weight=fixed)}, r"out\.weight must be writable"),
        ({"X": both[1:], "out": out._replace(weight=both[:5])}, r"out\.weight must not partly overlap X"),
    ):
        given = {**at, "out": out, "with_grad_X": True, **bad}
        if not {"weight_tangent", "bias_tangent", "probs"} & set(bad):
            with pytest.raises((ValueError, TypeError), match=message):
                getattr(fs, f"{loss}_value_and_grad")(**given)
            if "out" not in bad and bad.get("bias", 0) is not None:
                with pytest.raises((ValueError, TypeError), match=message):
                    getattr(fs, loss)(**{**at, **bad})
        del given["with_grad_X"]
        given["out"] = given["out"]._replace(X=None) if isinstance(given["out"], fs.LinearGrads) else given["out"]
        with pytest.raises((ValueError, TypeError), match=message):
            getattr(fs, f"{loss}_hvp")(**{**tangents, **given})
    assert all((array == 7).all() for array in (*out, fixed, both))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", ["linear_cross_entropy", "linear_squared_error"])
def test_pieces_of_an_x_that_must_be_copied_each_with_targets_and_weights_of_their_own(name, soft, monkeypatch):
    monkeypatch.setattr("fastsoftmax._gate.samples.PIECE_BYTES", 1)
    n_rows = (5 if JIT else 2) * GROUP + 3
    X, weight = rng().standard_normal((n_rows, 3)), rng(1).standard_normal((4, 3))
    targets = rng(2).dirichlet(np.ones(4), n_rows) if soft else rng(2).integers(0, 4, n_rows)
    options = {"sample_weight": rng(3).random(n_rows), "class_weight": rng(4).random(4)}
    function, hvp = getattr(fs, f"{name}_value_and_grad"), getattr(fs, f"{name}_hvp")
    for reduction in ("mean", "none"):
        loss, grads = function(X, weight, None, targets, reduction=reduction, with_grad_X=True, **options)
        swapped = function(X.astype(">f8"), weight, None, targets, reduction=reduction, with_grad_X=True, **options)
        assert same_bits(loss, swapped[0])
        assert same_bits(grads.weight, swapped[1].weight)
        assert same_bits(grads.X, swapped[1].X)
    product, other = (hvp(A, weight, None, targets, weight[::-1], None, **options) for A in (X, X.astype(">f8")))
    assert same_bits(product.weight, other.weight)


@pytest.mark.parametrize("loss", LOSSES)
def test_work_is_told_in_elements_of_a_row(loss, monkeypatch):
    """It decides from which size on threads help: eight products are worth one element of softmax."""
    told, p = [], problem((5, 16, 3))

    def run(kernel, work, *arguments):
        told.append(work)
        return threads_run(kernel, work, *arguments)

    for room in ("_layer", "dense"):  # the latter is a function's name, too
        monkeypatch.setattr(sys.modules[f"fastsoftmax.functional.{room}"], "run", run)
    for X, products in ((p.X, 30), (scipy.sparse.csr_array(np.eye(5, 16)), 1)):
        getattr(fs, loss)(X, p.weight, p.bias, p.labels)
        getattr(fs, f"{loss}_hvp")(X, p.weight, p.bias, p.labels, p.weight_tangent, None)
        fs.dense(X, p.weight)
        fs.dense_vjp(X, p.weight, p.soft)
        assert told == [products, 2 * products, products, products]
        told.clear()


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_dense_X_is_handed_on_whole_or_copied_in_whole_groups_of_rows(dtype, monkeypatch):
    X = np.ones((5 * GROUP + 3, 3), dtype)
    ((rows, same),) = Samples(X).pieces(X.dtype)
    assert rows == slice(None)
    assert same is X
    monkeypatch.setattr("fastsoftmax._gate.samples.PIECE_BYTES", 7 * X[:GROUP].nbytes // 3)
    swapped = X.astype(X.dtype.newbyteorder())
    assert [len(part) for _, part in Samples(swapped).pieces(X.dtype)] == [2 * GROUP, 2 * GROUP, GROUP + 3]
    assert [(rows.start, rows.stop) for rows, _ in Samples(swapped).pieces(X.dtype)][1] == (2 * GROUP, 4 * GROUP)
    monkeypatch.setattr("fastsoftmax._gate.samples.PIECE_BYTES", 1)
    assert [len(part) for _, part in Samples(swapped).pieces(X.dtype)] == [GROUP] * 5 + [3]
    assert [part.shape for _, part in Samples(swapped[:4, :0]).pieces(X.dtype)] == [(4, 0)]


@pytest.mark.parametrize("n_elements", [0, 2])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_a_csr_matrix_has_the_integers_that_kernels_take(n_elements, index):
    X = scipy.sparse.csr_array((2, 3))
    X.data, X.indices, X.indptr = (
        np.ones(n_elements),
        np.arange(n_elements, dtype=index),
        np.array([0, 0, n_elements], index),
    )
    ((_, parts),) = Samples(X).pieces(np.dtype(float))
    assert [part.dtype for part in parts] == [np.float64, np.int32, np.int64]
