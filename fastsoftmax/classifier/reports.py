"""Who is told of a fit: whoever called it by warnings, a progress bar on stderr, and scikit-learn's callbacks where it
has them.

scikit-learn 1.9 has callbacks for estimators; before it, `CallbackSupportMixin` and `with_callbacks` here do nothing.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import Array

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
    from sklearn.callback import with_callbacks as with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""

    def with_callbacks(method: Any) -> Any:
        """The method itself."""
        return method


Report = Callable[[Array, float], bool]


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of the line that called us from outside, however many frames of ours and scikit-learn's lie between."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


OURS = ("fastsoftmax", "sklearn", "joblib")


@contextmanager
def progress_bar(shown: bool, name: str, max_iter: int, what: str = "loss") -> Iterator[Report]:
    """A report that draws the iterations done and the loss (or what it is called), if it is to be shown."""
    if not shown:
        yield lambda params, loss: False
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what + " {task.fields[loss]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=max_iter, loss="-")

        def report(params: Array, loss: float) -> bool:
            progress.update(task, advance=1, loss=f"{loss:.6g}")
            return False

        yield report


class Callbacks:
    """The callbacks of an estimator around a fit: a task for the fit, and in it one for each iteration.

    attributes(params) is what a fitted copy of the estimator has besides what the estimator has already. max_iter None:
    it is no fit, and nobody is told.
    """

    def __init__(
        self, estimator: Any, max_iter: int | None, data: dict[str, Any], attributes: Callable[[Array], Any]
    ) -> None:
        self._estimator, self._data, self._attributes = estimator, data, attributes
        self._fit: Any = None
        self._iteration: Any = None
        self._errors = np.geterr()  # the caller's, in which callbacks run; training ignores them
        if max_iter is not None and hasattr(estimator, "_init_callback_context"):
            # as in LogisticRegression, the task after the last iteration is begun, and ended empty
            self._fit = estimator._init_callback_context(max_subtasks=max_iter + 1)
            self._fit.call_on_fit_task_begin(estimator=estimator, **data)

    def begin(self, params: Array) -> None:
        """The first iteration begins."""
        if self._fit is not None and getattr(self._estimator, "_skl_callbacks", None):
            self._begin_iteration(params.copy())

    def report(self, params: Array, loss: float) -> bool:
        """An iteration has ended, and another one begins unless a callback asks to stop."""
        if self._iteration is None:
            return False
        now = params.copy()
        with np.errstate(**self._errors):
            stop = bool(self._iteration.call_on_fit_task_end(**self._arguments(now)))
            self._begin_iteration(now)
        return stop

    def end(self, params: Array) -> None:
        """The fit has ended."""
        if self._iteration is not None:
            self._iteration.call_on_fit_task_end(estimator=self._estimator)
        if self._fit is not None:
            self._fit.call_on_fit_task_end(**self._arguments(params))

    def _begin_iteration(self, params: Array) -> None:
        self._iteration = self._fit.subcontext(task_name="iteration")
        self._iteration.call_on_fit_task_begin(**self._arguments(params))

    def _arguments(self, params: Array) -> dict[str, Any]:
        # what is callable is called by scikit-learn if a callback asks for it
        attributes = lambda: self._attributes(params)  # noqa: E731
        return {"estimator": self._estimator, **self._data, "reconstruction_attributes": attributes}
