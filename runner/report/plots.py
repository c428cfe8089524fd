"""Plots as SVG files, the same bytes for the same numbers."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from history.tasks import ClassificationResult
from runner.data.dataset import Array

STYLE = {"svg.hashsalt": "runner", "svg.fonttype": "none", "font.family": "sans-serif"}
LEGIBLE = 30  # classes up to which each cell of a confusion matrix is labelled
CHARACTERS = 24  # of a class name on an axis


def confusion_matrix(result: ClassificationResult, title: str, path: Path) -> None:
    """True classes down, predicted across; the colour is the share of the true class, the number
    the rows.
    """
    counts = np.array(result.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(4 + 0.42 * len(counts), 18)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    axes.set_title(f"Confusion matrix, {counts.sum()} {title}")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(counts) <= LEGIBLE:
        names = [_text(name) for name in result.classes]
        upright = max(map(len, names)) <= 3
        axes.set_xticks(
            range(len(names)),
            names,
            rotation=0 if upright else 45,
            ha="center" if upright else "right",
        )
        axes.set_yticks(range(len(names)), names)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour)
    _save(figure, path)


def predictions(truth: Array, values: Array, title: str, path: Path) -> None:
    """Predicted against true values, in the target's units; a perfect prediction lies on the
    line.
    """
    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.subplots()
    both = np.concatenate([truth, values])
    low, high = float(both.min()), float(both.max())
    margin = 0.04 * ((high - low) or 1.0)
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color="grey", linewidth=1, zorder=1)
    axes.scatter(truth, values, s=16, alpha=0.6, edgecolors="none", zorder=2)
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="true", ylabel="predicted")
    axes.set_title(f"Predicted against true, {len(truth)} {title}")
    _save(figure, path)


def _text(name: str) -> str:
    """A class name as text: XML has no control characters, and matplotlib reads a dollar sign as
    mathematics.
    """
    name = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name
    )
    return (name if len(name) <= CHARACTERS else f"{name[: CHARACTERS - 1]}…").replace("$", r"\$")


def _save(figure: Any, path: Path) -> None:
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing"
        )  # the text stays text, for the reader's fonts
        figure.savefig(path, format="svg", metadata={"Date": None})
