"""What is used of Numba beyond its documentation: in one module, and all of it there."""

import operator
import re
from pathlib import Path

import numba
import pytest
from helpers import JIT

import fastsoftmax
from fastsoftmax.kernels.jit import numba_internals
from fastsoftmax.kernels.rows.vecmath import sum_row

PACKAGE = Path(fastsoftmax.__file__).parent


@pytest.mark.parametrize("path", numba_internals.USED)
def test_what_is_used_exists(path):
    operator.attrgetter(path)(numba_internals)


def test_what_is_imported_late_exists():
    assert callable(numba_internals.array_lowering().populate_array)


@pytest.mark.skipif(not JIT, reason="without the JIT there are no libraries")
def test_libraries_have_the_attributes_that_are_used():
    library = sum_row.get_compile_result(numba.float64(numba.float64[::1])).library
    for path in ("_final_module", "_linking_libraries", "_finalized", "_shared_module", "_reload_init"):
        operator.attrgetter(path)(library)
    for path in ("_data_layout", "_engine._defined_symbols", "_tm"):
        operator.attrgetter(path)(library._codegen)


def test_no_other_file_imports_what_numba_does_not_promise():
    found = [
        f"{file.relative_to(PACKAGE)}: {line}"
        for file in PACKAGE.rglob("*.py")
        if file.name != "numba_internals.py"
        for line in file.read_text().splitlines()
        if re.match(r"\s*(from|import) numba\.(core|np|cpython|misc|typed)\b", line)
    ]
    assert found == []
