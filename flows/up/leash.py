"""Runs a command that is told to end when its parent has ended, however that came.

`python -m flows.up.leash PARENT COMMAND…` turns into the command, so that its process id stays. On
systems other than Linux nothing is told; what is left there is found at the next start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # of prctl(2); it outlives exec


def main(arguments: Sequence[str]) -> int:
    """Tie this process to its parent, and become the command."""
    parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before it could be watched
        return 128 + signal.SIGTERM
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
