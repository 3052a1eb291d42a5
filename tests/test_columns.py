"""softmax and its kin along an axis whose elements lie far from one another: panels (kernels/rows/panels.py)."""

import numpy as np
import pytest
from helpers import FLOATS, JIT, PRODUCTS, rng, same_bits

import fastsoftmax as fs
from fastsoftmax.kernels.rows import panels

SHAPES = [(2, 5, 140), (1, 1, 300), (3, 17, 131), (2, 33, 1024), (1, 70, 1300)] if JIT else [(2, 5, 140), (1, 18, 131)]
FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
NEAR = 8  # columns of a piece


def operands(shape, dtype, product):
    logits = (rng(0).standard_normal(shape) * 3).astype(dtype)
    at = fs.softmax(logits, axis=1) if product.startswith("softmax") else fs.log_softmax(logits, axis=1)
    return at, rng(1).standard_normal(shape).astype(dtype)


def in_pieces(function, *arrays):
    """The same a few columns at a time, whose rows are near one another; the last piece has up to 7 more."""
    starts = range(0, arrays[0].shape[2] - NEAR + 1, NEAR)
    stops = [*starts[1:], arrays[0].shape[2]]
    pieces = [
        function(*(np.ascontiguousarray(array[:, :, start:stop]) for array in arrays), axis=1)
        for start, stop in zip(starts, stops, strict=True)
    ]
    return np.concatenate(pieces, axis=-1)


def are_far(array):
    return array.shape[2] * array.itemsize > panels.NEAR_BYTES


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_column_has_the_bits_that_it_has_beside_a_few(name, shape, dtype):
    logits, function = (rng(0).standard_normal(shape) * 3).astype(dtype), getattr(fs, name)
    logits[0, 0, ::7], logits[-1, -1, 5::11], logits[0, :, 13] = np.inf, np.nan, -np.inf
    assert are_far(logits)
    found = function(logits, axis=1)
    assert same_bits(found, in_pieces(function, logits))
    if name != "logsumexp":
        assert function(logits, axis=1, out=logits) is logits
        assert same_bits(logits, found)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_has_the_bits_that_it_has_beside_a_few(name, shape, dtype):
    (at, vector), function = operands(shape, dtype, name), getattr(fs, name)
    vector[0, 0, ::7], vector[-1, -1, 5::11] = np.inf, np.nan
    assert are_far(at)
    found = function(at, vector, axis=1)
    assert same_bits(found, in_pieces(function, at, vector))
    assert function(at, vector, axis=1, out=vector) is vector
    assert same_bits(vector, found)


@pytest.mark.skipif(not JIT, reason="takes minutes as Python")
@pytest.mark.parametrize("name", [*FUNCTIONS, *PRODUCTS])
@pytest.mark.parametrize("length", [16_384, 16_385, 33_000])
def test_columns_of_several_blocks(name, length):
    """Whose sums go on in other numbers (kernels/rows/vecmath.py: BLOCK)."""
    given = operands((1, length, 130), np.float32, name)
    given, function = given[:1] if name in FUNCTIONS else given, getattr(fs, name)
    assert same_bits(function(*given, axis=1)[..., :12], in_pieces(function, *(array[..., :12] for array in given)))


@pytest.mark.skipif(not JIT, reason="takes minutes as Python")
@pytest.mark.parametrize("inner", [8192, 8191])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmax_vjp"])
def test_large_results_go_past_the_caches(name, inner):
    given = operands((12, 30, inner), np.float32, name)
    given, function = given[:1] if name in FUNCTIONS else given, getattr(fs, name)
    assert given[0].nbytes > 2**23
    for threads in (1, 2):
        with fs.num_threads(threads):
            found = function(*given, axis=1)
        for k in (0, 1000, inner - 40):
            assert same_bits(found[..., k : k + 40], in_pieces(function, *(array[..., k : k + 40] for array in given)))


@pytest.mark.parametrize("shape", [(0, 3, 200), (2, 0, 200), (2, 3, 0)])
def test_nothing_is_done_to_nothing(shape):
    empty = np.zeros(shape)
    assert fs.softmax(empty, axis=1).shape == shape
    assert fs.softmax_vjp(empty, empty, axis=1).shape == shape
    sums = fs.logsumexp(empty, axis=1)
    assert sums.shape == (shape[0], shape[2])
    assert (sums == -np.inf).all()
