"""What is used of Numba beyond its documentation: in one module, and all of it there."""

import operator
import re
from pathlib import Path

import pytest

import fastsoftmax
from fastsoftmax.kernels.jit import numba_internals

PACKAGE = Path(fastsoftmax.__file__).parent


@pytest.mark.parametrize("path", numba_internals.USED)
def test_what_is_used_exists(path):
    operator.attrgetter(path)(numba_internals)


def test_no_other_file_imports_what_numba_does_not_promise():
    found = [
        f"{file.relative_to(PACKAGE)}: {line}"
        for file in PACKAGE.rglob("*.py")
        if file.name != "numba_internals.py"
        for line in file.read_text().splitlines()
        if re.match(r"\s*(from|import) numba\.(core|np|cpython|misc|typed)\b", line)
    ]
    assert found == []
