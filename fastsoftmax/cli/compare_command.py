"""`fastsoftmax compare`: the naive way against the fast one, as tables, JSON or a picture."""

import argparse
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from fastsoftmax.cli.arguments import (
    DATA_SETS,
    HEADER,
    add_drop_option,
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
from fastsoftmax.cli.console import bar, duration, new_table, print_table, progress, shown
from fastsoftmax.cli.errors import CommandError
from fastsoftmax.cli.picture import add_plot_option, check_plot, save
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.training.network import ACTIVATIONS

if TYPE_CHECKING:  # these import scikit-learn, which takes a second
    from fastsoftmax.cli.compare import Result, Settings

JACOBIAN_GIB = 8  # a batch of Jacobians may take as much
LEGEND = """\
jacobian builds a C x C matrix for each sample, vjp uses the short form instead,
fused does so in one compiled call an epoch; max diff is that of the weights."""


def add_to(commands: Any) -> None:
    """The command's arguments."""
    compare = commands.add_parser("compare", help="naive full Jacobian against fast, on a data set")
    compare.set_defaults(run=run)
    what = compare.add_mutually_exclusive_group()
    named = ", ".join(DATA_SETS)
    kind = data_set((*DATA_SETS, "all"), (".csv", ".npz"))
    what.add_argument("--dataset", type=kind, metavar="NAME", help=f"{named} (default: digits), all, or a path to "
                      "a .csv file (see --label) or a .npz file (arrays X and y)")  # fmt: skip
    what.add_argument("--classes", type=class_counts, metavar="10,100,1000", help="made data with these class counts")
    add = compare.add_argument
    add_label_options(add, ".csv")
    add_drop_option(add, ".csv")
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
    add_plot_option(add)


def run(arguments: argparse.Namespace) -> int:
    """Compare, and tell."""
    from fastsoftmax.cli.compare import N_WAYS, backward_seconds, compare, compare_classes
    from fastsoftmax.cli.datasets import load

    settings, classes, dataset = _settings(arguments), arguments.classes, arguments.dataset or "digits"
    check_plot(arguments.plot)
    names = () if classes else DATA_SETS if dataset == "all" else (dataset,)
    with bar(f"reading {dataset}") if names else nullcontext():
        loaded = [load(name, arguments.label, HEADER[arguments.header], arguments.drop) for name in names]
    for data in loaded:
        for note in data.notes:
            progress(f"{data.name}: {note}")
    with bar("training", N_WAYS * (settings.repeats + 1) * len(classes or names)) as told:
        try:
            if classes:
                results = compare_classes(classes, settings, told.line, told.step)
            else:
                results = [result for data in loaded for result in compare(data, settings, told.line, told.step)]
        except ValueError as error:
            raise CommandError(str(error)) from None
    if arguments.plot:
        from fastsoftmax.classifier import ComparisonDisplay

        save(arguments.plot, ComparisonDisplay.from_results(results).figure_)
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return 0
    print_table(_result_table(results))
    print(f"\n{LEGEND}")
    if classes:
        with bar("timing the way back alone", len(classes)) as told:
            seconds = backward_seconds(classes, settings, told.line, told.step)
        print()
        print_table(_growth_table(classes, results, seconds))
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
