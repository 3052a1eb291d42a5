"""The quick suite of `fastsoftmax bench`: its cases, and how one of them is raced and kept."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fastsoftmax.cli.races import layers, rows
from fastsoftmax.cli.races.turns import Call, check, expected_of, take_turns

SHAPES = [(1, 10), (1797, 10), (65536, 10), (256, 100), (128, 1000), (4096, 1000)]
LAYER_SHAPES = [(1797, 64, 10), (20000, 300, 26)]
CASES: list[rows.Case | layers.LinearCase] = [
    *(
        rows.Case(operation, shape, "float32")
        for operation in ("softmax", "softmax_vjp", "cross_entropy_value_and_grad")
        for shape in SHAPES
    ),
    *(layers.LinearCase("linear_cross_entropy", shape) for shape in LAYER_SHAPES),
]


@dataclass(frozen=True)
class Race:
    """Medians in seconds of all that took part in one case.

    Attributes
    ----------
    left_out : why others did not take part
    fits : of training, what is known of the model of each
    """

    operation: str
    shape: tuple[int, ...]
    dtype: str
    threads: int
    n_bytes: int
    medians: dict[str, float]
    flops: int | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    fits: dict[str, dict[str, Any]] | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What it has in common with the same race of another run."""
        return self.operation, self.shape, self.dtype, self.threads

    @property
    def ours(self) -> float:
        """Seconds a call of fastsoftmax."""
        return self.medians["fastsoftmax"]

    @property
    def size(self) -> int:
        """Elements of one array."""
        return math.prod(self.shape)

    def ratio(self, library: str) -> float | None:
        """How many times as long as fastsoftmax another library takes."""
        return self.medians[library] / self.ours if library in self.medians else None

    @property
    def peers(self) -> dict[str, float]:
        """Other libraries' medians."""
        return {name: t for name, t in self.medians.items() if name != "fastsoftmax" and not name.startswith("ceiling")}

    def as_benchmark(self, machine: Mapping[str, Any]) -> dict[str, Any]:
        """As pytest-benchmark keeps it, and bench/report.py reads it."""
        facts = {"operation": self.operation, "shape": list(self.shape), "dtype": self.dtype, "threads": self.threads}
        return {"extra_info": {**facts, "bytes": self.n_bytes, "flops": self.flops, "medians": self.medians, **machine}}


def race(case: rows.Case | layers.LinearCase, threads: int) -> Race:
    """Check the answer of each library that is installed, and let them take turns.

    A library that cannot do it, or gives a wrong answer, takes no part; ours must be right.

    Raises
    ------
    AssertionError
        Our answer is wrong.
    """
    providers, expected = _field(case)
    calls: dict[str, Call] = {}
    left_out: dict[str, str] = {}
    for name, provider in providers.items():
        try:
            call = provider(case, threads)
            if call is not None:
                check(call(), expected, case)
                calls[name] = call
        except Exception as error:  # whatever a library of any version raises
            if name == "fastsoftmax":
                raise AssertionError(f"{case.name} {case.shape}: {error}") from error
            left_out[name] = f"{type(error).__name__}: {error!s:.100}"
    flops = case.n_flops if isinstance(case, layers.LinearCase) else None
    facts = (case.name, case.shape, case.dtype, threads, case.n_bytes)
    return Race(*facts, take_turns(calls), flops, left_out)


def _field(case: rows.Case | layers.LinearCase) -> tuple[Mapping[str, Callable[..., Any]], list[np.ndarray]]:
    """Who takes part, and the right answer."""
    if isinstance(case, layers.LinearCase):
        wide = layers.LinearCase(case.name, case.shape, "float64")
        providers = {name: f for name, f in layers.installed().items() if not name.startswith("ceiling")}
        return providers, rows.as_arrays(layers.in_numpy(wide))
    names = [name for name in rows.installed() if name != "jacobian"]
    return {name: partial(rows.PROVIDERS[name]) for name in names}, expected_of(case)
