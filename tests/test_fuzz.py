"""A short fuzz campaign (tests/fuzz); a long one: python -m tests.fuzz --calls 1000000 --seed 7."""

import numpy as np
import pytest
from fuzz.arrays import Draw
from fuzz.campaign import MAKERS, judge, run
from fuzz.cases import Case
from helpers import JIT

import fastsoftmax as fs


@pytest.mark.skipif(not JIT, reason="so many calls are for compiled code")
def test_each_of_many_calls_ends_in_a_confirmed_result_or_a_documented_error():
    outcomes, reports = run(20_000, seed=20)
    assert not reports, reports[0]
    assert {outcome.split(":")[0] for outcome in outcomes} == set(MAKERS)


def test_every_public_function_takes_part():
    others = {
        "ComparisonDisplay",
        "LinearGrads",
        "LossCurveDisplay",
        "ModelFormatError",
        "SoftmaxClassifierCV",
        "get_num_threads",
        "to_onnx",
    }
    assert set(MAKERS) == {n for n in fs.__all__ if not n.startswith("_")} - others - {"data", "reference", "testing"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda logits: np.nextafter(fs.softmax(logits), np.inf) * (1 + 1e-13), "result"),
        (lambda logits: fs.softmax(logits, out=logits), "the input logits was written"),
        (lambda logits: fs.softmax(logits).astype(np.float32), "float32"),
        (lambda logits: fs.softmax([["a"]]), "TypeError"),
        (lambda logits: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_the_judge_sees_what_is_wrong(fault, said):
    for number in range(1000):
        case: Case = MAKERS["softmax"](Draw(f"0 {number}"))
        logits = case.arguments["logits"]
        fits = isinstance(logits, np.ndarray) and logits.size > 3 and logits.dtype == "=f8" and logits.flags.carray
        if fits and set(case.arguments) == {"logits"} and np.isfinite(logits).all() and np.ptp(logits):
            break
    case.call = fault
    assert said in judge(case)[1]
