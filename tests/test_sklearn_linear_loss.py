"""scikit-learn's own tests of LinearModelLoss, of linear_cross_entropy: its loss, gradient and Hessian, by ours."""

from typing import Any

import numpy as np
import pytest
import sklearn
from peers import check_table, module_copy, skip_what_does_not_apply
from sklearn.linear_model._linear_loss import LinearModelLoss as Theirs

import fastsoftmax as fs

if not sklearn.__version__.startswith("1.9."):
    pytest.skip("the table below is of scikit-learn 1.9's tests", allow_module_level=True)


class LinearModelLoss(Theirs):
    """Cross-entropy of a dense layer and half the squared weights; coef is (n_classes, n_dof), or that by columns."""

    def _split(self, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        whole = coef.reshape((self.base_loss.n_classes, -1), order="F") if coef.ndim == 1 else coef
        return (whole[:, :-1], whole[:, -1]) if self.fit_intercept else (whole, None)

    def _joined(self, grads: fs.LinearGrads, weight: np.ndarray, strength: float, like: np.ndarray) -> np.ndarray:
        with_penalty = grads.weight + strength * weight
        whole = with_penalty if grads.bias is None else np.column_stack([with_penalty, grads.bias])
        return whole.ravel(order="F") if like.ndim == 1 else whole

    def loss(self, coef, X, y, sample_weight=None, l2_reg_strength=0.0, **_: Any) -> float:
        """By linear_cross_entropy."""
        weight, bias = self._split(coef)
        value = fs.linear_cross_entropy(X, weight, bias, y, sample_weight=sample_weight)
        return float(value) + 0.5 * l2_reg_strength * float((weight**2).sum())

    def loss_gradient(self, coef, X, y, sample_weight=None, l2_reg_strength=0.0, **_: Any) -> tuple[float, np.ndarray]:
        """By linear_cross_entropy_value_and_grad."""
        weight, bias = self._split(coef)
        value, grads = fs.linear_cross_entropy_value_and_grad(X, weight, bias, y, sample_weight=sample_weight)
        penalty = 0.5 * l2_reg_strength * float((weight**2).sum())
        return float(value) + penalty, self._joined(grads, weight, l2_reg_strength, coef)

    def gradient(self, coef, X, y, sample_weight=None, l2_reg_strength=0.0, **_: Any) -> np.ndarray:
        """By the same."""
        return self.loss_gradient(coef, X, y, sample_weight, l2_reg_strength)[1]

    def gradient_hessian_product(self, coef, X, y, sample_weight=None, l2_reg_strength=0.0, **_: Any) -> tuple:
        """By linear_cross_entropy_hvp."""
        weight, bias = self._split(coef)

        def hessp(s: np.ndarray) -> np.ndarray:
            tangents = self._split(s)
            grads = fs.linear_cross_entropy_hvp(X, weight, bias, y, *tangents, sample_weight=sample_weight)
            return self._joined(grads, tangents[0], l2_reg_strength, s)

        return self.gradient(coef, X, y, sample_weight, l2_reg_strength), hessp

    def gradient_hessian(
        self, coef, X, y, sample_weight=None, l2_reg_strength=0.0, gradient_out=None, hessian_out=None, **_: Any
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Column by column."""
        grad, hessp = self.gradient_hessian_product(coef, X, y, sample_weight, l2_reg_strength)
        hessian = np.column_stack([hessp(unit) for unit in np.eye(coef.size)])
        if gradient_out is not None:
            gradient_out[...] = grad
        if hessian_out is not None:
            hessian_out[...] = hessian
        return (
            grad if gradient_out is None else gradient_out,
            hessian if hessian_out is None else hessian_out,
            False,
        )


ELSEWHERE = {
    "*HalfBinomialLoss*": "of two classes by one logit",
    "*HalfPoissonLoss*": "of a regression",
    "test_init_zero_coef*": "of a method of LinearModelLoss that has no part in the computation",
    "test_linear_loss_gradient_hessian_raises_wrong_out_parameters": "of the buffers of its own way to a Hessian",
}

module = module_copy("sklearn.linear_model.tests.test_linear_loss")
module.LinearModelLoss = LinearModelLoss
names = [name for name in vars(module) if name.startswith("test_")]
globals().update({name: vars(module)[name] for name in names})


@pytest.fixture(autouse=True)
def applies(request: pytest.FixtureRequest) -> None:
    """Skips what is not of softmax."""
    skip_what_does_not_apply(request, ELSEWHERE)


def test_the_table_names_tests_that_there_are() -> None:
    """None has another name by now."""
    check_table(ELSEWHERE, names)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_ours_and_theirs_are_the_same(fit_intercept: bool, weighted: bool) -> None:
    """Loss, gradient, Hessian-vector product and Hessian of the two."""
    kind = module.HalfMultinomialLoss(n_classes=4)
    ours, theirs = (loss(base_loss=kind, fit_intercept=fit_intercept) for loss in (LinearModelLoss, Theirs))
    X, y, coef = module.random_X_y_coef(ours, n_samples=40, n_features=6)
    options = {"sample_weight": np.linspace(0.5, 2, 40) if weighted else None, "l2_reg_strength": 0.3}
    direction = np.random.default_rng(0).standard_normal(coef.shape)
    for got, want in zip(
        ours.loss_gradient(coef, X, y, **options), theirs.loss_gradient(coef, X, y, **options), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    products = [loss.gradient_hessian_product(coef, X, y, **options)[1](direction) for loss in (ours, theirs)]
    np.testing.assert_allclose(*products, rtol=1e-12, atol=1e-14)
    flat = coef.ravel(order="F")
    hessians = [loss.gradient_hessian(flat, X, y, **options)[1] for loss in (ours, theirs)]
    np.testing.assert_allclose(*hessians, rtol=1e-11, atol=1e-14)
