"""The memory that one call takes beyond its arguments and results: the peak of the process, from a process for each.

    python bench/memory.py [N D C]

Python's own tracemalloc does not see what compiled code allocates. Linux keeps the peak of a process (VmHWM) and can
start it anew (/proc/self/clear_refs). A first call on a few samples compiles or loads what is needed.
"""

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from fastsoftmax.cli.races.layers import has_chunks

CALL = """
import sys
import numpy as np
library, n_samples, n_features, n_classes = sys.argv[1], *map(int, sys.argv[2:])

def peak(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024

if library == "fastsoftmax":
    import fastsoftmax as fs

    def prepare(X, weight, bias, labels):
        out = fs.LinearGrads(np.zeros_like(weight), np.zeros_like(bias))
        return lambda: fs.linear_cross_entropy_value_and_grad(X, weight, bias, labels, out=out)
else:
    import torch

    F = torch.nn.functional
    if library == "torch in chunks":
        options = torch.nn.LinearCrossEntropyOptions()
        loss_of = lambda X, weight, bias, labels: F.linear_cross_entropy(
            X, weight, labels, linear_bias=bias, options=options
        )
    else:
        loss_of = lambda X, weight, bias, labels: F.cross_entropy(F.linear(X, weight, bias), labels)

    def prepare(*arrays):
        X, weight, bias, labels = (torch.from_numpy(a) for a in arrays)
        weight.requires_grad_(), bias.requires_grad_()
        weight.grad, bias.grad = torch.zeros_like(weight), torch.zeros_like(bias)
        return lambda: loss_of(X, weight, bias, labels).backward()

def data(n_samples):
    rng = np.random.default_rng(0)
    X, weight = (rng.standard_normal((n, n_features), np.float32) for n in (n_samples, n_classes))
    return X, weight, np.zeros(n_classes, np.float32), rng.integers(0, n_classes, n_samples)

prepare(*data(2))()
call = prepare(*data(n_samples))
open("/proc/self/clear_refs", "w").write("5")
before = peak("VmRSS")
call()
print((peak("VmHWM") - before) / 2**20)
"""


def main() -> None:
    """Print MiB for each library that is installed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shape", nargs="*", type=int, metavar="N D C", default=[8192, 256, 32000])
    shape = parser.parse_args().shape
    if len(shape) != 3 or not Path("/proc/self/clear_refs").exists():
        parser.error("three sizes, on Linux")
    for library in ("fastsoftmax", "torch", "torch in chunks"):
        if find_spec(library.split()[0]) and (library != "torch in chunks" or has_chunks()):
            command = [sys.executable, "-c", CALL, library, *map(str, shape)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(f"{library}: {float(done.stdout):.1f} MiB beyond arguments and results")


if __name__ == "__main__":
    main()
