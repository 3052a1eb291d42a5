"""`fastsoftmax bench`: our functions beside those of every library that is installed, and beside an earlier run."""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsoftmax.cli.arguments import check_place, count, not_negative
from fastsoftmax.cli.console import bar, duration, new_table, print_table, progress
from fastsoftmax.cli.errors import CommandError, DataError
from fastsoftmax.cli.picture import add_plot_option, check_plot, save

if TYPE_CHECKING:  # these import scikit-learn, which takes a second
    from fastsoftmax.cli.races.saved import Change
    from fastsoftmax.cli.races.suite import Race

REGRESSION = 4  # exit status
NOTHING_CHOSEN = 5  # pytest's exit status
SHORT = {"onnxruntime": "ORT", "sklearn": "sklearn", "torch in chunks": "chunks"}
DESCRIPTION = (
    "Our functions beside those of every library that is found (NumPy, SciPy, scikit-learn, ONNX Runtime, torch, JAX): "
    "answers are checked, then all take turns, with as many threads each, and medians are told. The quick suite takes "
    "a minute. Let nothing else run."
)


def add_to(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser("bench", help="ours against each library found, and against a saved run",
        description=DESCRIPTION)  # fmt: skip
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--full", action="store_true", help="the suites in bench/ of a checkout, by pytest: far more shapes and "
        "operations, half an hour and more (default: the quick suite, which is in the package)")  # fmt: skip
    add("--only", metavar="TEXT", help="cases whose name (softmax 128x1000, as the table has it) contains this; with "
        "--full, what pytest's -k takes")  # fmt: skip
    add("--threads", type=count, default=1, metavar="N", help="threads and cores of each library (default: 1)")
    add("--save", metavar="FILE", help="keep the result as JSON, for --compare and bench/report.py")
    add("--compare", metavar="FILE", help="tell what has become slower since a run that was saved")
    add("--fail-above", type=not_negative, metavar="PERCENT",
        help=f"exit status {REGRESSION} if a case takes more than so many percent longer than in --compare's run, its "
        "time taken relative to the other libraries'")  # fmt: skip
    add("--json", action="store_true", help="print an object and nothing else")
    add_plot_option(add)


def run(arguments: argparse.Namespace) -> int:
    """Race, save, compare, and tell."""
    _check(arguments)
    from fastsoftmax.cli.races.machine import machine
    from fastsoftmax.cli.races.saved import compared, read_saved

    before = read_saved(arguments.compare) if arguments.compare else []
    if arguments.full:
        saved = _full(arguments)
        races = read_saved(saved)
        content = json.loads(saved.read_text())
        saved.unlink()
    else:
        races = _quick(arguments)
        content = {
            "datetime": datetime.now(UTC).isoformat(timespec="seconds"),
            "benchmarks": [race.as_benchmark(machine()) for race in races],
        }
    changes = compared(before, races)
    if arguments.compare and not changes:
        raise DataError(f"{arguments.compare}: none of these cases, with as many threads, is in it")
    limit = arguments.fail_above
    if limit is not None and not arguments.full:
        changes = _again(changes, before, limit, arguments.threads)
    _write(arguments, content)
    slower = [change for change in changes if limit is not None and change.percent > limit]
    if arguments.plot:
        from fastsoftmax.cli.races.picture import speedups

        save(arguments.plot, speedups(races))
    if arguments.json:
        told = {"changes": [change._asdict() for change in changes]} if arguments.compare else {}
        print(json.dumps({**content, **told}, indent=2))
    else:
        _print_tables(races, changes, limit)
    if slower:
        progress(f"fastsoftmax: {len(slower)} of {len(changes)} cases take over {limit:g} % longer than before")
    return REGRESSION if slower else 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse before the work what could not be done after it."""
    if arguments.fail_above is not None and not arguments.compare:
        raise argparse.ArgumentError(None, "--fail-above goes with --compare FILE")
    if arguments.save:
        check_place("--save", arguments.save)
    if arguments.full and _suites() is None:
        message = (
            "--full runs the suites in bench/, which a checkout has and an installed package has not: install with "
        )
        raise argparse.ArgumentError(None, f"{message}pip install -e '.[bench]' from a checkout, or leave it out")
    check_plot(arguments.plot)


def _suites() -> Path | None:
    """The folder of the suites: beside the package in a checkout."""
    folder = Path(__file__).resolve().parents[2] / "bench"
    return folder if (folder / "bench_rows.py").is_file() else None


def _full(arguments: argparse.Namespace) -> Path:
    """Run the suites, and return where pytest-benchmark has kept what they gave."""
    with tempfile.NamedTemporaryFile(suffix=".json", delete=False) as file:
        saved = Path(file.name)
    suites = sorted(map(str, (_suites() or Path()).glob("bench_*.py")))
    command = [sys.executable, "-m", "pytest", *suites, "-q", "--threads", str(arguments.threads)]
    command += ["-k", arguments.only or "not large", f"--benchmark-json={saved}"]
    command += ["-W", "ignore::pytest_benchmark.logger.PytestBenchmarkWarning"]  # that nothing was chosen: told below
    progress(f"running the {len(suites)} suites in {_suites()} with -k {arguments.only or 'not large'!r}")
    try:
        done = subprocess.run(command, stdout=sys.stderr or subprocess.DEVNULL, cwd=Path(__file__).resolve().parents[2])
    except KeyboardInterrupt:
        saved.unlink()
        raise
    if done.returncode or not saved.stat().st_size:
        saved.unlink()
        if done.returncode == NOTHING_CHOSEN:
            raise argparse.ArgumentError(None, f"--only {arguments.only}: pytest -k finds no such case in the suites")
        raise CommandError(f"the suites ended with status {done.returncode}: they need pip install -e '.[bench]'")
    return saved


def _quick(arguments: argparse.Namespace) -> "list[Race]":
    from fastsoftmax.cli.races.suite import CASES, race
    from fastsoftmax.cli.races.turns import same_threads

    names = {_name(case.name, case.shape): case for case in CASES}
    chosen = {name: case for name, case in names.items() if (arguments.only or "") in name}
    if not chosen:
        raise argparse.ArgumentError(None, f"--only {arguments.only}: no case has that in its name: {', '.join(names)}")
    races = []
    with same_threads(arguments.threads), bar("racing", len(chosen)) as told:
        for name, case in chosen.items():
            told.note(name)
            races.append(race(case, arguments.threads))
            for library, why in races[-1].left_out.items():
                told.line(f"{name}: {library} takes no part: {why}")
            told.step()
    return races


def _again(changes: "list[Change]", before: "list[Race]", limit: float, threads: int) -> "list[Change]":
    """Measure once more what seems to be slower: it counts if it is so both times."""
    from fastsoftmax.cli.races.saved import compared
    from fastsoftmax.cli.races.suite import CASES, race
    from fastsoftmax.cli.races.turns import same_threads

    cases = {(case.name, case.shape): case for case in CASES}
    found = []
    with same_threads(threads):
        for change in changes:
            if change.percent > limit:
                progress(f"{_name(change.operation, change.shape)}: {change.percent:+.0f} %, measured once more")
                (second,) = compared(before, [race(cases[change.operation, change.shape], threads)])
                change = min(change, second, key=lambda c: c.percent)
            found.append(change)
    return found


def _write(arguments: argparse.Namespace, content: dict[str, Any]) -> None:
    if arguments.save:
        from fastsoftmax._files import replacing

        try:
            with replacing(arguments.save) as file:
                file.write(json.dumps(content, indent=1).encode())
        except OSError as error:
            raise CommandError(f"{arguments.save}: {error.strerror or error}") from None


def _name(operation: str, shape: tuple[int, ...]) -> str:
    return f"{operation} {'x'.join(map(str, shape))}"


def _print_tables(races: "list[Race]", changes: "list[Change]", limit: float | None) -> None:
    """A table for each operation: our time, and how many times as long others take."""
    from fastsoftmax.cli.races.machine import machine

    facts = machine()
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    print(f"{facts['cpu']}, {facts['isa']} code, commit {facts['commit']}\n{versions}")
    for title in dict.fromkeys((race.operation, race.dtype, race.threads) for race in races):
        members = [race for race in races if (race.operation, race.dtype, race.threads) == title]
        peers = list(dict.fromkeys(name for race in members for name in race.peers))
        table = new_table()
        for column in ("shape", "ours", *(SHORT.get(name, name) for name in peers)):
            table.add_column(column, justify="left" if column == "shape" else "right")
        for race in members:
            ours = race.ours
            ratios = (f"{race.peers[name] / ours:.1f} x" if name in race.peers else "-" for name in peers)
            table.add_row("x".join(map(str, race.shape)), duration(ours), *ratios)
        print(f"\n{title[0]}, {title[1]}, {title[2]} thread{'s' * (title[2] > 1)}: how many times as long others take")
        print_table(table)
    if changes:
        _print_changes(changes, limit)


def _print_changes(changes: "list[Change]", limit: float | None) -> None:
    table = new_table()
    for column in ("case", "before", "now", "others", "change", ""):
        table.add_column(column, justify="left" if column in ("case", "") else "right")
    for change in changes:
        verdict = "slower" if limit is not None and change.percent > limit else ""
        times = (duration(change.before), duration(change.now), f"{100 * (change.drift - 1):+.0f} %")
        table.add_row(_name(change.operation, change.shape), *times, f"{change.percent:+.0f} %", verdict)
    print("\nbeside the saved run: how the others' times have changed, and ours relative to that")
    print_table(table)
