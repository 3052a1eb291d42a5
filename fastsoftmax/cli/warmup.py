"""Compile everything now, so that no later call of any process has to: each function, dtype and kind of option once.

The work is dealt out to processes; each keeps the kernels that it compiles, and finds those that others have kept. What
is inlined nobody keeps, and it depends on the dtype more than on the kind of call: so a process has calls of one dtype.
Those of the other dtype need some of the same kernels; they are made in the opposite order, so that two processes do
not compile the same kernel at the same time (two processes: 1172 functions, not 1236).
"""

import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from fastsoftmax import functional as fs
from fastsoftmax._cores import usable_cores
from fastsoftmax._threads import num_threads
from fastsoftmax.data.source import put
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.functional.inference import is_finite
from fastsoftmax.kernels.fit.optimizers import RULE_SIZE
from fastsoftmax.kernels.jit.deferred import make_all_ready
from fastsoftmax.kernels.jit.machine_code import beside_package, kept
from fastsoftmax.kernels.threads import SMALL
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.column_hessian import ByHessian, Hessian
from fastsoftmax.training.duality import Penalised, given_by
from fastsoftmax.training.lbfgs import LBFGS
from fastsoftmax.training.loop import train
from fastsoftmax.training.network import Network
from fastsoftmax.training.newton_cg import NewtonCG
from fastsoftmax.training.newton_cholesky import NewtonCholesky
from fastsoftmax.training.proximal import ProximalNewton
from fastsoftmax.training.proximal_lbfgs import ProximalLBFGS

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class WarmupReport:
    """What a warm-up took and left: seconds, and files of machine code in a folder (None: no place to keep them)."""

    seconds: float
    folder: Path | None
    n_files: int
    n_bytes: int


Call = Callable[[], Any]
Calls = Callable[[str], Iterator[Call]]
Part = tuple[Calls, str]


def warm_up(
    dtypes: Sequence[str], progress: Callable[[str, int, int], None], jobs: int = 1, beside: bool = False
) -> WarmupReport:
    """Call every public function with every kind of arguments; other processes find the machine code of that.

    Parameters
    ----------
    dtypes : of the arrays
    progress : told what is ready, how many parts of the work are done, and how many there are
    jobs : processes; 1, or where the system has no more to give: this one. More begin as the main module does, so that
        a script that calls this needs ``if __name__ == "__main__":``
    beside : whether machine code is kept beside the package
    """
    start = time.perf_counter()
    dealt = _dealt(dtypes, jobs)
    parts = list(itertools.chain(*dealt))
    with beside_package() if beside else nullcontext():
        if len(dealt) == 1 or not _in_processes(dealt, progress, beside):
            for done, (calls, dtype) in enumerate(parts, 1):
                progress(_make(calls, dtype), done, len(parts))
        with num_threads(2):
            fs.softmax(np.zeros((2, SMALL), dtypes[0]))
        folder, n_files, n_bytes = kept()  # type: ignore[no-untyped-call]
    return WarmupReport(time.perf_counter() - start, folder, n_files, n_bytes)


def _dealt(dtypes: Sequence[str], jobs: int) -> list[list[Part]]:
    """What each process does, one after another: one process, one each dtype, or the longest kinds of calls apart."""
    if jobs < len(dtypes):
        return [[(calls, dtype) for dtype in dtypes for calls in CALLS]]
    dealt = []
    for number, dtype in enumerate(dtypes):
        n_processes = min(len(CALLS), (jobs + len(dtypes) - 1 - number) // len(dtypes))
        kinds = [[calls] for calls in CALLS[: n_processes - 1]] + [list(CALLS[n_processes - 1 :])]
        dealt += [[(calls, dtype) for calls in some[:: -1 if number % 2 else 1]] for some in kinds]
    return dealt


def _in_processes(dealt: list[list[Part]], progress: Callable[[str, int, int], None], beside: bool) -> bool:
    """Whether processes did the work. False: there are none to be had, or one was killed; what they kept stays."""
    n_parts = sum(map(len, dealt))
    with ExitStack() as stack:
        pools, running = [], list[Future[str]]()
        try:
            for parts in dealt:
                pools.append(stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), _end_at_interrupts)))
                running += [pools[-1].submit(_make, calls, dtype, beside) for calls, dtype in parts]
        except (NotImplementedError, OSError):  # Python without semaphores; none left; no more processes
            _end(pools)
            return False
        try:
            for done, future in enumerate(as_completed(running), 1):
                progress(future.result(), done, n_parts)
        except BrokenProcessPool:  # one was killed, for want of memory as a rule
            _end(pools)
            return False
        except BaseException:  # an interrupt, say, which need not wait for what is under way
            _end(pools)
            raise
    return True


def _end(pools: list[ProcessPoolExecutor]) -> None:
    for pool in pools:
        processes = list((pool._processes or {}).values())  # (from Python 3.14 on the pool has a method for it)
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def _end_at_interrupts() -> None:  # pragma: no cover (in processes of their own)
    """Ctrl-C goes to all processes: those that compile end at once, and say nothing of it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def default_jobs() -> int:
    """As many processes as there are cores for this one."""
    return usable_cores()


def _make(calls: Calls, dtype: str, beside: bool = False) -> str:
    with beside_package() if beside else nullcontext():
        for call in calls(dtype):
            call()
            make_all_ready()  # type: ignore[no-untyped-call]
    return f"{KINDS.get(calls.__name__, calls.__name__)}, {dtype}"


def _arrays(dtype: Any) -> Iterator[tuple[np.ndarray, int]]:
    """Rows of a matrix, rows of an array of more dimensions, columns."""
    yield np.zeros((2, 3), dtype), -1
    yield np.zeros((2, 3, 4), dtype), -1
    yield np.zeros((2, 3, 4), dtype), 1


def _map_calls(dtype: Any) -> Iterator[Call]:
    function: Callable[..., Any]
    for (logits, axis), hides in itertools.product(_arrays(dtype), (False, True)):
        where = np.ones(logits.shape, bool) if hides else None
        for function, temperature in itertools.product((fs.softmax, fs.log_softmax), (1.0, 2.0)):
            yield partial(function, logits, axis, temperature=temperature, where=where)
        yield partial(fs.logsumexp, logits, axis, where=where)
    if dtype == "float32":
        yield partial(fs.softmax, np.zeros((2, 3), np.float16))


def _product_calls(dtype: Any) -> Iterator[Call]:
    for array, axis in _arrays(dtype):
        for function in (fs.softmax_jvp, fs.log_softmax_jvp, fs.log_softmax_vjp):
            yield partial(function, array, array, axis)
    if dtype == "float32":
        half = np.zeros((2, 3), np.float16)
        yield partial(fs.softmax_jvp, half, half)


def _loss_calls(dtype: Any) -> Iterator[Call]:
    logits, labels = np.full((2, 3), 1 / 3, dtype), np.zeros(2, np.int64)
    losses: tuple[Callable[..., Any], ...] = (
        fs.cross_entropy,
        fs.cross_entropy_value_and_grad,
        fs.squared_error,
        fs.squared_error_value_and_grad,
    )
    weights, class_weights = (None, np.ones(2)), (None, np.ones(3))
    for loss, targets, by_row, by_class in itertools.product(losses, (labels, logits), weights, class_weights):
        yield partial(loss, logits, targets, sample_weight=by_row, class_weight=by_class, label_smoothing=0.1)
    for targets in (labels, logits):
        yield partial(fs.softmax_grad_hess, logits, targets)
    yield partial(fs.fit_temperature, np.eye(3)[[0, 1, 1]].astype(dtype), np.array([0, 1, 2]))
    for loss in losses:
        yield partial(loss, logits, labels)
        yield partial(loss, logits, labels, ignore_index=1)


def _dense_calls(dtype: Any) -> Iterator[Call]:
    weight = np.zeros((4, 3), dtype)
    for X in (np.zeros((2, 3), dtype), csr_array(np.ones((2, 3), dtype))):
        yield partial(fs.dense, X, weight)
        for inference in (fs.linear_softmax, fs.linear_log_softmax, fs.linear_argmax):
            yield partial(inference, X, weight)
        yield partial(fs.dense_vjp, X, weight, np.zeros((2, 4), dtype))
        for targets in (np.zeros(2, np.int64), np.full((2, 4), 1 / 4, dtype)):
            for loss in ("linear_cross_entropy", "linear_squared_error"):
                yield partial(getattr(fs, loss), X, weight, None, targets)
                yield partial(getattr(fs, f"{loss}_value_and_grad"), X, weight, None, targets)
                yield partial(getattr(fs, f"{loss}_hvp"), X, weight, None, targets, weight, None)


def _training_calls(dtype: Any) -> Iterator[Call]:
    """What SoftmaxClassifier trains with: a network's loss and gradient, an epoch, and a fit by both other solvers."""
    nearly_equal = np.array([[1, 1.01, 0], [2, 1.99, 1], [3, 3.01, 1], [-1, -1.01, 0]], dtype)  # they are whitened
    independent, labels = np.eye(4, 3, dtype=dtype), np.array([0, 1, 2, 0])
    samples = nearly_equal, independent, csr_array(independent)
    both = labels, np.eye(3, dtype=dtype)[labels]
    for X, targets, loss in itertools.product(samples, both, LOSSES):
        for hidden in ((), (2,)):
            yield partial(_train, X, targets, loss, hidden)


def _train(X: Any, targets: np.ndarray, loss: str, hidden: tuple[int, ...]) -> None:
    network = Network(np.array([3, *hidden, 3]))
    objective, params = ArrayObjective(X, targets, network, np.empty(0), loss=loss), np.zeros(network.n_params, X.dtype)
    for solver in (LBFGS, NewtonCG) if objective.is_linear else (LBFGS,):
        train(objective, params, solver(1e-3, 2))
    if isinstance(X, np.ndarray):
        is_finite(X)
        put(X.astype(np.float16), np.empty_like(X))
    if objective.is_linear and loss == "cross_entropy":
        train(objective, params, NewtonCholesky(1e-3, 2))
        objective.alpha = objective.l1 = 0.01
        train(objective, params, ProximalNewton(1e-3, 2))
        if isinstance(X, np.ndarray):
            _sweep_by_hessian(objective, params)
        train(objective, params, ProximalLBFGS(1e-3, 2))
        objective.l1, along_a_path = 0.0, LBFGS(1e-3, 2, keeps=True)
        for objective.alpha in (0.01, 0.02):
            train(objective, params, along_a_path)
    descent = np.zeros_like(params), np.zeros_like(params), np.zeros(RULE_SIZE)
    for objective.backward in ("fused", "vjp"):
        objective.epoch(params, np.arange(2), np.zeros(1, np.uint64), 2, descent)


def _sweep_by_hessian(objective: ArrayObjective, params: np.ndarray) -> None:
    """What ProximalNewton does with larger data."""
    model = Penalised(objective, params, given_by(objective))
    some = model.columns.select(np.array([0]), np.array([0]))
    by_hessian = ByHessian(Hessian(model, some), model, some)
    by_hessian.sweep(np.zeros((7, 1)))
    by_hessian.at(np.zeros(1))


KINDS = {
    "_training_calls": "classifiers",
    "_dense_calls": "dense layers",
    "_map_calls": "softmax and its kin",
    "_loss_calls": "losses",
    "_product_calls": "products with Jacobians",
}
CALLS: tuple[Calls, ...] = (_training_calls, _dense_calls, _map_calls, _loss_calls, _product_calls)  # longest first
