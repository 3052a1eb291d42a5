"""`fastsoftmax train`: a data set in, a model in a file and what it is worth out."""

import argparse
import json
import os
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fastsoftmax.cli.arguments import (
    DATA_SETS,
    FILES,
    HEADER,
    WITH_COLUMNS,
    add_drop_option,
    add_label_options,
    check_label_options,
    check_place,
    count,
    counts,
    data_set,
    fraction,
    not_negative,
    positive,
    seed,
)
from fastsoftmax.cli.console import bar, new_table, print_table, progress, shown
from fastsoftmax.cli.errors import CommandError, DataError
from fastsoftmax.cli.picture import add_plot_option, check_plot, save
from fastsoftmax.training.network import ACTIVATIONS

if TYPE_CHECKING:  # these import scikit-learn, which takes a second
    from fastsoftmax.classifier import SoftmaxClassifier
    from fastsoftmax.cli.datasets import DataSet

SOLVERS = ("auto", "lbfgs", "newton-cg", "newton-cholesky", "coordinate-descent", "sgd", "adam")
SCALED = "Features go in as they are: linear models scale them by themselves, but not with sgd or adam."
MOST_SHOWN = 20  # classes of a confusion matrix on a terminal


@dataclass(frozen=True)
class Report:
    """What came of a training.

    Attributes
    ----------
    n_iter : iterations, or epochs of sgd and adam
    first_loss, loss, loss_curve : the objective after the first iteration, at the end, and after each
    train_accuracy, test_accuracy : on what was trained on and on what was held out (None if nothing was)
    confusion : of what was held out, how many of each class (row) were taken for each class (column)
    """

    model: str
    dataset: str
    n_train: int
    n_test: int
    n_features: int
    n_classes: int
    fit_seconds: float
    n_iter: int
    first_loss: float
    loss: float
    loss_curve: list[float]
    train_accuracy: float
    test_accuracy: float | None
    classes: list[Any]
    confusion: list[list[int]] | None


def add_to(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser("train", help="train a classifier on a data set and write it to a file",
        description=f"Train a classifier, tell how good it is on samples that are held out, and save it. {SCALED}",
    )  # fmt: skip
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("data", type=data_set(DATA_SETS, FILES), metavar="DATA",
        help=f"{', '.join(DATA_SETS)}, or a path that ends in {', '.join(FILES)}")  # fmt: skip
    add("--model", required=True, metavar="FILE", help="where to write the model; replaced if it is there")
    add_label_options(add, " or ".join(WITH_COLUMNS))
    add_drop_option(add, " or ".join(WITH_COLUMNS))
    add("--hidden", type=counts, default=(), metavar="64,32", help="hidden layers (default: none)")
    add("--activation", choices=list(ACTIVATIONS), default="relu", help="of the hidden layers (default: relu)")
    add("--solver", choices=SOLVERS, default="auto", help="(default: auto)")
    add("--alpha", type=not_negative, default=1.0, metavar="X", help="strength of the penalty (default: 1)")
    add("--l1-ratio", type=not_negative, default=0.0, metavar="X", help="part of L1 in it, 0 to 1 (default: 0)")
    add("--max-iter", "--epochs", type=count, default=200, metavar="N", help="at most so many (default: 200)")
    add("--learning-rate", type=positive, metavar="X", help="of sgd and adam (default: 0.001; linear: 0.01)")
    add("--early-stopping", action="store_true",
        help="sgd and adam: hold out a tenth more, and stop when its score no longer grows")  # fmt: skip
    add("--test-size", type=fraction, default=0.25, metavar="X", help="part to hold out (default: 0.25), or 0")
    add("--seed", type=seed, default=0, metavar="N", help="of the split, the weights, the order (default: 0)")
    add("--dtype", choices=("float32", "float64"), default="float64", help="to train in (default: float64)")
    add("--json", action="store_true", help="print an object and nothing else")
    add_plot_option(add)


def run(arguments: argparse.Namespace) -> int:
    """Train, save, and tell."""
    from fastsoftmax.cli.datasets import load

    check_label_options(arguments, arguments.data, WITH_COLUMNS)
    _check_model_path(arguments.model, arguments.data)
    check_plot(arguments.plot)
    if arguments.early_stopping and arguments.solver not in ("sgd", "adam"):
        raise argparse.ArgumentError(None, "--early-stopping goes with --solver sgd or adam")
    model = _classifier(arguments)
    if model.solver in ("sgd", "adam") or arguments.hidden:
        progress("features go in as they are: standardised ones may train better")
    with bar(f"reading {arguments.data}"):
        data = load(arguments.data, arguments.label, HEADER[arguments.header], arguments.drop)
    for note in data.notes:
        progress(f"{data.name}: {note}")
    report = _train(model, data, arguments)
    if data.feature_names is not None:  # by which `predict` finds the columns of another file
        import numpy as np

        model.feature_names_in_ = np.array(data.feature_names, object)
    try:
        model.save(arguments.model)
    except OSError as error:
        raise CommandError(f"{arguments.model}: {error.strerror or error}") from None
    if arguments.plot:
        from fastsoftmax.classifier import LossCurveDisplay

        save(arguments.plot, LossCurveDisplay.from_estimator(model, name=data.name).figure_)
    if arguments.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        _print_report(report)
    return 0


def _check_model_path(path: str, data: str) -> None:
    """Refuse a path that cannot be written before the training rather than after it."""
    if Path(os.path.realpath(path)) == Path(os.path.realpath(Path(data).expanduser())):
        raise argparse.ArgumentError(None, f"--model {path} would replace the data")
    check_place("--model", path)


def _classifier(arguments: argparse.Namespace) -> "SoftmaxClassifier":
    from fastsoftmax.classifier import SoftmaxClassifier
    from fastsoftmax.classifier.options import read_options

    model = SoftmaxClassifier(
        arguments.hidden,
        arguments.activation,
        solver=arguments.solver,
        alpha=arguments.alpha,
        l1_ratio=arguments.l1_ratio,
        max_iter=arguments.max_iter,
        learning_rate_init=arguments.learning_rate or "auto",
        early_stopping=arguments.early_stopping,
        random_state=arguments.seed,
    )
    try:
        read_options(vars(model))
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentError(None, str(error)) from None
    return model


def _train(model: "SoftmaxClassifier", data: "DataSet", arguments: argparse.Namespace) -> Report:
    """Fit to a part of the samples, and test on the rest."""
    import numpy as np
    from sklearn.metrics import confusion_matrix

    from fastsoftmax.cli.datasets import split

    X, labels = data.X.astype(arguments.dtype), data.classes[data.y]
    rows, held = np.arange(len(labels)), np.arange(0)
    if arguments.test_size:
        if len(labels) < 3:
            raise DataError(f"{arguments.data}: {len(labels)} samples are too few to hold one out: see --test-size 0")
        n_test = min(max(1, int(arguments.test_size * len(labels))), len(labels) - 2)
        rows, held = split(data, n_test, arguments.seed)
    progress(f"{data.name}: {len(rows)} samples to train on, {len(held)} held out, {data.n_classes} classes")
    started = time.perf_counter()
    _fit(model, X[rows], labels[rows])
    seconds = time.perf_counter() - started
    confusion = confusion_matrix(labels[held], model.predict(X[held]), labels=data.classes) if held.size else None
    return Report(
        model=arguments.model,
        dataset=data.name,
        n_train=len(rows),
        n_test=len(held),
        n_features=X.shape[1],
        n_classes=data.n_classes,
        fit_seconds=seconds,
        n_iter=int(np.max(model.n_iter_)),
        first_loss=model.loss_curve_[0],
        loss=model.loss_,
        loss_curve=[float(loss) for loss in model.loss_curve_],
        train_accuracy=model.score(X[rows], labels[rows]),
        test_accuracy=None if confusion is None else float(confusion.trace() / held.size),
        classes=data.classes.tolist(),
        confusion=None if confusion is None else confusion.tolist(),
    )


def _fit(model: "SoftmaxClassifier", X: Any, labels: Any) -> None:
    """Fit with a progress bar on a terminal; warnings become lines of progress, and an interrupt ends the command."""
    from fastsoftmax.cli.compiling import told

    model.set_params(verbose=int(Console(stderr=True).is_terminal))
    with warnings.catch_warnings(record=True) as caught, told(progress):
        warnings.simplefilter("always")
        try:
            model.fit(X, labels)
        except ValueError as error:
            raise CommandError(str(error)) from None
    model.set_params(verbose=0)
    for warning in caught:
        if str(warning.message).startswith("Training interrupted"):
            raise KeyboardInterrupt
        progress(f"warning: {warning.message}")


def _print_report(report: Report) -> None:
    table = new_table()
    for column in ("data set", "N x D x C", "iterations", "first loss", "loss", "on training", "held out"):
        table.add_column(column, justify="left" if column == "data set" else "right")
    shape = f"{report.n_train}x{report.n_features}x{report.n_classes}"
    losses = (f"{loss:#.4g}" for loss in (report.first_loss, report.loss))
    accuracies = ("-" if score is None else f"{score:.3f}" for score in (report.train_accuracy, report.test_accuracy))
    table.add_row(shown(report.dataset), shape, str(report.n_iter), *losses, *accuracies)
    print_table(table)
    if report.confusion is not None and report.n_classes <= MOST_SHOWN:
        matrix = new_table()
        matrix.add_column("true / predicted")
        for label in report.classes:
            matrix.add_column(shown(str(label)), justify="right")
        for label, numbers in zip(report.classes, report.confusion, strict=True):
            matrix.add_row(shown(str(label)), *map(str, numbers))
        print()
        print_table(matrix)
    print(f"\nmodel: {shown(report.model)}")
