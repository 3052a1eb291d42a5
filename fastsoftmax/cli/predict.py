"""`fastsoftmax predict` and `fastsoftmax export`: what a saved model says, and the model as ONNX."""

import argparse
import csv
import json
import sys
import warnings
from typing import TYPE_CHECKING, Any

from fastsoftmax.cli.arguments import (
    DATA_SETS,
    FILES,
    HEADER,
    WITH_COLUMNS,
    add_label_options,
    check_label_options,
    data_set,
)
from fastsoftmax.cli.console import bar, progress
from fastsoftmax.cli.errors import CommandError, DataError

if TYPE_CHECKING:
    from fastsoftmax.classifier import SoftmaxClassifier


def add_to(commands: Any) -> None:
    """The arguments of both commands."""
    predict = commands.add_parser("predict", help="the classes of samples, or their probabilities, by a saved model",
        description="Print CSV: the class of each sample, or with --proba a column of probabilities for each class. Of "
        "data with one column more than the model has features the label column is left out.",
    )  # fmt: skip
    predict.set_defaults(run=run_predict)
    add = predict.add_argument
    add("model", metavar="MODEL", help="a file that `train` or SoftmaxClassifier.save has written")
    add("data", type=data_set(DATA_SETS, FILES), metavar="DATA", help="as for `train`, with or without labels")
    add_label_options(add, " or ".join(WITH_COLUMNS))
    add("--proba", action="store_true", help="probabilities, by which the class is chosen")
    add("--json", action="store_true", help="print an object and nothing else")

    export = commands.add_parser("export", help="a saved model as an ONNX file, for ONNX Runtime")
    export.set_defaults(run=run_export)
    export.add_argument("model", metavar="MODEL", help="a file that `train` or SoftmaxClassifier.save has written")
    export.add_argument("onnx", metavar="FILE", help="where to write; replaced if it is there")
    export.add_argument("--json", action="store_true", help="print an object and nothing else")


def run_predict(arguments: argparse.Namespace) -> int:
    """Print the labels or probabilities of all samples."""
    from fastsoftmax.cli.compiling import told
    from fastsoftmax.cli.datasets import load_features

    check_label_options(arguments, arguments.data, WITH_COLUMNS)
    model = _load(arguments.model)
    names = getattr(model, "feature_names_in_", None)
    with bar(f"reading {arguments.data}"):
        X, notes = load_features(
            arguments.data,
            model.n_features_in_,
            arguments.label,
            HEADER[arguments.header],
            None if names is None else names.tolist(),
        )
    for note in notes:
        progress(f"{arguments.data}: {note}")
    X = X.astype(model.coefs_[0].dtype, copy=False)
    classes = model.classes_.tolist()
    with bar("predicting") as drawn, told(drawn.line), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a fit that knew names of features: they come in its order
        answer = (model.predict_proba(X) if arguments.proba else model.predict(X)).tolist()
    if arguments.json:
        found = {"classes": classes, "probabilities": answer} if arguments.proba else {"labels": answer}
        print(json.dumps(found, default=str))  # labels may be times
    elif sys.stdout is not None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(classes if arguments.proba else ["label"])
        writer.writerows(answer if arguments.proba else [[label] for label in answer])
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Write a model as ONNX."""
    from fastsoftmax._files import replacing
    from fastsoftmax.classifier import to_onnx

    model = _load(arguments.model)
    try:
        with bar("exporting"):
            translated = to_onnx(model)
            content = translated.SerializeToString()
            with replacing(arguments.onnx) as file:
                file.write(content)
    except (ImportError, TypeError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{arguments.onnx}: {error.strerror or error}") from None
    told = {"file": arguments.onnx, "opset": translated.opset_import[0].version, "bytes": len(content)}
    if arguments.json:
        print(json.dumps(told, indent=2))
    else:
        progress(f"{arguments.onnx}: opset {told['opset']}, {told['bytes']} bytes")
    return 0


def _load(path: str) -> "SoftmaxClassifier":
    from fastsoftmax.classifier import ModelFormatError, SoftmaxClassifier

    try:
        return SoftmaxClassifier.load(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except ModelFormatError as error:
        raise DataError(str(error) if path in str(error) else f"{path}: {error}") from None
