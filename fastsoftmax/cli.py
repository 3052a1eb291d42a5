"""The command line: `fastsoftmax compare` and `fastsoftmax explain` (or `python -m fastsoftmax ...`).

Results go to stdout, progress and errors to stderr. Exit status: 0; 1 for a training that failed,
2 for bad usage, 3 for data that cannot be used.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from fastsoftmax._version import __version__
from fastsoftmax.training import ACTIVATIONS, LOSSES

if TYPE_CHECKING:  # these import scikit-learn, which takes a second
    from fastsoftmax.compare import Result

TRAINING_ERROR, DATA_ERROR, INTERRUPTED = 1, 3, 130
DATA_SETS = ("iris", "wine", "breast_cancer", "digits")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    run = {"compare": _compare, "explain": _explain}[arguments.command]
    try:
        return run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastsoftmax", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"fastsoftmax {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    compare = commands.add_parser(
        "compare", help="naive full Jacobian against fast, on a data set", formatter_class=_HelpFormatter
    )
    what = compare.add_mutually_exclusive_group()
    what.add_argument(
        "--dataset", type=_data_set, default="digits", metavar="NAME", help=f"{', '.join(DATA_SETS)}, all, or a path"
        " to a .csv or .npz file (X, y)",
    )  # fmt: skip
    what.add_argument("--classes", type=_counts, metavar="10,100,1000", help="made data with these numbers of classes")
    compare.add_argument("--label", metavar="COLUMN", help="name or position (from 0) of a .csv file's label column")
    compare.add_argument("--json", action="store_true", help="print a list of objects and nothing else")
    compare.add_argument("--hidden", type=_counts, default=(), metavar="64,32", help="hidden layers; without: none")
    compare.add_argument("--activation", choices=list(ACTIVATIONS), default="relu", help="of the hidden layers")
    compare.add_argument("--loss", choices=LOSSES, default="cross_entropy", help="what to minimise")
    compare.add_argument("--alpha", type=_not_negative, default=0.0, metavar="X", help="strength of the L2 penalty")
    compare.add_argument("--learning-rate", type=_positive, default=0.05, metavar="X", help="size of the steps")
    compare.add_argument("--batch-size", type=_count, default=64, metavar="N", help="samples in a step")
    compare.add_argument("--epochs", type=_count, default=30, metavar="N", help="passes over the data")
    compare.add_argument("--repeats", type=_count, default=5, metavar="N", help="times to train; the median is told")
    compare.add_argument("--seed", type=_seed, default=0, metavar="N", help="of the split, the weights and the order")
    compare.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="to train in")

    explain = commands.add_parser(
        "explain", help="backpropagation through softmax, step by step, with numbers", formatter_class=_HelpFormatter
    )
    explain.add_argument("--samples", type=_count, default=2, metavar="N", help="samples in the batch")
    explain.add_argument("--features", type=_count, default=4, metavar="D", help="features of a sample")
    explain.add_argument("--classes", type=_count, default=3, metavar="C", help="classes")
    explain.add_argument("--seed", type=_seed, default=0, metavar="N", help="of the numbers")
    return parser


_HelpFormatter = argparse.ArgumentDefaultsHelpFormatter


def _compare(arguments: argparse.Namespace) -> int:
    from fastsoftmax.compare import Settings, backward_seconds, compare, compare_classes
    from fastsoftmax.datasets import DataError, load

    settings = Settings(
        hidden_layer_sizes=arguments.hidden,
        activation=arguments.activation,
        loss=arguments.loss,
        alpha=arguments.alpha,
        learning_rate_init=arguments.learning_rate,
        batch_size=arguments.batch_size,
        max_iter=arguments.epochs,
        random_state=arguments.seed,
        repeats=arguments.repeats,
        dtype=arguments.dtype,
    )
    names = DATA_SETS if arguments.dataset == "all" else (arguments.dataset,)
    try:
        if arguments.classes:
            results = compare_classes(arguments.classes, settings, _progress)
        else:
            results = [result for name in names for result in compare(load(name, arguments.label), settings, _progress)]
    except DataError as error:
        _progress(f"fastsoftmax: {error}")
        return DATA_ERROR
    except ValueError as error:
        _progress(f"fastsoftmax: {error}")
        return TRAINING_ERROR
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return 0
    _print(_result_table(results))
    if arguments.classes:
        _print(_growth_table(arguments.classes, results, backward_seconds(arguments.classes, settings, _progress)))
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from fastsoftmax.explain import explain

    print(explain(arguments.samples, arguments.features, arguments.classes, arguments.seed))
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _result_table(results: Sequence["Result"]) -> Table:
    table = Table(header_style="bold", title="Training by each way back")
    for column in ("dataset", "samples", "features", "classes", "backward"):
        table.add_column(column, justify="left" if column in ("dataset", "backward") else "right", no_wrap=True)
    for column in ("fit", "speed-up", "test accuracy", "loss", "largest difference"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in results:
        shape = (str(r.n_samples), str(r.n_features), str(r.n_classes))
        numbers = (f"{1e3 * r.fit_seconds:.1f} ms", f"{r.speedup:.1f} x", f"{r.accuracy:.3f}", f"{r.loss:.4f}")
        table.add_row(r.dataset, *shape, r.backward, *numbers, f"{r.max_abs_diff:.0e}")
    return table


def _growth_table(class_counts: Sequence[int], results: Sequence["Result"], seconds: dict[str, list[float]]) -> Table:
    """How the cost of a fit, and of the way back alone, grows with the number of classes C."""
    from fastsoftmax.compare import slope

    table = Table(
        header_style="bold", title="Time against the number of classes C: the slope s of log time, cost ~ C^s"
    )
    table.add_column("what")
    table.add_column("backward")
    for n_classes in class_counts:
        table.add_column(f"C = {n_classes}", justify="right", no_wrap=True)
    several = len(class_counts) > 1
    for column in ("slope", "at the end") if several else ():
        table.add_column(column, justify="right", no_wrap=True)
    fits = {way: [r.fit_seconds for r in results if r.backward == way] for way in seconds}
    for what, unit, scale, rows in (("whole fit", "ms", 1e3, fits), ("way back, a sample", "us", 1e6, seconds)):
        for way, times in rows.items():
            growth = [slope(class_counts, times), slope(class_counts[-2:], times[-2:])] if several else []
            cells = [f"{scale * t:.3g} {unit}" for t in times] + [f"{s:.2f}" for s in growth]
            table.add_row(what, way, *cells)
    return table


def _print(table: Table) -> None:
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)


def _data_set(text: str) -> str:
    if text not in (*DATA_SETS, "all") and Path(text).suffix not in (".csv", ".npz"):
        choices = ", ".join((*DATA_SETS, "all"))
        raise argparse.ArgumentTypeError(f"{text!r} is none of {choices}, and no path that ends in .csv or .npz")
    return text


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _count(text: str) -> int:
    value = _seed(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be at least 1")
    return value


def _seed(text: str) -> int:
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _positive(text: str) -> float:
    value = _not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be above 0")
    return value


def _not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be finite and at least 0")
    return value
