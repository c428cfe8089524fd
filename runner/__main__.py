# PYTHON_ARGCOMPLETE_OK
"""The door, of `python -m runner` and of the console script: signals, streams and the import path,
before anything is loaded that takes its time; what needs no Hydra is said at once.
"""

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from foundation import streams
from runner import STOPS, Interrupted


def main() -> int:
    """Run the command line in sys.argv and return the exit code."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        from runner.config import completion

        completion.answer()
    arguments = [each.lower().lstrip("+") for each in sys.argv[1:]]  # Hydra gets others
    for number in STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in a shell's background
            signal.signal(number, _stop)
    try:
        streams.guard()
        return _answer()
    except BaseException:  # whatever it is by now
        if not Interrupted.by:
            raise
        sys.stderr.write(f"interrupted{_how_to_resume(arguments)}\n")
        if threading.active_count() > 1:
            # one of them may wait for ever, for a lock that the signal's exception has taken along
            # (bpo-29988): all but them is ended as Python does it
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(128 + Interrupted.by)
        return 128 + Interrupted.by
    finally:
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)


def _stop(number: int, _: object) -> None:
    """Raise Interrupted, unless what ends is cleaning up after it."""
    handled = sys.exception()
    while handled is not None and not isinstance(handled, Interrupted):
        handled = handled.__context__
    if handled is None:
        Interrupted.by = number
        raise Interrupted


def _answer() -> int:
    from runner.config.choices import answer

    text = answer(sys.argv[1:])
    if text is not None:
        print(text, flush=True)
        return 0
    gc.disable()  # what is loaded is no garbage: looking for some takes a fifth of the time
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import history  # noqa: F401 - before the user's folder, which may have a module of that name

    del sys.path[0]
    folder = str(Path.cwd())
    if folder not in sys.path:  # the user's code, under a console script too
        sys.path.insert(0, folder)
    from runner.cli import main as run

    gc.freeze()
    gc.enable()
    return run()


def _how_to_resume(arguments: Sequence[str]) -> str:
    """Return how a run with these arguments goes on, as the end of a message."""
    presets = {each for each in arguments if each.startswith("debug=")}
    if presets - {"debug=false", "debug=null"}:
        return ""  # it starts anew each time
    without = " without fresh=true" if "fresh=true" in arguments else ""
    return f"; finished trials are kept: re-run the same command{without} to resume"


if __name__ == "__main__":
    sys.exit(main())
