"""The Hessian of a multinomial loss in some weights, by which coordinate descent sweeps without going over the rows.

It costs as much as some sweeps over the rows, and does for the next step, too, if the last one has left little.
"""

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.training.columns import Selection
from fastsoftmax.training.duality import Penalised

MOST = 512  # coordinates: of more, it takes longer than the sweeps that it saves (digits, 600: as 12 over the rows)
LEAST = 2**15  # coordinates times rows: of fewer, a sweep over the rows takes no time either
SCRATCH, LEAST_ROWS = 2**18, 512  # numbers of columns that are scaled at a time, and rows of them
LARGEST, SMALLEST = 1e25, 1e-25  # of what it may hold: it is float32


def pays(model: Penalised, some: Selection) -> bool:
    """Whether sweeps by the Hessian take less time than sweeps over the rows, and float32 can hold it."""
    n_coordinates, n_rows = len(some.features), len(model.row_weight)
    if model.columns.is_sparse or n_coordinates > min(MOST, n_rows // 4) or n_coordinates * n_rows < LEAST:
        return False
    sizes = model.columns.largest(some.features) ** 2 * model.row_weight.sum()
    return bool(sizes.min() > SMALLEST and sizes.max() < LARGEST)


class Hessian:
    """That of the loss where the model stands, float32.

    Attributes
    ----------
    matrix : (n, n), coordinates class by class
    """

    def __init__(self, model: Penalised, some: Selection) -> None:
        order = np.lexsort((some.features, some.classes))
        features, classes, n = some.features[order], some.classes[order], len(order)
        self._places = np.full(model.weight.shape, -1)
        self._places[classes, features] = np.arange(n)
        ends, root = np.searchsorted(classes, classes, side="right"), np.sqrt(model.row_weight)
        by = root * np.sqrt(model.probs * (1.0 - model.probs)), root * model.probs
        n_rounds = -(-len(root) // max(LEAST_ROWS, SCRATCH // n))
        rows = -(-len(root) // n_rounds)
        scratch = np.empty((2, n * rows), np.float32)
        self.matrix = out = np.empty((n, n), np.float32)
        for first in range(0, len(root), rows):
            count = min(rows, len(root) - first)
            columns = [numbers[: n * count].reshape(n, count) for numbers in scratch]
            for factors, scaled in zip(by, columns, strict=True):
                run(kernels.scaled_columns, scaled.size, model.columns.data, features, classes, factors, first, scaled)
            run(kernels.hessian_of_columns, n * n * count // 16, *columns, ends, out)
            if first > 0:
                self.matrix += out
            else:
                out = np.empty_like(out)

    def covers(self, some: Selection) -> bool:
        """Whether it is of these coordinates, among others."""
        return bool((self.places(some) >= 0).all())

    def places(self, some: Selection) -> Array:
        """The row of the matrix that belongs to each coordinate, or -1."""
        places: Array = self._places[some.at]
        return places


class ByHessian:
    """How a model curves, by the Hessian, d being what the weights have changed by.

    Attributes
    ----------
    precision : of the model's minimum, relative to the violation that it began with
    history : sweeps from one extrapolation to the next
    curvatures : along each coordinate
    where : H d after the last sweep
    """

    precision, history = 0.02, 8  # sweeps cost little here

    def __init__(self, hessian: Hessian, model: Penalised, some: Selection) -> None:
        self._matrix, self._places = hessian.matrix, hessian.places(some)
        self._columns, self._some, self._like = model.columns, some, model.probs
        self.curvatures = self._matrix.diagonal()[self._places].astype(float)
        self.where = np.zeros(len(self._matrix), np.float32)

    def sweep(self, by_coordinate: Array) -> float:
        """As Columns.sweep."""
        return float(kernels.hessian_sweep(self._matrix, self._places, self.where, by_coordinate))

    def at(self, steps: Array) -> Array:
        """What `where` would be for a d."""
        all_steps, there = np.zeros((1, len(self._matrix)), np.float32), np.empty((1, len(self._matrix)), np.float32)
        all_steps[0, self._places] = steps
        run(kernels.dense_rows, self._matrix.size, all_steps, self._matrix, np.zeros_like(self.where), there)
        return there[0]

    def curved(self, steps: Array, where: Array) -> float:
        """d^T H d."""
        return float(steps @ where[self._places])

    def changes(self, steps: Array) -> Array:
        """Of the logits (C, N), for a d."""
        changes = np.zeros_like(self._like)
        self._columns.add(self._some, steps, changes)
        return changes
