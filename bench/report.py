"""Tables and plots of what a run of the suites measured.

    pytest bench/ --threads 1 --benchmark-json=one.json
    pytest bench/ --threads 2 --benchmark-json=two.json
    python bench/report.py one.json two.json --plots plots/

Markdown goes to stdout: for each number of threads and dtype how many times as long torch and JAX take, and a table of
all medians, the fastest in bold; fractions of the ceilings measured beside; the linear layer with its loss; training;
and every case where another library was faster. Ratios are of medians of one race, in which the libraries took turns.
Plots need matplotlib.
"""

import argparse
import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

from races import LIBRARIES, TITLES, machines, read, row, shape_of, threads_of, time_of
from report_training import classifier

from fastsoftmax.classifier.displays import STYLES
from fastsoftmax.cli.races.suite import Race

MAIN = ("softmax", "softmax_vjp", "cross_entropy_value_and_grad")


def table(races: list[Race]) -> list[str]:
    """Microseconds by library, for races of one dtype and number of threads."""
    columns = [name for name in LIBRARIES if any(name in race.medians for race in races)]
    compared = [name for name in ("torch", "jax") if name in columns]
    heads = [
        "operation",
        "shape",
        *(TITLES.get(n, n) for n in columns),
        *(f"{TITLES.get(n, n)} / ours" for n in compared),
    ]
    lines = [row(heads), row(["---", "---", *["--:"] * (len(columns) + len(compared))])]
    for race in races:
        best = min(race.medians[name] for name in columns if name in race.medians)
        cells = [time_of(race.medians.get(name), best) for name in columns]
        ratios = [f"{ratio:.1f}" if (ratio := race.ratio(name)) else "-" for name in compared]
        lines.append(row([race.operation, shape_of(race.shape), *cells, *ratios]))
    return lines


def summary(races: list[Race]) -> list[str]:
    """One line a shape: our microseconds, and how many times as long torch and JAX take, for the main operations."""
    found = {(race.operation, race.shape): race for race in races}
    operations = [name for name in MAIN if any(race.operation == name for race in races)]
    lines = [
        row(["shape", *(f"{name}, us | torch | JAX" for name in operations)]),
        row(["---", *["--: | --: | --:"] * len(operations)]),
    ]
    for shape in dict.fromkeys(race.shape for race in races):
        cells = []
        for name in operations:
            race = found.get((name, shape))
            if race is None:
                cells.append("- | - | -")
            else:
                ratios = [f"{ratio:.1f}" if (ratio := race.ratio(library)) else "-" for library in ("torch", "jax")]
                cells.append(" | ".join([time_of(race.ours, 0), *ratios]))
        lines.append(row([shape_of(shape), *cells]))
    return lines


def linear(races: list[Race]) -> list[str]:
    """The linear layer with its loss: milliseconds, how many times as long others take, and GFLOP/s beside BLAS's."""
    first = ("torch", "torch in chunks", "jax", "sklearn", "scipy")
    compared = (*first, *(name for name in LIBRARIES if name not in (*first, "fastsoftmax")))
    others = [name for name in compared if any(name in race.medians for race in races)]
    heads = ["operation", "(N, D, C)", "dtype", "threads", "ours, ms", *(TITLES.get(n, n) for n in others)]
    lines = [row([*heads, "GFLOP/s", "BLAS's"]), row(["---"] * 3 + ["--:"] * (len(others) + 4))]
    for race in races:
        cells = [race.operation, shape_of(race.shape), race.dtype, str(race.threads), f"{race.ours * 1e3:.3g}"]
        cells += [f"{ratio:.1f}" if (ratio := race.ratio(name)) else "-" for name in others]
        speeds = [race.flops / t / 1e9 if t else None for t in (race.ours, race.medians.get("ceiling blas"))]
        lines.append(row([*cells, *(f"{speed:.0f}" if speed else "-" for speed in speeds)]))
    return lines


def ceilings(races: list[Race]) -> list[str]:
    """Softmax beside loops over as many elements that only copy, or only exp, max and scale."""
    lines = [
        row(["shape", "dtype", "threads", "elements/ns", "GB/s", "of the copy", "of exp + max + scale"]),
        row(["---", "---", *["--:"] * 5]),
    ]
    for race in races:
        loops = {name.split()[1]: t for name, t in race.medians.items() if name.startswith("ceiling ")}
        if race.operation == "softmax" and loops:
            scale = race.size / max(1024, race.size // 1024 * 1024)  # the loops go over whole blocks of 1024
            copied, worked = loops["copy"] * scale, (loops["exp"] + loops["max"] + loops["scale"]) * scale
            speed = [f"{race.size / race.ours / 1e9:.2f}", f"{race.n_bytes / race.ours / 1e9:.1f}"]
            if race.size >= 1024:
                speed += [f"{copied / race.ours:.2f}", f"{worked / race.ours:.2f}"]
            else:
                speed += ["-", "-"]
            lines.append(row([shape_of(race.shape), race.dtype, str(race.threads), *speed]))
    return lines


def losses(races: list[Race]) -> list[str]:
    """Every case where another library was faster than fastsoftmax."""
    lines = []
    for race in races:
        for name in LIBRARIES:
            ratio = race.ratio(name)
            if name != "fastsoftmax" and ratio is not None and ratio < 1:
                what = f"{race.operation} {shape_of(race.shape)} {race.dtype}, {threads_of(race.threads)}"
                lines.append(f"- {what}: {TITLES.get(name, name)} takes {ratio:.2f} of our time")
    return lines or ["- none"]


def plot(races: list[Race], folder: Path) -> None:
    """Three pictures: how much faster by C, GB/s by size under the copy's, the cost of the naive way by C."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    plain = [race for race in races if race.dtype == "float32" and race.threads == 1 and len(race.shape) == 2]

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    pairs = itertools.product(("softmax", "softmax_vjp", "cross_entropy_value_and_grad"), ("torch", "jax"))
    for (operation, library), style in zip(pairs, STYLES, strict=False):
        taken = [race for race in plain if race.operation == operation]
        points = sorted((race.shape[1], ratio) for race in taken if (ratio := race.ratio(library)))
        if points:
            label = f"{operation}, {TITLES.get(library, library)}"
            axes.loglog(*zip(*points, strict=True), style.marker, color=style.color, alpha=0.8, label=label)
    axes.axhline(1, color="grey", linewidth=1)
    axes.set(xlabel="columns C", ylabel="times as long as fastsoftmax", title="float32, one thread, all row counts")
    add_legend(axes, fontsize=7)
    figure.savefig(folder / "speedup_by_C.png", dpi=120)

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    softmax = sorted((race for race in plain if race.operation == "softmax"), key=lambda race: race.n_bytes)
    for library, style in zip(("fastsoftmax", "torch", "jax"), STYLES, strict=False):
        have = [race for race in softmax if library in race.medians]
        speeds = [race.n_bytes / race.medians[library] / 1e9 for race in have]
        look = {"color": style.color, "label": TITLES.get(library, library)}
        axes.semilogx([race.n_bytes for race in have], speeds, style.marker, **look)
    with_roof = [race for race in softmax if race.size >= 1024 and "ceiling copy" in race.medians]
    roof = [(race.n_bytes, race.n_bytes / race.medians["ceiling copy"] / 1e9) for race in with_roof]
    if roof:
        axes.semilogx(*zip(*roof, strict=True), color="grey", label="a copy of as many bytes")
    axes.set(xlabel="bytes read and written", ylabel="GB/s", title="softmax, float32, one thread")
    axes.set_yscale("log")
    axes.legend()
    figure.savefig(folder / "bandwidth_by_size.png", dpi=120)

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    naive = [race for race in plain if race.operation == "softmax_vjp" and "jacobian" in race.medians]
    lines = zip((("fastsoftmax", "fastsoftmax"), ("jacobian", "the Jacobian built")), STYLES, strict=False)
    for (name, label), style in lines:
        points = sorted((race.shape[1], race.medians[name] / race.shape[0] * 1e9) for race in naive)
        if points:
            axes.loglog(*zip(*points, strict=True), style.marker, color=style.color, label=label)
    axes.set(xlabel="columns C", ylabel="ns a row", title="softmax_vjp, float32: naive against fast")
    add_legend(axes)
    figure.savefig(folder / "naive_by_C.png", dpi=120)
    pyplot.close("all")


def add_legend(axes: Any, **options: Any) -> None:
    """Of what was drawn, if anything was: Matplotlib warns of none."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**options)


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and draw the plots if a folder is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="what --benchmark-json saved")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw plots into this folder")
    arguments = parser.parse_args(argv)
    races = read(arguments.files)
    if not races:
        parser.error("no races in these files: they come from `pytest bench/ --benchmark-json=FILE`")
    print("\n".join(machines(arguments.files)))
    trained = [race for race in races if race.fits]
    untrained = [race for race in races if not race.fits]
    by_rows, by_layer = ([race for race in untrained if bool(race.flops) == layer] for layer in (False, True))
    groups: dict[tuple[str, int], list[Race]] = defaultdict(list)
    for race in by_rows:
        groups[race.dtype, race.threads].append(race)
    for (dtype, threads), members in sorted(groups.items()):
        print(f"\n## {dtype}, {threads_of(threads)}: how many times as long torch and JAX take\n")
        print("\n".join(summary(members)))
    for (dtype, threads), members in sorted(groups.items()):
        print(f"\n## {dtype}, {threads_of(threads)}: microseconds a call\n")
        print("\n".join(table(members)))
    if by_rows:
        print("\n## softmax and the ceilings\n")
        print("\n".join(ceilings(by_rows)))
    if by_layer:
        print("\n## A linear layer with its loss: how many times as long others take\n")
        print("\n".join(linear(by_layer)))
    if trained:
        print("\n## Training a classifier\n")
        print("\n".join(classifier(trained)))
    print("\n## Where others are faster\n")
    print("\n".join(losses(races)))
    if arguments.plots:
        plot(by_rows, arguments.plots)


if __name__ == "__main__":
    main()
