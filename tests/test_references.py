"""Compiled code counts references to the arrays that it makes, and to no others: none leaks, none is freed twice."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import JIT

import fastsoftmax

EVERY_KERNEL = """
import gc

from numba.core.runtime import rtsys

import fastsoftmax as fs
from fastsoftmax import _threads, kernels
from fastsoftmax.cli.warmup import CALLS

fs.set_num_threads(2)
for small in (_threads.SMALL, 0):  # all calls are small, or none
    _threads.SMALL = small
    for dtype in ("float32", "float64"):
        for calls in CALLS:
            for call in calls(dtype):
                call()
    gc.collect()
    stats = rtsys.get_allocation_stats()
    print(stats.alloc, stats.free, stats.mi_alloc, stats.mi_free)
print([name for name in kernels.__all__ if not getattr(kernels, name).signatures])
"""


@pytest.mark.skipif(not JIT, reason="without the JIT Python counts references")
def test_what_kernels_allocate_is_freed_once_and_warm_up_calls_them_all():
    environment = {**os.environ, "NUMBA_NRT_STATS": "1"}
    process = subprocess.run([sys.executable, "-c", EVERY_KERNEL], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    *counts, missed = process.stdout.splitlines()
    assert missed == "[]"  # kernels that `fastsoftmax warmup` does not call
    for line in counts:
        allocated, freed, arrays, freed_arrays = map(int, line.split())
        assert allocated == freed > 0
        assert arrays == freed_arrays
    assert len(counts) == 2


KERNELS = Path(fastsoftmax.__file__).parent / "kernels"
NEW = {
    "empty",
    "zeros",
    "full",
    "flatnonzero",
    "on_huge_pages",
}  # NumPy's, and ours in views.py, that return new arrays


def _functions():
    for file in sorted(KERNELS.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                counts = any("counts_references=True" in ast.unparse(decorator) for decorator in node.decorator_list)
                compiled = any(
                    ast.unparse(decorator).split("(")[0]
                    in ("kernel", "routine", "inlined", "linked", "inlined_overload")
                    for decorator in node.decorator_list
                )
                if compiled:
                    yield f"{file.name}: {node.name}", node, counts


def _called(node):
    return {
        call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
    }


def _returned(node):
    for statement in ast.walk(node):
        if isinstance(statement, ast.Return) and statement.value is not None:
            yield from statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]


def test_what_counts_no_references_makes_no_arrays_and_returns_none_of_its_own():
    functions = list(_functions())
    # what returns an array that it, or what it calls, has made: to be called by what counts references alone
    makers, found = set(NEW), True
    while found:
        returning = {
            node.name
            for _, node, _ in functions
            if any(_called(value) & makers for value in _returned(node))
            or {value.id for value in _returned(node) if isinstance(value, ast.Name)} & _made(node, makers)
        }
        found = not returning <= makers
        makers |= returning
    assert {"new_workspace", "new_packed", "_new_batch", "_begin", "_powers", "sample_features"} <= makers
    for name, node, counts in functions:
        if not counts:
            assert not _called(node) & makers, name


def _made(node, makers):
    """The names in a function that are given what a maker returns."""
    return {
        name.id
        for assignment in ast.walk(node)
        if isinstance(assignment, ast.Assign) and _called(assignment.value) & makers
        for target in assignment.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }
