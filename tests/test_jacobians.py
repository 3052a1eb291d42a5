"""Products with Jacobians, against Jacobians that are built and differences; beside softmax in test_softmax.py."""

import numpy as np
import pytest
from helpers import FLOATS, PRODUCTS, SHAPES, derivative, point, rng, same_bits, tolerance, uneven

import fastsoftmax as fs


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_equal_the_jacobian_built(name, shape, dtype):
    logits, vector = uneven(shape, dtype), uneven(shape, dtype, seed=1)
    at = point(name, logits)
    expected = getattr(fs.reference, name)(at.astype(np.float64), vector.astype(np.float64))
    scale = np.abs(vector).max(axis=-1, keepdims=True) * (1 if name != "log_softmax_vjp" else shape[-1])
    result = getattr(fs, name)(at, vector)
    assert (np.abs(result - expected) <= tolerance(dtype, shape[-1]) * scale).all()
    assert result.dtype == dtype


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_columns", [1, 3, 8, 10, 16, 17])
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_row_does_not_depend_on_the_rows_beside_it(name, n_columns, dtype):
    """What is not finite stays in its row, and a row alone has the same bits; 131 rows end amid blocks and pairs."""
    shape = (131, n_columns)
    at, vector = point(name, uneven(shape, dtype)), uneven(shape, dtype, seed=1)
    vector[1::3], vector[2::3] = -0.0, np.nan
    at[2::6] = np.inf
    found = getattr(fs, name)(at, vector)
    for n in range(len(at)):
        assert same_bits(found[n], getattr(fs, name)(at[n], vector[n]))
    assert np.isfinite(found[::3]).all()
    in_place = vector.copy()
    assert same_bits(getattr(fs, name)(at, in_place, out=in_place), found)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape", [(3, 2), (4, 10), (2, 40)])
def test_products_equal_finite_differences(name, shape):
    logits, tangent, cotangent = (rng(seed).standard_normal(shape) for seed in range(3))
    function = getattr(fs, name)
    at = function(logits)
    jvp = getattr(fs, f"{name}_jvp")(at, tangent)
    np.testing.assert_allclose(jvp, derivative(function, logits, tangent), rtol=1e-9, atol=1e-11)
    vjp = getattr(fs, f"{name}_vjp")(at, cotangent)
    assert np.vdot(cotangent, jvp) == pytest.approx(np.vdot(vjp, tangent), rel=1e-12)  # <u, J v> = <J^T u, v>


@pytest.mark.parametrize("name", ["softmax_vjp", "log_softmax_vjp"])
def test_a_gradient_to_the_logits_sums_to_zero(name):
    """Adding a constant to the logits changes nothing."""
    at = point(name, uneven((20, 30)))
    cotangent = rng(1).standard_normal((20, 30))
    np.testing.assert_allclose(getattr(fs, name)(at, cotangent).sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_along_another_axis(name):
    logits, vector = uneven((3, 4, 5)), uneven((3, 4, 5), seed=1)
    at = np.moveaxis(point(name, np.moveaxis(logits, 1, -1)), -1, 1)
    expected = np.moveaxis(getattr(fs, name)(np.moveaxis(at, 1, -1), np.moveaxis(vector, 1, -1)), -1, 1)
    np.testing.assert_allclose(getattr(fs, name)(at, vector, 1), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(getattr(fs.reference, name)(at, vector, 1), expected, atol=1e-10)


def test_products_take_the_wider_dtype():
    probs = np.full((2, 4), 0.25, np.float32)
    assert fs.softmax_jvp(probs, np.ones((2, 4), np.float64)).dtype == np.float64
    assert fs.softmax_jvp(probs, np.ones((2, 4), np.float16)).dtype == np.float32
    assert fs.softmax_jvp(probs, np.ones((2, 4), np.int8)).dtype == np.float64


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("axis", [-1, 0, None])
def test_a_product_into_an_array_of_another_layout(name, axis):
    at, vector = fs.softmax(uneven((5, 3))), uneven((5, 3), seed=1)
    for out in (np.zeros((3, 5)).T, np.zeros((10, 6))[::2, ::-2]):
        assert getattr(fs, name)(at, vector, axis, out=out) is out
        assert same_bits(out, getattr(fs, name)(at, vector, axis))
