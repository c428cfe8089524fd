# PYTHON_ARGCOMPLETE_OK
"""The door, of `python -m history` and of the console script: what experiment runs left behind, for
people and, with --json, for programs.
"""

import gc
import os
import sys

from foundation import streams
from history.view import commands


def main() -> int:
    """Run the command line in sys.argv and return the exit code."""
    streams.guard()
    # it would walk all documents again and again, in a process that lives for a second
    gc.disable()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        import argcomplete

        argcomplete.autocomplete(commands.parser, always_complete_options=False)
    return commands.main()


if __name__ == "__main__":
    sys.exit(main())
