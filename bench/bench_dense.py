"""The gradients of a dense layer: dX, dW and db from dL/dlogits."""

import pytest
from cases import DENSE_SHAPES, DTYPES, Case, installed


@pytest.mark.parametrize("provider", [name for name in installed() if name in ("numpy", "torch", "jax", "fastsoftmax")])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", DENSE_SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def bench_dense_vjp(measure, shape, dtype, provider):
    measure(provider, Case("dense_vjp", shape, dtype))
