"""What stands beside every result: processor, instruction set, versions, commit."""

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

from fastsoftmax._version import __version__

LIBRARIES = ("numpy", "numba", "scipy", "scikit-learn", "torch", "jax", "onnxruntime")


@functools.cache
def machine() -> dict[str, Any]:
    """The processor, the instruction set that our code is compiled for, the commit (of a checkout), and versions."""
    import llvmlite.binding as llvm

    from fastsoftmax.kernels.jit.numba_internals import cpu_target

    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    known = {"+avx512f": "AVX-512", "+avx2": "AVX2", "+neon": "NEON"}
    isa = next((name for feature, name in known.items() if feature in features.split(",")), None)
    if isa is None:  # no features are listed: those of the CPU that is named
        isa = "AVX2" if cpu in ("haswell", "znver1", "znver2", "znver3") else cpu
    return {"cpu": llvm.get_host_cpu_name(), "isa": isa, "commit": _commit(), "versions": _versions()}


def _commit() -> str:
    """Of the checkout that the package is run from; else its version."""
    folder = Path(__file__).parents[3]
    if not (folder / ".git").exists():
        return f"of version {__version__}"
    try:
        command = ["git", "describe", "--always", "--dirty"]
        told = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        told = ""
    return told or "unknown"


def _versions() -> dict[str, str]:
    """Of what is installed, which is not imported for it."""
    versions = {"python": platform.python_version(), "fastsoftmax": __version__}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
