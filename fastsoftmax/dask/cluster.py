"""Rows that lie on the workers of a cluster, and sums over them.

At the start the rows are regrouped, once, into runs of whole parts (training/parts.py), which stay where they are. A
pass is tasks without state, each of some runs that lie on one worker. They give the sums of their parts, combined as
far as the tree of all parts allows. So the same numbers are added in the same order on any number of workers, and a run
that is lost with its worker is made again by the scheduler, from what it was made of. Workers send one another only
rows that one of them needs.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import chain, pairwise
from typing import Any

import numpy as np
from dask.sizeof import sizeof
from distributed import CancelledError, Client, Future, KilledWorker, wait

from fastsoftmax._gate.arrays import contiguous
from fastsoftmax._threads import num_threads
from fastsoftmax.classifier.streams import Encoding, Found, check_found, examine
from fastsoftmax.data.source import Block, stacked
from fastsoftmax.training.network import Network
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.parts import Combine, Node, Part, Sums, Task, Tree, add, fold, part_rows

SCATTERED = 2**16  # bytes of an argument, from which on it goes to the workers once, and not with each task
MERGED = 16  # runs whose sums are combined on a worker before they come to the client, where there are more of them
RUNS_A_THREAD = 16  # about, at the least, so that all threads have as much to do
MEMORY_SHARE = 0.3  # of a worker's limit, that the runs of its tasks take at a time: the others may be on its disk
ATTEMPTS = 5  # at a pass, of which each may lose workers with what they held
LOOK_SECONDS, NO_WORKER_SECONDS = 5.0, 60.0  # between looks at the workers; without any


class ClusterStream:
    """Blocks on the workers of a cluster; see Stream in classifier/streams.py.

    Parameters
    ----------
    client : distributed.Client
    blocks : futures of Block, in the order of the rows
    n_threads : of a task
    classes : all classes, or None: those that there are
    """

    def __init__(self, client: Client, blocks: Sequence[Future], n_threads: int, classes: Any = None) -> None:
        self._client, self._n_threads = client, n_threads
        looks = settle(client, lambda: client.map(examine_on_worker, blocks, pure=False))
        some = [look for look in looks if look.n_rows]
        if not some:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required")
        found = reduce(Found.with_more, some)
        self.found = check_found(found if classes is None else found.of_classes(np.unique(np.asarray(classes))))
        kept = [block for block, look in zip(blocks, looks, strict=True) if look.n_rows]
        self._blocks, self._ends = kept, np.cumsum([look.n_rows for look in some]).tolist()

    def order_size(self, network: Network) -> int:
        """Nothing is taken in another order."""
        return 0

    def parts(self, encoding: Encoding, n_units: int) -> "ClusterParts":
        """All rows, as kernels take them."""
        rows_a_part = part_rows(self.found.n_features, n_units, self.found.is_sparse)
        n_parts = math.ceil(self.found.n_rows / rows_a_part)
        threads = [worker for worker, n_threads in self._client.nthreads().items() for _ in range(n_threads)] or [None]
        usual = max(1, round(self.found.n_rows / len(self._blocks) / rows_a_part))
        parts_a_run = min(usual, max(1, n_parts // (RUNS_A_THREAD * len(threads))))
        runs = []
        for first in range(0, n_parts, parts_a_run):
            # neighbours in the tree lie on one worker, where the middle of the run decides: the last part may be short
            middle = min((first + parts_a_run / 2) * rows_a_part, self.found.n_rows - 1)
            worker = threads[int(middle / self.found.n_rows * len(threads))]
            runs.append(self._run(first, parts_a_run, rows_a_part, encoding, worker))
        return ClusterParts(self._client, runs, self.found, encoding, self._n_threads)

    def _run(self, first_part: int, n_parts: int, rows_a_part: int, encoding: Encoding, worker: str | None) -> Future:
        """Some parts, from the blocks where their rows lie; on a worker, or on another one when that has gone."""
        first = first_part * rows_a_part
        last = min(first + n_parts * rows_a_part, self.found.n_rows)
        blocks, cuts = [], []
        for block, (start, end) in zip(self._blocks, pairwise([0, *self._ends]), strict=True):
            if start < last and end > first:
                blocks.append(block)
                cuts.append((max(first, start) - start, min(last, end) - start))
        arguments = blocks, cuts, first_part, rows_a_part, encoding
        where = {"workers": [worker], "allow_other_workers": True} if worker else {}
        return self._client.submit(make_parts, *arguments, pure=False, **where)

    def objective(self, parts: "ClusterParts", network: Network, terms: dict[str, Any]) -> Objective:
        """F; the blocks are no longer needed."""
        self._blocks = []
        return Objective(parts, network, **terms)


class ClusterParts:
    """The parts of runs on workers."""

    def __init__(self, client: Client, runs: list[Future], found: Found, encoding: Encoding, n_threads: int) -> None:
        self.n_rows, self.n_features, self.is_sparse = found.n_rows, found.n_features, found.is_sparse
        self.dtype = encoding.dtype
        self._client, self._n_threads = client, n_threads
        self._bundles, self._last = _bundles(client, runs), list[Future]()

    def fold(self, task: Task, *arguments: Any, combine: Combine = add, out: Any = None, with_X: bool = True) -> Sums:
        """The task's sums of all parts."""
        nodes = settle(self._client, lambda: self._submit(task, arguments, combine))
        tree = Tree(combine)
        for some in nodes:
            for node in some:
                tree.put(node)
        sums = tree.total()
        if out is None or not isinstance(out, np.ndarray):
            return sums
        out[:] = sums[-1]
        return *sums[:-1], out

    def _submit(self, task: Task, arguments: tuple[Any, ...], combine: Combine) -> list[Future]:
        """A task for each run, and those that combine their sums."""
        client = self._client
        sent = [
            client.scatter(a, broadcast=True, hash=False) if isinstance(a, np.ndarray) and a.nbytes > SCATTERED else a
            for a in arguments
        ]
        how = {"task": task, "arguments": sent, "combine": combine, "n_threads": self._n_threads}
        sums = client.map(sums_of_runs, self._bundles, **how, pure=False)
        while len(sums) > MERGED:
            groups = [sums[first : first + MERGED] for first in range(0, len(sums), MERGED)]
            sums = client.map(merged, groups, combine=combine, pure=False)
        # the client sends what it has to say every 10 ms: that the sums before may go is said after what is wanted now
        self._last = sums
        return sums


def _bundles(client: Client, runs: list[Future]) -> list[Future]:
    """The runs of each task: those that lie on a worker, by its threads, if they are in its memory all at a time.

    As one result, because a task that needs 16 of them takes the scheduler 1.4 ms more.
    """
    sizes = settle(client, lambda: client.map(bytes_of_run, runs, pure=False))  # they lie where they are made then
    workers = client.scheduler_info(n_workers=-1)["workers"]
    places, by_worker = client.who_has(runs), dict[str, list[tuple[Future, int]]]()
    for run, size in zip(runs, sizes, strict=True):
        by_worker.setdefault(next(iter(places[run.key]), ""), []).append((run, size))
    bundles = list[Future]()
    for address, here in by_worker.items():
        worker = workers.get(address, {"nthreads": 1, "memory_limit": 0})
        n_runs = math.ceil(len(here) / worker["nthreads"])
        room = worker["memory_limit"] * MEMORY_SHARE / worker["nthreads"] or math.inf
        where = {"workers": [address], "allow_other_workers": True} if address in workers else {}
        for some in _groups(here, n_runs, room):
            bundles.append(client.submit(list, some, pure=False, **where))
    return bundles


def _groups(runs: list[tuple[Future, int]], most: int, room: float) -> list[list[Future]]:
    """Runs with their sizes in groups of so many at the most, of no more than so much memory if they are several."""
    groups, held = [list[Future]()], 0.0
    for run, size in runs:
        if groups[-1] and (held + size > room or len(groups[-1]) == most):
            groups.append([])
            held = 0.0
        groups[-1].append(run)
        held += size
    return groups


def settle(client: Client, submit: Callable[[], list[Future]]) -> list[Any]:
    """What the futures give; submitted anew where a worker has died with what only it had."""
    attempt = 0
    while True:
        attempt += 1
        futures = submit()
        try:
            _await(client, futures)
            return list(client.gather(futures))
        except KilledWorker as error:
            raise RuntimeError(f"workers die while they compute: is their memory enough? {error}") from error
        except CancelledError as error:
            if attempt == ATTEMPTS:
                raise RuntimeError(f"workers were lost in each of {ATTEMPTS} attempts: {error}") from error
        finally:
            if undone := [future for future in futures if not future.done()]:
                client.cancel(undone)


def _await(client: Client, futures: list[Future]) -> None:
    """Until all are done, or an error where there has been no worker for long."""
    without_since: float | None = None
    while True:
        try:
            wait(futures, timeout=LOOK_SECONDS)
            return
        except TimeoutError:
            if client.nthreads():
                without_since = None
            elif without_since is None:
                without_since = time.monotonic()
            elif time.monotonic() - without_since > NO_WORKER_SECONDS:
                raise RuntimeError(f"the cluster has had no worker for {NO_WORKER_SECONDS:.0f} seconds") from None


# What workers do


def make_block(X: Any, y: Any, sample_weight: Any = None) -> Block:
    """Rows that belong together."""
    X, y = (a.to_numpy() if hasattr(a, "to_numpy") else a for a in (X, y))
    weight = None if sample_weight is None else np.asarray(sample_weight).ravel()
    y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    for name, column in (("y", y), ("sample_weight", weight)):
        if column is not None and len(column) != X.shape[0]:
            raise ValueError(f"{name} must have as many rows as X in each chunk: {len(column)}, {X.shape[0]}")
    return Block(X, y, weight)


def examine_on_worker(block: Block) -> Found:
    """See `examine`."""
    return examine(block)


def bytes_of_run(run: list[Part]) -> int:
    """How much memory it takes."""
    return sum(map(sizeof, run))


def make_parts(
    blocks: list[Block], cuts: list[tuple[int, int]], first_part: int, rows_a_part: int, encoding: Encoding
) -> list[Part]:
    """Rows of some blocks that follow one another, as parts from number `first_part` on."""
    pieces = [
        Block(*[None if column is None else column[first:last] for column in block])
        for block, (first, last) in zip(blocks, cuts, strict=True)
    ]
    n_rows = sum(piece.X.shape[0] for piece in pieces)
    found = []
    for number, first in enumerate(range(0, n_rows, rows_a_part)):
        some = _between(pieces, first, min(first + rows_a_part, n_rows))
        found.append(encoding.part(first_part + number, some))
    return found


def _between(pieces: list[Block], first: int, last: int) -> Block:
    """Rows first .. last of some blocks: views where they lie in one."""
    here, start = list[Block](), 0
    for piece in pieces:
        low, high = max(first - start, 0), min(last - start, piece.X.shape[0])
        if low < high:
            here.append(Block(*[None if column is None else column[low:high] for column in piece]))
        start += piece.X.shape[0]
    if len(here) == 1:
        return here[0]
    X = np.concatenate([b.X for b in here]) if isinstance(here[0].X, np.ndarray) else stacked([b.X for b in here])
    weight = None if here[0].sample_weight is None else np.concatenate([b.sample_weight for b in here])
    return Block(X, np.concatenate([b.y for b in here]), weight)


def sums_of_runs(
    runs: list[list[Part]], task: Task, arguments: list[Any], combine: Combine, n_threads: int
) -> list[Node]:
    """The task's sums of the parts of some runs, combined as far as they are neighbours in the tree of all."""
    with num_threads(n_threads):
        parts = map(_unlocked, chain.from_iterable(runs))
        return fold(parts, task, *map(_writable, arguments), combine=combine).nodes()


def merged(sums: list[list[Node]], combine: Combine) -> list[Node]:
    """The sums of several runs."""
    tree = Tree(combine)
    for nodes in sums:
        for node in nodes:
            tree.put(node)
    return tree.nodes()


def _writable(value: Any) -> Any:
    """What came over the network cannot be written, and kernels would be compiled once more for that."""
    return contiguous(value, value.dtype) if isinstance(value, np.ndarray) else value


def _unlocked(part: Part) -> Part:
    """The part for a task, with room of its own: the same run may be in use by another thread."""
    X = tuple(map(_writable, part.rows)) if isinstance(part.rows, tuple) else _writable(part.rows)
    labels, distribution = map(_writable, part.by_kind)
    n_rows = max(len(labels), len(distribution))
    return Part(part.number, X, (labels, distribution), _writable(part.sample_weight), np.empty(n_rows))


@sizeof.register(Part)
def _sizeof_part(part: Part) -> int:
    """So that a worker knows how much memory its runs take."""
    X = part.rows if isinstance(part.rows, tuple) else (part.rows,)
    return sum(int(a.nbytes) for a in (*X, *part.by_kind, part.sample_weight))
