"""The plots of an entry's second page, to explore its trials with: Optuna's own. What they look
like is in static/explore.js.

They need the extra `report`: Optuna and Plotly.
"""

import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foundation import files
from history import Entry
from history.report import study

MOST = 8  # hyperparameters of a plot that has a panel or an axis for each
CELLS = 40  # along a side of the contour plot: a browser takes half a minute to join 500 by 500
FOREIGN = re.compile("<(?!/?(?:br|b|extra)>)")  # tags that are not of Optuna's own texts


def library() -> list[Path]:
    """Return the file of Plotly.js that the plots need, as Plotly ships it; none without the extra.

    It draws them under a policy that forbids to evaluate text as code.
    """
    plotly = find_spec("plotly")
    if plotly is None or find_spec("optuna") is None:
        return []
    return [Path(str(plotly.origin)).parent / "package_data" / "plotly.min.js"]


def plots(entry: Entry) -> dict[str, str]:
    """Return the plots of an entry by name, each as JSON for Plotly.js that is safe within a page.

    There are none for fewer than two trials with a score. Plots of the most important
    hyperparameters need enough trials to tell which they are. Raises ImportError without Optuna and
    Plotly, IntegrityError when the trials are not what was stored.
    """
    from optuna import importance, trial, visualization

    trials = study.study(entry)
    score = entry.search.objective.name or "score"
    completed = trials.get_trials(deepcopy=False, states=[trial.TrialState.COMPLETE])
    if len(completed) < 2:
        return {}
    with warnings.catch_warnings(action="ignore"):  # few trials, and what is experimental
        evaluator = importance.PedAnovaImportanceEvaluator()
        important = list(importance.get_param_importances(trials, evaluator=evaluator))[:MOST]
        first = important[:2]
        plots = {"history": visualization.plot_optimization_history(trials, target_name=score)}
        if important:
            plots["slices"] = visualization.plot_slice(trials, important, target_name=score)
            plots["parallel"] = visualization.plot_parallel_coordinate(
                trials, important, target_name=score
            )
        if len(first) == 2 and len(completed) >= study.ENOUGH:
            plots["importance"] = visualization.plot_param_importances(
                trials, evaluator=evaluator, params=important
            )
            plots["contour"] = visualization.plot_contour(trials, first, target_name=score)
            plots["rank"] = visualization.plot_rank(trials, first, target_name=score)
            _coarsen(plots["contour"])
        if any(done.duration for done in completed):
            plots["timeline"] = visualization.plot_timeline(trials)
    return {name: _embedded(plot) for name, plot in plots.items()}


def _embedded(plot: Any) -> str:
    """Return a plot as JSON in which no name is markup, for Plotly or for the page around it."""
    json = files.to_json(plot.to_plotly_json()).decode()
    return FOREIGN.sub("&lt;", json).replace("<", "\\u003c")


def _coarsen(plot: Any) -> None:
    """Leave a contour plot at most CELLS values along each number's axis: means of its trials."""
    ground, layout = plot.data[0], plot.layout
    table = pd.DataFrame(ground.z, index=ground.y, columns=ground.x)
    for axis in (layout.yaxis, layout.xaxis):
        if len(table) > CELLS and axis.type != "category":
            scale = np.geomspace if axis.type == "log" else np.linspace
            edges = scale(table.index[0], table.index[-1], CELLS + 1)
            middles = (edges[1:] + edges[:-1]) / 2
            cells = np.digitize(table.index, edges[1:-1])
            table = table.groupby(middles[cells]).mean()
        table = table.T  # the other axis next, and both as they were in the end
    ground.update(x=list(table.columns), y=list(table.index), z=table.to_numpy())
