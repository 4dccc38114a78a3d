"""Starts a program that dies with its parent: ``python -I -S _launch.py PARENT_PID PROGRAM ARGUMENT...``.

Replaces itself with the program, so that the process id stays. It is a program of its own because a function
between fork and exec is not safe in a process with threads. It imports nothing of the library, which would
cost time.
"""

__all__ = ["main"]

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Asks the kernel for SIGKILL at the parent's death, unless that is past; then becomes the program."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the parent is gone already")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
