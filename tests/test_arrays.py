"""The gate: every layout gives the bits of its clean copy, and every bad input a clear error with nothing written."""

import re

import numpy as np
import pytest
from helpers import FLOATS, layouts, rng, same_bits, uneven

import fastsoftmax as fs
from fastsoftmax._gate.arrays import contiguous, deliver, kernel_target, result_dtypes
from fastsoftmax._gate.rows import Rows

LABELS = np.array([2, 0, 1, 1])


def calls(logits, vector):
    """Every function that takes a matrix, as name -> result."""
    yield "softmax", fs.softmax(logits)
    yield "log_softmax", fs.log_softmax(logits)
    yield "logsumexp", fs.logsumexp(logits)
    for name in ("softmax_jvp", "softmax_vjp", "log_softmax_jvp", "log_softmax_vjp"):
        yield name, getattr(fs, name)(logits, vector)
    for name in ("cross_entropy_value_and_grad", "squared_error_value_and_grad"):
        yield from enumerate(getattr(fs, name)(logits, LABELS))
        yield from enumerate(getattr(fs, name)(logits, np.abs(vector)))
    yield "dense", fs.dense(logits, vector)
    yield from enumerate(fs.dense_vjp(logits, vector, np.asarray(logits) @ np.ones((3, 4))))


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_layout_gives_the_bits_of_its_clean_copy_and_is_not_written(dtype):
    logits, vector = -np.abs(uneven((4, 3), dtype)), uneven((4, 3), dtype, seed=1)
    expected = list(calls(logits, vector))
    for (name, x), (_, v) in zip(layouts(logits), layouts(vector), strict=True):
        for (what, result), (_, clean) in zip(calls(x, v), expected, strict=True):
            assert same_bits(result, clean), (name, what)
        assert np.array_equal(x, logits), name
        assert np.array_equal(v, vector), name
    stretched = np.broadcast_to(logits[0], (4, 3))
    for (what, result), (_, clean) in zip(
        calls(stretched, stretched), calls(stretched.copy(), stretched.copy()), strict=True
    ):
        assert same_bits(result, clean), ("zero strides", what)


class Float(np.ndarray):
    """A subclass, whose own methods must not get in the way."""

    def reshape(self, *shape):
        raise AssertionError("the gate must not use a subclass's methods")


def test_subclasses_and_other_array_likes_are_plain_arrays_inside():
    logits = uneven((4, 3))
    assert same_bits(fs.softmax(logits.view(Float)), fs.softmax(logits))
    assert type(fs.softmax(logits.view(Float))) is np.ndarray


class Stored(np.ndarray):
    """A subclass, as of quantities with a unit, that takes no plain numbers."""

    def __setitem__(self, key, value):
        raise AssertionError("the gate must not use a subclass's methods")


@pytest.mark.parametrize("dtype", ["f2", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_out_of_a_subclass_takes_the_result_whatever_its_layout(order, dtype):
    """A masked one lost its mask where it was not C-contiguous."""
    logits = uneven((4, 6)).astype(dtype)
    expected = fs.softmax(logits)
    out = np.empty((4, 6), dtype, order).view(Stored)
    assert fs.softmax(logits, out=out) is out
    assert same_bits(np.asarray(out), expected)
    masked = np.ma.masked_array(np.empty((4, 6), dtype, order), logits > 0)
    assert fs.softmax(logits, out=masked) is masked
    assert same_bits(masked.data, expected)
    assert np.array_equal(masked.mask, logits > 0)


class Exchanged:
    """An array that is given away by DLPack alone."""

    def __init__(self, array, error=None):
        self.array, self.error = array, error

    def __dlpack__(self, **options):
        if self.error:
            raise self.error
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_arrays_by_dlpack():
    logits = uneven((4, 6)).astype(np.float32)
    assert same_bits(fs.softmax(Exchanged(logits)), fs.softmax(logits))
    with pytest.raises(TypeError, match="logits must be an array: on a GPU"):
        fs.softmax(Exchanged(logits, BufferError("on a GPU")))


BAD_DTYPES = [
    np.ones((2, 2), np.longdouble),
    np.ones((2, 2), complex),
    np.ones((2, 2), object),
    np.array([["a", "b"]]),
    np.ones((2, 2), "m8[s]"),
    None,
]


@pytest.mark.parametrize("bad", BAD_DTYPES, ids=["longdouble", "complex", "object", "str", "timedelta", "None"])
def test_other_dtypes_are_a_type_error_that_names_the_argument(bad):
    good = np.ones((2, 2))
    dtype = np.asarray(bad).dtype
    for name, call in (
        ("logits", lambda: fs.softmax(bad)),
        ("logits", lambda: fs.log_softmax(bad)),
        ("logits", lambda: fs.logsumexp(bad)),
        ("probs", lambda: fs.softmax_jvp(bad, good)),
        ("tangent", lambda: fs.softmax_jvp(good, bad)),
        ("cotangent", lambda: fs.log_softmax_vjp(good, bad)),
        ("logits", lambda: fs.cross_entropy(bad, [0, 0])),
        ("targets", lambda: fs.squared_error(good, bad)),
        ("X", lambda: fs.dense(bad, good)),
        ("weight", lambda: fs.dense_vjp(good, bad, good)),
    ):
        with pytest.raises(TypeError, match=f"^{name} must hold real numbers .*, got {re.escape(str(dtype))}$"):
            call()


def test_masked_and_ragged_arrays():
    with pytest.raises(TypeError, match="logits must not be a masked array"):
        fs.softmax(np.ma.masked_array([1.0, 2.0], [True, False]))
    with pytest.raises(TypeError, match="where must not be a masked array"):
        fs.softmax([1.0, 2.0], where=np.ma.masked_array([True, True], [True, False]))
    with pytest.raises(ValueError, match="where must be an array"):
        fs.softmax([1.0, 2.0], where=[[True, False], [True]])
    with pytest.raises(ValueError, match="logits must be an array"):
        fs.softmax([[1.0, 2.0], [3.0]])


def test_where():
    with pytest.raises(TypeError, match="where must hold bool, got int64"):
        fs.softmax([1.0, 2.0], where=np.array([1, 0]))
    with pytest.raises(ValueError, match=r"where must broadcast to shape \(2,\), got \(3,\)"):
        fs.softmax([1.0, 2.0], where=[True, False, True])


def test_axis():
    logits = uneven((2, 3))
    assert same_bits(fs.softmax(logits, -2), fs.softmax(logits, 0))
    for bad in (2, -3, (0, 5)):
        with pytest.raises(np.exceptions.AxisError, match="out of bounds for array of dimension 2"):
            fs.softmax(logits, bad)
    with pytest.raises(np.exceptions.AxisError):
        fs.softmax(1.0, 1)
    with pytest.raises(ValueError, match="axis must not name one axis twice"):
        fs.softmax(logits, (0, -2))
    for bad in (1.0, -1.0, "last", [0, 1], np.array([0, 1])):
        with pytest.raises(TypeError, match="axis must be an integer, a tuple of integers or None"):
            fs.softmax(logits, bad)


def test_temperature():
    for bad in (0, -1.0, np.nan, np.inf, 1e-60):
        with pytest.raises(ValueError, match="temperature must be positive and finite"):
            fs.softmax(np.ones(2, np.float32), temperature=bad)
    with pytest.raises(TypeError, match="temperature must be a number, got 'hot'"):
        fs.softmax([1.0], temperature="hot")
    with pytest.raises(TypeError, match="temperature must be a number, got '2'"):
        fs.softmax([1.0], temperature="2")


def test_labels():
    logits = np.zeros((4, 10))
    for bad, value in (
        ([0, 1, 2, 10], "10"),
        ([0, 1, 2, -1], "-1"),
        ([0, 1, 2, 1.5], "1.5"),
        ([0, 1, 2, np.nan], "nan"),
    ):
        grad = np.full((4, 10), 7.0)
        for name in ("cross_entropy", "squared_error"):
            message = rf"^targets\[3\] = {value} is not a class: logits have 10 classes, 0 to 9$"
            with pytest.raises(ValueError, match=message):
                getattr(fs, name)(logits, bad)
            with pytest.raises(ValueError, match=message):
                getattr(fs, f"{name}_value_and_grad")(logits, bad, out=grad)
            assert (grad == 7).all()
    with pytest.raises(ValueError, match=r"targets\[1, 0\] = 12 is not a class"):
        fs.cross_entropy(np.zeros((2, 2, 10)), [[0, 1], [12, 11]])
    with pytest.raises(ValueError, match=r"targets = 3 is not a class: logits have 3 classes"):
        fs.cross_entropy(np.zeros(3), 3)
    with pytest.raises(ValueError, match=r"targets\[0\] = 18446744073709551615 is not"):
        fs.cross_entropy(logits[:1], np.array([2**64 - 1], np.uint64))
    with pytest.raises(ValueError, match="logits have no classes"):
        fs.cross_entropy(np.empty((1, 0)), [0])
    with pytest.raises(ValueError, match=r"targets\[2\] = -5 is not a class"):
        fs.cross_entropy(logits, [0, -100, -5, 1], ignore_index=-100)
    with pytest.raises(TypeError, match=r"ignore_index must be an integer, got 1\.5"):
        fs.cross_entropy(logits, LABELS, ignore_index=1.5)
    assert fs.cross_entropy(logits, [0.0, 1.0, 2.0, 9.0]) == fs.cross_entropy(logits, [0, 1, 2, 9])


@pytest.mark.parametrize("name", ["cross_entropy", "squared_error_value_and_grad"])
def test_shapes_of_targets_and_weights(name):
    call, logits = getattr(fs, name), np.zeros((8, 3))
    labels = np.zeros(8, int)
    for arguments, message in (
        ({"targets": np.zeros((8, 1), int)}, r"targets must have shape \(8,\), got \(8, 1\)"),
        ({"targets": np.zeros((8, 1))}, r"targets must have shape \(8, 3\), got \(8, 1\)"),
        ({"targets": np.zeros(7, int)}, r"targets must have shape \(8,\), got \(7,\)"),
        ({"targets": 0}, r"targets must have shape \(8,\), got \(\)"),
        ({"targets": labels, "sample_weight": np.ones(7)}, r"sample_weight must have shape \(8,\), got \(7,\)"),
        ({"targets": labels, "sample_weight": 2.0}, r"sample_weight must have shape \(8,\), got \(\)"),
        ({"targets": labels, "class_weight": np.ones(4)}, r"class_weight must have shape \(3,\), got \(4,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call(logits, **arguments)
    with pytest.raises(ValueError, match=r"logits must have shape \(n_samples, n_classes\), got \(\)"):
        call(1.0, 0)


@pytest.mark.parametrize("name", ["cross_entropy", "squared_error_value_and_grad"])
def test_weights(name):
    call, logits = getattr(fs, name), np.zeros((4, 3))
    for weight, size in (("sample_weight", 4), ("class_weight", 3)):
        for bad in (-1.0, np.nan, np.inf):
            values = np.ones(size)
            values[2] = bad
            with pytest.raises(ValueError, match=rf"^{weight}\[2\] = {bad} is not a weight: it must be finite"):
                call(logits, LABELS, **{weight: values})
        for targets in (LABELS, np.full((4, 3), 1 / 3)):
            with pytest.raises(ValueError, match=f'{weight} must not be all zero with reduction="mean"'):
                call(logits, targets, **{weight: np.zeros(size)})
        result = call(logits, LABELS, **{weight: np.zeros(size)}, reduction="sum")
        assert np.all((result if name == "cross_entropy" else result[0]) == 0)


def test_weights_that_take_part_must_not_sum_to_zero():
    for options in ({"sample_weight": [1, 0]}, {"sample_weight": [1, 0], "class_weight": [0, 1, 1]}):
        with pytest.raises(ValueError, match="the weights of the rows that take part must not sum to zero"):
            fs.cross_entropy(np.zeros((2, 3)), [-100, 0], ignore_index=-100, **options)


def test_weights_are_judged_in_the_dtype_that_is_computed_in():
    assert np.isfinite(fs.cross_entropy(np.zeros((1, 2)), [0], class_weight=[1e39, 1]))
    with pytest.raises(ValueError, match=r"class_weight\[0\] = 1e\+39 is not a weight"):
        fs.cross_entropy(np.zeros((1, 2), np.float32), [0], class_weight=[1e39, 1])


def test_labels_of_odd_dtypes():
    logits = np.zeros((2, 3))
    expected = fs.cross_entropy(logits, [0, 1])
    for dtype in (np.float16, np.float32, np.uint8, np.uint64, np.bool_, ">i4"):
        assert fs.cross_entropy(logits, np.array([0, 1], dtype)) == expected
    many = np.zeros((2, 300))
    for dtype in (np.float32, np.float64, np.uint16, np.uint64):
        assert fs.cross_entropy(many, np.array([0, 299], dtype)) == fs.cross_entropy(many, [0, 299])
    stacked = np.asfortranarray([[0, 1, 2], [2, 2, 0]])
    for dtype in (np.float64, np.uint64, np.int32):
        losses = fs.cross_entropy(uneven((2, 3, 3)), stacked.astype(dtype), reduction="none")
        assert same_bits(losses, fs.cross_entropy(uneven((2, 3, 3)), stacked.tolist(), reduction="none"))
    large = np.array([0, 2**64 - 100], np.uint64)
    for bad in (np.float16([0, np.inf]), np.array([0, 1e300]), large, large.astype(">u8")):
        with pytest.raises(ValueError, match=r"targets\[1\] = .* is not a class"):
            fs.cross_entropy(logits, bad, ignore_index=-100)
    with pytest.raises(ValueError, match="ignore_index must fit into 64 bits"):
        fs.cross_entropy(logits, [0, 1], ignore_index=2**70)


def test_other_options():
    logits = np.zeros((4, 3))
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="label_smoothing must be between 0 and 1"):
            fs.cross_entropy(logits, LABELS, label_smoothing=bad)
    with pytest.raises(ValueError, match='reduction must be "none", "sum" or "mean", got \'avg\''):
        fs.cross_entropy(logits, LABELS, reduction="avg")


def test_products_need_one_shape():
    for shape in ((2, 4), (3,), (1, 3)):
        with pytest.raises(ValueError, match=re.escape(f"tangent must have shape (2, 3), got {shape}")):
            fs.softmax_jvp(np.ones((2, 3)), np.ones(shape))


def test_an_out_that_does_not_fit_is_refused_and_nothing_is_written():
    logits = uneven((4, 6))
    before = logits.copy()
    read_only = np.empty((4, 6))
    read_only.flags.writeable = False
    wide = np.zeros((4, 12))
    for out, kind, message in (
        (np.empty((6, 4)), ValueError, r"out must have shape \(4, 6\), got \(6, 4\)"),
        (np.empty((4, 6), np.float32), ValueError, "out must have dtype float64, got float32"),
        (np.empty((4, 6), ">f8"), ValueError, "out must have dtype float64, got >f8"),
        (read_only, ValueError, "out must be writable"),
        (logits.tolist(), TypeError, "out must be a NumPy array, got list"),
    ):
        for call in (
            lambda out: fs.softmax(logits, out=out),
            lambda out: fs.softmax_vjp(logits, logits, out=out),
            lambda out: fs.cross_entropy_value_and_grad(logits, LABELS, out=out),
        ):
            with pytest.raises(kind, match=message):
                call(out)
    buffer = np.arange(60.0)
    for given, out in (
        (buffer[:24].reshape(4, 6), buffer[6:30].reshape(4, 6)),
        (buffer[:24].reshape(4, 6), buffer[:24].reshape(4, 6)[::-1]),
        (buffer[:48].reshape(4, 12)[:, ::2], buffer[2:50].reshape(4, 12)[:, ::2]),
    ):
        kept = buffer.copy()
        with pytest.raises(ValueError, match="out must not partly overlap logits"):
            fs.softmax(given, out=out)
        with pytest.raises(ValueError, match="out must not partly overlap cotangent"):
            fs.softmax_vjp(np.ones((4, 6)), given, out=out)
        assert np.array_equal(buffer, kept)
    fs.softmax(wide[:, ::2], out=wide[:, 1::2])  # side by side in one buffer, but apart
    assert np.allclose(wide[:, 1::2], 1 / 6)
    assert np.array_equal(logits, before)


def test_an_out_that_overlaps_targets_or_where_is_refused():
    """The kernel reads them row by row, while it writes."""
    logits, buffer = np.zeros((3, 4)), np.zeros(36)
    labels = buffer.view(np.int64)[:3]
    labels[:] = [0, 1, 2]
    for name in ("cross_entropy_value_and_grad", "squared_error_value_and_grad"):
        with pytest.raises(ValueError, match="out must not partly overlap targets"):
            getattr(fs, name)(logits, labels, out=buffer[:12].reshape(3, 4))
        with pytest.raises(ValueError, match="out must not partly overlap targets"):
            getattr(fs, name)(logits, buffer[:12].reshape(3, 4), out=buffer[4:16].reshape(3, 4))
    assert labels.tolist() == [0, 1, 2]
    where = buffer.view(np.bool_)[: 12 * 8 : 8].reshape(3, 4)
    with pytest.raises(ValueError, match="out must not partly overlap where"):
        fs.softmax(logits, where=where, out=buffer[:12].reshape(3, 4))


def test_an_overlap_that_is_too_hard_to_decide_counts_as_one(monkeypatch):
    def too_hard(*arrays, max_work):
        assert 1 <= max_work <= 10**6  # else it may take for ever
        raise np.exceptions.TooHardError

    monkeypatch.setattr(np, "shares_memory", too_hard)
    wide = np.zeros((4, 12))
    with pytest.raises(ValueError, match="out must not partly overlap logits"):
        fs.softmax(wide[:, ::2], out=wide[:, 1::2])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_out_in_any_layout(name):
    logits = uneven((4, 6))
    expected = getattr(fs, name)(logits)
    for out in (
        np.empty((4, 6), order="F"),
        np.empty((8, 12))[::2, ::-2],
        np.empty(193, np.uint8)[1:].view("f8").reshape(4, 6),
    ):
        assert getattr(fs, name)(logits, out=out) is out
        assert np.array_equal(out, expected)
    out = np.empty(())
    assert getattr(fs, name)(3.0, out=out) is out
    assert out == getattr(fs, name)([3.0])[0]
    strided = np.asfortranarray(logits)
    assert getattr(fs, name)(strided, out=strided) is strided
    assert np.array_equal(strided, expected)
    out = np.empty((4, 6))
    assert getattr(fs, name)(logits, 0, out=out) is out
    assert np.array_equal(out, getattr(fs, name)(logits, 0))
    half = logits.astype(np.float16)
    out = np.empty((4, 6), np.float16)
    assert getattr(fs, name)(half, out=out) is out
    assert np.array_equal(out, getattr(fs, name)(half))


def test_no_function_hands_back_its_input():
    logits = rng().standard_normal((3, 1))
    for axis in (-1, 0, ()):
        assert not np.shares_memory(fs.logsumexp(logits, axis), logits)
        assert not np.shares_memory(fs.softmax(logits, axis), logits)


def test_an_out_that_is_the_input_may_have_another_stride_along_an_axis_of_length_one():
    logits = np.asfortranarray(uneven((2, 1, 3)))
    expected = fs.softmax(logits, 0)
    out = logits[:, ::-1]
    assert fs.softmax(logits, 0, out=out) is out
    assert np.array_equal(logits, expected)


def test_an_out_that_overlaps_itself_is_refused():
    for shape, strides in (((4, 6), (0, 8)), ((4, 6), (8, 8)), ((4, 6), (-16, 8))):
        out = np.lib.stride_tricks.as_strided(np.zeros(40)[20:], shape, strides)
        with pytest.raises(ValueError, match="out must not overlap itself"):
            fs.softmax(np.zeros(shape), out=out)
    for out in (
        np.empty((4, 12))[::-1, ::2],
        np.empty((4, 12))[:, None, ::2],
        np.empty((6, 4)).T,
        np.empty((4, 1, 6)).transpose(0, 2, 1)[..., 0],
    ):
        assert fs.softmax(np.zeros(out.shape), out=out) is out


def test_integers_too_large_for_a_float():
    for bad in (10**400, -(10**400)):
        with pytest.raises(ValueError, match="temperature must be positive and finite"):
            fs.softmax([1.0], temperature=bad)
        with pytest.raises(ValueError, match="label_smoothing must be between 0 and 1"):
            fs.cross_entropy([[1.0]], [0], label_smoothing=bad)


def test_float_labels_may_be_an_ignore_index_of_any_size():
    for ignored in (2**53, 2**62, -(2**63) + 2**11):
        loss = fs.cross_entropy(np.zeros((2, 3)), [1.0, float(ignored)], ignore_index=ignored)
        assert loss == fs.cross_entropy(np.zeros((1, 3)), [1])


@pytest.mark.parametrize(
    ("shape", "axis", "along", "seen"),
    [
        ((6, 4), -1, "rows", (6, 4)),
        ((6, 4), None, "rows", (1, 24)),
        ((2, 3, 4), (1, 2), "rows", (2, 12)),
        ((6, 4), 0, "columns", (1, 6, 4)),
        ((2, 3, 5), 1, "columns", (2, 3, 5)),
        ((2, 3, 2, 5), (0, 1), "columns", (1, 6, 10)),
    ],
)
def test_what_kernels_can_read_and_write_as_it_is_is_not_copied(shape, axis, along, seen):
    logits, out, where = uneven(shape), np.empty(shape), np.ones(shape, bool)
    rows = Rows(axis, logits=logits)
    assert (rows.along, rows.inputs[0].shape, rows.target(out).shape) == (along, seen, seen)
    assert np.shares_memory(rows.inputs[0], logits)
    assert np.shares_memory(rows.mask(where), where)
    assert np.shares_memory(rows.target(out), out)


@pytest.mark.parametrize(
    ("shape", "axis", "seen"), [((6, 3), 0, (3, 6)), ((2, 3, 2, 5), (0, 2), (15, 4)), ((2, 3, 2), (0, 1), (2, 6))]
)
def test_axes_with_few_neighbours_or_apart_are_moved_to_the_end(shape, axis, seen):
    logits, out = uneven(shape), np.empty(shape)
    rows = Rows(axis, logits=logits)
    assert (rows.along, rows.inputs[0].shape, rows.target(out).shape) == ("rows", seen, seen)
    assert not np.shares_memory(rows.target(out), out)
    moved = np.moveaxis(logits, axis, tuple(range(-np.size(axis), 0)))
    expected = fs.softmax(moved, tuple(range(-np.size(axis), 0)))
    assert same_bits(np.moveaxis(fs.softmax(logits, axis, out=out), axis, tuple(range(-np.size(axis), 0))), expected)


def test_dtypes_of_results_and_of_what_is_computed():
    for given, answer, compute in (("f2", "f2", "f4"), (">f4", "f4", "f4"), ("f8", "f8", "f8"), ("?", "f8", "f8")):
        assert result_dtypes(np.dtype(given)) == (np.dtype(answer), np.dtype(compute))
    for dtype in FLOATS:
        clean = np.ones((2, 3), dtype)
        assert contiguous(clean, clean.dtype) is clean
        assert np.shares_memory(kernel_target(clean, clean.shape, clean.dtype), clean)


def test_an_out_that_begins_where_the_input_does_is_not_yet_the_same():
    memory = np.arange(40.0)
    logits = memory[:6].reshape(2, 3)
    for strides in ((32, 8), (8, 16), (24, 16)):
        out = np.lib.stride_tricks.as_strided(memory, (2, 3), strides)
        with pytest.raises(ValueError, match=r"out must not (partly overlap logits|overlap itself)"):
            fs.softmax(logits, out=out)
    assert np.array_equal(memory, np.arange(40))


def test_float16_is_rounded_to_and_widened_as_numpy_does():
    """Around each float16: itself, the middle between it and the next, their neighbours; and what it cannot hold."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        wide = contiguous(halves, np.dtype(np.float32))
        assert same_bits(wide, halves.astype(np.float32))
        finite = wide[np.isfinite(wide)]
        middles = (
            (finite.astype(np.float64) + np.nextafter(finite.astype(np.float16), np.float16(np.inf))) / 2
        ).astype(np.float32)
        exact = np.concatenate([finite, middles, np.float32([65519.996, 65520, 1e38, np.inf, 1e-45, 2.0**-25])])
        values = np.concatenate([exact, *(np.nextafter(exact, np.float32(way * np.inf)) for way in (1, -1)), -exact])
        found = deliver(values, np.dtype(np.float16))
        assert same_bits(found, values.astype(np.float16))
        assert np.isnan(deliver(np.float32([[np.nan, -np.nan]]), np.dtype(np.float16))).all()
    locked = halves[:5].copy()
    locked.flags.writeable = False
    assert same_bits(contiguous(locked, np.dtype(np.float32)), locked.astype(np.float32))
