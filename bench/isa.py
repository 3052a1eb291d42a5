"""Holding all libraries to one instruction set, so that a machine with AVX-512 can measure what others get with AVX2.

Each library has a switch of its own, an environment variable that it reads when it is loaded: so `hold_to` comes before
the first import of any of them.
"""

import itertools
import os
import sys

# Numba goes by this machine's features whatever CPU is named, unless it is told others: none but the named CPU's own
SWITCHES = {
    "avx2": {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    }
}
LIBRARIES = ("numpy", "numba", "torch", "jax", "onnxruntime")


def hold_to(arguments: list[str]) -> str | None:
    """The instruction set that `--isa NAME` among the arguments names, once all libraries are held to it."""
    named = [b for a, b in itertools.pairwise(arguments) if a == "--isa"]
    named += [a.removeprefix("--isa=") for a in arguments if a.startswith("--isa=")]
    if not named:
        return None
    loaded = [name for name in LIBRARIES if name in sys.modules]
    if loaded:
        raise RuntimeError(f"--isa comes too late: {', '.join(loaded)} is loaded already")
    if named[-1] not in SWITCHES:
        raise SystemExit(f"--isa must be one of {', '.join(SWITCHES)}, got {named[-1]!r}")
    for name, value in SWITCHES[named[-1]].items():
        os.environ[name] = f"{os.environ.get(name, '')} {value}".strip() if name == "XLA_FLAGS" else value
    return named[-1]
