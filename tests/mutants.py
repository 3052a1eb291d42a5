"""Mutants: one thing of a module is changed, and some test must fail.

    python -m tests.mutants fastsoftmax/_gate/arrays.py             by its tests
    python -m tests.mutants fastsoftmax/_gate/arrays.py tests/test_arrays.py -k overlap --lines 60-90

Changed is a comparison, a number, a text, an operator, a condition, an argument or a result (into None), or a call is
left out; docstrings, annotations, types and decorators are not. All tests run once, which tells how long each of them
takes and which lines of the module it goes through. Then a child is forked for each mutant, which puts the changed code
into the live functions and runs the tests that go through the line, the quickest first, until one fails. What survives
is printed: a test is missing, or the change is none that a user can see. So is what ran out of time, which counts as
killed: it should be an endless loop, and not a busy machine (the time is the child's own, not the clock's). First of
all a child with nothing changed has to survive.

Kernels are tried as Python, without the JIT. A child sees no change in processes that its tests start.
"""

import argparse
import ast
import contextlib
import os
import re
import resource
import signal
import sys
import threading
import types
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent
TEST_FILES = {  # of a module, the names behind test_
    "_gate/arrays": "arrays softmax empty messages numbers read_only direct losses",
    "_gate/rows": "arrays softmax jacobians empty messages direct losses",
    "_gate/plain": "direct softmax losses",
    "_gate/numbers": "numbers messages losses labels arrays",
    "_gate/samples": "linear sparse classifier_samples messages",
    "_gate/targets": "losses labels messages linear calibration arrays",
    "functional/_layer": "linear dense inference messages sparse empty",
    "functional/boosting": "boosting messages",
    "functional/calibration": "calibration messages",
    "functional/dense": "dense linear messages sparse",
    "functional/inference": "inference classifier_inference messages",
    "functional/jacobians": "jacobians softmax direct messages empty",
    "functional/linear": "linear second_order messages",
    "functional/losses": "losses direct messages empty",
    "functional/softmax": "softmax direct arrays messages empty",
    "classifier/penalties": "penalties cross_validation",
    "classifier/samples": "classifier_samples classifier_protocol",
    "training/array_objective": "objective epoch iteration training descent",
    "training/backward": "objective training compare",
    "training/objective": "objective epoch second_order training descent newton_cholesky classifier_endings",
    "kernels/rows/losses": "losses direct",
    "kernels/rows/targets": "losses linear direct",
}
MEMORY = 2**32  # bytes more than the parent has, for a mutant
Site = tuple[ast.AST, str, Any]  # what is changed: a node, its field, and what that becomes

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.And: ast.Or, ast.Or: ast.And,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
UNSEEN = ("copy=False", "strict=True")  # a matter of time, and of what cannot be
AS_NONE = ("None", "np.float64", "False")  # as a dtype, and as an answer
EXACT_OPPOSITES = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)  # to turn these round is the comparison's


def parts_of(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what is in it, but docstrings, annotations, types, decorators, and what no caller sees."""
    if isinstance(node, ast.keyword) and ast.unparse(node) in UNSEEN:
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "cause"):
            continue
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not (field == "body" and i == 0 and text):
                yield from parts_of(child)


def is_type(statement: ast.stmt) -> bool:
    """Whether a statement of a module names a type, or only what is exported or imported."""
    value = getattr(statement, "value", None)
    union = isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr)
    exports = isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
    return union or exports or isinstance(value, ast.Subscript) or isinstance(statement, ast.Import | ast.ImportFrom)


def changes(node: ast.AST) -> Iterator[Site]:
    """All that is changed of one node."""
    nothing = ast.Constant(None)
    match node:
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                yield node, "ops", [*ops[:i], COMPARISONS[type(op)](), *ops[i + 1 :]]
        case ast.BoolOp(op=op) | ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield node, "op", OPERATORS[type(op)]()
        case ast.UnaryOp(op=ast.USub()):
            yield node, "op", ast.UAdd()
        case ast.UnaryOp(op=op, operand=operand):
            yield node, "operand", ast.UnaryOp(op, operand)
        case ast.Constant(value=bool() as value):
            yield node, "value", not value
        case ast.Constant(value=int() | float() as value):
            yield node, "value", value + 1
        case ast.Constant(value=str() as value) if value.strip():
            yield node, "value", value[1:]
        case ast.Name(id=name) if name in NAMES:
            yield node, "id", NAMES[name]
        case ast.Attribute(attr=name) if name in NAMES:
            yield node, "attr", NAMES[name]
        case ast.Call(args=args):
            for i, argument in enumerate(args):
                if ast.unparse(argument) not in AS_NONE:
                    yield node, "args", [*args[:i], nothing, *args[i + 1 :]]
        case ast.keyword(value=value) | ast.Return(value=ast.expr() as value) if ast.unparse(value) not in AS_NONE:
            yield node, "value", nothing
        case ast.Expr(value=ast.Call()):
            yield node, "value", nothing
    test = getattr(node, "test", None)
    exact = isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], EXACT_OPPOSITES)
    if isinstance(test, ast.expr) and not isinstance(test, ast.UnaryOp) and not exact:
        yield node, "test", ast.UnaryOp(ast.Not(), test)
    for i, condition in enumerate(getattr(node, "ifs", ())):
        yield node, "ifs", [*node.ifs[:i], ast.UnaryOp(ast.Not(), condition), *node.ifs[i + 1 :]]


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, ast.stmt]]:
    """The tree with one change at a time: its line, its words, the statement of the module that it is in."""
    for statement in tree.body[1:]:
        if is_type(statement):
            continue
        for node in parts_of(statement):
            for site, field, new in changes(node):
                old, before = getattr(site, field), shown(site)
                setattr(site, field, new)
                yield getattr(site, "lineno", None) or site.target.lineno, f"{before}  ->  {shown(site)}", statement
                setattr(site, field, old)


def shown(node: ast.AST) -> str:
    """The first line of the code."""
    return ast.unparse(ast.fix_missing_locations(node)).split("\n")[0][:110]


def pour(old: Any, new: Any) -> None:
    """Make a live function or class what the new one is, for all who hold it."""
    if isinstance(old, type):
        for name, value in vars(new).items():
            if isinstance(value, types.FunctionType | property | classmethod | staticmethod):
                pour(vars(old)[name], value)
            elif isinstance(value, int | float | str | tuple) and not name.startswith("__"):
                setattr(old, name, value)
    elif isinstance(old, property):
        pour(old.fget, new.fget)
    elif hasattr(old, "__wrapped__"):
        if hasattr(old, "cache_clear"):
            old.cache_clear()
        pour(old.__wrapped__, new.__wrapped__)
    elif isinstance(old, classmethod | staticmethod):
        pour(old.__func__, new.__func__)
    else:
        old.__code__ = new.__code__
        for name in ("__defaults__", "__kwdefaults__"):  # the same objects as before where they are: `is` may ask
            before, now = (re.sub(" at 0x[0-9a-f]+", "", repr(getattr(each, name))) for each in (old, new))
            if before != now:
                setattr(old, name, getattr(new, name))


class Campaign:
    """A pytest plugin, which runs the mutants in the place of the tests."""

    def __init__(self, path: Path, lines: range, seconds: int) -> None:
        self.path, self.lines, self.seconds = path, lines, seconds
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self.screen = os.fdopen(os.dup(1), "w", buffering=1)  # beside pytest's capture
        self.failed: list[str] = []
        self.survivors: list[str] = []
        self.tried = self.out_of_time = 0

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings  # pytest wants to be the first to import it

        settings.register_profile("mutants", database=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid}\n{report.longreprtext[-1500:]}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        seconds, tests_of = self.run_all(session)
        if self.failed:
            raise pytest.UsageError("tests fail without a change: " + "\n".join(self.failed))
        everything = sorted(session.items, key=lambda item: seconds[item])
        self.say(f"{self.name}: {len(everything)} tests, {sum(seconds.values()):.0f} s")
        tree = ast.parse(self.path.read_text())
        functions = [each for each in tree.body if isinstance(each, ast.FunctionDef | ast.ClassDef)]
        if (ending := self.ending(session, tree, functions, self.within_budget(everything, seconds))) != "survives":
            raise pytest.UsageError(f"a child with nothing changed is {ending}")
        for line, words, statement in mutants(tree):
            if line not in self.lines:
                continue
            in_function = isinstance(statement, ast.FunctionDef | ast.ClassDef)
            through = tests_of[line] if in_function and tests_of[line] else set(everything)
            tests = self.within_budget([item for item in everything if item in through], seconds)
            self.tried += 1
            if (ending := self.ending(session, tree, [statement], tests)) != "killed":
                self.say(f"{self.path.relative_to(ROOT)}:{line}: {words}   ({len(tests)} tests): {ending}")
            self.survivors += [words] * (ending == "survives")
            self.out_of_time += ending == "out of time"
        killed = self.tried - len(self.survivors)
        self.say(f"{self.name}: {killed} of {self.tried} killed, {self.out_of_time} of them out of time")
        return True

    def within_budget(self, tests: list[Any], seconds: dict[Any, float]) -> list[Any]:
        """Those that a mutant has time for."""
        some, budget = [], float(self.seconds)
        for item in tests:
            if (budget := budget - seconds[item]) > 0:
                some.append(item)
        return some

    def say(self, words: str) -> None:
        self.screen.write(words + "\n")

    def run_all(self, session: pytest.Session) -> tuple[dict[Any, float], dict[int, set[Any]]]:
        """How long each test takes, and the tests that go through each line."""
        seconds, tests_of, here = {}, defaultdict(set), str(self.path)
        running = [None]

        def on_line(frame: types.FrameType, event: str, _: Any) -> Any:
            tests_of[frame.f_lineno].add(running[0])
            return on_line

        def on_call(frame: types.FrameType, event: str, _: Any) -> Any:
            return on_line(frame, event, _) if frame.f_code.co_filename == here else None

        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            running[0] = item
            start = sum(os.times()[:4])
            threading.settrace(on_call)
            sys.settrace(on_call)
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.settrace(None)
            threading.settrace(None)
            seconds[item] = sum(os.times()[:4]) - start
        return seconds, tests_of

    def ending(self, session: pytest.Session, tree: ast.Module, changed: list[ast.stmt], tests: list[Any]) -> str:
        """Whether a child with these statements of the tree passes the tests, in time."""
        child = os.fork()
        if child == 0:
            os.setsid()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, 4 * self.seconds)  # ends it, as does the other where it waits for ever
            signal.alarm(40 * self.seconds)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
            session.config.pluginmanager.unregister(name="terminalreporter")
            try:
                for statement in changed:
                    self.change(tree, statement)
            except BaseException as error:
                self.say(f"{type(error).__name__} where the module is changed: {error}")
                os._exit(1)
            try:
                for item, following in zip(tests, [*tests[1:], None], strict=True):
                    item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
                    if self.failed:
                        break
            except BaseException:
                os._exit(1)
            if self.tried == 0:
                self.say("\n".join(self.failed))
            os._exit(bool(self.failed))
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what a test has started
        in_time = not (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM))
        return "survives" if status == 0 else "killed" if in_time else "out of time"

    def change(self, tree: ast.Module, statement: ast.stmt) -> None:
        """Put the one changed statement of the module into the live one."""
        module = sys.modules[self.name]
        fresh = {"__name__": self.name, "__file__": str(self.path)}
        sys.modules[self.name] = types.ModuleType(self.name)  # a dataclass looks for its module's names
        sys.modules[self.name].__dict__.update(fresh)
        fresh = sys.modules[self.name].__dict__
        exec(compile(ast.fix_missing_locations(tree), str(self.path), "exec"), fresh)
        sys.modules[self.name] = module
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            pour(getattr(module, statement.name), fresh[statement.name])
            return
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for name in {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}:
            old = getattr(module, name)
            for holder in list(sys.modules.values()):
                if getattr(holder, "__dict__", {}).get(name) is old:
                    setattr(holder, name, fresh[name])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("module", type=Path)
    parser.add_argument("--lines", default="1-100000", help="only these, as in 60-90")
    parser.add_argument("--seconds", type=int, default=6, help="that the tests of a mutant may take, the quickest ones")
    arguments, tests = parser.parse_known_args()
    first, last = map(int, arguments.lines.split("-"))
    path = arguments.module.resolve()
    names = TEST_FILES.get(str(path.relative_to(ROOT / "fastsoftmax").with_suffix("")), "").split()
    if not any(argument.endswith(".py") for argument in tests):
        tests += [str(HERE / f"test_{name}.py") for name in names]
    if "kernels" in path.parts:  # as test_without_jit.py runs them
        os.environ["NUMBA_DISABLE_JIT"] = "1"
        tests += ["-k", "not long and not every_size and not finite_differences", "-W", "ignore::RuntimeWarning"]
    elif "-k" not in tests:
        tests += ["-k", "not job and not every_size and not many_classes and not large_weight"]  # processes; slow
    campaign = Campaign(path, range(first, last + 1), arguments.seconds)
    status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", *tests], plugins=[campaign])
    return int(status or bool(campaign.survivors))


if __name__ == "__main__":
    sys.exit(main())
