"""The direct way for small plain arrays: the same bits as through the gate, and nothing written when it refuses."""

import sys

import numpy as np
import pytest
from helpers import FLOATS, JIT, rng, same_bits, uneven

import fastsoftmax as fs
from fastsoftmax._gate.plain import plain_target
from fastsoftmax.kernels.rows import direct
from fastsoftmax.kernels.threads import SMALL

SHAPES = [(1, 1), (1, 10), (7, 3), (5, 37), (3, 600)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gate_gives_the_same_bits(shape, dtype):
    """An array of three dimensions is not for the direct way."""
    logits, vector, labels = uneven(shape, dtype), uneven(shape, dtype, seed=1), rng().integers(0, shape[1], shape[0])
    for name in ("softmax", "log_softmax"):
        assert same_bits(getattr(fs, name)(logits), getattr(fs, name)(logits[None])[0])
    for name in ("softmax_jvp", "softmax_vjp", "log_softmax_jvp", "log_softmax_vjp"):
        at = fs.log_softmax(logits) if name.startswith("log") else fs.softmax(logits)
        assert same_bits(getattr(fs, name)(at, vector), getattr(fs, name)(at[None], vector[None])[0])
    for name in ("cross_entropy_value_and_grad", "squared_error_value_and_grad"):
        loss, grad = getattr(fs, name)(logits, labels)
        same_loss, same_grad = getattr(fs, name)(logits[None], labels[None])
        assert same_bits(loss, same_loss)
        assert type(loss) is type(same_loss)
        assert same_bits(grad, same_grad[0])


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmax_jvp", "log_softmax_jvp", "log_softmax_vjp"])
def test_it_refuses_what_does_not_fit_and_writes_nothing(name):
    buffer = uneven((9, 6))
    before = buffer.copy()
    maps = name in ("softmax", "log_softmax")
    cases = [(buffer[:4], buffer[1:5]), (buffer[1:5], buffer[:4]), (buffer[:4], buffer[5:8])]
    for array, out in cases:
        assert getattr(direct, name)(*((array,) if maps else (array, array)), out, 0) is False
    if not maps:
        assert getattr(direct, name)(np.ones((4, 6)), buffer[:4], buffer[1:5], 0) is False
        assert getattr(direct, name)(np.ones((3, 6)), np.ones((4, 6)), buffer[:4], 0) is False
    assert same_bits(buffer, before)


@pytest.mark.parametrize("name", ["cross_entropy_value_and_grad", "squared_error_value_and_grad"])
def test_it_refuses_labels_that_are_no_classes(name):
    logits, out = uneven((4, 5)), np.full((4, 5), 7.0)
    function = getattr(direct, name)
    for labels in ([0, 1, 2, 5], [0, -1, 2, 3], [0, 1, 2]):
        assert function(logits, np.array(labels, np.int64), out, 0) == direct.REFUSED
    assert function(np.empty((0, 5)), np.empty(0, np.int64), np.empty((0, 5)), 0) == direct.REFUSED
    shared = np.zeros(20)
    assert function(logits, shared[:4].view(np.int64), shared.reshape(4, 5), 0) == direct.REFUSED
    assert (out == 7).all()
    assert function(logits, np.array([0, 1, 2, 4]), out, 0) >= 0


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


def test_a_subclass_or_a_read_only_array_goes_through_the_gate():
    class Named(np.ndarray):
        pass

    logits = uneven((3, 4))
    expected = fs.softmax(logits)
    result = fs.softmax(logits.view(Named))
    assert type(result) is np.ndarray
    assert same_bits(result, expected)
    logits.flags.writeable = False
    assert same_bits(fs.softmax(logits), expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_a_dense_layer_gives_goes_the_direct_way(dtype, monkeypatch):
    """A dtype that equals NumPy's own but is another object would not: 15 us a step of training."""
    logits = fs.dense(np.ones((4, 3), dtype), np.ones((5, 3), dtype))
    monkeypatch.setattr("fastsoftmax.functional.losses._evaluate", None)
    fs.cross_entropy_value_and_grad(logits, np.arange(4))


PLAIN, LOCKED = np.ones((2, 3)), np.ones((2, 3))
LOCKED.flags.writeable = False
NOT_PLAIN = [
    PLAIN.tolist(),
    np.ones((2, 3), np.float32),
    np.ones((2, 3), np.float16),
    np.ones((2, 3), int),
    np.ones((2, 3), ">f8"),
    np.ma.array(PLAIN),
]
OTHER_LAYOUTS = [
    np.ones((2, 1, 3)),
    np.ones(3),
    np.ones((3, 2)).T,
    np.ones((2, 6))[:, ::2],
    np.frombuffer(bytes(49), np.uint8)[1:].view(float).reshape(2, 3),
    LOCKED,
]


@pytest.mark.parametrize("odd", NOT_PLAIN)
def test_the_direct_way_is_for_plain_arrays_of_one_dtype_alone(odd):
    plain, out = np.ones((2, 3)), np.empty((2, 3))
    assert plain_target(plain, out) is plain_target(plain, out, plain) is out
    assert plain_target(plain, odd) is plain_target(plain, out, odd) is plain_target(plain, odd, plain) is None
    assert plain_target(odd, out) is None
    new = plain_target(plain, None)
    assert (new.shape, new.dtype) == ((2, 3), float)
    assert not np.shares_memory(new, plain)


@pytest.mark.parametrize("odd", [*NOT_PLAIN[1:4], *OTHER_LAYOUTS])
def test_it_refuses_arrays_of_other_kinds_and_is_not_compiled_for_them(odd):
    plain, out, labels = np.ones((2, 3)), np.full((2, 3), 7.0), np.array([2, 0])
    fs.softmax(plain), fs.softmax_vjp(plain, plain), fs.cross_entropy_value_and_grad(plain, labels)
    compiled = [list(getattr(kernel, "signatures", ())) for kernel in vars(direct).values()]
    assert direct.softmax(odd, out, 0) is direct.softmax(plain, odd, 0) is False
    for arguments in ((odd, plain, out), (plain, odd, out), (plain, plain, odd)):
        assert direct.softmax_jvp(*arguments, 0) is False
    assert direct.cross_entropy_value_and_grad(odd, labels, out, 0) == direct.REFUSED
    assert direct.cross_entropy_value_and_grad(plain, labels, odd, 0) == direct.REFUSED
    assert (out == 7).all()
    assert compiled == [list(getattr(kernel, "signatures", ())) for kernel in vars(direct).values()]


@pytest.mark.parametrize("labels", [np.int32([2, 0]), np.array([2.0, 0.0]), np.array([[2], [0]]), np.arange(4)[::2]])
def test_it_refuses_other_labels(labels):
    out = np.full((2, 3), 7.0)
    for name in ("cross_entropy_value_and_grad", "squared_error_value_and_grad"):
        assert getattr(direct, name)(np.ones((2, 3)), labels, out, 0) == direct.REFUSED
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


def test_what_it_refuses_holds_no_memory():
    """Numba keeps the types of a call that it compiles for."""
    for _ in range(3):
        assert direct.softmax(np.ones((2, 3), np.float16), np.empty((2, 3)), 0) is False
    assert not getattr(direct.softmax, "_types_active_call", ())


def through(monkeypatch):
    """What is called from now on: the gate must not be, and the list has the work that is handed to threads."""
    handed = []

    def run(kernel, work, *arguments):
        handed.append(work)
        return threads_run(kernel, work, *arguments)

    for name in ("softmax", "jacobians", "losses"):
        module = sys.modules[f"fastsoftmax.functional.{name}"]
        threads_run = module.run
        monkeypatch.setattr(module, "Rows", None)
        monkeypatch.setattr(module, "run", run)
    return handed


@pytest.mark.skipif(not JIT, reason="without the JIT it is too slow for arrays of this size")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("with_out", [False, True])
def test_plain_matrices_skip_the_gate_and_small_ones_the_threads(dtype, with_out, monkeypatch):
    handed = through(monkeypatch)
    for n_rows, parts in ((3, 0), (SMALL // 10 + 1, 1)):
        logits, labels = uneven((n_rows, 10), dtype), np.arange(n_rows) % 10
        out = {"out": np.empty_like(logits)} if with_out else {}
        calls = dict.fromkeys(("softmax", "log_softmax"), (logits,))
        calls |= {f"{name}softmax_{kind}": (logits, logits) for name in ("", "log_") for kind in ("jvp", "vjp")}
        calls |= {f"{name}_value_and_grad": (logits, labels) for name in ("cross_entropy", "squared_error")}
        for name, arguments in calls.items():
            result = getattr(fs, name)(*arguments, **out)
            result = result[1] if isinstance(result, tuple) else result
            assert result is out.get("out", result)
            assert result.dtype == dtype
            assert handed == [logits.size] * parts, name
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
