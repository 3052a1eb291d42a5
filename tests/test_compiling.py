"""What is compiled, and how often; it is told while it lasts, and nothing where nothing is compiled."""

import re
import sys
from typing import NamedTuple

import numba
import numpy as np
import pytest
from helpers import JIT
from test_cli import run

from fastsoftmax import functional
from fastsoftmax.cli import compiling
from fastsoftmax.kernels.jit import inlined, kernel, linked, numba_internals, routine
from fastsoftmax.kernels.jit.libraries import with_room
from fastsoftmax.kernels.jit.pipeline import untold_calls


@pytest.mark.skipif(not JIT, reason="without the JIT nothing is compiled")
def test_what_is_compiled_is_told(monkeypatch):
    monkeypatch.setattr(compiling, "SECONDS", 0.0)
    lines = []

    @kernel
    def one_more(x):
        return x + 1

    with compiling.told(lines.append):
        one_more(1)
        one_more(2)
    one_more(1.5)
    assert lines == ["compiling, so far 1 functions: one_more ..."]


@pytest.mark.skipif(not JIT, reason="without the JIT nothing is compiled")
@pytest.mark.parametrize("decorator", [kernel, routine, inlined, linked])
def test_a_constant_is_compiled_as_any_number_of_its_kind(decorator):
    @decorator
    def callee(position, place):
        return position + place[1]

    @kernel
    def caller(n):
        return callee(0, (n, 48)) + callee(1, (n, n)) + callee(n, place=(2, 0))

    assert caller(5) == 48 + 6 + 5
    assert len(callee.nopython_signatures) == 1


class Place(NamedTuple):
    at: int
    stride: int


@pytest.mark.skipif(not JIT, reason="without the JIT nothing is compiled")
def test_a_named_tuple_stays_one():
    @kernel
    def callee(place):
        return place.at + place.stride

    @numba.njit
    def users_own(at):
        return callee(Place(at, 48))

    assert users_own(5) == 53


@pytest.mark.skipif(not JIT, reason="without the JIT nothing is compiled")
@pytest.mark.parametrize(("decorator", "times"), [(routine, 1), (inlined, 2)])
def test_true_and_false_are_types_of_what_becomes_a_part_of_its_callers_alone(decorator, times):
    @decorator
    def callee(adds, x):
        return x + 1.0 if adds else x

    @kernel
    def caller(x):
        return callee(True, x) + callee(False, x)

    assert caller(2.0) == 5.0
    assert len(callee.nopython_signatures) == times


@pytest.mark.skipif(not JIT, reason="without the JIT nothing is compiled")
def test_what_takes_less_than_a_second_is_not_told():
    lines = []

    @kernel
    def another(x):
        return x + 1

    with compiling.told(lines.append):
        another(1)
    assert lines == []


@pytest.mark.skipif(not JIT, reason="without the JIT nothing is compiled")
@pytest.mark.parametrize("options", [(), ("--json",), ("--html", "page.html")])
def test_explain_tells_of_it(capsys, monkeypatch, tmp_path, options):
    """The first explanation takes ten seconds."""
    monkeypatch.setattr(compiling, "SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    softmax = functional.softmax

    @kernel
    def not_yet_compiled(x):
        return x + 1

    def compiled_first(*arguments):
        not_yet_compiled(len(arguments))
        return softmax(*arguments)

    monkeypatch.setattr(functional, "softmax", compiled_first)
    status, out, err = run(capsys, "explain", *options)
    assert (status, bool(out)) == (0, "--html" not in options)
    assert re.search(r"^compiling, so far \d+ functions: not_yet_compiled \.\.\.$", err, re.MULTILINE)


@pytest.mark.skipif(not JIT, reason="without the JIT nothing is compiled")
def test_who_listens_to_calls_of_llvm_hears_them_again_after_a_compilation():
    """Also who began to listen while it lasted, and if it ended in an error."""
    lock, late = numba_internals.ffi.lib._lock, (lambda: None, lambda: None)
    before = list(lock._cblist)

    def compilation():
        with untold_calls():
            assert lock._cblist == []
            lock._cblist.append(late)
            raise KeyError

    try:
        with pytest.raises(KeyError):
            compilation()
        assert lock._cblist == [*before, late]
    finally:
        lock._cblist = before


@pytest.mark.skipif(not JIT, reason="without the JIT nothing is compiled")
def test_what_dead_code_calls_first_is_there_for_what_calls_it_last():
    """LLVM leaves out of a module what nobody has asked for by then: `leaf`, that of `dead`, whose call is no more."""

    @inlined
    def leaf(x):
        x[0] += 1.0

    @inlined
    def dead(x):
        leaf(x)

    @inlined
    def deep(x):
        leaf(x)

    @inlined
    def live(x):
        deep(x)

    @inlined
    def both(x, is_dead):
        if x.size > 5 and not is_dead:
            dead(x)
        live(x)

    @kernel
    def both_of(x):
        both(x, True)

    x = np.zeros(3)
    both_of(x)
    assert x[0] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux counts")
def test_loops_of_a_compilation_ask_for_no_memory_with_each_call():
    resource = pytest.importorskip("resource", reason="part of Python where there are processes of POSIX")

    def called():
        return None

    called.__code__ = called.__code__.replace(co_stacksize=200)  # larger than loop's: one of them finds no room for it

    def loop(depth):
        if depth:
            return loop(depth - 1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(2000):
            called()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def most():
        return max(loop(depth) for depth in range(200))

    assert most() >= 2000  # at the end of a piece of Python's stack, there is a page that is new in each call
    assert with_room(most) < 200
