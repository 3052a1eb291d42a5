"""softmax, log_softmax, logsumexp, softmax_vjp and cross-entropy with its gradient, of every provider."""

import pytest
from cases import DTYPES, ROW_OPERATIONS, SHAPES, Case, installed


@pytest.mark.parametrize("provider", installed())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("operation", ROW_OPERATIONS)
def bench_rows(measure, operation, shape, dtype, provider):
    measure(provider, Case(operation, shape, dtype))
