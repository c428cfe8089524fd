"""Pictures as SVG, the same bytes for the same numbers. A page gives them its colours."""

import html
import io
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation import escape, files
from history.view.page import Figure

STYLE = Path(__file__).with_name("figures.mplstyle")
FAINT = "#8a909c"  # as in STYLE, whose colours of lines matplotlib calls C0 to C7
COLOURS = 8
WIDE = 500  # points; a wider picture has a page's width for itself
LEGIBLE = 30  # classes up to which each cell of a confusion matrix is labelled
CHARACTERS = 24  # of a class name on an axis
POINTS = 1500  # of a cloud; more only make it heavy
CLOUD: dict[str, Any] = {"color": "C0", "alpha": 0.5, "mew": 0}
GUIDE: dict[str, Any] = {"color": FAINT, "lw": 1, "ls": ":"}
UNUSED = re.compile(r'(?s)<metadata>.*?</metadata>|<style .*?</style>| id="[^"_]*_\d+"')
Array = NDArray[Any]


def drawn(
    title: str, draw: Callable[..., None], *arguments: Any, panels: int = 1, **labels: str
) -> Figure:
    """Return a picture that stands alone.

    Arguments: `draw`, a function of this module, called with the panels and `arguments`; `panels`,
    how many there are side by side; `labels`, of the axes of the first panel.
    """
    import matplotlib.figure

    file = io.StringIO()
    salt = {"svg.hashsalt": title}  # so that no two pictures of a page share an id
    with matplotlib.rc_context(salt, STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = matplotlib.figure.Figure(figsize=(4.6 * panels, 3.3), layout="constrained")
        draw(figure.subplots(1, panels), *arguments)
        first = figure.axes[0]
        first.set(**labels)
        handles, names = first.get_legend_handles_labels()
        if names:
            by_name = dict(zip(names, handles, strict=True))
            figure.legend(by_name.values(), by_name, loc="outside lower center", ncols=2)
        figure.suptitle(title, fontsize=10)
        figure.savefig(file, format="svg", metadata={"Date": None})
    return Figure(title, file.getvalue())


def inline(figure: Figure) -> str:
    """Return a picture as an element of a page, in its colours."""
    _, _, svg = figure.svg.partition("viewBox")
    width = float(svg.split()[2])  # of ="0 0 331.2 237.6"
    svg = UNUSED.sub("", svg)
    colours = _page_colours()
    svg = re.sub("#[0-9a-f]{6}", lambda match: colours.get(match[0], match[0]), svg)
    kind = "wide" if width > WIDE else ""
    return f'<svg class="{kind}" role="img" aria-label="{html.escape(figure.title)}" viewBox{svg}'


@cache
def _page_colours() -> dict[str, str]:
    """Return the page's colour for each colour of a picture that stands alone."""
    import matplotlib

    style = matplotlib.rc_params_from_file(STYLE, use_default_template=False)
    colours = {style["text.color"]: "currentColor", FAINT: "var(--faint)", "#ffffff": "none"}
    for number, colour in enumerate(style["axes.prop_cycle"].by_key()["color"]):
        colours[colour] = f"var(--c{number})"
    return colours


def curves(panels: Any, refits: Sequence[files.JsonObject], names: Sequence[str]) -> None:
    """Draw metrics of refits by epoch, a panel each, on the training and the validation rows."""
    for panel, name in zip(np.ravel(panels), names, strict=True):
        for refit in refits:
            _curve(panel, refit, f"val_{name}", "C0", "validation")
            _curve(panel, refit, name, "C1", "training")
        panel.set(xlabel="epoch, from 0", ylabel=plain(name))
        panel.locator_params("x", integer=True)


def _curve(panel: Any, refit: files.JsonObject, key: str, colour: str, label: str) -> None:
    values = refit["history"].get(key)
    if values:
        panel.plot(np.array(values, float), color=colour, label=label)  # None becomes NaN


def scores(panel: Any, values: Array, direction: str, unit: str) -> None:
    """Draw scores in order, with the best so far; NaN is a failure."""
    number = np.arange(len(values))
    best = np.fmin if direction == "min" else np.fmax
    panel.plot(number, values, "o", **CLOUD, label="score")
    panel.step(number, best.accumulate(values), where="post", color="C1", label="best so far")
    failed = np.isnan(values)
    if failed.any():
        foot = panel.get_xaxis_transform()
        height = np.full(failed.sum(), 0.02)
        panel.plot(number[failed], height, "x", color=FAINT, transform=foot, label="failed")
    panel.set(xlabel=unit)
    panel.locator_params("x", integer=True)
    if 0 < 30 * np.nanmin(values) < np.nanmax(values):
        panel.set(yscale="log")


def confusion_matrix(panel: Any, truth: Array, predicted: Array, classes: Sequence[str]) -> None:
    """Draw the number of rows of each true class (down) and predicted class (across), shaded by
    its share of the true class.
    """
    from matplotlib import colors

    size = len(classes)
    counts = np.zeros((size, size), int)
    np.add.at(counts, (truth, predicted.argmax(axis=1)), 1)
    rows = counts.sum(axis=1, keepdims=True)
    shade = np.full((size, size, 4), colors.to_rgba("C0"))
    shade[..., 3] = 0.6 * counts / np.maximum(rows, 1)
    panel.figure.set_size_inches(np.clip(0.38 * size, 4.6, 18), np.clip(0.36 * size, 4.2, 17))
    panel.pcolormesh(shade)
    panel.tick_params("x", rotation=90 if max(map(len, classes)) > 3 else 0)
    panel.set(ylim=(size, 0), aspect="equal")
    names = [plain(name) for name in classes] if size <= LEGIBLE else []
    ticks = np.arange(len(names)) + 0.5
    panel.set_xticks(ticks, names)
    panel.set_yticks(ticks, names)
    for (row, column), count in np.ndenumerate(counts[: len(names)]):
        panel.text(column + 0.5, row + 0.5, str(count or ""), ha="center", va="center")


def roc(panel: Any, truth: Array, predicted: Array, classes: Sequence[str]) -> None:
    """Draw the true positive rate of each class over its false positive rate."""
    from sklearn import metrics

    first = 1 if len(classes) == 2 else 0  # one curve says all of two classes
    panel.plot((0, 1), (0, 1), **GUIDE)
    for number, name in enumerate(classes):
        is_class = truth == number
        if number < first or not 0 < is_class.mean() < 1:
            continue
        wrong, right, _ = metrics.roc_curve(is_class, predicted[:, number])
        if len(classes) > COLOURS:
            panel.plot(wrong, right, color="C0", alpha=0.4)
        else:
            label = f"{plain(name)}: area {metrics.auc(wrong, right):.3f}"
            panel.plot(wrong, right, color=f"C{number}", label=label)
    panel.set_aspect("equal")


def calibration(panel: Any, truth: Array, predicted: Array, _: object) -> None:
    """Draw how often the predicted class is right, by its predicted probability."""
    from sklearn.calibration import calibration_curve

    is_right = predicted.argmax(axis=1) == truth
    probability = predicted.max(axis=1).clip(0, 1)
    share, mean = calibration_curve(is_right, probability, n_bins=10, strategy="quantile")
    panel.axline((0.5, 0.5), slope=1, **GUIDE)
    panel.plot(mean, share, "o-")


def predictions(panel: Any, truth: Array, predicted: Array, _: object) -> None:
    """Draw predicted against true values; a perfect prediction lies on the line."""
    panel.axline((truth[0], truth[0]), slope=1, **GUIDE)
    _cloud(panel, truth, predicted)
    panel.axis("square")


def residuals(panel: Any, truth: Array, predicted: Array, _: object) -> None:
    """Draw predicted minus true values against the predicted."""
    panel.axhline(0, **GUIDE)
    _cloud(panel, predicted, predicted - truth)


def _cloud(panel: Any, across: Array, up: Array) -> None:
    panel.plot(across, up, "o", markevery=len(across) // POINTS + 1, **CLOUD)


def stretch(panel: Any, truth: Array, predicted: Array, _: object) -> None:
    """Draw true and predicted values in the order of the rows."""
    panel.figure.set_size_inches(9.4, 3.3)
    panel.plot(truth, color=FAINT, label="true")
    panel.plot(predicted, label="predicted")


def plain(name: str) -> str:
    """Return a name as a picture can show it: short, printable, and no mathematics."""
    text = escape.printable(name)
    if len(text) > CHARACTERS:
        text = f"{text[: CHARACTERS - 3]}..."
    return text.replace("$", r"\$")


# How predictions are drawn, by the names that history managers use: title, function, labels.
HELD = {
    "confusion_matrix": ("Confusion matrix", confusion_matrix, "predicted", "true"),
    "roc": (
        "Receiver operating characteristic",
        roc,
        "false positive rate",
        "true positive rate",
    ),
    "calibration": (
        "Calibration",
        calibration,
        "probability of the predicted class",
        "share that is right",
    ),
    "stretch": ("Held-out stretch", stretch, "row, in the order of time", ""),
    "predictions_plot": ("Predicted against true", predictions, "true", "predicted"),
    "residuals": ("Residuals", residuals, "predicted", "predicted - true"),
}


def held(name: str, part: str, truth: Array, predicted: Array, classes: Sequence[str]) -> Figure:
    """Return a picture of the predictions on the rows of a part: the one named in HELD."""
    title, draw, across, up = HELD[name]
    title = f"{title}, {len(truth):,} {part} rows"
    return drawn(title, draw, truth, predicted, classes, xlabel=across, ylabel=up)
