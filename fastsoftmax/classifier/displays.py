"""Pictures as scikit-learn has them: `from_estimator` draws, and `plot` draws once more. matplotlib is imported when
something is drawn, and nowhere else.

Lines differ in colour, marker and dashes, so that they are told apart in print and by the colour-blind; the colours are
those of Okabe and Ito (https://jfly.uni-koeln.de/color/).
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

MARKERS = 12  # about as many on a line
MUCH = 20  # where a curve falls by as much, its axis is logarithmic


class Style(NamedTuple):
    """How one of several lines looks."""

    color: str
    marker: str
    linestyle: str


STYLES = (
    Style("#0072B2", "o", "-"),
    Style("#D55E00", "s", "--"),
    Style("#009E73", "^", "-."),
    Style("#CC79A7", "D", ":"),
    Style("#56B4E9", "v", "-"),
    Style("#E69F00", "P", "--"),
    Style("#000000", "X", "-."),
)


def axes_of(ax: Any, **size: Any) -> Any:
    """The axes that are given, or those of a new figure.

    Parameters
    ----------
    ax : matplotlib Axes or None
    **size
        Of the figure, for `matplotlib.pyplot.subplots`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("to draw takes the package matplotlib: pip install matplotlib") from None
    return pyplot.subplots(layout="constrained", **size)[1]


class LossCurveDisplay:
    """The loss of a fit by iteration, and that of the samples that early_stopping holds out.

    Parameters
    ----------
    loss_curve : array_like of shape (n_iter,)
    validation_loss_curve : array_like of shape (n_iter,), optional
    estimator_name : str, optional
        For the legend.
    unit : {"iteration", "epoch"}, default "iteration"
        What is counted.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
    lines_ : list of matplotlib Line2D

    See Also
    --------
    fastsoftmax.SoftmaxClassifier : has `loss_curve_` and `validation_loss_curve_`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> from sklearn.datasets import load_iris
    >>> model = fs.SoftmaxClassifier(solver="lbfgs").fit(*load_iris(return_X_y=True))
    >>> display = fs.LossCurveDisplay.from_estimator(model)  # doctest: +SKIP
    >>> display.figure_.savefig("loss.svg")  # doctest: +SKIP
    >>> len(fs.LossCurveDisplay(loss_curve=model.loss_curve_).loss_curve) == model.n_iter_[0]
    np.True_
    """

    def __init__(
        self,
        *,
        loss_curve: Any,
        validation_loss_curve: Any = None,
        estimator_name: str | None = None,
        unit: str = "iteration",
    ) -> None:
        self.loss_curve = np.asarray(loss_curve, np.float64)
        self.validation_loss_curve = (
            None if validation_loss_curve is None else np.asarray(validation_loss_curve, np.float64)
        )
        self.estimator_name = estimator_name
        self.unit = unit

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Any = None, name: str | None = None, **kwargs: Any
    ) -> "LossCurveDisplay":
        """Draw the curve of a fitted estimator, or of the last step of a pipeline.

        Parameters
        ----------
        estimator : estimator
            With `loss_curve_`: a SoftmaxClassifier, an MLPClassifier.
        ax : matplotlib Axes, optional
            Where to draw (default: a new figure).
        name : str, optional
            For the legend (default: the estimator's class).
        **kwargs
            For `matplotlib.axes.Axes.plot`.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        TypeError
            The estimator has no `loss_curve_`.

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> model = fs.SoftmaxClassifier().fit([[0.0], [1.0], [2.0]], [0, 0, 1])
        >>> fs.LossCurveDisplay.from_estimator(model, color="black")  # doctest: +SKIP
        """
        final = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
        check_is_fitted(final)
        if not hasattr(final, "loss_curve_"):
            raise TypeError(f"estimator must have loss_curve_, and this {type(final).__name__} has none")
        display = cls(
            loss_curve=final.loss_curve_,
            validation_loss_curve=getattr(final, "validation_loss_curve_", None),
            estimator_name=type(final).__name__ if name is None else name,
            unit="epoch" if getattr(final, "solver", None) in ("sgd", "adam") else "iteration",
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> "LossCurveDisplay":
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where (default: a new figure).
        name : str, optional
            For the legend (default: `estimator_name`).
        **kwargs
            For `matplotlib.axes.Axes.plot`.

        Returns
        -------
        LossCurveDisplay
            Itself.

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> display = fs.LossCurveDisplay(loss_curve=[1.0, 0.5, 0.3], estimator_name="by hand")
        >>> display.plot().ax_.get_xlabel()  # doctest: +SKIP
        'iteration'
        """
        self.ax_ = axes_of(ax, figsize=(6, 4))
        self.figure_ = self.ax_.figure
        curves = {"training": self.loss_curve, "held out": self.validation_loss_curve}
        prefix = f"{label}, " if (label := self.estimator_name if name is None else name) else ""
        self.lines_ = []
        for (what, curve), style in zip(curves.items(), STYLES, strict=False):
            if curve is not None and len(curve):
                look = {
                    **line_look(style),
                    "markevery": max(1, len(curve) // MARKERS),
                    "label": f"{prefix}{what}",
                    **kwargs,
                }
                self.lines_ += self.ax_.plot(np.arange(1, len(curve) + 1), curve, **look)
        if self.loss_curve.min() > 0 and self.loss_curve.max() > MUCH * self.loss_curve.min():
            self.ax_.set_yscale("log")
        self.ax_.set(xlabel=self.unit, ylabel="loss")
        self.ax_.grid(alpha=0.3)
        self.ax_.legend()
        return self


def line_look(style: Style) -> dict[str, Any]:
    """As `matplotlib.axes.Axes.plot` takes it.

    Parameters
    ----------
    style : Style

    Returns
    -------
    dict
    """
    return {"color": style.color, "marker": style.marker, "linestyle": style.linestyle, "markersize": 5}
