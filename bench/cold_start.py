"""What a first result costs on a new machine, in CPU seconds and in yardsticks, from a process of its own for each.

    python bench/cold_start.py [--warmup] [--families] [--checkout PATH]

A yardstick is the import of NumPy and Numba and the compilation of softmax as a plain @njit loop over rows, each row by
NumPy's functions, in the same run, with an empty cache, too; the first line has the same with loops over numbers.
Modules are there as bytecode, as pip leaves them. --warmup adds `fastsoftmax warmup`, --families the seconds that each
file of kernels takes to compile (float64, all that warm-up calls); --checkout measures the package in another folder.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
YARDSTICK = """
import numba
import numpy as np

@numba.njit
def softmax(z, out):
    for n in range(z.shape[0]):
        e = np.exp(z[n] - z[n].max())
        out[n] = e / e.sum()

z = np.ones((8, 8))
softmax(z, np.empty_like(z))
"""
LOOPS = """
import math
import numba
import numpy as np

@numba.njit
def softmax(z, out):
    for n in range(z.shape[0]):
        top = -math.inf
        for c in range(z.shape[1]):
            top = max(top, z[n, c])
        total = 0.0
        for c in range(z.shape[1]):
            out[n, c] = math.exp(z[n, c] - top)
            total += out[n, c]
        for c in range(z.shape[1]):
            out[n, c] /= total

z = np.ones((8, 8))
softmax(z, np.empty_like(z))
"""
START = "import numpy as np, fastsoftmax as fs; z = np.ones((32, 10)); "
FIT = (
    "rng = np.random.default_rng(0); X, y = rng.standard_normal((200, 5)), rng.integers(0, 3, 200); "
    "fs.SoftmaxClassifier(max_iter=2000).fit(X, y)"
)
CASES = {
    "import fastsoftmax": "import fastsoftmax",
    "first softmax": START + "fs.softmax(z)",
    "first cross_entropy_value_and_grad": START + "fs.cross_entropy_value_and_grad(z, np.zeros(32, int))",
    "first SoftmaxClassifier().fit": START + FIT,
    "compare --dataset digits": "import runpy, sys; sys.argv = 'fastsoftmax compare --repeats 1'.split(); "
    "runpy.run_module('fastsoftmax', run_name='__main__')",
}
WARMUP = "import runpy, sys; sys.argv = ['fastsoftmax', 'warmup']; runpy.run_module('fastsoftmax', run_name='__main__')"
FAMILIES = """
import collections, time
import numpy as np
from numba.core import event
from fastsoftmax.cli.warmup import CALLS

seconds, running = collections.Counter(), []

class Clock(event.Listener):
    def on_start(self, event):
        running.append([time.process_time(), 0.0])

    def on_end(self, event):
        start, within = running.pop()
        whole = time.process_time() - start
        seconds[event.data["dispatcher"].py_func.__module__] += whole - within
        if running:
            running[-1][1] += whole

with event.install_listener("numba:compile", Clock()):
    for calls in CALLS:
        for call in calls("float64"):
            call()
for module, spent in seconds.most_common():
    print(f"{module:40s} {spent:6.2f}")
"""


def cpu_seconds(code: str, checkout: Path, cache: str, bytecode: str) -> float:
    """Of a new Python process that runs the code, and of those that it starts."""
    settings = {**os.environ, "PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": cache, "PYTHONPYCACHEPREFIX": bytecode}
    settings.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([sys.executable, "-c", code], env=settings, stdout=output, stderr=output, cwd="/")
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            raise RuntimeError(output.read().decode())
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--warmup", action="store_true")
    parser.add_argument("--families", action="store_true")
    parser.add_argument("--checkout", type=Path, default=HERE)
    arguments = parser.parse_args()
    checkout = arguments.checkout.resolve()
    if arguments.families:
        with tempfile.TemporaryDirectory() as cache:
            settings = {**os.environ, "PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": cache}
            subprocess.run([sys.executable, "-W", "ignore", "-c", FAMILIES], env=settings, cwd="/", check=True)
        return
    cases = CASES | ({"warmup, both dtypes": WARMUP} if arguments.warmup else {})
    with tempfile.TemporaryDirectory() as bytecode:
        _print_table(cases, checkout, bytecode)


def _print_table(cases: dict[str, str], checkout: Path, bytecode: str) -> None:
    def median(code, cache, runs):
        return statistics.median(cpu_seconds(code, checkout, cache, bytecode) for _ in range(runs))

    with tempfile.TemporaryDirectory() as unused:
        median(CASES["compare --dataset digits"], unused, 1)  # fills the bytecode
        yardstick, loops = median(YARDSTICK, unused, 5), median(LOOPS, unused, 5)
    print(f"{'yardstick':40s} {yardstick:7.2f} s, with loops over numbers {loops:.2f} s")
    print(f"{'':40s} {'empty':>9s} {'':>13s} {'filled':>9s}")
    for name, code in cases.items():
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = median(code, cache, 1), median(code, cache, 3)
        print(f"{name:40s} {cold:7.2f} s {cold / yardstick:5.1f} yards. {warm:7.2f} s")
    try:
        print(f"{'import torch':40s} {'':21s}  {median('import torch', '', 3):7.2f} s")
    except RuntimeError:
        print("torch is not installed")


if __name__ == "__main__":
    main()
