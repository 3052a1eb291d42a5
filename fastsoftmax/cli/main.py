"""The command line: `fastsoftmax compare`, `train`, `predict`, `export`, `explain`, `warmup` and `doctor`; or
`python -m fastsoftmax ...`.

Results go to stdout, progress and errors to stderr. Exit status: 0; 1 for a training that failed, a file that cannot be
written, machine code that cannot be kept or a result that is wrong, 2 for bad usage, 3 for data or a model that cannot
be used.
"""

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from fastsoftmax._version import __version__
from fastsoftmax.cli import predict, train
from fastsoftmax.cli.arguments import (
    DATA_SETS,
    HEADER,
    add_label_options,
    check_label_options,
    class_counts,
    count,
    counts,
    data_set,
    not_negative,
    positive,
    seed,
)
from fastsoftmax.cli.console import duration, new_table, print_table, progress, shown
from fastsoftmax.cli.errors import CommandError, DataError
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.training.objective import ACTIVATIONS

if TYPE_CHECKING:  # these import scikit-learn, which takes a second
    from fastsoftmax.cli.compare import Result, Settings

DESCRIPTION = "Softmax without its Jacobian: compare the naive way and the fast one, train and use classifiers."
TRAINING_ERROR = WARMUP_ERROR = DOCTOR_ERROR = 1
DATA_ERROR, INTERRUPTED = 3, 130  # 2, bad usage, is argparse's own
JACOBIAN_GIB = 8  # a batch of Jacobians may take as much


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = _parser()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what it cannot show is shown as \u2026, and no reason to fail
            stream.reconfigure(errors="backslashreplace")
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        if sys.stdout is not None:  # it is None where the process was started without one
            sys.stdout.flush()
        return status
    except argparse.ArgumentError as error:
        parser.error(str(error))
    except DataError as error:
        progress(f"fastsoftmax: {error}")
        return DATA_ERROR
    except CommandError as error:
        progress(f"fastsoftmax: {error}")
        return TRAINING_ERROR
    except MemoryError as error:
        progress(f"fastsoftmax: not enough memory: {error}")
        return TRAINING_ERROR
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at the end
        if not isinstance(error, BrokenPipeError):  # that is a reader who has seen enough, as `| head` has
            progress(f"fastsoftmax: {error}")
        return TRAINING_ERROR
    except KeyboardInterrupt:
        progress("interrupted")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastsoftmax", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"fastsoftmax {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    compare = commands.add_parser("compare", help="naive full Jacobian against fast, on a data set")
    compare.set_defaults(run=_compare)
    what = compare.add_mutually_exclusive_group()
    named = ", ".join(DATA_SETS)
    kind = data_set((*DATA_SETS, "all"), (".csv", ".npz"))
    what.add_argument("--dataset", type=kind, metavar="NAME", help=f"{named} (default: digits), all, or a path to "
                      "a .csv file (see --label) or a .npz file (arrays X and y)")  # fmt: skip
    what.add_argument("--classes", type=class_counts, metavar="10,100,1000", help="made data with these class counts")
    add = compare.add_argument
    add_label_options(add, ".csv")
    add("--json", action="store_true", help="print a list of objects and nothing else")
    add("--hidden", type=counts, default=(), metavar="64,32", help="hidden layers (default: none)")
    add("--activation", choices=list(ACTIVATIONS), default="relu", help="of the hidden layers (default: relu)")
    add("--loss", choices=LOSSES, default="cross_entropy", help="what to minimise (default: cross_entropy)")
    add("--alpha", type=not_negative, default=0.0, metavar="X", help="strength of the L2 penalty (default: 0)")
    add("--learning-rate", type=positive, default=0.05, metavar="X",
        help="size of the steps (default: 0.05); with --classes times the number of classes")  # fmt: skip
    add("--batch-size", type=count, metavar="N", help="samples in a step (default: 64; with --classes 128)")
    add("--epochs", type=count, metavar="N", help="passes over the data (default: 30; with --classes 1)")
    add("--repeats", type=count, default=5, metavar="N", help="times to train; the median is told (default: 5)")
    add("--seed", type=seed, default=0, metavar="N", help="of the split, the weights, the order (default: 0)")
    add("--dtype", choices=("float32", "float64"), default="float64", help="to train in (default: float64)")

    train.add_to(commands)
    predict.add_to(commands)

    explain = commands.add_parser("explain", help="backpropagation through softmax, step by step, with numbers")
    explain.set_defaults(run=_explain)
    explain.add_argument("--samples", type=count, default=2, metavar="N", help="samples in the batch (default: 2)")
    explain.add_argument("--features", type=count, default=4, metavar="D", help="features of a sample (default: 4)")
    explain.add_argument("--classes", type=count, default=3, metavar="C", help="classes (default: 3)")
    explain.add_argument("--seed", type=seed, default=0, metavar="N", help="of the numbers (default: 0)")
    explain.add_argument("--html", metavar="FILE", help="write a page for the browser, with pictures, instead of text; "
                         "replaced if it is there")  # fmt: skip

    warmup = commands.add_parser("warmup", help="compile everything now and keep it, so that no later call has to")
    warmup.set_defaults(run=_warmup)
    warmup.add_argument("--dtype", choices=("float32", "float64"), help="for arrays of this dtype (default: both)")
    warmup.add_argument("--jobs", type=count, metavar="N", help="processes that compile (default: one for each core)")
    warmup.add_argument("--beside-package", action="store_true", help="keep it beside the package, for every user of "
                        "this installation, as for a machine image (default: in a folder of this user's)")  # fmt: skip

    doctor = commands.add_parser("doctor", help="look at this installation, and test every function: for a bug report")
    doctor.set_defaults(run=_doctor)
    doctor.add_argument("--json", action="store_true", help="print an object and nothing else")
    return parser


def _compare(arguments: argparse.Namespace) -> int:
    from fastsoftmax.cli.compare import backward_seconds, compare, compare_classes
    from fastsoftmax.cli.datasets import load

    settings, classes, dataset = _settings(arguments), arguments.classes, arguments.dataset or "digits"
    names = () if classes else DATA_SETS if dataset == "all" else (dataset,)
    loaded = [load(name, arguments.label, HEADER[arguments.header]) for name in names]
    try:
        if classes:
            results = compare_classes(classes, settings, progress)
        else:
            results = [result for data in loaded for result in compare(data, settings, progress)]
    except ValueError as error:
        raise CommandError(str(error)) from None
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return 0
    print_table(_result_table(results))
    if classes:
        print()
        print_table(_growth_table(classes, results, backward_seconds(classes, settings, progress)))
    return 0


def _settings(arguments: argparse.Namespace) -> "Settings":
    """The options as settings, once those that do not go together are refused."""
    from fastsoftmax.cli.compare import Settings

    check_label_options(arguments, arguments.dataset, (".csv",), " as --dataset")
    batch_size = arguments.batch_size or (128 if arguments.classes else 64)
    needed = batch_size * max(arguments.classes or (1,)) ** 2 * (4 if arguments.dtype == "float32" else 8) / 2**30
    if needed > JACOBIAN_GIB:
        message = f"the Jacobians of a batch of {batch_size} would take {needed:.0f} GiB: choose a smaller --batch-size"
        raise argparse.ArgumentError(None, message)
    return Settings(
        hidden_layer_sizes=arguments.hidden,
        activation=arguments.activation,
        loss=arguments.loss,
        alpha=arguments.alpha,
        learning_rate_init=arguments.learning_rate,
        batch_size=batch_size,
        max_iter=arguments.epochs or (1 if arguments.classes else 30),
        random_state=arguments.seed,
        repeats=arguments.repeats,
        dtype=arguments.dtype,
    )


def _explain(arguments: argparse.Namespace) -> int:
    if arguments.html is not None:
        from fastsoftmax.cli import explain_page

        return explain_page.run(arguments)
    from fastsoftmax.cli.explain import explain

    print(explain(arguments.samples, arguments.features, arguments.classes, arguments.seed))
    return 0


def _warmup(arguments: argparse.Namespace) -> int:
    from fastsoftmax.cli.warmup import DTYPES, default_jobs, warm_up
    from fastsoftmax.kernels.jit.machine_code import BESIDE_PACKAGE

    dtypes, jobs = (arguments.dtype,) if arguments.dtype else DTYPES, arguments.jobs or default_jobs()
    with _warmup_progress() as report:
        done = warm_up(dtypes, report, jobs, arguments.beside_package)
    if done.folder is None:
        place = f"{BESIDE_PACKAGE} cannot be written" if arguments.beside_package else "set NUMBA_CACHE_DIR"
        print(f"everything is compiled after {done.seconds:.1f} s, but there is no place to keep it: {place}")
        return WARMUP_ERROR
    print(f"everything is ready after {done.seconds:.1f} s: {done.n_files} files, {done.n_bytes / 1e6:.1f} MB")
    print(done.folder)
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from fastsoftmax.cli.doctor import DTYPES, as_text, examine

    found = examine(progress, DTYPES)
    print(json.dumps(found, indent=2) if arguments.json else shown(as_text(found), but="\n"))
    return DOCTOR_ERROR if found["errors"] else 0


@contextlib.contextmanager
def _warmup_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, a line for each part elsewhere."""
    console = Console(stderr=True)
    if sys.stderr is None or not console.is_terminal:
        yield lambda what, done, of: progress(f"{done} of {of} ready: {what}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("compiling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, of: bar.update(task, completed=done, total=of, description=what)


def _result_table(results: Sequence["Result"]) -> Table:
    """Narrow enough for a terminal of 80 columns."""
    table = new_table()
    for column in ("data set", "N x D x C", "backward", "fit", "speed-up", "accuracy", "loss", "max diff"):
        table.add_column(column, justify="left" if column in ("data set", "backward") else "right")
    for r in results:
        shape = f"{r.n_samples}x{r.n_features}x{r.n_classes}"
        numbers = (duration(r.fit_seconds), f"{r.speedup:.1f} x", f"{r.accuracy:.3f}", f"{r.loss:#.4g}")
        table.add_row(shown(r.dataset), shape, r.backward, *numbers, f"{r.max_abs_diff:.0e}")
    return table


def _growth_table(class_counts: Sequence[int], results: Sequence["Result"], seconds: dict[str, list[float]]) -> Table:
    """How the cost of a fit, and of the way back alone, grows with the number of classes C: as C to the slope."""
    from fastsoftmax.cli.compare import slope

    table = new_table()
    several = len(class_counts) > 1
    table.add_column("time of")
    table.add_column("backward")
    for column in (*(f"C = {n_classes}" for n_classes in class_counts), *(("slope", "at the end") if several else ())):
        table.add_column(column, justify="right")
    fits = {way: [r.fit_seconds for r in results if r.backward == way] for way in seconds}
    for what, rows in (("a fit", fits), ("a sample's way back", seconds)):
        for way, times in rows.items():
            growth = [slope(class_counts, times), slope(class_counts[-2:], times[-2:])] if several else []
            table.add_row(what, way, *map(duration, times), *(f"{s:.2f}" for s in growth))
    return table
