"""Kernels that are compiled when another kernel first calls them, by whatever thread that is."""

import io
import sys

import numba
import numpy as np
import pytest
from helpers import JIT

import fastsoftmax as fs
from fastsoftmax import _threads
from fastsoftmax.kernels import system
from fastsoftmax.kernels import threads as board
from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.jit.deferred import Deferred, call_later, make_all_ready

pytestmark = pytest.mark.skipif(not JIT, reason="without the JIT nothing is compiled")


def chooser():
    """A kernel that calls one of two routines, and the routines."""

    @routine(deferred=True)
    def one(x, value):
        x[0] += value

    @routine(deferred=True)
    def two(x, value):
        x[0] += 2 * value

    @inlined
    def either(x, value):
        if value > 0:
            one(x, value)
        else:
            two(x, value)

    @kernel
    def choose(x, value, times):
        for _ in range(times):
            either(x, value)

    return choose, one, two


def test_what_is_not_called_is_not_compiled():
    choose, one, two = chooser()
    x = np.zeros(1)
    choose(x, 3, 0)
    assert (len(one.overloads), len(two.overloads)) == (0, 0)
    choose(x, 3, 2)
    assert (x[0], len(one.overloads), len(two.overloads)) == (6, 1, 0)
    choose(x, -1, 1)
    assert (x[0], len(one.overloads), len(two.overloads)) == (4, 1, 1)
    choose(x, 5, 1)
    assert (x[0], len(choose.overloads)) == (9, 1)


def test_a_kernel_that_others_call_at_once_can_be_called_later():
    @kernel
    def add(x, value, times):
        x[0] += value * times

    @kernel
    def at_once(x):
        add(x, 1.0, 1)

    @kernel
    def later(x, value):
        if value != 0:
            call_later(add, (x, value, 2))

    x = np.zeros(1)
    later(x, 0.0)
    assert len(add.overloads) == 0
    later(x, 3.0)
    assert (x[0], len(add.overloads)) == (6, 1)
    at_once(x)  # its constants are no types of their own
    assert (x[0], len(add.overloads)) == (7, 1)


def test_all_can_be_made_ready_and_what_that_needs_in_turn():
    choose, one, two = chooser()

    @routine(deferred=True)
    def through(x, value):
        choose(x, value, 1)

    @kernel
    def call(x, value):
        through(x, value)

    call.compile("void(float64[::1], int64)")
    assert (len(through.overloads), len(one.overloads)) == (0, 0)
    make_all_ready()
    assert (len(through.overloads), len(one.overloads), len(two.overloads)) == (1, 1, 1)


def test_a_users_function_gets_it_with_all_else_linked_in():
    choose, one, two = chooser()

    @numba.njit
    def users(x):
        choose(x, 1, 1)
        choose(x, -1, 2)

    x = np.zeros(1)
    users(x)
    assert x[0] == -3
    assert (len(one.overloads), len(two.overloads)) == (1, 1)
    text = next(iter(users.inspect_llvm().values()))
    assert "@fastsoftmax." not in text  # nothing is left to be looked for when it is run


def test_a_users_function_that_calls_it_itself_gets_it_linked_in():
    _, one, two = chooser()

    @numba.njit
    def users(x):
        one(x, 5)
        two(x, 1)
        one(x, 5)

    x = np.zeros(1)
    users(x)
    assert x[0] == 12
    assert "@fastsoftmax." not in next(iter(users.inspect_llvm().values()))


def test_what_it_raises_is_raised():
    @routine(deferred=True)
    def fail(x):
        if x[0] == 0:
            raise ZeroDivisionError("nothing there")

    @kernel
    def call(x):
        fail(x)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="nothing there"):
            call(np.zeros(1))
    call(np.ones(1))


def test_a_constant_is_any_number_of_its_kind():
    @routine(deferred=True)
    def put(x, value):
        x[0] = value

    @kernel
    def call(x, value):
        put(x, 1)
        put(x, value)

    x = np.zeros(1)
    call(x, 7)
    assert (x[0], len(put.overloads)) == (7, 1)


@pytest.mark.parametrize(
    ("error", "raised"), [(KeyboardInterrupt(), KeyboardInterrupt), (ValueError("no such type"), RuntimeError)]
)
def test_a_compilation_that_ends_early_is_an_error_and_the_next_call_tries_again(monkeypatch, error, raised):
    choose, _, _ = chooser()
    x, told = np.zeros(1), []

    def stop(self):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Deferred, "make_ready", stop)
        patch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_value))
        with pytest.raises(raised):
            choose(x, 1, 1)
    assert told == ([error] if raised is RuntimeError else [])
    assert x[0] == 0
    choose(x, 1, 1)
    assert x[0] == 1


@pytest.mark.parametrize("is_closed", [False, True])
def test_why_it_is_not_compiled_is_told(monkeypatch, capfd, is_closed):
    """By Python's own hook, too, which takes nothing that others make; and the call ends where none is."""
    choose, _, _ = chooser()

    def stop(self):
        raise ValueError("no such type")

    monkeypatch.setattr(Deferred, "make_ready", stop)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    if is_closed:
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        sys.stderr.close()
    with pytest.raises(RuntimeError, match="could not be compiled"):
        choose(np.zeros(1), 1, 1)
    told = capfd.readouterr().err
    assert ("Not compiled" in told and "ValueError: no such type" in told) is not is_closed


HELPED, LEADER = 0, 1


def rows_that_a_helper_meets_first():
    """A kernel of many rows; a helper is the first that calls a routine in one of them. -> also the routine."""

    @routine(deferred=True)
    def note(flags):
        flags[HELPED] = 1

    @kernel
    def span(first, last, flags):
        if system.thread_id() == flags[LEADER]:
            tries = 0
            while flags[HELPED] == 0 and system.load_atomic(np.int64(flags.ctypes.data)) == 0 and tries < 1000:
                system.yield_processor()  # until a helper has come, and then it goes on to wait for helpers
                tries += 1
        else:
            note(flags)

    @kernel
    def rows(flags, team):
        flags[LEADER] = system.thread_id()
        board.share_each(team, 2, span, (flags,))

    return rows, note


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere threads have no numbers")
def test_what_a_helper_meets_first_its_leader_compiles():
    rows, note = rows_that_a_helper_meets_first()
    flags = np.zeros(2, np.int64)
    with fs.num_threads(2):
        for _ in range(1000):
            _threads.run(rows, 10**7, flags)
            if flags[HELPED]:
                break
    assert flags[HELPED] == 1
    assert len(note.overloads) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere threads have no numbers")
@pytest.mark.parametrize(
    ("error", "raised"), [(KeyboardInterrupt(), KeyboardInterrupt), (ValueError("no such type"), RuntimeError)]
)
def test_a_helper_does_not_wait_for_what_cannot_be_compiled(monkeypatch, error, raised):
    rows, note = rows_that_a_helper_meets_first()
    flags, calls = np.zeros(2, np.int64), []

    def stop(self):
        calls.append(self)
        self._state[1] = 0
        raise error

    def run():
        for _ in range(1000):
            _threads.run(rows, 10**7, flags)
            if flags[HELPED]:
                break

    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    with fs.num_threads(2):
        _threads.run(rows_that_a_helper_meets_first()[0], 10**7, np.zeros(2, np.int64))  # share_each itself is ready
        with monkeypatch.context() as patch:
            patch.setattr(Deferred, "make_ready", stop)
            with pytest.raises(raised):
                run()
        assert {each.identity[1].rpartition(".")[2] for each in calls} == {"note"}
        assert not note.overloads
        run()
    assert flags[HELPED] == 1
