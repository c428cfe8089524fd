"""What workers do: functions by their paths, which only workers import, as they need Keras."""

import pkgutil
from dataclasses import dataclass
from typing import Any

from runner.config import schema, targets
from runner.errors import Faults


@dataclass(frozen=True)
class Task:
    """A function that is imported where it is called."""

    path: str

    def function(self) -> Any:
        """Import it."""
        return pkgutil.resolve_name(self.path)

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        return self.function()(*arguments)


load = Task("runner.training.build:load_data")
baselines = Task("runner.training.baselines:baselines")
survey = Task("runner.training.build:dtype_of")
split = Task("runner.training.build:rows_of")
readable = Task("runner.training.build:readable")
refit = Task("runner.training.refit:refit")
combine = Task("runner.training.refit:combine")
trial = Task("runner.training.trial:run_trial")
preflight = Task("runner.search.oracles:tried")
oracle = Task("runner.search.oracles:new_oracle")
consult = Task("runner.search.oracles:consult")


def check_hooks(run: schema.Run) -> Faults:
    """Return what is wrong with the hooks."""
    faults = Faults()
    for name, hook in run.hooks.items():
        with faults:
            if hook is not None:
                targets.check_arguments(
                    targets.locate(hook.target, f"hooks.{name}._target_"),
                    hook.args,
                    f"hooks.{name}",
                    filled=["run"],
                )
    return faults


def hook(name: str, hook: schema.Target, summary: Any) -> list[str]:
    """Call a hook with the summary of the run, and return the failures that this has now."""
    function = targets.locate(hook.target, f"hooks.{name}._target_")
    function(**targets.wanted(function, {"run": summary}), **hook.args)
    return list(summary.failures)
