"""The command line's entry: says what to install when the extra is missing, else hands over to
``commands``.
"""

from __future__ import annotations

import importlib.util
import sys

__all__ = ["main"]


def main() -> None:
    """``discordha``. Exit status: 0 done; 1 it failed, or the answer is no; 2 wrong usage."""
    missing = [name for name in ("click", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"the command line needs {' and '.join(missing)}: pip install 'discordha[operations]'",
            file=sys.stderr,
        )
        raise SystemExit(1)
    from discordha.operations.cli.fleet_commands import cli

    cli(prog_name="discordha")
