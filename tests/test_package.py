"""The package as a whole: its names, its docstrings, what importing it brings in."""

import doctest
import inspect
import re
import runpy
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import fastsoftmax as fs
from fastsoftmax import functional, kernels, reference

THREADS = {"set_num_threads", "get_num_threads", "num_threads"}
OTHERS = {*THREADS, "to_onnx"}
FUNCTIONS = [name for name in fs.__all__ if inspect.isfunction(getattr(fs, name)) and name not in OTHERS]


def test_the_public_names():
    assert set(functional.__all__) == {*FUNCTIONS, "LinearGrads"}
    classes = {"LinearGrads", "ModelFormatError", "SoftmaxClassifier", "SoftmaxClassifierCV"}
    classes |= {"ComparisonDisplay", "LossCurveDisplay"}
    assert set(fs.__all__) == {*FUNCTIONS, *OTHERS, *classes, "__version__", "data", "reference", "testing"}
    assert set(fs.__all__) <= set(dir(fs))
    assert fs.SoftmaxClassifier.__name__ == "SoftmaxClassifier"
    assert issubclass(fs.ModelFormatError, ValueError)
    with pytest.raises(AttributeError, match="no attribute 'softmin'"):
        fs.softmin  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_operation_has_one_name_everywhere(name):
    """The reference has the same function, with the same arguments but for out= and the like."""
    ours, naive = (inspect.signature(getattr(room, name)).parameters for room in (fs, reference))
    if "options" not in naive:
        assert [p for p in ours if p not in ("out", "with_grad_X")] == list(naive)
    if name != "fit_temperature":  # a search, by the kernel of cross_entropy
        kernel = name.removesuffix("_value_and_grad") + "_rows"
        if name.startswith("linear_"):  # one kernel has both losses
            kernel = kernel.replace("cross_entropy", "loss").replace("squared_error", "loss")
        assert kernel in kernels.__all__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_tell_the_formula_and_an_example(name):
    text = getattr(fs, name).__doc__
    assert "Examples\n" in text
    assert ":math:" in text
    for section in ("Parameters", "Returns", "Raises"):
        assert f"{section}\n" in text


def public_objects():
    """Every public name with what has a docstring of ours in it, methods included."""
    for name in fs.__all__:
        thing = getattr(fs, name)
        if inspect.ismodule(thing) and name != "reference":
            yield from ((f"{name}.{n}", getattr(thing, n)) for n in getattr(thing, "__all__", ()))
            continue
        if thing is reference:
            functions = [
                pair for pair in inspect.getmembers(thing, inspect.isfunction) if pair[1].__module__ == thing.__name__
            ]
            yield from ((f"{name}.{n}", each) for n, each in functions if not n.startswith("_"))
        if not isinstance(thing, str):
            yield name, thing
        if inspect.isclass(thing):
            methods = [n for n in dir(thing) if not n.startswith("_") and callable(getattr(thing, n, None))]
            ours = [n for n in methods if getattr(getattr(thing, n), "__module__", "").startswith("fastsoftmax")]
            yield from ((f"{name}.{n}", getattr(thing, n)) for n in ours)


def with_parameters():
    """Of the public objects, what is called; the reference, which refers to the functions of the same names, is not."""
    for name, thing in public_objects():
        of_its_own = not inspect.isclass(thing) or not issubclass(thing, Exception | tuple)
        if callable(thing) and of_its_own and not name.startswith("reference"):
            yield pytest.param(thing, id=name)


@pytest.mark.parametrize("thing", list(with_parameters()))
def test_every_parameter_is_documented_in_its_place(thing):
    """As numpydoc checks it (PR01, PR02, PR03, and RT01 of what returns something)."""
    text = inspect.getdoc(thing)
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+$|\Z)", text, re.MULTILINE | re.DOTALL)
    lines = section[1].splitlines() if section else []
    heads = [line.partition(" : ")[0] for line in lines if line and not line.startswith(" ")]
    documented = [word.strip("* ") for head in heads for word in head.split(",")]
    signature = inspect.signature(thing)
    assert documented == [parameter for parameter in signature.parameters if parameter not in ("self", "cls")]
    if not inspect.isclass(thing) and signature.return_annotation not in (None, "None"):
        assert re.search(r"^(Returns|Yields)\n-+$", text, re.MULTILINE)


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*p, id=p[0]) for p in public_objects()])
def test_every_public_docstring_has_an_example_that_runs(name, thing):
    """Also of methods that doctest does not find by itself, behind descriptors of scikit-learn's."""
    known = dict(vars(reference)) if name.startswith("reference.") else {}  # as in a module that doctest reads itself
    examples = doctest.DocTestParser().get_doctest(inspect.getdoc(thing), known, name, None, None)
    assert examples.examples, f"{name} has no example"
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    assert runner.run(examples).failed == 0


def test_importing_it_brings_in_no_more_than_numba_needs():
    heavy = ("sklearn", "onnx", "scipy.special", "scipy.optimize", "rich", "matplotlib")
    code = f"import sys, fastsoftmax; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_is_typed():
    assert resources.files("fastsoftmax").joinpath("py.typed").is_file()


def test_python_dash_m_is_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["fastsoftmax", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("fastsoftmax", run_name="__main__")
    assert ended.value.code == 0
    assert fs.__version__ in capsys.readouterr().out
    assert "main" in runpy.run_module("fastsoftmax.__main__")  # which runs nothing


def test_names_that_it_lists_and_one_that_it_has_not():
    assert set(fs.__all__) <= set(dir(fs))
    with pytest.raises(AttributeError, match=r"module 'fastsoftmax' has no attribute 'softmaxx'"):
        fs.softmaxx  # noqa: B018


def test_the_citation_is_of_this_version():
    """And CHANGELOG keeps the form of Keep a Changelog."""
    root = Path(__file__).parent.parent
    assert f"\nversion: {fs.__version__}\n" in (root / "CITATION.cff").read_text()
    headings = re.findall(r"^### (.*)$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert "## [Unreleased]" in (root / "CHANGELOG.md").read_text()
