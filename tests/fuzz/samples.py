"""X, weight and bias of a dense layer: dense arrays and CSR matrices, hostile ones, too; and their logits."""

from typing import Any

import numpy as np
from scipy.sparse import bsr_array, coo_array, csc_array, csr_array, csr_matrix

from .arrays import SIZES, float_dtype, place, values_of
from .cases import Case
from .oracles import LONG, Exact, dtypes_of, long

MODERATE = 0.05  # the probability that values are wild: most results can be judged


class Layer:
    """X (N, D), weight (C, D) and bias of a case, as long doubles once they are known to be right.

    Attributes
    ----------
    dtype, compute : of the result, and what it is computed in
    X, weight, bias, logits : np.longdouble, the logits with a bound
    """

    def __init__(self, case: Case, with_bias: bool = True, bias_may_miss: bool = True) -> None:
        draw = case.draw
        n, d, c = self.shape = sizes(case)
        kind = float_dtype(draw)
        kinds = [kind if draw.chance(0.85) else float_dtype(draw) for _ in range(3)]
        self.is_sparse = draw.chance(0.35) and np.dtype(kinds[0]).kind in "fiub" and np.dtype(kinds[0]).itemsize <= 8
        X = (
            add_csr(case, (n, d), kinds[0])
            if self.is_sparse
            else case.add("X", values_of(draw, (n, d), kinds[0], MODERATE))
        )
        weight = case.add("weight", values_of(draw, (c, d), kinds[1], MODERATE))
        given = [X, weight]
        if X.ndim != 2 or weight.ndim != 2 or X.shape[1:] != weight.shape[1:]:
            case.faults |= {"X", "weight"}  # an empty list, or a shape that does not fit
        bias = np.zeros(c)
        self.has_bias = with_bias and (draw.chance(0.6) or not bias_may_miss)
        if self.has_bias:
            length = c if draw.chance(0.97) else c + 1
            bias = case.add("bias", values_of(draw, (length,), kinds[2], MODERATE))
            given.append(bias)
            if bias.shape != (c,):
                case.faults.add("bias")
        elif with_bias:
            case.option("bias", None)
        self.given = given
        if not case.faults:
            self.dtype, self.compute = dtypes_of(*given)
            self.read(X, weight, bias)

    def read(self, X: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
        """As long doubles, in the dtype that is computed in."""
        self.X, self.weight, self.bias = (long(array, self.compute) for array in (X, weight, bias))
        self.X_sizes = np.abs(self.X)
        if isinstance(X, Dense):
            # elements at one place are added up before they are multiplied: what overflows then is not judged
            most = min(np.finfo(dtype).max for dtype in (self.compute, X.dtype) if dtype.kind == "f")
            self.X, self.X_sizes = X.sums, np.where(X.sizes < most, X.sizes, np.inf)
        self.logits = self.forward(self.weight, self.bias)

    def computed_with(self, *more: np.ndarray) -> None:
        """Other arguments count for the dtype, too."""
        self.dtype, self.compute = dtypes_of(*self.given, *more)
        self.read(self.given[0], self.given[1], self.given[2] if self.has_bias else np.zeros(self.shape[2]))

    def forward(self, weight: np.ndarray, bias: np.ndarray) -> Exact:
        """X W^T + b."""
        product = matmul(Exact(self.X, np.zeros(self.X.shape)), weight.T, self.compute, self.X_sizes, np.abs(weight.T))
        off = product.bound + 2 * np.finfo(self.compute).eps * np.abs(bias)
        return unjudged_if_not_finite(Exact(product.values + bias, off), self.compute)

    def wild(self) -> bool:
        """Whether an argument is not finite, or a logit is so large that nothing can be said of its softmax."""
        return not all(np.isfinite(a).all() for a in (self.X, self.weight, self.bias, self.logits.bound))


def sizes(case: Case) -> tuple[int, int, int]:
    """n_samples, n_features, n_classes."""
    draw = case.draw
    n, d, c = (draw.choice(SIZES) for _ in range(3))
    if draw.chance(0.003):
        return draw.choice(((600, 33, 17), (600, 64, 10), (40, 3000, 10)))  # enough for two threads
    if draw.chance(0.05):
        n = draw.choice((127, 128, 129, 256, 300, 513))
    while n * d > 3000 or n * c > 3000 or d * c > 3000:
        n, d, c = n // 2, d - d // 3, c - c // 3
    return n, d, c


def matmul(a: Exact, b: np.ndarray, compute: np.dtype, a_sizes: np.ndarray, b_sizes: np.ndarray) -> Exact:
    """A b, with the rounding errors of the sums and what a itself is off; sizes are absolute values."""
    eps, tiny = np.finfo(compute).eps, np.finfo(compute).tiny
    length = a.values.shape[-1]
    bound = (a.bound + (2 * length + 12) * eps * a_sizes) @ b_sizes + (length + 1) * tiny
    return unjudged_if_not_finite(Exact(a.values @ b, bound), compute, a_sizes @ b_sizes)


def unjudged_if_not_finite(exact: Exact, compute: np.dtype, size: Any = 0.0) -> Exact:
    """What is infinite or NaN or near it is not judged: it depends on the order of a sum."""
    most = np.finfo(compute).max / 64
    good = (np.abs(exact.values) < most) & (np.abs(size) < most) & np.isfinite(exact.bound)
    return Exact(np.where(good, exact.values, 0), np.where(good, exact.bound, np.inf))


class Dense(np.ndarray):
    """What stands for a CSR matrix: its shape and dtype; sums of the elements at one place, and of their sizes."""

    sums: np.ndarray
    sizes: np.ndarray


def add_csr(case: Case, shape: tuple[int, int], kind: str) -> Dense:
    """A CSR matrix: unsorted, with duplicates, wide indices, empty rows, spare room; rarely one that is none."""
    draw, numbers = case.draw, case.draw.numbers
    n_rows, n_columns = shape
    most = min(n_columns, 8 if n_rows < 600 else 60)
    counts = numbers.integers(0, most + 1, n_rows)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(draw.choice(("i4", "i8")))
    size = int(indptr[-1])
    indices = numbers.integers(0, max(n_columns, 1), size).astype(draw.choice(("i4", "i4", "i8")))
    spare = draw.choice((0, 0, 3))
    values = values_of(draw, (size,), kind, MODERATE)
    data = np.concatenate([values, values_of(draw, (spare,), kind)]).astype(values.dtype)
    indices = np.concatenate([indices, np.full(spare, 2**30, indices.dtype)])
    if draw.chance(0.5):
        for row in range(n_rows):
            indices[indptr[row] : indptr[row + 1]].sort()
    elements = long(values, values.dtype if values.dtype.kind == "f" else np.dtype(np.float64))
    places = np.repeat(np.arange(n_rows), np.diff(indptr)), indices[:size].copy()
    dense, sizes_of = Dense(shape, values.dtype), np.zeros(shape, LONG)
    dense.sums, dense.sizes = sizes_of.copy(), sizes_of
    np.add.at(dense.sums, places, elements)
    np.add.at(dense.sizes, places, np.abs(elements))
    parts = {"data": data, "indices": indices, "indptr": indptr}
    spoil(case, parts, n_columns, size)
    if draw.chance(0.02):
        case.option("X", draw.choice((csc_array, coo_array, bsr_array))(np.eye(*shape)) if n_columns else "X", bad=True)
        return dense
    matrix = draw.choice((csr_array, csr_matrix))(shape, dtype=np.float32)
    for name, part in parts.items():
        placed = place(draw, part, plain=0.7)
        case.inputs.append((f"X.{name}", placed))
        setattr(matrix, name, placed.array)
    case.option("X", matrix)
    case.clean["X"] = csr_array(shape, dtype=np.float32)
    for name, part in parts.items():
        setattr(case.clean["X"], name, part.copy())
    return dense


def spoil(case: Case, parts: dict[str, np.ndarray], n_columns: int, size: int) -> None:
    """Rarely, make it no CSR matrix."""
    draw = case.draw
    if not draw.chance(0.06):
        return
    kind, indices, indptr = draw.randrange(4), parts["indices"], parts["indptr"]
    if kind == 0 and size:
        indices[draw.randrange(size)] = draw.choice((-1, n_columns, 2**31 - 1, -(2**31)))
    elif kind == 1 and len(indptr) > 1:
        indptr[draw.randrange(1, len(indptr))] = draw.choice((-1, 2**30))
    elif kind == 2:
        indptr[0] = 1
    elif kind == 3 and size:
        parts["data"] = parts["data"][: size - 1]
    else:
        return
    case.faults.add("X")
