"""Describes an entry in a model card: Markdown with the header of the Hugging Face Hub, and what
the checklists for reproducibility of ACL and NeurIPS ask for.
"""

import re
from pathlib import PurePath

import jinja2
import yaml

from foundation import errors, escape
from history import Entry, ranking
from history.report import pages, study
from history.view.text import duration

MARKS = re.compile(r"[\\`*\[\]<>|~&#$]|\b_|_\b")  # what Markdown takes for more than text
# what the Hub calls a task, by the rank of the rows
TASKS = {
    ("classification", 2): "tabular-classification",
    ("regression", 2): "tabular-regression",
    ("classification", 4): "image-classification",
}


def card(entry: Entry) -> bytes:
    """Return the card; raises InputError for an entry without a model."""
    value, artefacts = entry.value, entry.value("artefacts", {})
    if "model" not in artefacts:
        raise errors.InputError(f"entry {entry.id} has no model to describe")
    source, split = (
        {k: v for k, v in value(f"data.{of}", {}).items() if v not in (None, [], {})}
        for of in ("source", "split")
    )
    named = str(next((source[k] for k in ("name", "path", "_target_") if k in source), "unknown"))
    task = (
        "time-series-forecasting"
        if source.get("kind") == "windows"
        else TASKS.get((entry.task, len(value("data.shapes.train", ()))))
    )
    measured = {
        part: {
            n: m for n in value(f"{part}.metrics", {}) if (m := entry.metric(n, part)) is not None
        }
        for part in ranking.PARTS
    }
    header = {
        "library_name": "keras",
        "pipeline_tag": task,
        "tags": ["keras", "keras-tuner", entry.task],
        "metrics": [*measured["validation"]],
        "model-index": [
            {
                "name": entry.id,
                "results": [
                    {
                        "task": {"type": task or entry.task},
                        "dataset": {"type": PurePath(named).stem, "name": named, "split": part},
                        "metrics": [{"type": n, "value": m} for n, m in found.items()],
                    }
                    for part, found in measured.items()
                    if found
                ],
            }
        ],
    }
    text = CARD.render(
        entry=entry,
        value=value,
        source=source,
        split=split,
        space=study.space(entry),
        duration=duration,
        trainings=sum(len(row["history"]) for row in study.trials(entry)),
        seeds=[refit["seed"] for refit in entry.refits()] if "history" in artefacts else [],
        **pages.judged(entry),
    )
    known = yaml.safe_dump({k: v for k, v in header.items() if v}, sort_keys=False)
    return f"---\n{known}---\n\n{text}".encode()


CARD = jinja2.Environment(
    loader=jinja2.PackageLoader("history.exchange"),
    finalize=lambda value: MARKS.sub(r"\\\g<0>", escape.printable(value)),
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("card.md", globals=pages.PAGES.globals)
