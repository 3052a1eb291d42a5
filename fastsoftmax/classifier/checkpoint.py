"""A training kept in a file while it goes on, so that little is lost when its process or the machine ends."""

import contextlib
import os
from collections.abc import Callable

from fastsoftmax.classifier import model_file
from fastsoftmax.classifier.fitting import Outcome
from fastsoftmax.classifier.reports import warn
from fastsoftmax.classifier.state import State
from fastsoftmax.classifier.unfinished import Unfinished


class Checkpoint:
    """The file of a training, written after every so many iterations.

    state makes of an outcome so far, and of what goes on from it, what the file holds. What cannot be written is told
    by one warning, and the training goes on.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: int,
        state: Callable[[Outcome, Unfinished | None], State],
    ) -> None:
        self._path, self._every, self._state = path, every, state
        self._iterations, self._has_warned = 0, False

    def keep(self, so_far: Callable[[], tuple[Outcome, Unfinished | None]]) -> None:
        """An iteration has ended."""
        self._iterations += 1
        if self._iterations % self._every == 0:
            self.write(lambda: self._state(*so_far()))

    def write(self, state: Callable[[], State]) -> None:
        """Replace the file."""
        try:
            model_file.write(self._path, *state())
        except (OSError, MemoryError, TypeError) as error:  # the last: classes that cannot be saved
            if not self._has_warned:
                self._has_warned = True
                with contextlib.suppress(UserWarning):  # where warnings are errors
                    warn(f"the checkpoint was not written, and training goes on without it: {error}")
