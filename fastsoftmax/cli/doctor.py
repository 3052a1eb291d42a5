"""Is this installation in order? Versions, CPU, threads, fork, machine code; each function against the reference."""

import importlib.metadata
import os
import platform
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fastsoftmax import _cores, _threads, functional
from fastsoftmax._version import __version__
from fastsoftmax.cli.self_test import Check, self_test
from fastsoftmax.kernels.jit import inspection
from fastsoftmax.kernels.jit.numba_internals import config, cpu_target
from fastsoftmax.kernels.simd import target
from fastsoftmax.kernels.threads import SMALL

PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "scikit-learn")
FORK_SECONDS = 60.0  # a child that has not answered by then hangs
DTYPES = ("float32", "float64")


def examine(progress: Callable[[str], None] = lambda line: None, dtypes: Sequence[str] = DTYPES) -> dict[str, Any]:
    """Look at everything.

    Parameters
    ----------
    progress : callable
        Told what is looked at next.
    dtypes : sequence of {"float32", "float64"}
        Of the self-test.

    Returns
    -------
    dict
        For JSON: "versions", "system", "cpu", "threads", "fork", "machine_code", "self_test", and what is to be told of
        them: "errors", for which the exit status is 1, and "warnings", which cost time and no right result. The user's
        home is written ~.
    """
    checks = list(
        self_test(dtypes, (1, max(2, _threads.get_num_threads())), lambda what: progress(f"self-test: {what}"))
    )
    progress("fork")
    fork = fork_state()
    found = {
        "versions": _versions(),
        "system": platform.platform(),
        "cpu": _cpu(),
        "threads": _thread_facts(),
        "fork": fork,
        "machine_code": [_plain_place(place) for place in inspection.places()],  # type: ignore[no-untyped-call]
        "self_test": [_plain_check(check) for check in checks],
    }
    return {**found, "errors": _errors(fork, checks), "warnings": _warnings(found)}


def _versions() -> dict[str, str | None]:
    """Of what is installed, which is not imported for it; None where it is not."""
    versions: dict[str, str | None] = {"fastsoftmax": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _cpu() -> dict[str, Any]:
    context = cpu_target.target_context
    return {
        "model": _cpu_model(),
        "llvm_name": context.codegen().magic_tuple()[1],
        "instructions": target.instruction_set(context),  # type: ignore[no-untyped-call]
        "register_bytes": target.register_bytes(context),  # type: ignore[no-untyped-call]
    }


def _cpu_model() -> str:
    try:
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, subprocess.SubprocessError):  # another system; arm64, which has no such line
        return platform.processor() or platform.machine()


def _thread_facts() -> dict[str, Any]:
    """helpers: how many the self-test has started."""
    return {
        "layer": "none: one thread" if _threads._ALONE else "POSIX threads of fastsoftmax's own",
        "num_threads": _threads.get_num_threads(),
        "helpers": _threads._team.n_helpers,
        "cores": os.cpu_count(),
        "cores_by_affinity": _cores.allowed_cores(),
        "cores_by_quota": _cores.quota_cores(),
        "numba_num_threads": int(config.NUMBA_NUM_THREADS),
        "jit": not config.DISABLE_JIT,
    }


def fork_state() -> str:
    """What a forked child makes of a call on two threads.

    Returns
    -------
    {"safe", "wrong results", "hangs", "not tried"}
        The last where the system cannot fork, or has no process to give.
    """
    if not hasattr(os, "fork"):
        return "not tried"
    logits = np.linspace(-5, 5, 2 * SMALL).reshape(-1, 16)
    with _threads.num_threads(2):
        expected = functional.softmax(logits)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 counts our helpers, which may stay
                child = os.fork()
        except OSError:
            return "not tried"
        if child == 0:  # pragma: no cover (the child ends without telling what it ran)
            status = 1
            try:
                status = 0 if np.array_equal(functional.softmax(logits), expected) else 1
            finally:
                os._exit(status)
    return _ending(child)


def _ending(child: int) -> str:
    deadline = time.monotonic() + FORK_SECONDS
    while time.monotonic() < deadline:
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return "safe" if status == 0 else "wrong results"
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def _plain_place(place: inspection.Place) -> dict[str, Any]:
    return {**asdict(place), "folder": _without_home(place.folder), "not_used": _without_home(place.not_used)}


def _without_home(text: Any) -> str | None:
    """For a bug report, which need not tell the name of the user."""
    home = os.path.expanduser("~")
    return None if text is None else str(text) if len(home) < 2 else str(text).replace(home, "~")


def _plain_check(check: Check) -> dict[str, Any]:
    """JSON has no infinity and no NaN: the error is None then."""
    error = check.error if np.isfinite(check.error) else None
    return {**asdict(check), "error": error, "is_right": check.is_right}


def _errors(fork: str, checks: Sequence[Check]) -> list[str]:
    errors = [
        f"{c.function}, {c.dtype}, {c.n_rows} rows, {c.threads} threads: {_told(c)}" for c in checks if not c.is_right
    ]
    return errors + ([f"after a fork: {fork}"] if fork not in ("safe", "not tried") else [])


def _told(check: Check) -> str:
    return check.message or f"differs from the reference by {check.error:.1e}, and {check.allowed:.1e} is allowed"


def _warnings(found: dict[str, Any]) -> list[str]:
    threads, (beside, *own) = found["threads"], found["machine_code"]
    told = [] if own else ["machine code is not kept: there is no home; a place can be named in NUMBA_CACHE_DIR"]
    for place in own:
        if place["not_used"]:
            told.append(f"machine code is not kept: {place['not_used']}")
        elif not place["is_writable"]:
            told.append(f"machine code is not kept: {place['folder']} cannot be written")
    for place in (beside, *own):
        if place["n_distrusted"]:
            told.append(
                f"{place['folder']}: {place['n_distrusted']} files may be of somebody else's, and are not loaded"
            )
        if place["n_damaged"]:
            told.append(f"{place['folder']}: {place['n_damaged']} files are damaged, and compiled again when needed")
    if not threads["jit"]:
        told.append("NUMBA_DISABLE_JIT is set: kernels run as Python, a thousand times as slow")
    elif not _threads._ALONE and threads["helpers"] == 0:
        told.append("no thread can be had: calls run on one")
    told += [f"{name} is not installed" for name, version in found["versions"].items() if version is None]
    return told


def as_text(found: dict[str, Any]) -> str:
    """What `examine` has found, for people.

    Parameters
    ----------
    found : dict

    Returns
    -------
    str
    """
    cpu, threads, checks = found["cpu"], found["threads"], found["self_test"]
    quota = "none" if threads["cores_by_quota"] is None else f"{threads['cores_by_quota']:.2g} cores"
    right, counts = sum(check["is_right"] for check in checks), sorted({check["threads"] for check in checks})
    n_functions = len({check["function"] for check in checks})
    lines = [
        "versions      " + ", ".join(f"{name} {version or 'missing'}" for name, version in found["versions"].items()),
        f"system        {found['system']}",
        f"CPU           {cpu['model']}; code for {cpu['llvm_name']}: {cpu['instructions']}",
        f"threads       {threads['num_threads']} ({threads['layer']}); cores {threads['cores']}, by affinity "
        f"{threads['cores_by_affinity']}, quota {quota}, NUMBA_NUM_THREADS {threads['numba_num_threads']}",
        f"fork          {found['fork']}",
        *(f"machine code  {_place_line(place)}" for place in found["machine_code"]),
        f"self-test     {right} of {len(checks)} right: {n_functions} functions, "
        f"on {' and '.join(map(str, counts))} threads",
        *(f"ERROR         {error}" for error in found["errors"]),
        *(f"warning       {warning}" for warning in found["warnings"]),
        "something is broken" if found["errors"] else "everything is in order",
    ]
    return "\n".join(lines)


def _place_line(place: dict[str, Any]) -> str:
    state = "not used" if place["not_used"] else "writable" if place["is_writable"] else "cannot be written"
    return f"{place['folder']}: {place['n_files']} files, {place['n_bytes'] / 1e6:.1f} MB, {state}"
