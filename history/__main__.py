# PYTHON_ARGCOMPLETE_OK
"""The door, of `python -m history` and of the console script: what experiment runs left behind, for
people and, with --json, for programs.
"""

import gc
import os
import sys

from history.view import commands


def main() -> int:
    """Run the command line in sys.argv and return the exit code."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: what nobody reads ends no command
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w"))
    # it would walk all documents again and again, in a process that lives for a second
    gc.disable()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        import argcomplete

        argcomplete.autocomplete(commands.parser, always_complete_options=False)
    return commands.main()


if __name__ == "__main__":
    sys.exit(main())
