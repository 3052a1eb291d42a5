"""The command line: `fastsoftmax compare`, `train`, `predict`, `export`, `bench`, `explain`, `warmup`, `doctor` and
`completion`; or `python -m fastsoftmax ...`.

Results go to stdout, progress and errors to stderr. Exit status: 0; 1 for a training that failed, a file that cannot be
written, machine code that cannot be kept or a result that is wrong, 2 for bad usage, 3 for data or a model that cannot
be used, 4 for a case of `bench` that has become slower, 130 for an interrupt.
"""

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence

from fastsoftmax._version import __version__
from fastsoftmax.cli import bench, compare_command, completion, predict, train
from fastsoftmax.cli.arguments import count, seed
from fastsoftmax.cli.console import bar, progress, shown
from fastsoftmax.cli.errors import CommandError, DataError

DESCRIPTION = "Softmax without its Jacobian: compare the naive way and the fast one, train and use classifiers."
EPILOG = (
    "Results go to stdout, progress to stderr. Exit status: 0; 1 for what failed, 2 for bad usage, 3 for data or a "
    "model that cannot be used, 4 for a case of bench that has become slower, 130 for an interrupt."
)
TRAINING_ERROR = WARMUP_ERROR = DOCTOR_ERROR = 1
DATA_ERROR, INTERRUPTED = 3, 130  # 2, bad usage, is argparse's own


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
        _give_up_stdout()
        if not isinstance(error, BrokenPipeError):  # that is a reader who has seen enough, as `| head` has
            progress(f"fastsoftmax: {error}")
        return TRAINING_ERROR
    except KeyboardInterrupt:
        progress("interrupted")
        return INTERRUPTED


def _give_up_stdout() -> None:
    """Python flushes it once more at the end, which must not fail again."""
    with contextlib.suppress(AttributeError, OSError):  # there is none, or it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastsoftmax", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"fastsoftmax {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    compare_command.add_to(commands)
    train.add_to(commands)
    predict.add_to(commands)
    bench.add_to(commands)

    explain = commands.add_parser("explain", help="backpropagation through softmax, step by step, with numbers")
    explain.set_defaults(run=_explain)
    explain.add_argument("--samples", type=count, default=2, metavar="N", help="samples in the batch (default: 2)")
    explain.add_argument("--features", type=count, default=4, metavar="D", help="features of a sample (default: 4)")
    explain.add_argument("--classes", type=count, default=3, metavar="C", help="classes (default: 3)")
    explain.add_argument("--seed", type=seed, default=0, metavar="N", help="of the numbers (default: 0)")
    way = explain.add_mutually_exclusive_group()
    way.add_argument("--json", action="store_true", help="print an object and nothing else")
    way.add_argument("--html", metavar="FILE", help="write a page for the browser, with pictures, instead of text; "
                     "replaced if it is there")  # fmt: skip

    warmup = commands.add_parser("warmup", help="compile everything now and keep it, so that no later call has to")
    warmup.set_defaults(run=_warmup)
    warmup.add_argument("--dtype", choices=("float32", "float64"), help="for arrays of this dtype (default: both)")
    warmup.add_argument("--jobs", type=count, metavar="N", help="processes that compile (default: one for each core)")
    warmup.add_argument("--json", action="store_true", help="print an object and nothing else")
    warmup.add_argument("--beside-package", action="store_true", help="keep it beside the package, for every user of "
                        "this installation, as for a machine image (default: in a folder of this user's)")  # fmt: skip

    doctor = commands.add_parser("doctor", help="look at this installation, and test every function: for a bug report")
    doctor.set_defaults(run=_doctor)
    doctor.add_argument("--json", action="store_true", help="print an object and nothing else")

    completion.add_to(commands)
    commands.choices["completion"].set_defaults(run=_completion)
    return parser


def _explain(arguments: argparse.Namespace) -> int:
    from fastsoftmax.cli.compiling import told

    sizes = arguments.samples, arguments.features, arguments.classes, arguments.seed
    if arguments.html is not None:
        from fastsoftmax.cli import explain_page

        return explain_page.run(arguments)
    with told(progress):
        if arguments.json:
            from fastsoftmax.cli.backpropagation import as_json

            text = json.dumps(as_json(*sizes))
        else:
            from fastsoftmax.cli.explain import explain

            text = explain(*sizes)
    print(text)
    return 0


def _warmup(arguments: argparse.Namespace) -> int:
    from fastsoftmax.cli.warmup import CALLS, DTYPES, default_jobs, warm_up
    from fastsoftmax.kernels.jit.machine_code import BESIDE_PACKAGE

    dtypes, jobs = (arguments.dtype,) if arguments.dtype else DTYPES, arguments.jobs or default_jobs()
    with bar("compiling", len(CALLS) * len(dtypes)) as told:

        def report(what: str, done: int, of: int) -> None:
            told.note(f"{done} of {of} ready: {what}")
            told.step()

        done = warm_up(dtypes, report, jobs, arguments.beside_package)
    if arguments.json:
        folder = None if done.folder is None else str(done.folder)
        facts = {"seconds": done.seconds, "folder": folder, "n_files": done.n_files, "n_bytes": done.n_bytes}
        print(json.dumps(facts, indent=2))
        return WARMUP_ERROR if folder is None else 0
    if done.folder is None:
        place = f"{BESIDE_PACKAGE} cannot be written" if arguments.beside_package else "set NUMBA_CACHE_DIR"
        print(f"everything is compiled after {done.seconds:.1f} s, but there is no place to keep it: {place}")
        return WARMUP_ERROR
    print(f"everything is ready after {done.seconds:.1f} s: {done.n_files} files, {done.n_bytes / 1e6:.1f} MB")
    print(done.folder)
    return 0


def _completion(arguments: argparse.Namespace) -> int:
    print(completion.script(_parser(), arguments.shell))
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from fastsoftmax.cli.doctor import DTYPES, as_text, examine

    with bar("looking", 2 * len(DTYPES) + 1) as told:

        def look(what: str) -> None:
            told.note(what)
            told.step()

        found = examine(look, DTYPES)
    print(json.dumps(found, indent=2) if arguments.json else shown(as_text(found), but="\n"))
    return DOCTOR_ERROR if found["errors"] else 0
