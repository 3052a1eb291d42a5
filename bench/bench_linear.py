"""A linear layer with cross-entropy: loss with grad_weight and grad_bias, dense and CSR, and Hessian-vector products.

Cases too large for a smoke run have `large` in their name.
"""

from dataclasses import replace

import numpy as np
import pytest

from fastsoftmax.cli.races.layers import LARGE, SHAPES, SPARSE, LinearCase, in_numpy, installed
from fastsoftmax.cli.races.rows import as_arrays

LOSS = "linear_cross_entropy"


def name_of(shape):
    return "x".join(map(str, shape)) + ("-large" if np.prod(shape) > 2**27 else "")


@pytest.fixture
def linear_race(race):
    """The race of a case, checked against plain NumPy in float64."""
    return lambda case: race(case, installed(), as_arrays(in_numpy(replace(case, dtype="float64"))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def bench_linear(linear_race, shape, dtype):
    linear_race(LinearCase(LOSS, shape, dtype))


@pytest.mark.parametrize("shape", LARGE, ids=name_of)
def bench_linear_many_classes(linear_race, shape):
    linear_race(LinearCase(LOSS, shape))


@pytest.mark.parametrize("name", [f"{LOSS} CSR", f"{LOSS} CSR Zipf", f"{LOSS} hvp CSR Zipf"])
@pytest.mark.parametrize("shape", SPARSE, ids=name_of)
def bench_linear_sparse(linear_race, name, shape):
    linear_race(LinearCase(name, shape))


@pytest.mark.parametrize("name", [f"{LOSS} hvp", f"{LOSS} hvp, probs given"])
@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def bench_linear_hvp(linear_race, name, shape):
    linear_race(LinearCase(name, shape))
