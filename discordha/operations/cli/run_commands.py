"""``discordha run`` and ``discordha reload`` on the command line.

Guarantees: needs no package but discordha's own, so it works without the extra ``operations``. A failure is
one line on standard error. Threads and locks: none; see ``supervisor``.

Exit status of ``run``: 0 all replicas have ended as asked; 1 a replica had to be killed at the end, etcd
did not start, or (``--wait-ready``) the bot was not ready in time; 2 wrong usage; 78 the bot's
configuration is refused. Of ``reload``: 0 the new version runs; 1 it does not.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from discordha.errors import ConfigError, DiscordHAError
from discordha.operations.logs import log_to_stderr
from discordha.supervisor.control import ask, runs
from discordha.supervisor.slots import RunOptions
from discordha.supervisor.supervisor import CONFIG, FAILED, Supervisor

__all__ = ["reload_command", "run_command", "supervise"]

_EXAMPLES = """\
examples:
  discordha run bot.py                                    one replica, followed by another one when it dies
  discordha run -n 2 --with-etcd /var/lib/my-bot bot.py   a highly available bot on one server
  discordha run -m package.bot -- --verbose               a module, and arguments for it

Signals: SIGTERM and SIGINT drain, a second one hurries, SIGHUP reloads. Exit status: 0 ended as asked; 1 a
replica had to be killed, etcd did not start, or the bot was not ready in time; 2 wrong usage; 78 the bot's
configuration is refused.
"""


def supervise(command: str, arguments: Sequence[str]) -> int:
    """``run`` or ``reload``, with a log on standard error: its exit status. Blocks; main thread only."""
    log_to_stderr("", os.environ)
    return run_command(arguments) if command == "run" else reload_command(arguments)


def run_command(arguments: Sequence[str]) -> int:
    """``discordha run``: its exit status. Blocks until the bot has ended; main thread only."""
    if os.name != "posix":
        return _fail("discordha run needs Linux, macOS or another Unix")
    options = _run_options(arguments)
    if options.program[0] != "-m" and not Path(options.program[0]).is_file():
        return _fail(f"there is no file {options.program[0]!r}")
    try:
        return Supervisor(options, os.environ).run()
    except ConfigError as error:
        _fail(error)
        return CONFIG


def reload_command(arguments: Sequence[str]) -> int:
    """``discordha reload``: its exit status. Blocks until the new version runs, or is rolled back."""
    parser = argparse.ArgumentParser(
        prog="discordha reload",
        description="Replace the replicas of a discordha run on this machine, one after another. Exit status "
        "1: the new version does not run, and the one before goes on.",
    )
    parser.add_argument("--pid", type=int, help="which discordha run, where there are several")
    parser.add_argument(
        "--timeout", type=float, default=300.0, help="seconds without a sign of progress (default 300)"
    )
    given = parser.parse_args(arguments)
    found = runs(os.environ)
    if given.pid is not None:
        found = {pid: path for pid, path in found.items() if pid == given.pid}
    if not found:
        return _fail(
            "no discordha run of this user was found"
            + (f" with process id {given.pid}" if given.pid is not None else " on this machine")
        )
    if len(found) > 1:
        return _fail(f"several run: choose one by --pid: {', '.join(map(str, found))}")
    (path,) = found.values()
    try:
        return 0 if ask(path, lambda text: print(text, flush=True), given.timeout) else FAILED
    except DiscordHAError as error:
        return _fail(error)


def _run_options(arguments: Sequence[str]) -> RunOptions:
    parser = argparse.ArgumentParser(
        prog="discordha run",
        usage="discordha run [OPTION...] (BOT.py | -m MODULE) [--] [ARGUMENT...]",
        description="Run a bot, and follow a replica that dies at once.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-n", "--replicas", type=_count, default=1, metavar="N", help="replicas on this machine (default 1)")
    add("-m", dest="module", metavar="MODULE", help="the bot is a module, as for python -m")
    add(
        "--with-etcd", type=Path, metavar="DIR", help="keep an etcd beside the replicas, with its data in DIR"
    )
    add(
        "--allow-test-etcd",
        action="store_true",
        help="take an etcd that can corrupt its data (3.5.0 to 3.5.2), to try things out",
    )
    add(
        "--hang-after",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="kill a replica that shows no sign of life for so long (default 30; 0: never)",
    )
    add(
        "--reload-timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long a new version may take to become ready (default 60)",
    )
    add("--watch", action="store_true", help="reload when the bot's files change: for development")
    add(
        "--wait-ready",
        action="store_true",
        help="start one replica after another, and end with status 1 when one is not ready in time",
    )
    add("program", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    rest = list(given.program)
    if given.module is not None:
        program = ["-m", given.module, *(rest[1:] if rest[:1] == ["--"] else rest)]
        sys.path.insert(0, os.getcwd())  # where python -m looks first
        if importlib.util.find_spec(given.module.split(".")[0]) is None:
            parser.error(f"there is no module {given.module!r}")
    else:
        rest = rest[1:] if rest[:1] == ["--"] else rest
        if not rest:
            parser.error("which bot? Name its file, or -m and its module")
        program = [rest[0], *(rest[2:] if rest[1:2] == ["--"] else rest[1:])]
    return RunOptions(
        program=tuple(program),
        replicas=given.replicas,
        etcd_directory=given.with_etcd,
        allow_test_etcd=given.allow_test_etcd,
        hang_after=given.hang_after,
        reload_timeout=given.reload_timeout,
        watch=given.watch,
        wait_ready=given.wait_ready,
    )


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError("must be 1 to 64")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 1e6:
        raise argparse.ArgumentTypeError("must be seconds, 0 or more")
    return seconds


def _fail(message: object) -> int:
    print(f"discordha: {' '.join(str(message).split())}", file=sys.stderr)
    return FAILED
