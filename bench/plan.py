"""How long an iteration on a large cluster would take: a simulation of DaskSoftmaxClassifier's passes.

    python bench/plan.py [--rows N] [--features D] [--classes C] [--cores 8] [--gigabits 10]

What a task costs is measured here: loss and gradient of one part on one thread, the scheduler's time for a task (empty
tasks on a LocalCluster), the addition of two gradients. The rest is assumed, and can be set: network and latency, and
how tasks vary (log-normally, and some take three times as long). Then each pass is simulated event by event: the
parameters go down a tree, the scheduler hands out a task at a time, cores take them, sums of MERGED tasks are fetched
and added by one worker, level by level.
"""

import argparse
import heapq
import math
import time
from dataclasses import dataclass

import numpy as np

import fastsoftmax as fs
from fastsoftmax.dask.cluster import MERGED
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.network import Network
from fastsoftmax.training.parts import part_rows

WORKERS = (1, 3, 10, 30, 100, 300, 1000)
SLOW, TIMES = 0.005, 3.0  # the share of tasks that take so many times as long


@dataclass(frozen=True)
class Costs:
    """Seconds, and bytes."""

    part: float
    task: float
    addition: float
    sums_bytes: float


def measure(n_features: int, n_classes: int) -> tuple[Costs, int]:
    """What is measured, and the rows of a part."""
    n_rows, random = part_rows(n_features, n_classes, False), np.random.default_rng(0)
    X, y = random.standard_normal((n_rows, n_features), np.float32), random.integers(0, n_classes, n_rows)
    network = Network(np.array([n_features, n_classes]))
    objective, params = ArrayObjective(X, y, network, np.empty(0)), np.zeros(network.n_params, np.float32)
    grads = np.zeros((2, network.n_params), np.float32)
    with fs.num_threads(1):
        part = fastest(lambda: objective.value_and_grad(params, grads[0]))
    return Costs(part, seconds_a_task(), fastest(lambda: np.add(*grads, out=grads[0])), 4.0 * network.n_params), n_rows


def fastest(call: object, times: int = 7) -> float:
    """Seconds of a call."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()  # type: ignore[operator]
        found.append(time.perf_counter() - start)
    return min(found)


def seconds_a_task(n_tasks: int = 2000) -> float:
    """That client and scheduler take for a task."""
    from distributed import Client, LocalCluster, wait

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for _ in range(2):
            start = time.perf_counter()
            wait(client.map(abs, range(n_tasks), pure=False))
            seconds = (time.perf_counter() - start) / n_tasks
    return seconds


def iteration(
    costs: Costs, n_tasks: int, parts_a_task: float, slots: int, threads: int, net: float, latency: float, seed: int
) -> float:
    """Seconds of a pass with so many tasks, on so many slots of some threads each. net: bytes a second."""
    random = np.random.default_rng(seed)
    hop = costs.sums_bytes / net + latency
    dispatched = math.ceil(math.log2(slots + 1)) * hop  # the parameters, down a tree
    seconds = costs.part * parts_a_task / threads * random.lognormal(0.0, 0.1, n_tasks)
    seconds[random.random(n_tasks) < SLOW] *= TIMES
    free, ends = [0.0] * slots, np.empty(n_tasks)
    heapq.heapify(free)
    scheduler = dispatched
    for task in range(n_tasks):
        scheduler += costs.task
        begin = max(scheduler, heapq.heappop(free))
        ends[task] = begin + latency + seconds[task]
        heapq.heappush(free, ends[task])
    while len(ends) > 1:  # sums of MERGED runs are fetched one after another by who adds them
        groups = [ends[first : first + MERGED] for first in range(0, len(ends), MERGED)]
        ends = np.array([g.max() + costs.task + len(g) * (hop + costs.addition) for g in groups])
    return float(ends[0])


def main() -> None:
    """Measure, simulate, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rows", 10**9), ("features", 1000), ("classes", 100), ("cores", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--gigabits", type=float, default=10.0)
    parser.add_argument("--latency", type=float, default=2e-4, help="seconds of a message")
    options = parser.parse_args()
    costs, rows_a_part = measure(options.features, options.classes)
    n_parts, net = math.ceil(options.rows / rows_a_part), options.gigabits * 1e9 / 8
    part_bytes = 4.0 * rows_a_part * options.features
    print(f"{options.rows} rows x {options.features} x {options.classes}: {n_parts} parts of {rows_a_part} rows")
    print(
        f"measured: part {costs.part * 1e3:.1f} ms, task {costs.task * 1e3:.2f} ms, add {costs.addition * 1e3:.2f} ms"
    )
    print("| workers | GB each | ideal s | a task a core | a task a worker | scheduler alone | slowest |")
    print("|---|---|---|---|---|---|---|")
    for workers in WORKERS:
        cores = workers * options.cores
        ideal, cells = n_parts * costs.part / cores, []
        for slots, threads in ((cores, 1), (workers, options.cores)):
            n_tasks = min(slots, n_parts)
            parts_a_task = n_parts / n_tasks
            runs = [iteration(costs, n_tasks, parts_a_task, slots, threads, net, options.latency, s) for s in range(3)]
            cells.append(f"{np.median(runs):.2f} ({n_tasks})")
        slow = costs.part * parts_a_task / options.cores * TIMES
        gigabytes = n_parts * part_bytes / workers / 1e9
        shown = f"{ideal:.2f} | {cells[0]} | {cells[1]} | {n_tasks * costs.task:.2f} | {slow:.2f}"
        print(f"| {workers} | {gigabytes:.0f} | {shown} |")


if __name__ == "__main__":
    main()
