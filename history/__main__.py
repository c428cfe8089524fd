"""`python -m history`: what experiment runs left behind, for people and, with --json, for
programs.
"""

import gc
import sys

from history.view.commands import main

if __name__ == "__main__":
    # it would walk all documents again and again, in a process that lives for a second
    gc.disable()
    sys.exit(main())
