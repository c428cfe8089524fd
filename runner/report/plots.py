"""Plots as SVG files, the same bytes for the same numbers."""

import warnings
from pathlib import Path

import matplotlib.figure
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay

from history.escape import printable
from history.tasks import ClassificationResult
from runner.data.dataset import Array
from runner.errors import short

STYLE = {"svg.hashsalt": "runner", "svg.fonttype": "none", "font.family": "sans-serif"}
LEGIBLE = 30  # classes up to which each cell of a confusion matrix is labelled
CHARACTERS = 24  # of a class name on an axis


def confusion_matrix(result: ClassificationResult, title: str, path: Path) -> None:
    """Draw true classes down, predicted across; the colour is the share of the true class, the
    number the rows.
    """
    counts = np.array(result.confusion)
    # A dollar sign would be mathematics.
    names = [short(printable(name), CHARACTERS).replace("$", r"\$") for name in result.classes]
    size = min(4 + 0.42 * len(names), 18)
    figure = matplotlib.figure.Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    legible = len(names) <= LEGIBLE
    display = ConfusionMatrixDisplay(
        counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), display_labels=names
    )
    display.plot(
        ax=axes,
        cmap="Blues",
        im_kw={"vmin": 0, "vmax": 1},
        include_values=legible,
        xticks_rotation="vertical" if max(map(len, names)) > 3 else "horizontal",
    )
    display.im_.colorbar.set_label("share of the true class")
    if legible:
        for place, count in np.ndenumerate(counts):
            display.text_[place].set_text(str(count or ""))
    axes.set(
        title=f"Confusion matrix, {counts.sum()} {title}",
        xlabel="predicted",
        ylabel="true",
        **({} if legible else {"xticks": [], "yticks": []}),
    )
    _save(figure, path)


def predictions(truth: Array, values: Array, title: str, path: Path) -> None:
    """Draw predicted against true values, in the target's units; a perfect prediction lies on the
    line.
    """
    figure = matplotlib.figure.Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.axline((truth[0], truth[0]), slope=1, color="grey", linewidth=1, zorder=1)
    axes.scatter(truth, values, s=16, alpha=0.6, edgecolors="none", zorder=2)
    axes.axis("square")
    axes.set(
        title=f"Predicted against true, {len(truth)} {title}", xlabel="true", ylabel="predicted"
    )
    _save(figure, path)


def _save(figure: matplotlib.figure.Figure, path: Path) -> None:
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # The text stays text, for the reader's fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path, format="svg", metadata={"Date": None})
