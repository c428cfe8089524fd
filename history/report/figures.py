"""Pictures as SVG, the same bytes for the same numbers. A page gives them its colours."""

import html
import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation import escape, files

# What a page has for each colour of a picture that stands alone.
INK, FAINT, GROUND = "#1f2430", "#8a909c", "#ffffff"
CYCLE = ["#2f66d0", "#c2571a", "#2b8a57", "#a23f9a", "#7a5cd6", "#b38600", "#17808f", "#b3324b"]
COLOURS = {INK: "currentColor", FAINT: "var(--faint)", GROUND: "none"} | {
    colour: f"var(--c{number})" for number, colour in enumerate(CYCLE)
}
STYLE = {
    "svg.fonttype": "none",  # the text stays text, for the reader's fonts
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler('color', {CYCLE})",
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    **{f"{axis}tick.color": FAINT for axis in "xy"},
    **{f"{axis}tick.labelcolor": INK for axis in "xy"},
    "legend.frameon": False,
}
WIDE = 500  # points; a wider picture has a page's width for itself
LEGIBLE = 30  # classes up to which each cell of a confusion matrix is labelled
CHARACTERS = 24  # of a class name on an axis
POINTS = 1500  # of a cloud; more only make it heavy
CLOUD: dict[str, Any] = {"color": CYCLE[0], "alpha": 0.5, "mew": 0}
GUIDE: dict[str, Any] = {"color": FAINT, "lw": 1, "ls": ":"}
Array = NDArray[Any]


def drawn(title: str, draw: Callable[..., None], *given: Any, panels: int = 1, **axes: str) -> str:
    """Return what a function here draws, in so many panels side by side, as a picture that stands
    alone. Arguments: `axes`, the labels of the first panel's.
    """
    import matplotlib.figure

    file = io.StringIO()
    # salted, so that no two pictures of a page share an id
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": title}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = matplotlib.figure.Figure(figsize=(4.6 * panels, 3.3), layout="constrained")
        draw(figure.subplots(1, panels), *given)
        figure.axes[0].set(**axes)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        if labels:
            figure.legend(handles, labels, loc="outside lower center", ncols=2)
        figure.suptitle(title, fontsize=10)
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def inline(title: str, draw: Callable[..., None], *given: Any, **how: Any) -> str:
    """Return a picture as an element of a page, in its colours."""
    _, _, text = drawn(title, draw, *given, **how).partition("viewBox")
    text = re.sub(r'(?s)<metadata>.*?</metadata>|<style .*?</style>| id="[^"_]*_\d+"', "", text)
    text = re.sub("#[0-9a-f]{6}", lambda found: COLOURS.get(found[0], found[0]), text)
    kind = "wide" * (float(text.split()[2]) > WIDE)  # of ="0 0 331.2 237.6"
    return f'<svg class="{kind}" role="img" aria-label="{html.escape(title)}" viewBox{text}'


def curves(panels: Any, refits: Sequence[files.JsonObject], names: Sequence[str]) -> None:
    """Draw metrics of refits by epoch, a panel each, on the training and the validation rows."""
    for panel, name in zip(np.ravel(panels), names, strict=True):
        for number, refit in enumerate(refits):
            for colour, (key, of) in enumerate(((f"val_{name}", "validation"), (name, "training"))):
                told = np.array(refit["history"].get(key, []), float)  # None becomes NaN
                panel.plot(
                    told, color=CYCLE[colour], label=of if told.size and not number else None
                )
        panel.set(xlabel="epoch, from 0", ylabel=plain(name))
        panel.locator_params("x", integer=True)


def scores(panel: Any, found: Array, direction: str, of: str) -> None:
    """Draw scores in their order, with the best so far; those that are NaN have failed."""
    number, best = np.arange(len(found)), np.fmin if direction == "min" else np.fmax
    failed, low = number[np.isnan(found)], panel.get_xaxis_transform()
    panel.plot(number, found, "o", **CLOUD, label="score")
    panel.step(number, best.accumulate(found), where="post", color=CYCLE[1], label="best so far")
    panel.plot(
        *(failed, 0.02 + 0 * failed, "x"),
        color=FAINT,
        transform=low,
        label="failed" if failed.size else None,
    )
    panel.locator_params("x", integer=True)
    panel.set(xlabel=of, yscale="log" if 0 < 30 * np.nanmin(found) < np.nanmax(found) else "linear")


def confusion_matrix(panel: Any, truth: Array, predicted: Array, classes: Sequence[str]) -> None:
    """Draw true classes down, predicted across; the shade is the share of the true class, the
    number the rows.
    """
    size, counts = len(classes), np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (truth, predicted.argmax(axis=1)), 1)
    shade = np.full((size, size, 4), [int(CYCLE[0][at : at + 2], 16) / 255 for at in (1, 3, 5, 5)])
    shade[..., 3] = 0.6 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    panel.figure.set_size_inches(max(4.6, min(0.38 * size, 18)), max(4.2, min(0.36 * size, 17)))
    panel.pcolormesh(shade)
    names = [plain(name) for name in classes] if size <= LEGIBLE else []
    for (row, column), count in np.ndenumerate(counts[: len(names)]):
        panel.text(column + 0.5, row + 0.5, str(count or ""), ha="center", va="center")
    panel.tick_params("x", rotation=90 if max(map(len, classes)) > 3 else 0)
    ticks = {"ticks": np.arange(len(names)) + 0.5, "ticklabels": names}
    panel.set(
        **{f"{axis}{key}": value for axis in "xy" for key, value in ticks.items()},
        **{"ylim": (size, 0), "aspect": "equal"},
    )


def roc(panel: Any, truth: Array, predicted: Array, classes: Sequence[str]) -> None:
    """Draw how many rows of a class are found, for how many others are taken for it."""
    from sklearn import metrics

    few = len(classes) <= len(CYCLE)
    panel.plot((0, 1), (0, 1), **GUIDE)
    for number, name in [*enumerate(classes)][len(classes) == 2 :]:  # of two, one tells all
        if 0 < (truth == number).mean() < 1:
            wrong, right, _ = metrics.roc_curve(truth == number, predicted[:, number])
            label = f"{plain(name)}: area {metrics.auc(wrong, right):.3f}" if few else None
            panel.plot(
                wrong, right, color=CYCLE[number * few], alpha=1 if few else 0.4, label=label
            )
    panel.set_aspect("equal")


def calibration(panel: Any, truth: Array, predicted: Array, _: object) -> None:
    """Draw how often the predicted class is the true one, by the probability that it was given."""
    from sklearn.calibration import calibration_curve

    right, sure = predicted.argmax(axis=1) == truth, predicted.max(axis=1).clip(0, 1)
    share, said = calibration_curve(right, sure, n_bins=10, strategy="quantile")
    panel.axline((0.5, 0.5), slope=1, **GUIDE)
    panel.plot(said, share, "o-")


def predictions(panel: Any, truth: Array, predicted: Array, _: object) -> None:
    """Draw predicted against true values; a perfect prediction lies on the line."""
    panel.axline((truth[0], truth[0]), slope=1, **GUIDE)
    panel.plot(truth, predicted, "o", markevery=len(truth) // POINTS + 1, **CLOUD)
    panel.axis("square")


def residuals(panel: Any, truth: Array, predicted: Array, _: object) -> None:
    """Draw predicted minus true values against the predicted."""
    panel.axhline(0, **GUIDE)
    panel.plot(predicted, predicted - truth, "o", markevery=len(truth) // POINTS + 1, **CLOUD)


def stretch(panel: Any, truth: Array, predicted: Array, _: object) -> None:
    """Draw true and predicted values in the order of the rows."""
    panel.figure.set_size_inches(9.4, 3.3)
    panel.plot(truth, color=FAINT, label="true")
    panel.plot(predicted, label="predicted")


def plain(name: str) -> str:
    """Return a name as a picture can show it: short, printable, and no mathematics."""
    text = escape.printable(name)
    cut = text if len(text) <= CHARACTERS else f"{text[: CHARACTERS - 3]}..."
    return cut.replace("$", r"\$")


# What is drawn of predictions: by the name that history managers have for it, a title, how, and
# what is across and what up.
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


def held(form: Callable[..., str], name: str, part: str, truth: Array, *given: Any) -> str:
    """Return what is drawn under a name of HELD of predictions of a part, `drawn` or `inline`."""
    title, draw, across, up = HELD[name]
    return form(
        f"{title}, {len(truth):,} {part} rows", draw, truth, *given, xlabel=across, ylabel=up
    )
