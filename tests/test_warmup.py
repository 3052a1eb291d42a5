"""What warm-up calls: every public function, and both kinds of each option; tests/test_cli.py runs it as a command."""

import multiprocessing
import os

import numpy as np
import pytest
from helpers import FLOATS

from fastsoftmax import functional
from fastsoftmax.cli import warmup


def calls_for(dtype):
    return [call for kind in warmup.CALLS[1:] for call in kind(dtype)]


def test_every_public_function_is_called_in_its_dtype():
    for dtype in FLOATS:
        calls = calls_for(dtype)
        names = {call.func.__name__ for call in calls}
        assert names == set(functional.__all__) - {"LinearGrads", "softmax_vjp"}  # the same kernel as softmax_jvp
        assert all(call.args[0].dtype == dtype for call in calls)


def test_options_are_given_and_left_out():
    calls = calls_for(np.float32)
    for function, option in (
        ("softmax", "where"),
        ("logsumexp", "where"),
        ("cross_entropy", "sample_weight"),
        ("squared_error_value_and_grad", "class_weight"),
    ):
        given = [call.keywords.get(option) is not None for call in calls if call.func.__name__ == function]
        assert {True, False} == set(given)
    axes = {call.args[1] for call in calls if call.func.__name__ == "log_softmax" and len(call.args) > 1}
    assert axes == {-1, 1}


def test_training_is_called_with_every_kind_of_data():
    assert warmup.CALLS[0] is warmup._training_calls
    assert warmup.KINDS.keys() == {calls.__name__ for calls in warmup.CALLS}
    calls = list(warmup._training_calls(np.float32))
    kinds = {
        (type(X).__name__, targets.ndim, loss, len(hidden)) for X, targets, loss, hidden in (c.args for c in calls)
    }
    assert len(kinds) == len(calls) == 16
    assert all(call.args[0].dtype == np.float32 for call in calls)
    calls[0]()  # what they call can be called
    calls[1]()


made = []


def calls_that_kill_a_helping_process(dtype):
    yield lambda: os._exit(1) if multiprocessing.parent_process() else made.append(dtype)


def calls_that_fail(dtype):
    yield lambda: 1 / 0


def no_calls(dtype):
    return iter(())


def no_semaphores_in_python(*_):
    raise NotImplementedError


def no_semaphores_left(*_):
    raise OSError


class NoProcesses(warmup.ProcessPoolExecutor):
    def submit(self, *_):
        raise OSError("no more processes")


EXECUTORS = [no_semaphores_in_python, no_semaphores_left, NoProcesses, warmup.ProcessPoolExecutor]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_where_processes_cannot_do_it_this_one_does(monkeypatch, executor):
    made.clear()
    told = []
    monkeypatch.setattr(warmup, "ProcessPoolExecutor", executor)
    monkeypatch.setattr(warmup, "CALLS", (calls_that_kill_a_helping_process,))
    warmup.warm_up(FLOATS, lambda *line: told.append(line[1:]), jobs=2)
    assert made == list(FLOATS)
    assert told == [(1, 2), (2, 2)]


def test_what_goes_wrong_in_a_call_or_in_the_telling_is_no_want_of_processes(monkeypatch):
    told = []

    def closed(*line):
        told.append(line)
        raise BrokenPipeError

    monkeypatch.setattr(warmup, "CALLS", (calls_that_fail,))
    with pytest.raises(ZeroDivisionError):
        warmup.warm_up(FLOATS, lambda *_: None, jobs=2)
    monkeypatch.setattr(warmup, "CALLS", (no_calls,))
    with pytest.raises(BrokenPipeError):
        warmup.warm_up(FLOATS, closed, jobs=2)
    assert len(told) == 1  # and nothing begins anew
