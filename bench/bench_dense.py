"""The gradients of a dense layer: dX, dW and db from dL/dlogits."""

import pytest

from fastsoftmax.cli.races.rows import DENSE_SHAPES, DTYPES, PROVIDERS, Case


@pytest.fixture(autouse=True)
def only_those_that_have_it(monkeypatch):
    for name in ("jacobian", "scipy", "sklearn", "onnxruntime"):
        monkeypatch.setitem(PROVIDERS, name, lambda case, threads: None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", DENSE_SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def bench_dense_vjp(race, shape, dtype):
    race(Case("dense_vjp", shape, dtype))
