"""cross_entropy and squared_error: exact values, oracles, derivatives, weights, and what is left out."""

import mpmath
import numpy as np
import pytest
from helpers import FLOATS, JIT, SHAPES, derivative, rng, same_bits, tolerance
from sklearn.metrics import log_loss

import fastsoftmax as fs
from fastsoftmax import kernels

LOSSES = ("cross_entropy", "squared_error")
REDUCTIONS = ("mean", "sum", "none")


def problem(shape, dtype=np.float64, seed=0):
    """Logits, labels and distributions."""
    logits = rng(seed).standard_normal(shape).astype(dtype) * 3
    labels = rng(seed + 1).integers(0, shape[1], shape[0])
    return logits, labels, rng(seed + 2).dirichlet(np.ones(shape[1]), shape[0]).astype(dtype)


def options(shape, seed=0):
    """Every combination of the options, but for ignore_index."""
    random = rng(seed)
    for sample_weight in (None, random.uniform(0, 2, shape[0])):
        for class_weight in (None, random.uniform(0.1, 2, shape[1])):
            for label_smoothing in (0.0, 0.2, 1.0):
                for reduction in REDUCTIONS:
                    yield {
                        "sample_weight": sample_weight,
                        "class_weight": class_weight,
                        "label_smoothing": label_smoothing,
                        "reduction": reduction,
                    }


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_option_equals_the_reference(loss, shape, dtype):
    logits, labels, distributions = problem(shape, dtype)
    for targets in (labels, distributions):
        for chosen in options(shape):
            value, grad = getattr(fs, f"{loss}_value_and_grad")(logits, targets, **chosen)
            expected, expected_grad = getattr(fs.reference, f"{loss}_value_and_grad")(
                logits.astype(np.float64), targets, **chosen
            )
            limit = 4 * tolerance(dtype, shape[1])
            np.testing.assert_allclose(value, expected, rtol=limit, atol=limit)
            np.testing.assert_allclose(grad, expected_grad, rtol=0, atol=limit * max(1, np.abs(expected_grad).max()))
            assert np.asarray(value).dtype == grad.dtype == dtype
            assert np.array_equal(value, getattr(fs, loss)(logits, targets, **chosen))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(3, 2), (5, 10), (2, 600)])
def test_gradients_equal_finite_differences(loss, shape):
    logits, labels, distributions = problem(shape)
    direction = rng(5).standard_normal(shape)
    for targets in (labels, distributions):
        for chosen in options(shape):
            if chosen["reduction"] == "none":
                continue
            _, grad = getattr(fs, f"{loss}_value_and_grad")(logits, targets, **chosen)
            numerical = derivative(lambda z, t=targets, o=chosen: getattr(fs, loss)(z, t, **o), logits, direction)
            assert np.vdot(grad, direction) == pytest.approx(numerical, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("dtype", FLOATS)
def test_cross_entropy_against_50_digits(dtype):
    logits, labels, distributions = problem((6, 20), dtype)
    eps = float(np.finfo(dtype).eps)
    with mpmath.workdps(50):
        for row, label, distribution in zip(logits, labels, distributions, strict=True):
            log_sum = mpmath.log(mpmath.fsum(mpmath.exp(float(x)) for x in row))
            exact = log_sum - float(row[label])
            assert fs.cross_entropy(row, label) == pytest.approx(float(exact), rel=4 * eps)
            exact = mpmath.fsum(float(t) * (log_sum - float(x)) for t, x in zip(distribution, row, strict=True))
            assert fs.cross_entropy(row, distribution) == pytest.approx(float(exact), rel=16 * eps)


def test_cross_entropy_equals_scikit_learns_log_loss():
    logits, labels, _ = problem((50, 7))
    weight = rng(3).uniform(0.1, 2, 50)
    expected = log_loss(labels, fs.softmax(logits), sample_weight=weight, labels=range(7))
    assert fs.cross_entropy(logits, labels, sample_weight=weight) == pytest.approx(expected, rel=1e-12)


def test_losses_equal_torch():
    torch = pytest.importorskip("torch", reason="torch is an optional peer")
    logits, labels, distributions = problem((9, 5))
    labels[4] = -100
    for targets, extra in ((labels, {"ignore_index": -100}), (distributions, {})):
        for chosen in options(logits.shape):
            if chosen.pop("sample_weight") is not None:
                continue
            z = torch.tensor(logits, requires_grad=True)
            weight = None if chosen["class_weight"] is None else torch.tensor(chosen["class_weight"])
            expected = torch.nn.functional.cross_entropy(
                z, torch.tensor(targets), weight, label_smoothing=chosen["label_smoothing"],
                reduction=chosen["reduction"], **extra,
            )  # fmt: skip
            expected.sum().backward()
            value, grad = fs.cross_entropy_value_and_grad(logits, targets, **chosen, **extra)
            np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-12)
            np.testing.assert_allclose(grad, z.grad.numpy(), atol=1e-14)


def test_exact_values():
    assert fs.cross_entropy([[1e4, 0.0]], [1]) == 1e4
    assert fs.cross_entropy(np.float32([[1e4, 0, -1e4]]), [2]) == 2e4
    assert fs.cross_entropy([[1e4, 0.0]], [0]) == 0
    assert fs.cross_entropy([[0.0, -40.0]], [0]) == pytest.approx(4.248354255291589e-18, rel=1e-14)
    assert fs.squared_error([[1e4, 0.0]], [1]) == 2
    value, grad = fs.cross_entropy_value_and_grad([[1e4, 0.0]], [1])  # no p to divide by: the gradient is right
    assert same_bits(grad, np.array([[1.0, -1.0]]))
    value, grad = fs.cross_entropy_value_and_grad([[3.0]], [0])
    assert value == 0
    assert grad == [[0]]


def test_cross_entropy_collapses_and_squared_error_does_not():
    logits, labels, _ = problem((4, 5))
    difference = fs.softmax(logits) - fs.reference.one_hot(labels, 5)
    _, grad = fs.cross_entropy_value_and_grad(logits, labels, reduction="sum")
    np.testing.assert_allclose(grad, difference, atol=1e-15)
    _, grad = fs.squared_error_value_and_grad(logits, labels, reduction="sum")
    np.testing.assert_allclose(grad, fs.softmax_vjp(fs.softmax(logits), 2 * difference), atol=1e-15)
    assert np.abs(grad - 2 * difference).max() > 0.1


def test_minus_infinity_in_the_logits():
    value, grad = fs.cross_entropy_value_and_grad([[0.0, -np.inf, 1.0]], [0])
    assert value == pytest.approx(np.log(1 + np.e))
    assert np.isfinite(grad).all()
    assert grad[0, 1] == 0
    value, grad = fs.cross_entropy_value_and_grad([[0.0, -np.inf, 1.0]], [1])
    assert value == np.inf
    assert np.isfinite(grad).all()
    assert fs.cross_entropy([[0.0, -np.inf]], [[1.0, 0.0]]) == 0  # 0 log 0 is 0
    assert fs.cross_entropy([[0.0, -np.inf]], [1], class_weight=[1, 0], reduction="sum") == 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_row_is_nan_and_its_neighbours_are_not(loss, bad):
    logits, labels, distributions = problem((4, 6))
    for targets in (labels, distributions):
        clean = getattr(fs, f"{loss}_value_and_grad")(logits, targets, reduction="none")
        broken = logits.copy()
        broken[2, 3] = bad
        result = getattr(fs, f"{loss}_value_and_grad")(broken, targets, reduction="none")
        for before, after in zip(clean, result, strict=True):
            assert np.isnan(after[2]).all()
            assert same_bits(np.delete(before, 2, 0), np.delete(after, 2, 0))


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_left_out_count_for_nothing_whatever_they_hold(loss):
    logits, labels, distributions = problem((6, 4))
    call = getattr(fs, f"{loss}_value_and_grad")
    kept = [0, 1, 3, 5]
    logits[[2, 4]] = np.nan
    for smoothing in (0.0, 0.1):
        expected, expected_grad = call(logits[kept], labels[kept], label_smoothing=smoothing)
        ignored = labels.copy()
        ignored[[2, 4]] = -100
        weight = np.isin(np.arange(6), kept).astype(float)
        for arguments in ({"targets": ignored, "ignore_index": -100}, {"targets": labels, "sample_weight": weight}):
            value, grad = call(logits, **arguments, label_smoothing=smoothing)
            assert value == pytest.approx(expected, rel=1e-14)
            np.testing.assert_allclose(grad[kept], expected_grad, rtol=1e-13)
            assert (grad[[2, 4]] == 0).all()
    value, grad = call(logits, distributions, sample_weight=weight)
    np.testing.assert_allclose(value, call(logits[kept], distributions[kept])[0], rtol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_integer_weights_equal_repeated_rows(loss):
    logits, labels, distributions = problem((5, 3))
    repeats = np.array([1, 3, 0, 2, 1])
    for targets in (labels, distributions):
        weighted = getattr(fs, loss)(logits, targets, sample_weight=repeats)
        repeated = getattr(fs, loss)(np.repeat(logits, repeats, axis=0), np.repeat(targets, repeats, axis=0))
        assert weighted == pytest.approx(repeated, rel=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_one_hot_targets_equal_labels(loss):
    logits, labels, _ = problem((5, 3))
    for dtype in (np.float64, np.int64, np.bool_):
        one_hot = fs.reference.one_hot(labels, 3, dtype)
        for smoothing in (0.0, 0.3):
            by_label = getattr(fs, f"{loss}_value_and_grad")(logits, labels, label_smoothing=smoothing)
            by_row = getattr(fs, f"{loss}_value_and_grad")(logits, one_hot, label_smoothing=smoothing)
            np.testing.assert_allclose(by_label[0], by_row[0], rtol=1e-14)
            np.testing.assert_allclose(by_label[1], by_row[1], atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_to_average_is_nan_and_nothing_to_sum_is_0(loss):
    call = getattr(fs, f"{loss}_value_and_grad")
    for logits, targets in ((np.empty((0, 3)), np.empty(0, int)), (np.empty((0, 3)), np.empty((0, 3)))):
        assert np.isnan(call(logits, targets)[0])
        assert call(logits, targets, reduction="sum")[0] == 0
        assert call(logits, targets, reduction="none")[0].shape == (0,)
        assert call(logits, targets)[1].shape == (0, 3)
    value, grad = call([[1.0, 2.0]], [7], ignore_index=7)
    assert np.isnan(value)
    assert (grad == 0).all()
    assert call(np.empty((2, 0)), np.empty((2, 0)), reduction="sum")[0] == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_one_row_and_more_than_two_dimensions(loss):
    logits, labels, _ = problem((6, 4))
    call = getattr(fs, f"{loss}_value_and_grad")
    value, grad = call(logits[0], labels[0])
    assert same_bits(grad, call(logits[:1], labels[:1])[1][0])
    assert np.shape(call(logits[0], labels[0], reduction="none")[0]) == ()
    value, grad = call(logits.reshape(2, 3, 4), labels.reshape(2, 3), reduction="none")
    assert value.shape == (2, 3)
    assert same_bits(grad.reshape(6, 4), call(logits, labels, reduction="none")[1])


def test_float16_losses():
    logits, labels, _ = problem((6, 4))
    half = logits.astype(np.float16)
    value, grad = fs.cross_entropy_value_and_grad(half, labels)
    assert value.dtype == grad.dtype == np.float16
    expected = fs.cross_entropy_value_and_grad(half.astype(np.float32), labels)
    assert same_bits(value, expected[0].astype(np.float16))
    assert same_bits(grad, expected[1].astype(np.float16))
    assert fs.cross_entropy(np.float16([[6e4, 0]] * 9), [1] * 9, reduction="sum") == np.inf


def test_a_sum_over_many_rows_is_accumulated_in_float64():
    logits = np.zeros((100_000, 2), np.float32)
    value = fs.cross_entropy(logits, np.zeros(100_000, int), reduction="sum")
    assert value == np.float32(100_000 * np.log(2))


@pytest.mark.skipif(not JIT, reason="as long a row as this is for compiled code")
def test_long_rows_keep_their_digits_with_smoothing_and_distributions():
    """Sums over the classes of a float32 row: off by 365 eps at a million classes where they run on in float32."""
    logits = np.tile(np.float32([0.0, -0.3, -1.7]), 200_000)[None]
    wide = logits.astype(np.float64)
    uniform = np.full(logits.shape, 1 / logits.shape[1], np.float32)
    for targets, options in (([1], {"label_smoothing": 1.0}), ([1], {"label_smoothing": 0.1}), (uniform, {})):
        for loss in LOSSES:
            value, grad = getattr(fs, f"{loss}_value_and_grad")(logits, targets, **options)
            expected = getattr(fs, loss)(wide, targets, **options)
            assert value == pytest.approx(expected, rel=8 * float(np.finfo(np.float32).eps))
            assert abs(grad.sum(dtype=np.float64)) < 1e-6


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("columns", [4, 600])
def test_out_and_rows_by_themselves(loss, columns):
    logits, labels, distributions = problem((7, columns))
    call = getattr(fs, f"{loss}_value_and_grad")
    for targets in (labels, distributions):
        value, grad = call(logits, targets, reduction="none")
        itself = logits.copy()
        assert call(itself, targets, reduction="none", out=itself)[1] is itself
        assert same_bits(itself, grad)
        if targets is distributions:
            itself = targets.copy()
            call(logits, itself, reduction="none", out=itself)
            assert same_bits(itself, grad)
        for n in range(7):
            alone = call(logits[n], targets[n], reduction="none")
            assert same_bits(alone[0], value[n])
            assert same_bits(alone[1], grad[n])


@pytest.mark.parametrize("name", ["squared_error", "linear_squared_error"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_of_weight_0_is_absent_from_a_mean_whatever_its_target_is(name, bad):
    targets = np.array([[0.5, 0.5], [bad, 1.0]])
    arguments = (np.zeros((2, 2)),) if name == "squared_error" else (np.zeros((2, 1)), np.zeros((2, 1)), None)
    loss = getattr(fs, name)(*arguments, targets, sample_weight=[1.0, 0.0], class_weight=[0.0, 2.0])
    assert loss == getattr(fs, name)(arguments[0][:1], *arguments[1:], targets[:1])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_gradient_into_an_array_of_another_layout(loss):
    function, (logits, labels, _) = getattr(fs, f"{loss}_value_and_grad"), problem((5, 3))
    for out in (np.zeros((3, 5)).T, np.zeros((10, 6))[::2, ::-2]):
        value, grad = function(logits, labels, out=out)
        assert grad is out
        assert same_bits(out, function(logits, labels)[1])
        assert value == function(logits, labels)[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_logits_of_three_axes(loss):
    """A weight for each row, in the shape of the rows, and one for each class, which are along the last axis."""
    logits, labels, _ = problem((12, 4))
    weights = {"sample_weight": rng(1).random(12), "class_weight": rng(2).random(4)}
    flat_value, flat_grad = getattr(fs, f"{loss}_value_and_grad")(logits, labels, **weights)
    weights["sample_weight"] = weights["sample_weight"].reshape(3, 4)
    value, grad = getattr(fs, f"{loss}_value_and_grad")(logits.reshape(3, 4, 4), labels.reshape(3, 4), **weights)
    assert value == flat_value
    assert same_bits(grad.reshape(12, 4), flat_grad)
    logits, labels = logits.reshape(3, 2, 2, 4), labels.reshape(3, 2, 2)
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(3, 2, 2\), got \(3,\)"):
        getattr(fs, loss)(logits, labels, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match=r"class_weight must have shape \(4,\), got \(2, 2, 4\)"):
        getattr(fs, loss)(logits, labels, class_weight=np.ones((2, 2, 4)))


@pytest.mark.parametrize("kind", ["labels", "smoothed", "soft"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_of_a_row_that_is_left_out_is_written(loss, kind):
    """Zeros, over whatever is in out=."""
    logits, labels, distribution = problem((12, 20))
    out, weight, left_out = np.full(logits.shape, np.nan), np.ones(12), [2, 7]
    weight[7], labels[2] = 0.0, -100
    if kind == "soft":
        weight[2] = 0.0
    options = {"sample_weight": weight, "label_smoothing": 0.1 if kind == "smoothed" else 0.0}
    if kind != "soft":
        options["ignore_index"] = -100
    targets = distribution if kind == "soft" else labels
    getattr(fs, f"{loss}_value_and_grad")(logits, targets, out=out, **options)
    assert np.isfinite(out).all()
    assert (out[left_out] == 0).all()
    assert (np.delete(out, left_out, axis=0) != 0).any(axis=1).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_tiny_weights_whose_product_is_no_number_any_more(smoothing):
    """1e-30 for each row, which divides out of a mean, and 1e-300 for each class: their product is 0 in float64."""
    logits, _, distribution = problem((12, 4))
    by_class, by_row = rng(2).uniform(1, 2, 4), rng(3).uniform(1, 2, 12)
    weights = {"sample_weight": by_row, "class_weight": by_class, "label_smoothing": smoothing}
    _, want = fs.cross_entropy_value_and_grad(logits, distribution, **weights)
    weights |= {"sample_weight": 1e-30 * by_row, "class_weight": 1e-300 * by_class}
    _, grad = fs.cross_entropy_value_and_grad(logits, distribution, **weights)
    np.testing.assert_allclose(grad / 1e-300, want, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_mean_over_nothing_is_no_error_with_weights_either(loss):
    logits, _, _ = problem((3, 4))
    for weights in ({"sample_weight": [1.0, 2.0, 3.0]}, {"class_weight": [1.0, 2.0, 3.0, 4.0]}):
        value, grad = getattr(fs, f"{loss}_value_and_grad")(logits, [1, 1, 1], ignore_index=1, **weights)
        assert np.isnan(value)
        assert not grad.any()
    value, grad = getattr(fs, f"{loss}_value_and_grad")(np.empty((0, 4)), [], class_weight=[1.0, 2.0, 3.0, 4.0])
    assert np.isnan(value)
    assert grad.shape == (0, 4)
    assert np.isnan(getattr(fs, loss)(np.empty((2, 0)), [0, 0], ignore_index=0))


@pytest.mark.parametrize("offset", [1e6, -1e6, 1e8] if JIT else [-1e6])
@pytest.mark.parametrize("loss", LOSSES)
def test_an_offset_of_a_row_changes_nothing(loss, offset):
    """Of float32, too, whose logits are multiples of 1/8 or 8 out there."""
    for dtype, grain in ((np.float64, 2.0**-20), (np.float32, 2.0**-3 if abs(offset) == 1e6 else 8.0)):
        logits, labels, soft = problem((30, 6), dtype)
        logits = (np.round(logits / dtype(grain)) * dtype(grain)).astype(dtype)
        moved = logits + dtype(offset)
        assert (moved - dtype(offset) == logits).all()
        for targets in (labels, soft):
            for chosen in options(logits.shape):
                value, grad = getattr(fs, f"{loss}_value_and_grad")(moved, targets, **chosen)
                near, near_grad = getattr(fs, f"{loss}_value_and_grad")(logits, targets, **chosen)
                limit = 4 * tolerance(dtype, 6)
                np.testing.assert_allclose(value, near, rtol=limit, atol=limit * max(1, np.abs(near).max()))
                np.testing.assert_allclose(grad, near_grad, rtol=0, atol=limit * max(1, np.abs(near_grad).max()))


@pytest.mark.parametrize("row", [0, 511, 512, 1023, 1024, 1499])
@pytest.mark.parametrize("label", [-1, 3, 2**40, -(2**40)])
def test_the_first_bad_label_of_many_is_named(row, label):
    """Labels are looked at block by block; one that is ignored is good, wherever it is."""
    logits, labels = np.zeros((1500, 3)), np.arange(1500) % 3
    labels[row] = label
    labels[1499] = label
    for call in (fs.cross_entropy, fs.cross_entropy_value_and_grad):
        with pytest.raises(ValueError, match=rf"targets\[{row}\] = {label} is not a class"):
            call(logits, labels)
    labels[[7, 600, 1100]] = -100
    with pytest.raises(ValueError, match=rf"targets\[{row}\] = {label} is not a class"):
        fs.cross_entropy(logits, labels, ignore_index=-100)
    labels[[row, 1499]] = -100
    assert fs.cross_entropy(logits, labels, ignore_index=-100) == pytest.approx(np.log(3))


def test_rows_that_take_part_are_counted_and_weighed():
    labels, soft = np.array([0, -1, 2, 1]), np.array([[0.5, 0.5], [1.0, 1.0], [np.nan, 0.0]])
    no_labels, no_soft, none = np.empty(0, np.int64), np.empty((0, 3)), np.empty(0)
    by_row, by_class = np.array([1.0, 9.0, 0.0, 3.0]), np.array([2.0, 4.0, 8.0])
    for arguments, expected in (
        ((labels, no_soft, none, none), (3, 3.0)),
        ((labels, no_soft, by_row, by_class), (3, 14.0)),
        ((labels, no_soft, none, by_class), (3, 14.0)),
        ((no_labels, soft, none, none), (3, 3.0)),
        ((no_labels, soft, np.array([1.0, 2.0, 0.0]), by_class[:2]), (3, 15.0)),
    ):
        assert kernels.weight_taking_part(*arguments) == expected
    assert kernels.weight_taking_part(labels, no_soft, none, by_class[:0]) == (3, 3.0)


@pytest.mark.parametrize("n", [1, 512, 513, 1500])
def test_the_first_label_that_is_no_class_is_found(n):
    labels = np.arange(n) % 4
    assert kernels.first_bad_label(labels, 4, 0, False) == -1
    for at in {0, n // 2, n - 1}:
        for bad in (-1, 4, 2**62):
            labels[at] = bad
            assert kernels.first_bad_label(labels, 4, 0, False) == at
            assert kernels.first_bad_label(labels, 4, bad, True) == -1
            assert kernels.first_bad_label(labels, 4, 7, True) == at
        labels[at] = 0
