"""The log of a bot whose author set up none."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging
import discord
from discordha.operations.logs import log_to_stderr
log_to_stderr("r0", {})
logging.getLogger("discordha").info("of the library")
logging.getLogger("discord.ui.view").error("of an author's view")
logging.getLogger("discord.gateway").warning("of the gateway")
"""


def test_errors_of_views_and_modals_are_seen() -> None:
    """discord.py's loggers have a handler that drops everything."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = [line.split(" ", 2)[2] for line in run.stderr.splitlines()]
    assert lines == ["INFO discordha: of the library", "ERROR discord.ui.view: of an author's view"]
