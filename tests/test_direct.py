"""The direct way for small plain arrays: the same bits as through the gate, and nothing written when it refuses."""

import sys

import numpy as np
import pytest
from helpers import FLOATS, JIT, locked, rng, same_bits, uneven

import fastsoftmax as fs
from fastsoftmax import _threads
from fastsoftmax.kernels.rows import direct
from fastsoftmax.kernels.rows.direct import FEW_WITHOUT_EXP

SHAPES = [(1, 1), (1, 10), (7, 3), (5, 37), (3, 600)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gate_gives_the_same_bits(shape, dtype):
    """A list, and an array in Fortran's order, are not for the direct way."""
    logits, vector, labels = uneven(shape, dtype), uneven(shape, dtype, seed=1), rng().integers(0, shape[1], shape[0])
    by_column, column_vector = np.asfortranarray(logits), np.asfortranarray(vector)
    for name in ("softmax", "log_softmax"):
        assert same_bits(getattr(fs, name)(logits), getattr(fs, name)(by_column))
    for name in ("softmax_jvp", "softmax_vjp", "log_softmax_jvp", "log_softmax_vjp"):
        at = fs.log_softmax(logits) if name.startswith("log") else fs.softmax(logits)
        assert same_bits(getattr(fs, name)(at, vector), getattr(fs, name)(np.asfortranarray(at), column_vector))
    for name in ("cross_entropy", "squared_error"):
        loss, grad = getattr(fs, f"{name}_value_and_grad")(logits, labels)
        same_loss, same_grad = getattr(fs, f"{name}_value_and_grad")(logits, labels.tolist())
        assert same_bits(loss, same_loss)
        assert type(loss) is type(same_loss) is dtype
        assert same_bits(grad, same_grad)
        assert same_bits(getattr(fs, name)(logits, labels), loss)
        assert type(getattr(fs, name)(logits, labels)) is dtype


SHAPES_OF_ANY_DIMENSIONS = [(6,), (2, 3, 5), (3, 5, 2), (2, 3, 4), (2, 3, 1, 5), (3, 2, 5, 7), (2, 3, 0), (0, 3, 4)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES_OF_ANY_DIMENSIONS)
def test_arrays_of_any_dimensions_along_any_axis(shape, dtype, monkeypatch):
    """Arrays in Fortran's order are for the gate; of two and three neighbours along the axis both ways make a copy."""
    arrays = uneven(shape, dtype), uneven(shape, dtype, seed=1)
    by_column = [np.asfortranarray(array) for array in arrays]
    functions = dict.fromkeys(("softmax", "log_softmax"), arrays[:1])
    functions |= dict.fromkeys(("softmax_vjp", "log_softmax_vjp", "log_softmax_jvp"), arrays)
    for axis in range(-len(shape), len(shape)):
        for name, given in functions.items():
            expected = getattr(fs, name)(*by_column[: len(given)], axis)
            with monkeypatch.context() as patched:
                patched.setattr(sys.modules["fastsoftmax.functional.softmax"], "Rows", None)
                patched.setattr(sys.modules["fastsoftmax.functional.jacobians"], "Rows", None)
                found = getattr(fs, name)(*given, axis)
            assert found.shape == shape
            assert found.flags.c_contiguous
            assert same_bits(found, np.ascontiguousarray(expected))


@pytest.mark.parametrize("shape", [(6,), (2, 3, 5), (2, 0, 3)])
def test_labels_of_any_dimensions(shape):
    logits, labels = uneven(shape), rng().integers(0, shape[-1], shape[:-1])
    loss, grad = fs.cross_entropy_value_and_grad(logits, labels)
    same_loss, same_grad = fs.cross_entropy_value_and_grad(np.asfortranarray(logits), labels.astype(np.int32))
    assert same_bits(loss, same_loss)
    assert same_bits(grad, np.ascontiguousarray(same_grad))
    assert grad.shape == shape
    assert same_bits(fs.cross_entropy(logits, labels), loss)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmax_jvp", "log_softmax_jvp", "log_softmax_vjp"])
def test_it_refuses_what_does_not_fit_and_writes_nothing(name):
    buffer = uneven((9, 6))
    before = buffer.copy()
    maps, call = name in ("softmax", "log_softmax"), getattr(direct, name).call
    cases = [(buffer[:4], buffer[1:5]), (buffer[1:5], buffer[:4]), (buffer[:4], buffer[5:8])]
    cases += [(buffer[:4], buffer[5:].reshape(-1)[:24].reshape(6, 4)), (buffer[:4], buffer[5:9].reshape(4, 6, 1))]
    for array, out in cases:
        assert call(*((array,) if maps else (array, array)), out, -1) is None
    if not maps:
        assert call(np.ones((4, 6)), buffer[:4], buffer[1:5], -1) is None
        assert call(np.ones((3, 6)), np.ones((4, 6)), buffer[:4], -1) is None
        assert call(np.ones((6, 4)), np.ones((4, 6)), buffer[:4], -1) is None
    for axis in (2, -3, 10**30, -(10**30), True, 1.0, None, (1,), np.int64(1), "1"):
        assert call(*((buffer[:4],) if maps else (buffer[:4], buffer[:4])), buffer[4:8], axis) is None
    assert call(*((np.array(1.0),) if maps else (np.array(1.0), np.array(1.0))), None, -1) is None
    assert same_bits(buffer, before)


@pytest.mark.parametrize("name", ["cross_entropy", "squared_error"])
def test_it_refuses_labels_that_are_no_classes(name):
    logits, out = uneven((4, 5)), np.full((4, 5), 7.0)
    call, loss_alone = getattr(direct, f"{name}_value_and_grad").call, getattr(direct, name).call
    for labels in ([0, 1, 2, 5], [0, -1, 2, 3], [0, 1, 2]):
        assert call(logits, np.array(labels, np.int64), out) is None
        assert loss_alone(logits, np.array(labels, np.int64), None) is None
    assert call(np.empty((0, 5)), np.empty(0, np.int64), np.empty((0, 5))) is None
    assert loss_alone(np.empty((0, 5)), np.empty(0, np.int64), None) is None
    shared = np.zeros(20)
    assert call(logits, shared[:4].view(np.int64), shared.reshape(4, 5)) is None
    assert (out == 7).all()
    loss, grad = call(logits, np.array([0, 1, 2, 4]), out)
    assert loss_alone(logits, np.array([0, 1, 2, 4]), None) == (loss, None)
    assert loss >= 0
    assert grad is out


@pytest.mark.parametrize("order", [1, -1])
def test_memory_that_overlaps_in_part_is_refused_with_words(order):
    buffer = np.zeros((9, 6))
    array, out = (buffer[:4], buffer[1:5])[::order]
    with pytest.raises(ValueError, match="out must not partly overlap logits"):
        fs.softmax(array, out=out)
    with pytest.raises(ValueError, match="out must not partly overlap logits"):
        fs.cross_entropy_value_and_grad(array, np.zeros(4, np.int64), out=out)
    with pytest.raises(ValueError, match="out must not partly overlap cotangent"):
        fs.softmax_vjp(np.ones((4, 6)), array, out=out)


def test_a_subclass_goes_through_the_gate():
    class Named(np.ndarray):
        pass

    logits = uneven((3, 4))
    result = fs.softmax(logits.view(Named))
    assert type(result) is np.ndarray
    assert same_bits(result, fs.softmax(logits))


def test_what_is_read_may_be_read_only_and_what_is_filled_may_not():
    logits = uneven((3, 4))
    expected = fs.softmax(logits)
    logits.flags.writeable = False
    assert same_bits(direct.softmax.call(logits, None, -1), expected)
    assert direct.softmax.call(expected, logits, -1) is None
    with pytest.raises(ValueError, match="out must be writable"):
        fs.softmax(expected, out=logits)


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_a_dense_layer_gives_goes_the_direct_way(dtype, monkeypatch):
    """A dtype that equals NumPy's own but is another object would not: 15 us a step of training."""
    logits = fs.dense(np.ones((4, 3), dtype), np.ones((5, 3), dtype))
    monkeypatch.setattr("fastsoftmax.functional.losses.Rows", None)
    fs.cross_entropy_value_and_grad(logits, np.arange(4))


PLAIN = np.ones((2, 3))


class Other(np.ndarray):
    """A subclass."""


NOT_PLAIN = [
    None,
    1.0,
    PLAIN.tolist(),
    np.ones((2, 3), np.float32),
    np.ones((2, 3), np.float16),
    np.ones((2, 3), int),
    np.ones((2, 3), ">f8"),
    np.ones((2, 3), np.longdouble),
    np.ma.array(PLAIN),
    PLAIN.view(Other),
    np.ones((2, 1, 3)),
    np.ones(3),
    np.ones((3, 2)).T,
    np.ones((2, 6))[:, ::2],
    np.ones((4, 3))[::-2],
    np.frombuffer(bytes(49), np.uint8)[1:].view(float).reshape(2, 3),
]


@pytest.mark.parametrize("odd", NOT_PLAIN)
def test_it_refuses_arrays_of_other_kinds_and_is_not_compiled_for_them(odd):
    plain, out, labels = np.ones((2, 3)), np.full((2, 3), 7.0), np.array([2, 0])
    fs.softmax(plain), fs.softmax_vjp(plain, plain), fs.cross_entropy_value_and_grad(plain, labels)
    wholes = direct.softmax, direct.softmax_jvp, direct.cross_entropy_value_and_grad
    compiled = [list(whole.signatures) for whole in wholes]
    softmax, product, loss = (whole.call for whole in wholes)
    assert softmax(odd, out, -1) is None
    assert product(odd, plain, out, -1) is product(plain, odd, out, -1) is None
    assert loss(odd, labels, out) is None
    if odd is not None:
        assert softmax(plain, odd, -1) is product(plain, plain, odd, -1) is loss(plain, labels, odd) is None
    assert (out == 7).all()
    assert compiled == [list(whole.signatures) for whole in wholes]


LABELS = [np.int32([2, 0]), np.array([2.0, 0.0]), np.array([[2], [0]]), np.arange(4)[::2], [2, 0], np.array(2), None]


@pytest.mark.parametrize("labels", LABELS)
def test_it_refuses_other_labels(labels):
    out = np.full((2, 3), 7.0)
    for name in ("cross_entropy", "squared_error"):
        assert getattr(direct, f"{name}_value_and_grad").call(np.ones((2, 3)), labels, out) is None
        assert getattr(direct, name).call(np.ones((2, 3)), labels, None) is None
    assert (out == 7).all()


BYTE_ORDERS = [("softmax", 0), ("softmax_vjp", 0), ("softmax_vjp", 1)]
BYTE_ORDERS += [("cross_entropy_value_and_grad", which) for which in (0, 1)]


@pytest.mark.parametrize(("name", "which"), BYTE_ORDERS)
def test_arrays_of_another_byte_order_are_taken_for_what_they_are(name, which):
    """To Numba they look as those of the machine's own order do."""
    second = np.arange(4) if name.startswith("cross") else uneven((4, 5), seed=1)
    arguments = [uneven((4, 5)), second][: 1 if name == "softmax" else 2]
    expected = getattr(fs, name)(*arguments)
    arguments[which] = arguments[which].astype(arguments[which].dtype.newbyteorder())
    found = getattr(fs, name)(*arguments)
    assert same_bits(np.hstack([np.ravel(part) for part in found]), np.hstack([np.ravel(part) for part in expected]))
    with pytest.raises((TypeError, ValueError), match="out"):
        getattr(fs, name)(*arguments, out=np.empty((4, 5), ">f8"))


def through(monkeypatch):
    """What is called from now on: the gate must not be, and the list has the work that is handed to threads."""
    handed = []

    def run(kernel, work, *arguments):
        handed.append(kernel)
        return threads_run(kernel, work, *arguments)

    def run_with_team(kernel, *arguments):
        handed.append(kernel)
        return _threads.run_with_team(kernel, *arguments)

    for name in ("softmax", "jacobians", "losses"):
        module = sys.modules[f"fastsoftmax.functional.{name}"]
        threads_run = module.run
        monkeypatch.setattr(module, "Rows", None)
        monkeypatch.setattr(module, "run", run)
        monkeypatch.setattr(module, "run_with_team", run_with_team)
    return handed


@pytest.mark.skipif(not JIT, reason="without the JIT it is too slow for arrays of this size")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("with_out", [False, True])
def test_plain_matrices_skip_the_gate_and_small_ones_the_threads(dtype, with_out, monkeypatch):
    handed = through(monkeypatch)
    for n_rows, parts in ((3, 0), (max(FEW_WITHOUT_EXP.values()) // 10 + 1, 1)):
        logits, labels = uneven((n_rows, 10), dtype), np.arange(n_rows) % 10
        out = {"out": np.empty_like(logits)} if with_out else {}
        calls = dict.fromkeys(("softmax", "log_softmax"), (logits,))
        calls |= {f"{name}softmax_{kind}": (logits, logits) for name in ("", "log_") for kind in ("jvp", "vjp")}
        calls |= {f"{name}_value_and_grad": (logits, labels) for name in ("cross_entropy", "squared_error")}
        calls |= dict.fromkeys(("cross_entropy", "squared_error"), (logits, labels)) if not with_out else {}
        for name, arguments in calls.items():
            result = getattr(fs, name)(*arguments, **out)
            result = result[1] if isinstance(result, tuple) else result
            assert result is out.get("out", result)
            assert result.dtype == dtype
            assert len(handed) == parts, name
            handed.clear()
        assert fs.logsumexp(logits).shape == (n_rows,)
        handed.clear()


@pytest.mark.parametrize("name", ["cross_entropy_value_and_grad", "squared_error_value_and_grad"])
def test_any_option_leads_through_the_gate(name):
    """Of a plain matrix with plain labels the direct way takes no options: each alone gives what it gives to a list."""
    logits, labels = uneven((6, 4)), np.array([0, 3, 1, 1, 2, 0])
    options = [
        {"sample_weight": np.linspace(0, 2, 6)},
        {"class_weight": np.linspace(0.5, 2, 4)},
        {"label_smoothing": 0.25},
        {"ignore_index": 1},
        {"reduction": "sum"},
        {"reduction": "none"},
    ]
    plain = getattr(fs, name)(logits, labels)
    for option in options:
        loss, grad = getattr(fs, name)(logits, labels, **option)
        same_loss, same_grad = getattr(fs, name)(logits.tolist(), labels.tolist(), **option)
        assert same_bits(loss, same_loss)
        assert same_bits(grad, same_grad)
        assert not same_bits(grad, plain[1])


@pytest.mark.parametrize("name", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 5), (1, 1), (400, 5)])
def test_the_loss_of_each_row_goes_the_direct_way(name, dtype, shape, monkeypatch):
    logits, labels = uneven(shape, dtype), rng().integers(0, shape[-1], shape[:-1])
    expected = getattr(fs, name)(logits.tolist(), labels, reduction="none").astype(dtype)
    if dtype == np.float32:  # a list is float64
        expected = getattr(fs, name)(np.asfortranarray(logits), labels.tolist(), reduction="none")
    monkeypatch.setattr("fastsoftmax.functional.losses.Rows", None)
    found = getattr(fs, name)(logits, labels, reduction="none")
    assert found.shape == shape[:-1]
    assert same_bits(found, expected)
    with pytest.raises(TypeError):  # what is no class is for the gate
        getattr(fs, name)(logits, labels + shape[-1], reduction="none")


@pytest.mark.parametrize("name", ["cross_entropy", "squared_error"])
def test_a_negative_ignore_index_goes_the_direct_way_if_no_row_has_it(name, monkeypatch):
    logits, labels = uneven((6, 4)), np.array([0, 3, 1, 1, 2, 0])
    some = np.where(labels == 1, -100, labels)
    expected = [
        getattr(fs, f"{name}_value_and_grad")(logits, given.tolist(), ignore_index=-100) for given in (labels, some)
    ]
    for given, (loss, grad) in zip((labels, some), expected, strict=True):
        found, found_grad = getattr(fs, f"{name}_value_and_grad")(logits, given, ignore_index=-100)
        assert same_bits(found, loss)
        assert same_bits(found_grad, grad)
        assert same_bits(getattr(fs, name)(logits, given, ignore_index=-100), loss)
    for wrong in (-1, -99):
        with pytest.raises(ValueError, match="= -100 is not a class"):
            getattr(fs, name)(logits, some, ignore_index=wrong)
    monkeypatch.setattr("fastsoftmax.functional.losses.Rows", None)
    getattr(fs, name)(logits, labels, ignore_index=-100)
    with pytest.raises(TypeError):
        getattr(fs, name)(logits, some, ignore_index=-100)


@pytest.mark.parametrize("name", ["cross_entropy_value_and_grad", "squared_error_value_and_grad"])
@pytest.mark.parametrize("labels", [np.int32([2, 0, 1]), np.int64([2, 9, 0, 9, 1])[::2], np.uint8([2, 0, 1])])
def test_labels_that_are_not_plain_go_through_the_gate(name, labels):
    logits = uneven((3, 4))
    loss, grad = getattr(fs, name)(logits, labels)
    same_loss, same_grad = getattr(fs, name)(logits, np.array([2, 0, 1]))
    assert same_bits(loss, same_loss)
    assert same_bits(grad, same_grad)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_another_axis_of_a_plain_matrix_and_axes_that_are_kept(name):
    logits = uneven((6, 4))
    along = getattr(fs, name)(logits, 0)
    assert same_bits(along.T if along.ndim == 2 else along, getattr(fs, name)(np.ascontiguousarray(logits.T)))
    kept = fs.logsumexp(logits, keepdims=True)
    assert same_bits(kept, fs.logsumexp(logits)[:, None])


HALF_SHAPES = [(1, 1), (7, 3), (33, 10), (900, 10), (3, 5000), (1, 9000), (2, 3, 5), (4,)]


@pytest.mark.parametrize("shape", HALF_SHAPES)
def test_plain_rows_of_float16_go_a_short_way_to_the_same_bits(shape, monkeypatch):
    logits, vector = uneven(shape, np.float16), uneven(shape, np.float16, seed=1)
    functions = dict.fromkeys(("softmax", "log_softmax"), (logits,))
    functions |= dict.fromkeys(("softmax_vjp", "log_softmax_vjp", "log_softmax_jvp"), (fs.log_softmax(logits), vector))
    expected = {name: getattr(fs, name)(*map(locked, given)) for name, given in functions.items()}
    for module in ("softmax", "jacobians"):
        monkeypatch.setattr(sys.modules[f"fastsoftmax.functional.{module}"], "Rows", None)
    for name, given in functions.items():
        function, out = getattr(fs, name), np.empty(shape, np.float16)
        assert same_bits(function(*given), expected[name])
        assert same_bits(function(*given, len(shape) - 1), expected[name])
        assert function(*given, out=out) is out
        assert same_bits(out, expected[name])
        last = given[-1].copy()
        assert same_bits(function(*given[:-1], last, out=last), expected[name])
        with fs.num_threads(2):
            assert same_bits(function(*given), expected[name])


def test_other_arrays_of_float16_go_through_the_gate():
    memory = uneven((9, 6), np.float16)
    logits, before = memory[:4], memory.copy()
    expected = fs.softmax(logits.astype(np.float32)).astype(np.float16)
    assert same_bits(fs.softmax(np.asfortranarray(logits)), expected)
    assert same_bits(fs.softmax(logits.T, 0), np.ascontiguousarray(expected.T))
    assert same_bits(fs.softmax(logits.astype(">f2")), expected)
    assert fs.softmax(logits[:0]).shape == (0, 6)
    scalar = np.array(2, np.float16)
    assert (fs.softmax(scalar), fs.softmax_jvp(scalar, scalar, out=scalar.copy())) == (1, -4)
    for out, words in (
        (memory[1:5], "partly overlap"),
        (np.empty((4, 6), np.float32), "dtype float16"),
        (np.empty((4, 5), np.float16), "shape"),
        (locked(memory[5:]), "writable"),
    ):
        with pytest.raises(ValueError, match=words):
            fs.softmax(logits, out=out)
    for axis in (2, True, 1.0):
        with pytest.raises((ValueError, TypeError)):
            fs.softmax(logits, axis)
    with pytest.raises(ValueError, match="shape"):
        fs.softmax_vjp(logits, memory[:3])
    assert same_bits(memory, before)
