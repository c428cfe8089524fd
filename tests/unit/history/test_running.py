"""What the history shows of runs that are at work, from what they leave on disk."""

from pathlib import Path

import pytest
from runner_samples import pipeline

import history
from history.running import running
from history.view.commands import main
from runner.config import compose, schema
from runner.run import opened
from runner.training import ledger


def test_a_list_shows_what_runs_are_at_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the preparation on: the pipeline, its trials and the best of them; then its refits. A
    run that was killed, or whose files are damaged, is none.
    """
    root = tmp_path / "results"
    run = schema.Run(paths=schema.Paths(root=str(root)))
    objective = schema.Objective(name="val_accuracy")
    experiment = schema.Experiment("digits", run, {"mlp": pipeline(objective=objective)})
    stage = root / "runs" / "r1" / "stage" / "mlp"
    place = ledger.SearchFolder(root / "trials/digits-mlp/abc", "abc", root / ".locks")

    def shown() -> str:
        assert main(["--root", str(root), "list"]) == 0
        return " ".join(capsys.readouterr().out.split())

    with opened.opened(opened.path_of(root, "f" * 64), "this run", "r1", fresh=False):
        assert "- - preparation - - process" in shown()
        stage.mkdir(parents=True)
        (stage / "config.yaml").write_text(compose.effective(experiment, only=["mlp"]))
        assert "mlp digits search - - process" in shown()
        parts = {"objective": {"name": "val_accuracy", "direction": "max"}}
        place.mark({"pipeline": "mlp", "parts": parts})
        for number, score in enumerate((0.5, None, 0.75)):
            place.write(ledger.TRIAL, {"score": score}, f"{number:04}")
        assert "mlp digits search 3/4 0.7500 val_accuracy process" in shown()
        (stage / "trials.json").touch()
        assert "mlp digits refits 3/4 0.7500" in shown()
        (place.folder / ledger.MARKER).write_text("{}")
        assert running(history.open(root).root) == []
    place.mark({"parts": parts})
    left = next((root / "runs").glob("*.open"))
    (root / ".locks" / f"run-{left.stem}.lock").write_text("process 1 on elsewhere")  # as a kill
    assert shown() == ""
