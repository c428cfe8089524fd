"""What workers do: functions by their paths, which only workers import, as they need Keras."""

import pkgutil
from dataclasses import dataclass
from typing import Any

from runner.config import targets
from runner.config.schema import Run, Target
from runner.errors import ConfigError, Problem


@dataclass(frozen=True)
class Task:
    """A function that is imported where it is called."""

    path: str

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        return pkgutil.resolve_name(self.path)(*arguments)


load = Task("runner.training.build:load_data")
survey = Task("runner.training.build:dtype_of")
readable = Task("runner.training.build:readable")
refit = Task("runner.training.refit:refit")
trial = Task("runner.search.trial:run_trial")
preflight = Task("runner.search.oracles:tried")
consult = Task("runner.search.oracles:consult")


def check_hooks(run: Run) -> list[Problem]:
    """Return what is wrong with the hooks."""
    problems = list[Problem]()
    for name, hook in run.hooks.items():
        try:
            if hook is not None:
                targets.check_arguments(
                    targets.locate(hook.target, f"hooks.{name}._target_"),
                    hook.args,
                    f"hooks.{name}",
                    filled=["run"],
                )
        except ConfigError as error:
            problems += error.problems
    return problems


def hook(name: str, hook: Target, summary: Any) -> list[str]:
    """Call a hook with the summary of the run, and return the failures that this has now."""
    function = targets.locate(hook.target, f"hooks.{name}._target_")
    function(**targets.wanted(function, {"run": summary}), **hook.args)
    failures: list[str] = summary.failures
    return failures
