"""Other libraries' fits of LogisticRegression's objective, as scikit-learn's estimators; those that are installed race.

What each minimises, put into our alpha and N: where its objective is another one (one against the rest, groups of
coefficients, as adelie has it), it takes no part; nor does snapml, which needs NumPy 1. liblinear penalises the
intercept, as one more feature; here its values are 10, so that the penalty is a hundredth, and the objective that all
are judged by tells what that costs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from sklearn.linear_model import LogisticRegression

MAX_ITER = 10_000
SCALE = 10.0  # of the feature that stands for the intercept


@dataclass(frozen=True)
class Peer:
    """A library's fit."""

    module: str
    make: Callable[..., Any]  # (alpha, l1_ratio, n_samples, threads, tol=) to an estimator
    multinomial: bool = True  # otherwise two classes only
    l1: bool = True
    l2: bool = True
    sparse: bool = True
    float32: bool = True

    def takes(self, n_classes: int, l1_ratio: float, sparse: bool, dtype: str) -> bool:
        """Whether it is installed and minimises this objective, for such data."""
        return (
            find_spec(self.module) is not None
            and (self.multinomial or n_classes == 2)
            and (self.l1 if l1_ratio else self.l2)
            and (self.sparse or not sparse)
            and (self.float32 or dtype == "float64")
        )


def cyanure(alpha: float, l1_ratio: float, n_samples: int, threads: int, tol: float = 1e-3) -> Any:
    """1/N sum_n loss_n + lambda_1 |W|_1, or lambda_1/2 |W|^2; its solver "auto"."""
    from cyanure.estimators import Classifier

    penalty = {"penalty": "l1" if l1_ratio else "l2", "lambda_1": alpha / n_samples}
    options = {"max_iter": MAX_ITER, "n_threads": threads, "verbose": False}
    return Classifier(loss="logistic", multi_class="multinomial", tol=tol, **penalty, **options)


def intelex(alpha: float, l1_ratio: float, n_samples: int, threads: int, tol: float = 1e-4) -> Any:
    """LogisticRegression by lbfgs on oneDAL's gradients; CSR goes to scikit-learn's own."""
    from sklearnex.linear_model import LogisticRegression

    return LogisticRegression(C=1 / alpha, tol=tol, max_iter=MAX_ITER)


def liblinear(alpha: float, l1_ratio: float, n_samples: int, threads: int, tol: float = 1e-4) -> Any:
    """LogisticRegression's liblinear, of two classes."""
    options = {"C": 1 / alpha, "l1_ratio": l1_ratio, "intercept_scaling": SCALE, "max_iter": MAX_ITER}
    return LogisticRegression(solver="liblinear", tol=tol, random_state=0, **options)


def skglm(alpha: float, l1_ratio: float, n_samples: int, threads: int, tol: float = 1e-4) -> Any:
    """1/N sum_n loss_n + alpha |w|_1 by proximal Newton; more classes are one against the rest."""
    from skglm import SparseLogisticRegression

    return SparseLogisticRegression(alpha / n_samples, l1_ratio=l1_ratio, tol=tol, max_iter=MAX_ITER)


def glum(alpha: float, l1_ratio: float, n_samples: int, threads: int, tol: float = 1e-4) -> Any:
    """Half the mean deviance + alpha ((1 - l1_ratio)/2 |w|^2 + l1_ratio |w|_1), of two classes."""
    from glum import GeneralizedLinearRegressor

    options = {"family": "binomial", "gradient_tol": tol, "max_iter": MAX_ITER}
    return GeneralizedLinearRegressor(alpha=alpha / n_samples, l1_ratio=l1_ratio, **options)


PEERS = {
    "cyanure": Peer("cyanure", cyanure),
    "intelex lbfgs": Peer("sklearnex", intelex, l1=False, sparse=False),
    "liblinear": Peer("sklearn", liblinear, multinomial=False),
    "skglm": Peer("skglm", skglm, multinomial=False, l2=False),
    "glum": Peer("glum", glum, multinomial=False),
}
