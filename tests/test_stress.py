"""Many callers at once, processes made of processes, and joblib's workers: right bits, no abort, no hang."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import quiet, same_bits, same_parameters, uneven
from sklearn.base import clone
from test_parallel import forks_amid_threads, needs_jit, on_linux, printed

import fastsoftmax as fs

CALLERS, CALLS = 8, 10_000


@needs_jit
@pytest.mark.parametrize("threads", [1, 3])
def test_ten_thousand_calls_of_eight_threads_at_once(threads):
    """Rows for one thread and for several by turns, so that the team is taken, given back and missed all the time."""
    arrays = [uneven((3, 10), np.float32), uneven((60, 1000), np.float32), uneven((700, 37))]
    weight, labels = uneven((5, 37), seed=1), np.arange(700) % 5
    with fs.num_threads(1):
        expected = [fs.softmax(array) for array in arrays]
        loss, grads = fs.linear_cross_entropy_value_and_grad(arrays[2], weight, None, labels)
    begin, wrong = threading.Barrier(CALLERS), []

    def call(number):
        begin.wait()
        with fs.num_threads(threads):
            for turn in range(CALLS // CALLERS):
                which = (turn + number) % 4
                if which < 3:
                    right = same_bits(fs.softmax(arrays[which]), expected[which])
                else:
                    found = fs.linear_cross_entropy_value_and_grad(arrays[2], weight, None, labels)
                    right = found[0] == loss and same_bits(found[1].weight, grads.weight)
                if not right:
                    wrong.append((number, turn, which))

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(call, range(CALLERS)))
    assert wrong == []


@needs_jit
def test_first_calls_of_eight_threads_at_once():
    """Where nothing is loaded yet, each thread finds another function missing, and the next one's callees with it."""
    code = """
from concurrent.futures import ThreadPoolExecutor
labels, weight = np.arange(100) % 1000, np.ones((4, 1000))
calls = [
    lambda: fs.log_softmax(x)[3, 5], lambda: fs.logsumexp(x)[3], lambda: fs.softmax_vjp(expected, x)[3, 5],
    lambda: fs.cross_entropy(x, labels), lambda: fs.squared_error(x, labels), lambda: fs.dense(x, weight)[3, 1],
    lambda: fs.linear_softmax(x, weight)[3, 1], lambda: fs.log_softmax_vjp(expected, x)[3, 5],
]
begin = threading.Barrier(8)
def work(n):
    begin.wait()
    return [calls[(n + k) % 8]() for k in range(8)]
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(work, range(8)))
print(all(found[n][(k - n) % 8] == calls[k]() for n in range(8) for k in range(8)), right())
"""
    assert printed(code) == ["True", "True"]


@needs_jit
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@forks_amid_threads
def test_a_fork_of_a_fork_each_after_a_threaded_call():
    """And from a thread that is not the main one, while others are in the middle of a call."""
    code = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
def descend(depth):
    good = all(right() for _ in range(20)) and _threads._team.n_helpers == 3
    if depth:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if descend(depth - 1) else 1)
            except BaseException:
                os._exit(2)
        good = os.waitpid(child, 0)[1] == 0 and all(right() for _ in range(20)) and good
    return good
print(descend(3))
stop = threading.Event()
def work():
    while not stop.is_set(): fs.softmax(x)
busy = [threading.Thread(target=work) for _ in range(3)]
for thread in busy: thread.start()
found = []
forking = threading.Thread(target=lambda: found.extend(descend(2) for _ in range(10)))
forking.start(); forking.join(); stop.set()
for thread in busy: thread.join()
print(found == [True] * 10)
"""
    assert printed(code) == ["True", "True"]


@needs_jit
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_while_another_thread_compiles(tmp_path):
    """The child compiles, too: the lock of the compiler is not left with a thread that it does not have."""
    code = """
import signal, warnings
warnings.simplefilter("ignore", DeprecationWarning)
compiling = threading.Event()
def compile():
    compiling.set()
    fs.squared_error(x.astype("f4"), np.zeros(100, int))
thread = threading.Thread(target=compile)
thread.start()
compiling.wait()
children = []
for _ in range(2):
    time.sleep(0.02)
    child = os.fork()
    if child == 0:
        signal.alarm(100)
        os._exit(0 if np.isfinite(fs.logsumexp(x.astype("f4"))).all() else 1)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children] == [0] * 2)
thread.join()
print(right())
"""
    assert printed(code, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}) == ["True", "True"]


@pytest.fixture(scope="module")
def large():
    """X and labels above joblib's limit of 1 MB, from which on workers are given a read-only file; and a classifier."""
    X = uneven((30_000, 20), np.float32)
    assert X.nbytes > 2**20
    y = X[:, :4].argmax(axis=1)
    return X, y, quiet(fs.SoftmaxClassifier(solver="sgd", max_iter=2, random_state=0), X, y)


@needs_jit
@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_joblibs_workers_with_arrays_from_files(backend, large):
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    X, y, model = large
    weight = uneven((4, 20), np.float32, seed=1)
    calls = [
        lambda: (fs.softmax, X),
        lambda: (fs.log_softmax, X),
        lambda: (fs.linear_cross_entropy_value_and_grad, X, weight, None, y),
        lambda: (model.predict_proba, X),
        lambda: (clone(model).partial_fit, X, y, range(4)),
    ]
    if backend == "loky":  # each of whose workers would import scikit-learn, which takes longer than all else
        del calls[3:]
    expected = [function(*arguments) for function, *arguments in (call() for call in calls)]
    results = joblib.Parallel(n_jobs=8, backend=backend)(
        joblib.delayed(function)(*arguments) for function, *arguments in (call() for call in calls * 3)
    )
    for number, found in enumerate(results):
        right = expected[number % len(expected)]
        if hasattr(right, "coefs_"):
            assert same_parameters(found, right)
        elif isinstance(right, tuple):
            assert found[0] == right[0]
            assert same_bits(found[1].weight, right[1].weight)
        else:
            assert same_bits(found, right)


@needs_jit
@on_linux
@forks_amid_threads
def test_every_kind_of_exit_while_helpers_run():
    """Of a forked child, so that one process begins for all: none hangs and none is a crash."""
    code = """
def work(go):
    while not go.is_set(): fs.softmax(x)
def end(how):
    threading.Thread(target=work, args=[threading.Event()], daemon=True).start()
    right()
    sys.stderr = open(os.devnull, "w")  # of KeyboardInterrupt
    exec(how)
stop, ends = threading.Event(), {
    "os.kill(os.getpid(), 15)": 15, "os._exit(3)": 3 << 8, "sys.exit(3)": 3 << 8, "raise KeyboardInterrupt": 2
}
busy = [threading.Thread(target=work, args=[stop]) for _ in range(3)]
for thread in busy: thread.start()
right()
children = []
for how in ends:
    child = os.fork()
    if child == 0:
        end(how)
    children.append(child)
stop.set()
for child, how in zip(children, ends):
    print(os.waitpid(child, 0)[1] == ends[how])
"""
    before = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)"
    assert printed(code, before) == ["True"] * 4
