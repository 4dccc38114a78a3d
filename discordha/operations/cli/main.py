"""The command line's entry: ``run`` and ``reload`` need nothing but discordha; for the others it says what to
install when the extra is missing, else hands over to ``fleet_commands``.
"""

from __future__ import annotations

import importlib.util
import os
import sys

__all__ = ["main"]


def main() -> None:
    """``discordha``. Exit status: 0 done; 1 it failed, or the answer is no; 2 wrong usage."""
    if sys.argv[1:2] in (["run"], ["reload"]):
        raise SystemExit(supervise(sys.argv[1], sys.argv[2:]))
    missing = [name for name in ("click", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"the command line needs {' and '.join(missing)}: pip install 'discordha[operations]'",
            file=sys.stderr,
        )
        raise SystemExit(1)
    from discordha.operations.cli.fleet_commands import cli

    cli(prog_name="discordha")


def supervise(command: str, arguments: list[str]) -> int:
    """``run`` or ``reload``: its exit status. Imports little: the parent stays for as long as the bot."""
    from discordha.operations.logs import log_to_stderr
    from discordha.supervisor.command import reload_command, run_command

    log_to_stderr("", os.environ)
    return run_command(arguments) if command == "run" else reload_command(arguments)
