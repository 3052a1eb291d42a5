"""Rows over threads: the same bits for any number; the settings; the team under many callers, forks and exits."""

import importlib.util
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers import EMULATED, FLOATS, JIT, rng, same_bits, uneven

import fastsoftmax as fs
from fastsoftmax import _threads
from fastsoftmax.kernels import board, system
from fastsoftmax.kernels.jit import kernel
from fastsoftmax.kernels.rows import direct
from fastsoftmax.kernels.rows.panels import panel_width, panels_of
from fastsoftmax.kernels.threads import GRAIN, SMALL, share

needs_jit = pytest.mark.skipif(not JIT, reason="without machine code one thread does all the work")
forks_amid_threads = pytest.mark.skipif(EMULATED, reason="a child of QEMU's waits for locks of threads that it has not")
SHAPES = [(SMALL // 4, 5), (SMALL // 30, 37), (40, 1000), (3, SMALL), (30_001, 10), (1, 2 * SMALL)]


def everything(logits, axis=-1):
    """One result of each kind of kernel that deals out rows."""
    labels, flat = rng().integers(0, logits.shape[-1], logits.shape[0]), logits.reshape(len(logits), -1)
    probs, log_probs = fs.softmax(logits, axis), fs.log_softmax(logits, axis)
    results = [probs, log_probs, fs.logsumexp(logits, axis)]
    results += [fs.softmax_vjp(probs, logits, axis), fs.log_softmax_jvp(log_probs, logits, axis)]
    results += [fs.log_softmax_vjp(log_probs, logits, axis)]
    results += fs.cross_entropy_value_and_grad(flat, labels)
    results += fs.squared_error_value_and_grad(flat, labels, label_smoothing=0.1)
    return results


@needs_jit
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [*SHAPES, (60, 50, 20)])
def test_results_do_not_depend_on_the_number_of_threads(shape, dtype):
    logits = uneven(shape, dtype)
    axis = 1 if len(shape) == 3 else -1
    with fs.num_threads(1):
        expected = everything(logits, axis)
    for n in (2, 3, 7):
        with fs.num_threads(n):
            for _ in range(3):
                for a, b in zip(everything(logits, axis), expected, strict=True):
                    assert same_bits(a, b)


@kernel
def _meet_span(first, last, inside, met):
    address = inside.ctypes.data
    system.add_atomic(address, 1)
    for _ in range(1_000_000):
        if system.load_atomic(address) > 1:
            met[0] = 1
            break
    system.add_atomic(address, -1)


@kernel
def _meet_rows(inside, met, team):
    share(team, 64, GRAIN, _meet_span, (inside, met))


@needs_jit
def test_helpers_do_rows():
    """Two threads are in the middle of a turn at once; without a team never."""

    def met(*helpers):
        inside, seen = np.zeros(1, np.int64), np.zeros(1, np.int64)
        _meet_rows(inside, seen, _threads._team.summon(*helpers) if helpers else 0)
        return seen[0]

    _threads._team.free.pop()
    try:
        assert any(met(2) for _ in range(50))
    finally:
        _threads._team.free.append(None)
    assert not met()


@kernel
def _count_span(first, last, spans, panels):
    spans[0] = max(spans[0], last - first)
    spans[1] += last - first


@kernel
def _count_rows(spans, n_rows, n_columns, team):
    share(team, n_rows, n_columns, _count_span, (spans, n_rows))


@kernel
def _panels(array, is_copied, team):
    return panels_of(array, panel_width(array, is_copied, team))[0]


@needs_jit
def test_a_few_long_rows_are_for_all_threads():
    """One at a time; of short ones as many as fill the lanes of vectors; and there are enough panels."""
    _threads._team.free.pop()
    try:
        team = _threads._team.summon(1)
        for n_rows, n_columns, most in ((2, 50_000, 1), (10, 10_000, 1), (40, 1000, 10), (4000, 10, 992), (3, 5, 3)):
            spans = np.zeros(2, np.int64)
            _count_rows(spans, n_rows, n_columns, team)
            assert 0 < spans[0] <= most
        wide, narrow = np.empty((1, 10, 1000), np.float32), np.empty((1, 10, 20), np.float32)
        for is_copied in (False, True):
            assert _panels(wide, is_copied, 0) == _panels(narrow, is_copied, 0) == 1
            assert _panels(wide, is_copied, team) == 2
        assert (_panels(narrow, False, team), _panels(narrow, True, team)) == (1, 2)
        assert _panels(np.empty((2, 10, 1000), np.float32), False, team) == 2
    finally:
        _threads._team.free.append(None)


def test_the_number_of_threads_is_set_for_all_or_for_a_block():
    before = fs.get_num_threads()
    assert before >= 1
    try:
        fs.set_num_threads(3)
        assert fs.get_num_threads() == 3
        with fs.num_threads(2):
            assert fs.get_num_threads() == 2
            with fs.num_threads(5):
                assert fs.get_num_threads() == 5
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(fs.get_num_threads).result() == 3  # the block is this thread's
        assert fs.get_num_threads() == 3
    finally:
        fs.set_num_threads(before)
    with pytest.raises(KeyError), fs.num_threads(before + 1):
        raise KeyError
    assert fs.get_num_threads() == before


@pytest.mark.parametrize("setter", [fs.set_num_threads, lambda n: fs.num_threads(n).__enter__()])
def test_a_number_of_threads_that_is_none(setter):
    for bad in (0, -1):
        with pytest.raises(ValueError, match=f"n must be at least 1, got {bad}"):
            setter(bad)
    for bad in (1.5, "2", None, True):
        with pytest.raises(TypeError, match="n must be an integer, got"):
            setter(bad)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process")
def test_no_more_threads_than_cores_that_may_be_used():
    code = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import fastsoftmax as fs; "
        "print(fs.get_num_threads())"
    )
    for settings, expected in (({}, "1"), ({"NUMBA_NUM_THREADS": "1"}, "1")):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **settings}, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected, done.stderr


@needs_jit
def test_many_threads_with_large_arrays_at_once():
    logits = uneven((60, 1000), np.float32)
    with fs.num_threads(1):
        expected = everything(logits)
    before = fs.get_num_threads()
    fs.set_num_threads(3)
    try:
        with ThreadPoolExecutor(8) as pool:
            for results in pool.map(lambda _: everything(logits), range(100)):
                assert all(same_bits(a, b) for a, b in zip(results, expected, strict=True))
    finally:
        fs.set_num_threads(before)


@needs_jit
def test_an_error_gives_the_team_back():
    def failing(*_):
        raise RuntimeError("no")

    with fs.num_threads(2):
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no"):
                _threads.run(failing, SMALL)
        assert _threads._team.free == [None]


@needs_jit
def test_helpers_sleep_when_there_is_nothing_to_do_and_wake_again():
    logits = uneven((60, 1000), np.float32)
    with fs.num_threads(2):
        expected = fs.softmax(logits)
        deadline = time.monotonic() + 20
        while not _threads._team._parts[0][board.ASLEEP] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert _threads._team._parts[0][board.ASLEEP]
        assert same_bits(fs.softmax(logits), expected)
        for _ in range(1000):
            fs.softmax(logits)
            if not _threads._team._parts[0][board.ASLEEP]:
                break
        assert not _threads._team._parts[0][board.ASLEEP]


@needs_jit
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a thread")
def test_a_helper_wakes_on_another_core_than_its_leader():
    """Or they would take turns of milliseconds on one core, where the kernel's scheduler looks no further."""
    mine = os.sched_getaffinity(0)
    if len(mine) < 2:
        pytest.skip("there is but one core")
    team = _threads._Team()
    with fs.num_threads(2):
        team.summon(1)
        deadline = time.monotonic() + 20
        while not team._parts[0][board.ASLEEP] and time.monotonic() < deadline:
            time.sleep(0.01)
        team.summon(1)
        assert len(os.sched_getaffinity(int(team._parts[0][board.TID]))) == len(mine) - 1
        assert os.sched_getaffinity(0) == mine
    team.dismiss()
    assert team.summon(1) == 0  # what comes later is the caller's alone


def _in_a_child(logits):
    with fs.num_threads(2):
        return fs.softmax(logits), _threads._team.n_helpers, _threads._team._process == os.getpid()


@needs_jit
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_helpers_are_about_and_the_team_is_taken():
    logits = uneven((60, 1000), np.float32)
    with fs.num_threads(2):
        expected = fs.softmax(logits)
        _threads._team.free.pop()  # as if another thread were in the middle of a call
        try:
            with multiprocessing.get_context("fork").Pool(2) as pool:
                for result, *team in pool.map_async(_in_a_child, [logits] * 6).get(timeout=120):
                    assert same_bits(result, expected)
                    assert team == [1, True]  # a child has helpers of its own
        finally:
            _threads._team.free.append(None)


@needs_jit
@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_beside_numbas_own_threads(layer):
    """No abort and no hang whatever Numba's threading layer is: 10,000 calls of 8 threads, while the user's own
    parallel code runs, with calls nested in it; and a fork after that.
    """
    code = """
import os, threading, warnings, numba, numpy as np, fastsoftmax as fs
fs.set_num_threads(2)
x = np.random.default_rng(0).standard_normal((60, 1000))
with fs.num_threads(1):
    expected = fs.softmax(x)
@numba.njit(parallel=True)
def users_own(x):
    values = np.empty(x.shape[0])
    for n in numba.prange(x.shape[0]):
        values[n] = fs.softmax(x[n])[0]
    return values
users_own(x)
print(numba.threading_layer())
wrong = []
def call():
    for _ in range(1250):
        if not np.array_equal(fs.softmax(x), expected):
            wrong.append(1)
threads = [threading.Thread(target=call) for _ in range(8)]
for t in threads: t.start()
for _ in range(20):
    if not np.array_equal(users_own(x), expected[:, 0]):
        wrong.append(2)
for t in threads: t.join()
print(len(wrong))
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(fs.softmax(x), expected) else 1)
print(os.waitpid(child, 0)[1])
"""
    settings = {**os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    settings["LD_LIBRARY_PATH"] = f"{sys.prefix}/lib:{os.environ.get('LD_LIBRARY_PATH', '')}"  # pip's tbb lies there
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, timeout=300)
    if "No threading layer could be loaded" in done.stderr:
        pytest.skip(f"the {layer} threading layer is not installed")
    assert (done.returncode, done.stdout.split()) == (0, [layer, "0", "0"]), done.stderr


@needs_jit
def test_a_process_ends_with_helpers_awake_or_asleep():
    for wait in (0, 0.2):
        code = (
            "import time, numpy as np, fastsoftmax as fs; fs.set_num_threads(3); "
            f"fs.softmax(np.zeros((100, 1000))); time.sleep({wait}); print('end')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


START = """
import atexit, os, resource, sys, threading, time
import numpy as np
BEFORE
import fastsoftmax as fs
from fastsoftmax import _threads
fs.set_num_threads(4)
x = np.random.default_rng(0).standard_normal((100, 1000))
with fs.num_threads(1):
    expected = fs.softmax(x)
def right(): return bool((fs.softmax(x) == expected).all())
"""


def printed(code, before="", **more):
    """What a new process prints that starts with START and goes on with the code; nothing may go to stderr."""
    command = [sys.executable, "-c", START.replace("BEFORE", before) + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are Linux's")


@needs_jit
@on_linux
def test_small_arrays_start_no_threads():
    code = """
def count(): return len(os.listdir("/proc/self/task"))
before = count()
fs.softmax(np.zeros((4, 10)))
print(count() - before)
print(right(), count() - before)
"""
    assert printed(code) == ["0", "True", "3"]


GEVENT, EVENTLET = "import gevent.monkey; gevent.monkey.patch_all()", "import eventlet; eventlet.monkey_patch()"


@needs_jit
@pytest.mark.parametrize(("before", "after"), [(GEVENT, ""), ("", GEVENT), (EVENTLET, "")])
def test_under_green_threads(before, after):
    """A helper that were a green thread would never give the processor back."""
    library = (before + after).split()[1].split(".")[0].rstrip(";")
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    before = f"import warnings; warnings.simplefilter('ignore'); {before}"
    assert printed(f"{after}\nprint(right(), _threads._team.n_helpers)", before) == ["True", "3"]


@needs_jit
@on_linux
@pytest.mark.skipif(EMULATED, reason="QEMU does not limit the address space")
def test_threads_that_cannot_be_had():
    """As many work as there are, and it is tried again a moment later."""
    code = """
out, size = np.empty_like(x), int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 12 * 2**20, -1))  # one stack's room
for _ in range(3): print(bool((fs.softmax(x, out=out) == expected).all()))
print(_threads._team.n_helpers < 3)
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
time.sleep(1.1)
print(right(), _threads._team.n_helpers)
"""
    assert printed(code) == ["True", "True", "True", "True", "True", "3"]


@needs_jit
def test_no_thread_at_all_is_the_callers_work_alone(monkeypatch):
    monkeypatch.setattr(_threads, "_team", _threads._Team())
    monkeypatch.setattr(_threads.team_board, "start_helpers", lambda *_: 0)
    logits = uneven((60, 1000))
    with fs.num_threads(1):
        expected = fs.softmax(logits)
    with fs.num_threads(4):
        assert same_bits(fs.softmax(logits), expected)
    assert _threads._team.n_helpers == 0

    def without_descriptors(*_):
        raise OSError(24, "Too many open files")  # as Numba's imports and files do

    monkeypatch.setattr(_threads.team_board, "start_helpers", without_descriptors)
    _threads._team._retry_at = 0.0
    with fs.num_threads(4):
        assert same_bits(fs.softmax(logits), expected)


@needs_jit
@on_linux
def test_no_descriptors_are_taken_or_needed():
    code = """
def opened(): return sorted(os.listdir("/proc/self/fd"))
before = opened()
print(right(), opened() == before)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
os.closerange(3, 256)
time.sleep(0.1)  # helpers are asleep
print(right(), _threads._team.n_helpers)
"""
    assert printed(code) == ["True", "True", "True", "3"]


@needs_jit
@on_linux
def test_files_that_are_opened_where_others_were_closed_stay_as_they_are(tmp_path):
    code = f"""
print(right())
os.closerange(3, 256)
files = [open(f"{tmp_path}/{{k}}", "wb+") for k in range(20)]
for _ in range(5):
    time.sleep(0.05)
    print(right())
print(sum(os.fstat(f.fileno()).st_size for f in files))
"""
    assert printed(code) == [*["True"] * 6, "0"]


@needs_jit
def test_calls_at_exit():
    """Inside an exit handler of before our import and of after it, and in a thread that outlives the main one."""
    early = "atexit.register(lambda: print('early', right()))"
    code = """
atexit.register(lambda: print("late", right()))
def outlive():
    threading.main_thread().join()
    print("outlived", right())
threading.Thread(target=outlive).start()
"""
    assert printed(code, early) == ["outlived", "True", "late", "True", "early", "True"]
    assert printed("print(right())" + code, early)[1:] == ["outlived", "True", "late", "True", "early", "True"]


@needs_jit
def test_an_exit_at_any_moment():
    """While a daemon thread is in the middle of a call, and helpers with it."""
    code = """
def work():
    while True: fs.softmax(x)
for _ in range(2): threading.Thread(target=work, daemon=True).start()
right()
time.sleep(WAIT)
print("end")
"""
    for wait in np.linspace(0, 0.02, 12):
        assert printed(code.replace("WAIT", str(wait))) == ["end"]


@needs_jit
def test_teams_begin_and_end_thousands_of_times():
    logits = uneven((60, 1000), np.float32)
    with fs.num_threads(1):
        expected = fs.softmax(logits)
    out = np.empty_like(logits)
    for turn in range(1000):
        team = _threads._Team()
        assert direct.softmax.call(logits, out, -1, team.summon(3)) is out
        if turn % 50 == 0:
            time.sleep(0.005)  # for some the helpers are asleep
            assert direct.softmax.call(logits, out, -1, team.summon(3)) is out
        team.dismiss()
        assert same_bits(out, expected)
        out[:] = 0


@kernel
def _exchange_float_mode(mode):
    before = system.float_mode()
    system.set_float_mode(mode)
    return before


@needs_jit
@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="the mode is read on these machines")
def test_helpers_take_over_the_floating_point_mode_of_the_caller():
    """Flushing subnormals to zero, as torch.set_flush_denormal does: the same bits for any number of threads."""
    flush = 0x8040 if platform.machine() == "x86_64" else 1 << 24
    logits = (200 * rng().standard_normal((60, 1000))).astype(np.float32)
    with fs.num_threads(1):
        exact = fs.softmax(logits)
        before = _exchange_float_mode(0)
        try:
            _exchange_float_mode(before | flush)
            flushed = fs.softmax(logits)
            with fs.num_threads(4):
                results = [fs.softmax(logits) for _ in range(100)]
        finally:
            _exchange_float_mode(before)
    assert not same_bits(exact, flushed)
    assert all(same_bits(result, flushed) for result in results)
    with fs.num_threads(4):
        assert all(same_bits(fs.softmax(logits), exact) for _ in range(100))


@needs_jit
@on_linux
def test_signals_are_for_pythons_threads():
    with fs.num_threads(2):
        fs.softmax(uneven((60, 1000)))
    thread = int(_threads._team._parts[0][board.TID])
    for line in Path(f"/proc/self/task/{thread}/status").read_text().splitlines():
        if line.startswith("SigBlk"):
            blocked = int(line.split()[1], 16)
    for number, is_blocked in ((signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGCHLD, 1), (signal.SIGSEGV, 0)):
        assert blocked >> (number - 1) & 1 == is_blocked
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@needs_jit
def test_other_libraries_threads_are_left_alone():
    from threadpoolctl import threadpool_info

    before = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    with fs.num_threads(2):
        fs.softmax(uneven((60, 1000)))
        fs.dense_vjp(np.ones((300, 20)), np.ones((5, 20)), np.ones((300, 5)))
    assert [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()] == before
    assert threading.main_thread().is_alive()


@needs_jit
def test_an_interrupt_while_threads_are_started_leaves_signals_as_they_were():
    """KeyboardInterrupt may come out of any call of Python's: the mask and the count are set in compiled code."""
    code = """
import ctypes, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell is started without
team = _threads._Team()
team._start(0)  # its code is ready
before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
interrupted = 0
def interrupting(*arguments):
    ctypes.pythonapi.PyErr_SetInterrupt()
    return start_helpers(*arguments)
start_helpers, _threads.team_board.start_helpers = _threads.team_board.start_helpers, interrupting
for _ in range(100):
    team = _threads._Team()
    try:
        team.summon(2)
    except KeyboardInterrupt:
        interrupted += 1
    assert team.n_helpers in (0, 2)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    team.dismiss()
_threads.team_board.start_helpers = start_helpers
print(interrupted > 0, right())
"""
    assert printed(code) == ["True", "True"]


@needs_jit
def test_a_team_that_is_closed_starts_no_more_helpers():
    team = _threads._Team()
    team.dismiss()
    assert team.summon(3) == 0
    assert team.n_helpers == 0


@kernel
def _raise_at(first, last, bad, error):
    for n in range(first, last):
        if n == bad:
            if error == 1:
                raise ValueError("row is bad")
            raise ZeroDivisionError("row is worse")


@kernel
def rows_that_raise(n_rows, bad, error, team):
    share(team, n_rows, 1000, _raise_at, (bad, error))


@needs_jit
@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_row_raises_is_raised_whoever_worked_on_it(threads):
    with fs.num_threads(threads):
        for bad in (0, 5000, 9999):  # of the leader's share, or of a helper's
            with pytest.raises(ValueError, match="row is bad"):
                _threads.run(rows_that_raise, 10**7, 10_000, bad, 1)
            with pytest.raises(ZeroDivisionError, match="row is worse"):
                _threads.run(rows_that_raise, 10**7, 10_000, bad, 2)
        assert _threads.run(rows_that_raise, 10**7, 10_000, -1, 1) is None


@needs_jit
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no sets of cores")
def test_helpers_may_run_on_every_core_again_after_a_call(monkeypatch):
    moved = []

    def move(thread):
        before = send(thread)
        moved.append((thread, os.sched_getaffinity(thread) < before))
        return before

    send = _threads._send_to_another_core
    monkeypatch.setattr(_threads, "_send_to_another_core", move)
    logits = uneven((60, 1000), np.float32)
    with fs.num_threads(2):
        fs.softmax(logits)
        (part,) = _threads._team._parts[:1]
        deadline = time.monotonic() + 10
        while not part[board.ASLEEP] and time.monotonic() < deadline:
            time.sleep(0.001)
        moved.clear()
        fs.softmax(logits)
    if len(os.sched_getaffinity(0)) > 1:
        assert moved == [(int(part[board.TID]), True)]
    assert os.sched_getaffinity(int(part[board.TID])) == os.sched_getaffinity(0)


@needs_jit
def test_a_team_does_not_ask_for_threads_again_a_moment_after_there_were_none(monkeypatch):
    team = _threads._Team()
    team._retry_at = time.monotonic() + 60
    monkeypatch.setattr(_threads.team_board, "start_helpers", None)
    assert team.summon(2) == 0
    assert team.n_helpers == 0


def test_a_helper_without_a_number_is_left_where_it_is():
    assert _threads._send_to_another_core(0) == set()


def test_a_helper_that_cannot_be_moved_is_not_moved_back():
    team, part = _threads._Team(), np.zeros(64, np.int64)
    part[board.ASLEEP] = 1
    team._parts = [part]
    assert team.summon(1) == team._address
    assert team.moved == []
    team._parts = []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a thread")
def test_where_there_is_but_one_core_no_helper_is_moved(monkeypatch):
    monkeypatch.setattr(_threads, "_core_of_caller", lambda: 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {3})
    assert _threads._send_to_another_core(threading.get_native_id()) == set()
