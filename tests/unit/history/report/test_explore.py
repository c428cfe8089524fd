"""The plots to explore trials with."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from history_samples import Add

import history
from history.entry import Entry

pytest.importorskip("optuna")
pytest.importorskip("plotly")

from history.report import explore, pages
from history.report.explore import CELLS, plots

EVIL = '</script><a href="//evil.example">x</a>'


def number(name: str, **config: object) -> dict[str, object]:
    return {
        "class_name": "Float",
        "config": {"name": name, "min_value": 1e-4, "max_value": 1.0, "conditions": [], **config},
    }


def entry(add: Add, scores: Sequence[float | None], *space: Any) -> Entry:
    """Store an entry with a trial for each score (None: failed)."""
    draw = random.Random(0)
    rows = [
        {
            "trial_id": f"{count:04}",
            "status": "FAILED" if score is None else "COMPLETED",
            "score": score,
            "values": {each["config"]["name"]: draw.uniform(1e-4, 1) for each in space},
            "started": f"2026-07-01T10:00:{count % 60:02}+00:00",
            "seconds": 1.0,
        }
        for count, score in enumerate(scores)
    ]
    search = {"objective": {"name": "val_loss", "direction": "min"}, "space": space}
    return add(contents={"trials": json.dumps(rows).encode()}, search=search)


def searched(add: Add, scores: Sequence[float | None], *space: Any) -> dict[str, Any]:
    made = plots(entry(add, scores, *space))
    return {name: json.loads(text) for name, text in made.items()} | {
        "text": "".join(made.values())
    }


def test_every_trial_is_in_each_plot(add: Add) -> None:
    """One that failed is in the timeline alone; the ground of a contour stays small enough for a
    browser, and the plots of two hyperparameters are of the two most important.
    """
    scores = [None, *(1 / count for count in range(1, 100))]
    found = searched(add, scores, number("rate", sampling="log"), number("drop"), number("width"))
    assert {*found} == {
        *("history", "importance", "slices", "parallel", "contour", "rank", "timeline", "text")
    }
    points = {name: found[name]["data"] for name in found if name != "text"}
    assert len(points["history"][0]["x"]) == 99
    assert [len(trace["x"]) for trace in points["slices"]] == [99, 99, 99]
    assert len(points["parallel"]) == 99 + 1  # the bar of colours
    assert sum(len(trace["y"]) for trace in points["timeline"]) == 100
    ground, marks, *_ = points["contour"]
    assert len(ground["x"]) <= CELLS
    assert len(ground["y"]) <= CELLS
    assert len(marks["x"]) == 99
    shares = dict(zip(points["importance"][0]["x"], points["importance"][0]["y"], strict=True))
    assert {found["rank"]["layout"][f"{axis}axis"]["title"]["text"] for axis in "xy"} == {
        shares[share] for share in sorted(shares)[-2:]
    }


@pytest.mark.parametrize(
    ("scores", "space", "names"),
    [
        ([0.5], [number("rate")], set()),
        ([0.5, None], [number("rate")], set()),
        ([0.5, 0.5], [], {"history", "timeline"}),
        (
            [0.5, 0.4],
            [number("rate"), number("drop")],
            {"history", "slices", "parallel", "timeline"},
        ),
        (
            [0.5, 0.5],
            [number("rate")],
            {"history", "slices", "parallel", "timeline"},
        ),
    ],
)
def test_a_plot_that_would_say_nothing_is_left_out(
    add: Add, scores: Sequence[float | None], space: Any, names: set[str]
) -> None:
    assert searched(add, scores, *space).keys() - {"text"} == names


def test_a_name_is_text_in_every_plot(add: Add) -> None:
    """Neither the page that holds the JSON nor Plotly, which reads tags in texts, takes it for
    more.
    """
    text = searched(add, [0.5, 0.4, 0.3], number(EVIL), number("rate"))["text"]
    assert EVIL[:5] not in text
    assert "<" not in text
    assert "\\u003ca " not in text
    assert "&lt;a href=" in text


def test_an_entry_that_failed_has_no_plots(failed: Callable[[], Entry]) -> None:
    assert plots(failed()) == {}


def test_a_report_does_without_plotly_and_says_how_to_get_it(
    add: Add, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it, the page leads to the plots, which need one file more."""
    made, catalogue = entry(add, [0.5, 0.4], number("rate")), history.open(root)
    page = tmp_path / "report" / made.id / "index.html"
    pages.write(catalogue, [made], tmp_path / "report")
    assert 'href="explore.html"' in page.read_text()
    assert "keras-experiment-runner[report]" not in page.read_text()
    assert 'src="../plotly.min.js"' in page.with_name("explore.html").read_text()
    assert (tmp_path / "report" / "plotly.min.js").is_file()
    monkeypatch.setattr(explore, "find_spec", lambda name: None)
    pages.write(catalogue, [made], tmp_path / "without")
    page = tmp_path / "without" / made.id / "index.html"
    assert "explore.html" not in page.read_text()
    assert page.read_text().count("keras-experiment-runner[report]") == 1
    assert not (tmp_path / "without" / "plotly.min.js").exists()
