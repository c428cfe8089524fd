"""The door, of `python -m runner` and of the console script: what needs no Hydra is said before it
is loaded.
"""

import os
import sys

from runner.config.choices import answer


def main() -> int:
    """Runs the command line in sys.argv and returns the exit code."""
    said = answer(sys.argv[1:])
    if said is not None:
        try:
            print(said, flush=True)
        except BrokenPipeError:  # whoever read it has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    from runner.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
