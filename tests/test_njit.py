"""The public functions inside a user's @njit code: the same bits as from Python, with parallel off and on."""

import os

import forked
import numba
import numpy as np
import pytest
from helpers import JIT, layouts, rng, same_bits, uneven
from numba.core.errors import TypingError

import fastsoftmax as fs
from fastsoftmax import kernels
from fastsoftmax.kernels.jit import kernel

pytestmark = pytest.mark.skipif(not JIT, reason="without the JIT there is no @njit code")

LABELS = np.array([2, 0, 1, 1])


@numba.njit
def maps(logits):
    return fs.softmax(logits), fs.log_softmax(logits, axis=-1, temperature=2.0), fs.logsumexp(logits)


@numba.njit
def sums(logits):
    return fs.logsumexp(logits)


@numba.njit
def products(probs, vector):
    return fs.softmax_jvp(probs, vector), fs.softmax_vjp(probs, vector, -1)


@numba.njit
def masked(logits, where):
    return fs.softmax(logits, where=where), fs.log_softmax(logits, where=where), fs.logsumexp(logits, where=where)


@numba.njit
def losses(logits, targets, sample_weight, class_weight):
    return (
        fs.cross_entropy(logits, targets),
        fs.cross_entropy(logits, targets, sample_weight=sample_weight, class_weight=class_weight, reduction="sum"),
        fs.cross_entropy(logits, targets, sample_weight=sample_weight, class_weight=class_weight),
        fs.cross_entropy(logits, targets, label_smoothing=0.1, reduction="none"),
    )


@numba.njit
def two_losses(logits, targets, sample_weight, class_weight):
    return (
        fs.cross_entropy(logits, targets, sample_weight=sample_weight, class_weight=class_weight),
        fs.cross_entropy(logits, targets, label_smoothing=0.1, reduction="none"),
    )


# For each type of argument Numba compiles all that is called once more, a second a function. What reads arrays of other
# dtypes, axes and layouts is the same code for all functions, and so it is tested of one function in most cases.


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        *[(shape, dtype) for shape in [(4, 3), (2, 600), (0, 3), (3, 0)] for dtype in (np.float32, np.float64)],
        *[((5,), np.float64), ((4, 3), np.int64), ((2, 600), np.int64)],
    ],
)
def test_maps_and_products_give_the_bits_of_python(shape, dtype):
    logits = uneven(shape).astype(dtype)
    expected = fs.softmax(logits), fs.log_softmax(logits, temperature=2.0), fs.logsumexp(logits)
    for result, clean in zip(maps(logits), expected, strict=True):
        assert same_bits(np.asarray(result, np.asarray(clean).dtype), clean)
    vector = uneven(shape, seed=1)
    expected = fs.softmax_jvp(logits, vector), fs.softmax_vjp(logits, vector)
    for result, clean in zip(products(logits, vector), expected, strict=True):
        assert same_bits(result, clean)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [(4, 3), (5,), (2, 600), (0, 3)])
def test_every_dtype_is_read(shape, dtype):
    logits = uneven(shape).astype(dtype)
    result, clean = sums(logits), fs.logsumexp(logits)
    assert same_bits(np.asarray(result, np.asarray(clean).dtype), clean)


def test_every_layout():
    logits = uneven((4, 3))
    for name, x in layouts(logits):
        if name not in ("big-endian", "misaligned", "list", "memmap"):  # not types that Numba code takes
            assert same_bits(sums(x), sums(logits)), name


@numba.njit
def masked_row(logits, where):
    return fs.softmax(logits, where=where)


def test_where():
    logits, where = uneven((4, 3)), np.array([[True, False, True], [False] * 3, [True] * 3, [False, True, True]])
    expected = (f(logits, where=where) for f in (fs.softmax, fs.log_softmax, fs.logsumexp))
    for result, clean in zip(masked(logits, where), expected, strict=True):
        assert same_bits(result, clean)
    assert same_bits(masked_row(logits[0], where[0]), fs.softmax(logits, where=where)[0])


def test_cross_entropy():
    logits = rng().standard_normal((4, 3))
    sample_weight, class_weight = np.array([1.0, 0.5, 2.0, 0.0]), np.array([0.5, 1.0, 2.0])
    weights = {"sample_weight": sample_weight, "class_weight": class_weight}
    for function, z, targets in (
        (losses, logits, LABELS),
        (two_losses, logits.astype(np.float32), LABELS.astype(np.int8)),
        (two_losses, np.asfortranarray(logits), fs.softmax(-logits)),
    ):
        expected = [
            fs.cross_entropy(z, targets),
            fs.cross_entropy(z, targets, **weights, reduction="sum"),
            fs.cross_entropy(z, targets, **weights),
            fs.cross_entropy(z, targets, label_smoothing=0.1, reduction="none"),
        ]
        found = function(z, targets, sample_weight, class_weight)
        for result, clean in zip(found, expected[-len(found) :], strict=True):
            assert same_bits(np.asarray(result, clean.dtype), clean)


@numba.njit
def one_row(logits, target):
    return fs.cross_entropy(logits, target)


@numba.njit
def one_loss(logits, target):
    return fs.cross_entropy(logits, target, reduction="none")


@numba.njit
def ignoring(logits, targets):
    return fs.cross_entropy(logits, targets, ignore_index=-100)


def test_one_row_and_ignore_index():
    logits = rng().standard_normal((4, 3))
    assert one_row(logits[1], 2) == one_loss(logits[1], 2) == fs.cross_entropy(logits[1], 2)
    assert one_row(logits[1], fs.softmax(logits[0])) == fs.cross_entropy(logits[1], fs.softmax(logits[0]))
    targets = np.array([0, -100, 1, -100])
    assert ignoring(logits, targets) == fs.cross_entropy(logits, targets, ignore_index=-100)
    assert (targets == [0, -100, 1, -100]).all()
    assert np.isnan(ignoring(logits, np.full(4, -100)))


@numba.njit
def ignoring_any(logits, targets, index):
    return fs.cross_entropy(logits, targets, ignore_index=index)


def test_distributions_have_no_label_to_ignore():
    logits, targets = rng().standard_normal((4, 3)), np.full((4, 3), 1 / 3)
    assert ignoring_any(logits, targets, -100) == fs.cross_entropy(logits, targets)
    with pytest.raises(ValueError, match="ignore_index must be None or negative where targets are distributions"):
        ignoring_any(logits, targets, 0)


@numba.njit(parallel=True)
def rows_in_parallel(logits, labels):
    probs, loss = np.empty_like(logits), np.empty(len(logits))
    for n in numba.prange(len(logits)):
        probs[n] = fs.softmax(logits[n])
        loss[n] = fs.cross_entropy(logits[n], labels[n])
    return probs, loss, fs.logsumexp(logits)


def test_in_a_parallel_loop():
    logits, labels = uneven((500, 12)), rng().integers(0, 12, 500)
    probs, loss, sums = rows_in_parallel(logits, labels)
    assert same_bits(probs, fs.softmax(logits))
    assert same_bits(loss, fs.cross_entropy(logits, labels, reduction="none"))
    assert same_bits(sums, fs.logsumexp(logits))


@numba.njit
def by_kernels(logits, vector, out):
    kernels.softmax_rows(logits, None, out, 0)
    kernels.softmax_vjp_rows(out, vector, out, 0)


def test_kernels_from_njit_code():
    logits, vector, out = uneven((6, 5)), uneven((6, 5), seed=1), np.empty((6, 5))
    by_kernels(logits, vector, out)
    assert same_bits(out, fs.softmax_vjp(fs.softmax(logits), vector))


@numba.njit
def with_axis(logits, axis):
    return fs.softmax(logits, axis)


@numba.njit
def with_temperature(logits, temperature):
    return fs.softmax(logits, temperature=temperature)


def test_values_that_are_refused():
    logits, ones = np.zeros((4, 3)), np.ones(4)
    columns = np.asfortranarray(logits)  # of the types in test_cross_entropy, which are compiled
    assert same_bits(with_axis(logits, 1), fs.softmax(logits))
    for call, message in (
        (lambda: with_axis(logits, 0), "axis must be the last one"),
        (lambda: with_temperature(logits, -1.0), "temperature must be positive"),
        (lambda: products(logits, np.zeros((4, 4))), "must have the shape of probs"),
        (lambda: masked(logits, np.ones((4, 1), bool)), "where must have the shape of logits"),
        (lambda: losses(logits, LABELS + 1, ones, ones[:3]), "targets must be classes"),
        (lambda: losses(logits, LABELS[1:], ones, ones[:3]), "one label for each row"),
        (lambda: two_losses(columns, np.ones((4, 4)), ones, ones[:3]), "targets must have the shape of logits"),
        (lambda: losses(logits, LABELS, -ones, ones[:3]), "must be finite and at least 0"),
        (lambda: losses(logits, LABELS, ones[1:], ones[:3]), "one entry for each row"),
        (lambda: losses(logits, LABELS, 0 * ones, ones[:3]), "must not be all zero"),
        (lambda: two_losses(columns, fs.softmax(logits), ones, 0 * ones[:3]), "must not be all zero"),
        (lambda: with_temperature(logits.astype(np.float32), 1e-60), "temperature must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_types_that_are_refused_are_typing_errors():
    for bad in (np.ones((2, 2), complex), np.ones((2, 2, 2)), 1.0):
        with pytest.raises(TypingError):
            maps(bad)

    @numba.njit
    def into(logits, out):
        return fs.softmax(logits, out=out)

    with pytest.raises(TypingError):
        into(np.ones((2, 2)), np.ones((2, 2)))
    for where in (np.ones((2, 2)), True):
        with pytest.raises(TypingError):
            masked(np.ones((2, 2)), where)
    with pytest.raises(TypingError):
        products(np.ones((2, 2)), np.ones(2))
    with pytest.raises(TypingError):
        one_row(np.ones((3, 2)), np.array([0, 1.5, 1]))  # labels must be integers


@numba.njit
def not_keeping(logits):
    return fs.logsumexp(logits, keepdims=False)


def test_keepdims_false_written_out():
    assert same_bits(not_keeping(np.zeros((2, 3))), fs.logsumexp(np.zeros((2, 3))))


FAST_MATH = """
import numba, numpy as np, fastsoftmax as fs

@numba.njit(fastmath=True)
def probs_and_losses(logits, labels, weights):
    return fs.softmax(logits), fs.cross_entropy(logits, labels, sample_weight=weights, reduction="none")

logits = np.array([[np.nan, 0.0, 1.0], [np.inf, 0.0, 1.0], [-np.inf, 0.0, 0.0]])
probs, losses = probs_and_losses(logits, np.zeros(3, int), np.ones(3))
assert np.isnan(probs[:2]).all() and (probs[2] == [0, 0.5, 0.5]).all(), probs
assert np.isnan(losses[:2]).all() and losses[2] == np.inf, losses
try:
    probs_and_losses(logits, np.zeros(3, int), np.array([1.0, np.inf, 1.0]))
except ValueError:
    print("exact")
"""


def test_fast_math_of_a_users_function_does_not_reach_ours(tmp_path):
    """In a process that compiles our kernels for it for the first time."""
    done = forked.run(FAST_MATH, {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}, tmp_path)
    assert done.stdout == "exact\n", done.stderr[-2000:]


def test_fast_math_is_not_handed_down_to_a_kernel():
    @kernel
    def fused_by_nobody(x):
        return x * 3.0 + 1.0

    @numba.njit(fastmath=True)
    def user(x):
        return fused_by_nobody(x)

    assert user(2.0) == 7.0
    (code,) = fused_by_nobody.inspect_llvm().values()
    assert "fadd double" in code or "fmul double" in code
