"""What the server that workers are forked from imports, once for all of them; nothing may compute
here, as what has started threads or a device cannot be forked.
"""

import atexit
import gc
import os
import signal
import sys
import threading
from pathlib import Path

from runner import STOPS

# taking apart what was imported would take its time, for which whoever reads the output waits
atexit.register(os._exit, 0)
gc.disable()  # what is imported is no garbage: looking for some takes its time
for number in STOPS:
    signal.signal(number, signal.SIG_IGN)  # they are for the process that started it
parent, imported = os.environ.get("RUNNER_PID"), threading.Event()


def _watch() -> None:
    """End with the process that started this one, which the server does only once it serves."""
    while not imported.wait(0.5):
        if str(os.getppid()) != parent:
            os._exit(1)


watching = threading.Thread(target=_watch, daemon=True)
watching.start()
sys.path.insert(0, str(Path(__file__).parents[2]))  # the user's folder may have such modules too
import history  # noqa: E402, F401
from runner.training import environment  # noqa: E402
from runner.workers import tasks  # noqa: E402

environment.import_keras()

for task in (tasks.oracle, tasks.trial):
    task.function()

del sys.path[0]
imported.set()
watching.join()
