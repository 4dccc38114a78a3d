"""Starts a program that ends with ``discordha run``, and replaces itself with that program.

``python -I -S launch.py PARENT PROGRAM ARGUMENT...`` asks the kernel for SIGTERM at the parent's death
(Linux), writes its process id behind the descriptors in ``DISCORDHA_SUPERVISOR`` and becomes the program. A
file of its own instead of a function between fork and exec: that is not safe in a process with threads.

``python -I -S launch.py --guard LIFELINE PARENT PROGRAM ARGUMENT...`` stays above the program, which is
etcd. The lifeline is a pipe whose other end the parent and all its replicas hold. So etcd outlives a parent
that was killed for as long as replicas drain, and no longer.

Guarantees
- The program never outlives the launcher's parent by mistake: a parent that died before the request is
  noticed.
- A guard ends with the program's exit status, or 128 and the signal. SIGTERM to the guard is SIGTERM to
  etcd.

Threads and locks: none. Imports nothing of the library, so it costs 10 ms.
"""

import os
import select
import signal
import sys

__all__ = ["guard", "main"]

_VARIABLE = "DISCORDHA_SUPERVISOR"
_PR_SET_PDEATHSIG = 1
#: How long etcd may take to end after SIGTERM, seconds.
_PATIENCE = 10.0


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent is gone already")


def guard(lifeline: int, parent: int, command: list[str]) -> int:
    """Runs a program until it ends, or until nobody holds the lifeline's other end: its exit status."""
    if os.getppid() != parent:
        return 1
    awake, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()
    os.set_blocking(wake, False)
    os.set_inheritable(lifeline, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    child = 0

    def forward(number: int, frame: object) -> None:
        if child:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, forward)
    this = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            _die_with_parent(this)
            os.execv(command[0], command)
        finally:
            os._exit(127)
    watched, patience = [awake, lifeline], None
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        readable = select.select(watched, [], [], patience)[0]
        if awake in readable:
            os.read(awake, 512)
        if lifeline in readable:  # nobody writes: it is at its end
            watched, patience = [awake], _PATIENCE
            os.kill(child, signal.SIGTERM)
        elif patience is not None and not readable:
            os.kill(child, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """See the module. Returns for a guard only."""
    if arguments[0] == "--guard":
        return guard(int(arguments[1]), int(arguments[2]), arguments[3:])
    _die_with_parent(int(arguments[0]))
    environment = dict(os.environ)
    if _VARIABLE in environment:
        environment[_VARIABLE] += f",{os.getpid()}"
    os.execve(arguments[1], arguments[1:], environment)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
