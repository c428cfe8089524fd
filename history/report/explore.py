"""The plots of an entry's second page, to explore its trials with: Optuna's own.

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
SHADES = ["#9dbde8", "#0c3573"]  # from the first trial to the last
STATES = {"COMPLETE": "#4a84dd", "FAIL": "#d64545"}
AXIS = {
    **dict.fromkeys(("gridcolor", "zerolinecolor", "linecolor"), "rgba(128, 128, 128, 0.3)"),
    "exponentformat": "power",
}
NAMED = {"importance", "slices", "contour", "rank"}  # whose axes may have long names for values
NARROW = {"colorbar": {"thickness": 12, "title": {"side": "right"}}}
LOOK = {  # the page adds the colours of its text and its ground, light or dark
    "layout": {
        "colorway": ["#4a84dd", "#d9743a"],
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "margin": {"t": 40, "r": 40, "b": 50, "l": 60},
        "xaxis": AXIS,
        "yaxis": AXIS,
    },
    "data": {
        "bar": [{"marker": {"line": {"width": 0}}}],
        "contour": [NARROW],
        "parcoords": [{"line": NARROW}],
        "scatter": [{"marker": NARROW}],
    },
}


def library() -> list[Path]:
    """Return the file of Plotly.js that the plots need, as Plotly ships it; none without the extra.

    It draws them under a policy that forbids to evaluate text as code.
    """
    found = find_spec("plotly") if find_spec("optuna") else None
    return [Path(str(found.origin)).parent / "package_data" / "plotly.min.js"] if found else []


def plots(entry: Entry) -> dict[str, str]:
    """Return the plots of an entry by name, each as JSON for Plotly.js that may stand in a page; of
    fewer than two trials with a score, none; what is of the most important hyperparameters, only
    where so many trials tell them.

    Raises ImportError without Optuna and Plotly, IntegrityError when the trials are not what was
    stored.
    """
    from optuna import importance, trial, visualization

    made, score = study.study(entry), str(entry.value("search.objective.name", "score"))
    scored = made.get_trials(deepcopy=False, states=[trial.TrialState.COMPLETE])
    if len(scored) < 2:
        return {}
    by = 1 if len(made.trials) < 8 else None  # or Plotly would mark half a trial
    with warnings.catch_warnings(action="ignore"):  # few trials, and what is experimental
        evaluator = importance.PedAnovaImportanceEvaluator()
        chosen = [*importance.get_param_importances(made, evaluator=evaluator)][:MOST]
        drawn = {
            "history": visualization.plot_optimization_history(
                made, target_name=score
            ).update_xaxes(dtick=by)
        }
        if chosen:
            drawn["slices"] = visualization.plot_slice(made, chosen, target_name=score)
            drawn["slices"].update_xaxes(nticks=4).update_traces(marker_colorscale=SHADES)
            drawn["slices"].update_xaxes(dtick=1, selector={"type": "log"})  # 2 and 5 have no room
            drawn["parallel"] = visualization.plot_parallel_coordinate(
                made, chosen, target_name=score
            ).update_layout(margin_b=90)  # for names that a narrow page turns
        if len(chosen) > 1 and len(scored) >= study.ENOUGH:
            drawn["importance"] = visualization.plot_param_importances(
                made, evaluator=evaluator, params=chosen
            )
            drawn["contour"] = visualization.plot_contour(made, chosen[:2], target_name=score)
            drawn["rank"] = visualization.plot_rank(made, chosen[:2], target_name=score)
            _coarsen(drawn["contour"])
        if any(done.duration for done in scored):
            drawn["timeline"] = visualization.plot_timeline(made).update_yaxes(dtick=by)
            for bars in drawn["timeline"].data:
                bars.marker.color = STATES.get(bars.name)
    for name, figure in drawn.items():
        figure.update_layout(template=LOOK, title=None, width=None, plot_bgcolor="rgba(0, 0, 0, 0)")
        figure.update_annotations(font_color=None)
        figure.update_xaxes(automargin=name in NAMED).update_yaxes(automargin=name in NAMED)
    return {
        name: FOREIGN.sub("&lt;", files.to_json(figure.to_plotly_json()).decode()).replace(
            "<", "\\u003c"
        )
        for name, figure in drawn.items()
    }


def _coarsen(figure: Any) -> None:
    """Leave a contour plot at most CELLS values along each number's axis: means of its trials."""
    ground, layout = figure.data[0], figure.layout
    table = pd.DataFrame(ground.z, index=ground.y, columns=ground.x)
    for axis in (layout.yaxis, layout.xaxis):
        if len(table) > CELLS and axis.type != "category":
            scale = np.geomspace if axis.type == "log" else np.linspace
            edges = scale(table.index[0], table.index[-1], CELLS + 1)
            middles = (edges[1:] + edges[:-1]) / 2
            table = table.groupby(middles[np.digitize(table.index, edges[1:-1])]).mean()
        table = table.T
    ground.update(x=[*table.columns], y=[*table.index], z=table.to_numpy())
