"""A fit on a file of three times the memory that the process may have: peak of memory, and reading speed beside dd's.

    python bench/out_of_core.py [--limit MIB] [--features D] [--dtype float32] [--l1] [--folder DIR]

On Linux as root the limit is a memory control group of its own (version 1 or 2), which counts the page cache, too: so
each pass comes from the disk. Elsewhere it is RLIMIT_DATA, and the file may stay in the page cache. dd reads the same
file in the same run under the same limit.
"""

import argparse
import contextlib
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np

CLASSES, BLOCK, READINGS = 10, 100_000, 3
FIT = """
import sys, time, warnings
import numpy as np
import fastsoftmax as fs
from fastsoftmax.classifier import streams

def memory(name):
    return [int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(name)][0]

folder, l1, passes = sys.argv[1], float(sys.argv[2]), []
read = streams.SourceParts.read

def counted(self, order=None, with_X=True):
    if with_X:
        passes.append(time.perf_counter())
    yield from read(self, order, with_X)

streams.SourceParts.read = counted
options = {"l1_ratio": l1, "alpha": 1000.0} if l1 else {"max_iter": 5, "tol": 0.0}
model = fs.SoftmaxClassifier(solver="lbfgs", **options)
warnings.simplefilter("ignore")
small = np.load(f"{folder}/X.npy", mmap_mode="r")[:2000], np.load(f"{folder}/y.npy", mmap_mode="r")[:2000]
model.fit(np.array(small[0], np.float32), small[1])
before = memory("VmRSS")
passes.clear()
start = time.perf_counter()
model.fit(fs.data.from_files(f"{folder}/X.npy", f"{folder}/y.npy"))
seconds = time.perf_counter() - start
print(before, memory("VmHWM"), len(passes) + 1, seconds, model.n_iter_[0], (model.dual_gap_ or 0.0) / model.loss_)
"""


def make(folder: Path, n_samples: int, n_features: int, dtype: str) -> int:
    """X.npy and y.npy, block by block; the bytes of X."""
    random = np.random.default_rng(0)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", dtype, (n_samples, n_features))
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", np.int8, (n_samples,))
    for first in range(0, n_samples, BLOCK):
        some = random.standard_normal((min(BLOCK, n_samples - first), n_features), dtype=np.float32)
        X[first : first + BLOCK] = some
        y[first : first + BLOCK] = (some[:, :CLASSES] + random.gumbel(size=(len(some), CLASSES))).argmax(axis=1)
    X.flush(), y.flush()
    return int(X.nbytes)


@contextlib.contextmanager
def limited(megabytes: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """How memory is limited, and what a child calls first for that."""
    for root, name in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / f"fastsoftmax-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / name).write_text(str(megabytes * 2**20))
            yield "a control group", lambda procs=group / "cgroup.procs": procs.write_text(str(os.getpid()))
            return
        except FileNotFoundError:
            continue
        finally:
            group.rmdir()
    size = megabytes * 2**20
    yield "RLIMIT_DATA", lambda: resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def forget(path: Path) -> None:
    """Take the file out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_by_dd(path: Path, first: Callable[[], None]) -> float:
    """Bytes a second."""
    forget(path)
    done = subprocess.run(
        ["dd", f"if={path}", "of=/dev/null", "bs=16M"],
        capture_output=True, text=True, check=True, preexec_fn=first, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    n_bytes, seconds = re.search(r"(\d+) bytes.* ([\d.e-]+) s,", done.stderr).groups()  # type: ignore[union-attr]
    return int(n_bytes) / float(seconds)


def main() -> None:
    """Make the file, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=768, metavar="MIB")
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--dtype", default="float32", choices=["float16", "float32", "float64"])
    parser.add_argument("--l1", action="store_true", help="L1, to its end")
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name, limited(options.limit) as (how, first):
        folder = Path(name)
        n_samples = 3 * options.limit * 2**20 // (options.features * np.dtype(options.dtype).itemsize)
        n_bytes = make(folder, n_samples, options.features, options.dtype)
        disk = [read_by_dd(folder / "X.npy", first) for _ in range(READINGS)]
        forget(folder / "X.npy")
        command = [sys.executable, "-c", FIT, name, str(float(options.l1))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=first)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        resident, peak, passes, seconds, n_iter, gap = map(float, done.stdout.split())
        disk += [read_by_dd(folder / "X.npy", first) for _ in range(READINGS)]
    speed = n_bytes * passes / seconds
    print(f"{n_samples} x {options.features} {options.dtype}, {CLASSES} classes: {n_bytes / 2**20:.0f} MiB")
    print(f"limit {options.limit} MiB, by {how}; resident before the fit {resident:.0f}, at the peak {peak:.0f} MiB")
    of_gap = f"; duality gap {gap:.1e} F" if options.l1 else ""
    print(f"{n_iter:.0f} iterations, {passes:.0f} passes in {seconds:.1f} s: {speed / 1e6:.0f} MB/s{of_gap}")
    readings = ", ".join(f"{reading / 1e6:.0f}" for reading in disk)
    print(f"dd before and after: {readings} MB/s; fit over the median {speed / median(disk):.2f}")


if __name__ == "__main__":
    main()
