"""What happens after all pipelines of a run have ended.

A hook is a function whose parameter `run` gets the run's RunSummary; its other arguments come from
the config, which names it by its path:

    hooks:
      notify: {_target_: my_project.notify, channel: results}

Hooks run in their order, `purge` last. What one raises is logged and makes the run fail, and the
others still run. Those of the project are functions of this package's modules, each with a file in
conf/hooks; docs/reports.md has all of them.
"""

from runner.hooks.purge import purge as purge
from runner.run.experiment import RunSummary as RunSummary
