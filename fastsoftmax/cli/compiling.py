"""What is being compiled, told while it lasts, so that nobody believes that the program hangs."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from fastsoftmax.kernels.jit.numba_internals import event

SECONDS = 1.0  # between two lines


@contextlib.contextmanager
def told(progress: Callable[[str], None]) -> Iterator[None]:
    """Tell of kernels that are compiled inside a with block, now and then."""
    with event.install_listener("numba:compile", _Teller(progress)):
        yield


class _Teller(event.Listener):  # type: ignore[misc]
    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress, self._n_kernels, self._last = progress, 0, time.perf_counter()

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        self._n_kernels += 1
        if time.perf_counter() - self._last > SECONDS:
            self._last = time.perf_counter()
            self._progress(f"compiling, so far {self._n_kernels} functions: {function.__name__} ...")

    def on_end(self, event: Any) -> None:
        """Nothing to tell."""
