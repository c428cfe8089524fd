"""`python -m history`: what experiment runs left behind, for people and, with --json, for
programs.
"""

import gc
import os
import sys

from history.view.commands import main

if __name__ == "__main__":
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: what nobody reads ends no command
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w"))
    # it would walk all documents again and again, in a process that lives for a second
    gc.disable()
    sys.exit(main())
