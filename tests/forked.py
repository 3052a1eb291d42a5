"""Programs of Python in processes of their own that need not import Numba: each is a fork of one that has.

To import Numba and to compile something for the first time takes two seconds, where the program of a test takes a few
tenths. The process that forks has no second thread and none of our modules. What it forks has the program as its main
module, with the environment, working folder, umask and output that it is given; it reads Numba's settings anew, imports
from PYTHONPATH, and ends as every process of Python's does. Programs for which it matters how Numba is initialised
(NUMBA_CPU_NAME, say), or what imports what, begin with `subprocess` instead.
"""

import atexit
import gc
import json
import os
import select
import signal
import subprocess
import sys
from typing import Any

Done = subprocess.CompletedProcess[str]
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # NumPy would start another, and Python warns of a fork beside it


def run(program: str, env: dict[str, str], cwd: Any, timeout: float = 120) -> Done:
    """Status and output of a program, as of `subprocess.run([sys.executable, "-c", program], ..., text=True)`."""
    return run_together([(program, env)], cwd, timeout)[0]


def run_together(programs: list[tuple[str, dict[str, str]]], cwd: Any, timeout: float = 120) -> list[Done]:
    """The same of several programs, each with its environment, that begin at once."""
    if not hasattr(os, "fork"):
        options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": timeout, "cwd": cwd}
        return [subprocess.run([sys.executable, "-c", program], env=env, **options) for program, env in programs]
    if not _running or _running[-1].process.poll() is not None:
        _running.append(_Forking())
    return _running[-1].run(programs, str(cwd), timeout)


class _Forking:
    """The process that forks, from the first program to the end of this process."""

    def __init__(self) -> None:
        others = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "COV", "PYTHON"))}
        # where Numba itself may be (.ci/arm64.sh)
        env = others | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, __file__]
        self.process = subprocess.Popen(command, env=env | ONE_THREAD, start_new_session=True, **pipes)
        self.owner = os.getpid()
        atexit.register(self.end)

    def run(self, programs: list[tuple[str, dict[str, str]]], cwd: str, timeout: float) -> list[Done]:
        umask = os.umask(0)
        os.umask(umask)
        print(json.dumps([programs, cwd, umask]), file=self.process.stdin, flush=True)
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            self.end()
            raise subprocess.TimeoutExpired(programs[0][0], timeout)
        done = json.loads(self.process.stdout.readline())
        return [subprocess.CompletedProcess(program, *each) for (program, _), each in zip(programs, done, strict=True)]

    def end(self) -> None:
        """With all that it has forked."""
        if self.owner == os.getpid() and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()


_running: list[_Forking] = []


def _fork_all() -> str | None:
    """Fork for the programs that are asked for, again and again. In a fork: its program; at the end: None."""
    import numba

    numba.njit(lambda x: x + 1.0)(1.0)
    gc.freeze()  # or each fork would look through all of it at its end (0.3 s)
    for line in sys.stdin:
        programs, cwd, umask = json.loads(line)
        children = []
        for program, env in programs:
            pipes = os.pipe(), os.pipe()
            child = os.fork()
            if child == 0:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                for number, (_, end) in enumerate(pipes, 1):
                    os.dup2(end, number)
                os.closerange(3, 256)
                sys.stdout = os.fdopen(1, "w", closefd=False)  # anew: whether one can seek is known from its beginning
                sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
                os.chdir(cwd)
                os.umask(umask)
                _take_over(env)
                numba.config.reload_config()
                return program
            for _, end in pipes:
                os.close(end)
            children.append((child, [begin for begin, _ in pipes]))
        texts = _read_all([begin for _, begins in children for begin in begins])
        done = []
        for child, begins in children:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            done.append([status, *(texts[begin] for begin in begins)])
        print(json.dumps(done), flush=True)
    return None


def _read_all(pipes: list[int]) -> dict[int, str]:
    texts = dict.fromkeys(pipes, b"")
    left = set(pipes)
    while left:
        for pipe in select.select(list(left), [], [])[0]:
            part = os.read(pipe, 65536)
            texts[pipe] += part
            if not part:
                left.remove(pipe)
                os.close(pipe)
    return {pipe: text.decode() for pipe, text in texts.items()}


def _take_over(env: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)
    sys.argv[:] = ["-c"]
    sys.path[0] = ""
    sys.path[1:1] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))


def _bare(namespace: dict[str, Any]) -> dict[str, Any]:
    """Without what is imported and defined here, as a program finds its main module."""
    for name in [name for name in namespace if not name.startswith("__")]:
        del namespace[name]
    return namespace


if __name__ == "__main__":
    if (program := _fork_all()) is not None:
        exec(compile(program, "<string>", "exec"), _bare(globals()))
