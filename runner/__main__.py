"""The door, of `python -m runner` and of the console script: what needs no Hydra is said before it
is loaded.
"""

import gc
import os
import sys

from runner.config.choices import answer


def main() -> int:
    """Run the command line in sys.argv and return the exit code."""
    try:
        said = answer(sys.argv[1:])
        if said is not None:
            print(said, flush=True)
            return 0
        gc.disable()  # what is loaded is no garbage: looking for some takes a fifth of the time
        from runner.cli import main as run

        gc.freeze()
        gc.enable()
        return run()
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
