"""The entry point of the command line: names a missing package, or runs the commands. ``run`` and ``reload``
need no package.
"""

from __future__ import annotations

import importlib.util
import sys

__all__ = ["main"]


def main() -> None:
    """Runs ``discordha``. Exit status: 0 done; 1 failed, or the answer is no; 2 wrong usage."""
    if sys.argv[1:2] in (["run"], ["reload"]):
        # The parent of ``run`` stays for as long as the bot: it imports little.
        from discordha.operations.cli.run_commands import supervise

        raise SystemExit(supervise(sys.argv[1], sys.argv[2:]))
    missing = [name for name in ("click", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        sys.exit(f"the command line needs {names}: pip install 'discordha[operations]'")
    from discordha.operations.cli.fleet_commands import cli

    cli(prog_name="discordha")
