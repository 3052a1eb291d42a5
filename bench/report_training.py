"""The tables of training: fits by a solver until they are done, many fits, and mini-batch SGD."""

from collections.abc import Callable

from races import TITLES, ms, row, shape_of

from fastsoftmax.cli.races.suite import Race


def classifier(races: list[Race]) -> list[str]:
    """Training: fits by a solver until they are done, theirs and ours; many fits; SGD. A table of each."""
    kinds = {"fit ": (_fits, _peers), "path ": (_paths,), "cv ": (_fits,), "sgd ": (_descents,)}
    tables: list[str] = []
    for kind, makers in kinds.items():
        found = [race for race in races if race.operation.startswith(kind)]
        for make in makers:
            if lines := make(found) if found else []:
                tables += ["", *lines]
    return tables[1:]


def _names(races: list[Race], belongs: Callable[[str], bool]) -> list[str]:
    return list(dict.fromkeys(name for race in races for name in race.fits or {} if belongs(name)))


def _is_peer(name: str) -> bool:
    return name.split()[0] not in ("fastsoftmax", "sklearn")


def _fits(races: list[Race]) -> list[str]:
    """Milliseconds by solver, in brackets those of the solver alone; of one that misses the goal, by how much."""
    ours = _names(races, lambda name: name.startswith("fastsoftmax"))
    return _by_solver(races, ours + _names(races, lambda name: name.startswith("sklearn ")), "sklearn")


def _peers(races: list[Race]) -> list[str]:
    """Other libraries' fits: milliseconds; of one that misses the goal, by how much."""
    names = _names(races, _is_peer)
    taken = [race for race in races if any(name in (race.fits or {}) for name in names)]
    return _by_solver(taken, names, "peers") if taken else []


def _by_solver(races: list[Race], names: list[str], library: str) -> list[str]:
    """A column for each name, and how many times as long as ours the fastest takes of those that `library` names."""
    heads = [name.replace("fastsoftmax", "ours").replace("sklearn ", "scikit-learn's ") for name in names]
    last = "its best / our best" if library == "sklearn" else "the best of all others / our best"
    lines = [
        row(["data", "(N, D, C)", "dtype", "threads", *(f"{head}, ms" for head in heads), last]),
        row(["---"] * 3 + ["--:"] * (len(heads) + 2)),
    ]
    for race in races:
        best = min(race.ours, race.medians.get("sklearn", race.ours), race.medians.get("peers", race.ours))
        cells = [race.operation.removeprefix("fit "), shape_of(race.shape), race.dtype, str(race.threads)]
        cells += [_fit(race, name, best) for name in names]
        ratio = race.ratio(library)
        lines.append(row([*cells, f"{ratio:.1f}" if ratio else "-"]))
    return lines


def _paths(races: list[Race]) -> list[str]:
    """Milliseconds of a path of warm starts, and in brackets how many times one fit for its last alpha that is."""
    names = _names(races, lambda name: True)
    lines = [
        row(["30 alphas", "(N, D, C)", "dtype", "threads", *(f"{name}, ms" for name in names), "theirs / ours"]),
        row(["---"] * 3 + ["--:"] * (len(names) + 2)),
    ]
    for race in races:
        cells = [race.operation.removeprefix("path "), shape_of(race.shape), race.dtype, str(race.threads)]
        for name in names:
            one = race.medians.get(f"{name}, one fit")
            cells.append(_fit(race, name, 0.0) + (f" ({race.medians[name] / one:.1f} fits)" if one else ""))
        ratio = race.ratio("sklearn")
        lines.append(row([*cells, f"{ratio:.1f}" if ratio else "-"]))
    return lines


def _fit(race: Race, name: str, best: float) -> str:
    if name not in race.medians or not race.fits:
        return "-"
    text, fit = ms(race.medians[name]), race.fits[name]
    if race.medians[name] == best and fit["reached"]:
        text = f"**{text}**"
    if alone := race.medians.get(f"{name}, solver"):
        text += f" ({ms(alone)})"
    return text if fit["reached"] else f"{text}, {fit['gap']:.1g} above"


def _descents(races: list[Race]) -> list[str]:
    """Milliseconds, how many times as long others take, and the accuracy of each on samples that were held out."""
    others = [name for name in ("jax", "jax old", "torch", "sklearn") if any(name in race.medians for race in races)]
    titles = [TITLES.get(name, name) for name in others]
    lines = [
        row(["epochs of SGD", "(N, D, C)", "dtype", "threads", "ours, ms", *titles, "accuracy: ours", *titles]),
        row(["---"] * 3 + ["--:"] * (2 * len(others) + 3)),
    ]
    for race in races:
        cells = [
            race.operation.removeprefix("sgd "),
            shape_of(race.shape),
            race.dtype,
            str(race.threads),
            ms(race.ours),
        ]
        cells += [f"{ratio:.1f}" if (ratio := race.ratio(name)) else "-" for name in others]
        fits = race.fits or {}
        cells += [f"{fits[name]['accuracy']:.4f}" if name in fits else "-" for name in ("fastsoftmax", *others)]
        lines.append(row(cells))
    return lines
