"""The row operations of every provider. Cases too large for a smoke run have `large` in their name."""

import numpy as np
import pytest

from fastsoftmax.cli.races.rows import DTYPES, ROW_OPERATIONS, SHAPES, Case


def name_of(shape):
    return "x".join(map(str, shape)) + ("-large" if np.prod(shape) > 2**20 else "")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
@pytest.mark.parametrize("operation", ROW_OPERATIONS)
def bench_rows(race, operation, shape, dtype):
    case = Case(operation, shape, dtype)
    if not case.exists:
        pytest.skip("the classes of a loss are along the last axis")
    race(case)
