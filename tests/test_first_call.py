"""The types of arguments as kernels tell them, beside Numba's, and what a first call does not import."""

import subprocess
import sys

import numba
import numpy as np
import pytest
from helpers import JIT

from fastsoftmax.kernels.rows.vecmath import sum_row

pytestmark = pytest.mark.skipif(not JIT, reason="without the JIT nobody asks for types")


@pytest.fixture
def type_of():
    yield sum_row.typeof_pyval
    sum_row._types_active_call.clear()


@pytest.mark.parametrize("char", "?bhilqBHILQefdFDmM")
def test_types_of_arrays_are_numbas(type_of, char):
    array = np.zeros((4, 3, 2), char if char not in "mM" else f"{char}8[s]")
    read_only = array.copy()
    read_only.flags.writeable = False
    views = array, read_only, array.T, array[::2], array[:, 0], array[0, 0, 0], array[:0], array.reshape(-1)
    for value in views:
        found, right = type_of(value), numba.typeof(value)
        assert found == right
        assert found in sum_row._types_active_call


@pytest.mark.parametrize(
    "value",
    [np.zeros(2, np.longdouble), np.zeros(2, ">f8"), object()],
    ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")),
)
def test_what_numba_has_no_type_for_is_a_python_object(type_of, value):
    assert type_of(value) == numba.types.pyobject


def test_types_of_other_arrays_are_numbas_to_tell(type_of, tmp_path):
    on_disk = np.memmap(tmp_path / "numbers", float, "w+", shape=2)
    assert type_of(on_disk) == numba.typeof(on_disk)
    assert type_of(1.5) == numba.float64


def test_a_first_call_imports_no_masked_arrays():
    code = "import sys, numpy as np, fastsoftmax as fs; fs.softmax(np.ones((3, 2))); print('numpy.ma' in sys.modules)"
    for _ in range(2):  # of the second one the code is ready: compiling it imports them
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
