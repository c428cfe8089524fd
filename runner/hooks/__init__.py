"""What happens after a run; a config names a hook by its path, `runner.hooks.purge`."""

from runner.hooks.purge import purge as purge
