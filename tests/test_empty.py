"""Shapes with zeros and ones: every element of a result is written, whatever lay in its memory before."""

import itertools
from importlib import import_module

import numpy as np
import pytest
from helpers import FLOATS, JIT, flat, public_calls, rng, same_bits, tolerance
from scipy.sparse import csr_array

import fastsoftmax as fs
from fastsoftmax._gate import arrays

# by import_module, because the functions have the names of their files
MODULES = ("softmax", "losses", "_layer", "dense", "inference", "boosting")
modules = [import_module(f"fastsoftmax.functional.{name}") for name in MODULES]

LENGTHS = (0, 1, 2, 5, 9) if JIT else (0, 1, 9)
SHAPES = [shape for ndim in (1, 2, 3) for shape in itertools.product(LENGTHS, repeat=ndim)]
JUNK = 1.2345e30


class Spoiled:
    """NumPy whose new arrays hold junk."""

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype=float):
        array = np.empty(shape, dtype)
        array.fill(JUNK if array.dtype.kind == "f" and array.dtype.itemsize > 2 else 77)
        return array

    def empty_like(self, prototype, dtype=None):
        return self.empty(np.shape(prototype), dtype or prototype.dtype)


@pytest.fixture
def junk(monkeypatch):
    """Results are made with junk in them, so that what is not written shows."""
    for module in (arrays, *modules):
        monkeypatch.setattr(module, "np", Spoiled(), raising=False)


def axes_of(ndim):
    several = [axes for n in (2, 3) for axes in itertools.combinations(range(ndim), n)]
    return [*range(ndim), *several, None]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("masked", [False, True])
def test_logsumexp_of_any_shape_and_axis(junk, dtype, masked):
    """-inf for a sum over nothing; (2, 0, 4) along 1 was junk, and (0, 9) along 0 from the second vector on."""
    for shape in SHAPES:
        x = rng().standard_normal(shape).astype(dtype)
        where = rng(1).random(shape) < 0.6 if masked else None
        shown = np.where(where, x, -np.inf) if masked else x
        for axis, keepdims in itertools.product(axes_of(len(shape)), (False, True)):
            with np.errstate(divide="ignore"):
                expected = np.log(np.exp(shown.astype(np.float64)).sum(axis=axis, keepdims=keepdims))
            result = np.asarray(fs.logsumexp(x, axis, keepdims=keepdims, where=where))
            assert (result.shape, result.dtype) == (expected.shape, dtype)
            assert np.allclose(result, expected, rtol=10 * tolerance(dtype, x.size), atol=tolerance(dtype, x.size))


def total(values, axis):
    return values.sum(axis=axis, keepdims=True)


FORMULAS = {
    "softmax": lambda z, _, axis: np.exp(z) / total(np.exp(z), axis),
    "log_softmax": lambda z, _, axis: z - np.log(total(np.exp(z), axis)),
    "softmax_vjp": lambda p, u, axis: p * (u - total(p * u, axis)),
    "log_softmax_jvp": lambda lp, v, axis: v - total(np.exp(lp) * v, axis),
    "log_softmax_vjp": lambda lp, u, axis: u - np.exp(lp) * total(u, axis),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FORMULAS)
def test_the_other_row_functions_of_any_shape_and_axis(junk, name, dtype):
    for shape in SHAPES:
        x, v = rng().standard_normal(shape).astype(dtype), rng(1).standard_normal(shape).astype(dtype)
        for axis in axes_of(len(shape)):
            result = getattr(fs, name)(*((x,) if name in ("softmax", "log_softmax") else (x, v)), axis)
            assert (result.shape, result.dtype) == (shape, dtype)
            with np.errstate(divide="ignore"):
                expected = FORMULAS[name](x.astype(np.float64), v.astype(np.float64), axis)
            assert np.allclose(result, expected, rtol=0, atol=100 * tolerance(dtype, x.size))


def small(arguments, n_rows, n_classes, n_features):
    """The arguments with those numbers of rows, classes and features."""
    sizes = {"X": (n_rows, n_features), "weight": (n_classes, n_features), "weight_tangent": (n_classes, n_features)}
    sizes |= {
        "bias": (n_classes,),
        "bias_tangent": (n_classes,),
        "class_weight": (n_classes,),
        "sample_weight": (n_rows,),
    }
    cut = {}
    for name, array in arguments.items():
        shape = sizes.get(name, (n_rows, n_classes) if array.ndim == 2 else (n_rows,))
        cut[name] = array[tuple(map(slice, shape))] if array.ndim == len(shape) else array[:n_rows]
        if name == "targets" and array.ndim == 1:
            cut[name] = cut[name] % max(1, n_classes)
    return cut


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", public_calls())
def test_every_function_writes_all_of_its_results(junk, name, dtype):
    function, arguments = public_calls(dtype)[name]
    for n_rows, n_classes, n_features in itertools.product((0, 1, 2, 9), (0, 1, 2, 5), (0, 1, 7)):
        given = small(arguments, n_rows, n_classes, n_features)
        labels = given.get("targets") is not None and given["targets"].ndim == 1
        if (
            (labels and n_rows and not n_classes)
            or (name == "fit_temperature" and n_rows * n_classes == 0)
            or (name == "linear_argmax" and not n_classes)
        ):
            with pytest.raises(ValueError, match=r"is not a class|must have shape|not be empty|at least one row"):
                function(**given)
            continue
        kinds = [given, {**given, "X": csr_array(given["X"])}] if "X" in given else [given]
        for arguments_here in kinds:
            more = {} if "squared" not in name and "cross" not in name else {"reduction": "sum"}
            for result in flat(function(**arguments_here, **more)):
                assert not np.isin(result, [dtype(JUNK), 77]).any()
        if name in ("softmax", "dense", "linear_softmax"):
            assert function(**given).shape == (n_rows, n_classes)


@pytest.mark.parametrize("dtype", FLOATS)
def test_junk_does_not_come_through_in_larger_results(junk, dtype):
    """Streamed rows, several threads, several blocks."""
    for shape, axis in (((3, 700_001), -1), ((2_000_003, 2), -1), ((1, 700_001, 3), 1), ((5, 1001, 401), 1)):
        x = rng().standard_normal(shape).astype(dtype)
        with fs.num_threads(2):
            results = [fs.softmax(x, axis), fs.log_softmax(x, axis), fs.logsumexp(x, axis), fs.softmax_vjp(x, x, axis)]
        assert not any((result == dtype(JUNK)).any() for result in results)
        assert same_bits(results[0], fs.softmax(x, axis, out=np.zeros_like(x)))


@pytest.mark.parametrize("function", [fs.cross_entropy, fs.squared_error])
def test_rows_of_no_classes_that_are_all_left_out(function):
    assert function(np.zeros((3, 0)), [-1] * 3, ignore_index=-1, reduction="sum") == 0.0
