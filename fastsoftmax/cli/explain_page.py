"""The explanation as one HTML page without network: the numbers of `backpropagation` put into the files of `page/`."""

import argparse
import json
import os
from importlib import resources

from fastsoftmax._version import __version__
from fastsoftmax.cli import backpropagation as steps
from fastsoftmax.cli.compiling import told
from fastsoftmax.cli.console import progress
from fastsoftmax.cli.errors import CommandError

MOST = 10  # samples, features or classes: larger matrices are no picture any more
FILES = {"@STYLE@": ("page.css",), "@SCRIPT@": ("matrices.js", "diagram.js", "cost.js")}


def run(arguments: argparse.Namespace) -> int:
    """Write the page to the file that --html names."""
    from fastsoftmax._files import replacing

    for option in ("samples", "features", "classes"):
        if getattr(arguments, option) > MOST:
            raise argparse.ArgumentError(None, f"--{option} goes up to {MOST} with --html: more is no picture any more")
    if not arguments.html:
        raise argparse.ArgumentError(None, "--html needs the name of a file")
    if os.path.isdir(arguments.html):
        raise argparse.ArgumentError(None, f"--html {arguments.html} is a folder")
    with told(progress):
        page = explain_page(arguments.samples, arguments.features, arguments.classes, arguments.seed).encode()
    try:
        with replacing(arguments.html) as file:
            file.write(page)
    except OSError as error:
        raise CommandError(f"{arguments.html}: {error.strerror or error}") from None
    progress(f"{arguments.html}: {len(page) / 1000:.0f} kB, to be opened in a browser")
    return 0


def explain_page(n_samples: int = 2, n_features: int = 4, n_classes: int = 3, random_state: int = 0) -> str:
    """The forward and backward pass of softmax regression on a small random batch, as an HTML page.

    Parameters
    ----------
    n_samples, n_features, n_classes : int
        N, D and C, from 1 to 10.
    random_state : int
        Seed of the numbers, which are those of `explain`.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        A size below 1 or above 10.

    Examples
    --------
    >>> from fastsoftmax.cli.explain_page import explain_page
    >>> explain_page(1, 2, 2)[:15]
    '<!DOCTYPE html>'
    """
    for name, size in (("n_samples", n_samples), ("n_features", n_features), ("n_classes", n_classes)):
        if size > MOST:
            raise ValueError(f"{name} must be at most {MOST}, got {size}")
    folder = resources.files("fastsoftmax.cli") / "page"
    page = (folder / "page.html").read_text("utf-8")
    for place, files in FILES.items():
        page = page.replace(place, "".join((folder / name).read_text("utf-8") for name in files))
    data = json.dumps(steps.as_json(n_samples, n_features, n_classes, random_state), allow_nan=False)
    command = f"fastsoftmax explain --html, version {__version__}, seed {random_state}"
    return page.replace("@COMMAND@", command).replace("@DATA@", data)
