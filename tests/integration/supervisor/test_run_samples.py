"""What docs/cli.md says of ``discordha run`` and ``discordha reload``: every option, and real output."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from fleet import BOTS
from samples import check_sample
from supervised import Run, base_environment

PRETENDS = BOTS / "pretends.py"
PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def test_every_option_of_run_is_on_the_page() -> None:
    command = [sys.executable, "-m", "discordha", "run", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=base_environment())
    options = set(re.findall(r"(?<![\w-])(-[mn]|--[a-z-]+)", shown.stdout)) - {"--help", "--verbose"}
    assert len(options) >= 9
    documented = set(re.findall(r"`(--?[a-z-]+)", PAGE.read_text(encoding="utf-8")))
    assert not options - documented


def test_the_samples_are_what_reload_says(tmp_path: Path) -> None:
    version = tmp_path / "version"
    version.write_text("ready")
    environment = {**base_environment(), "DISCORDHA_REPLICA_ID": "bot"}
    arguments = ["-n", "2", "--reload-timeout", "20", PRETENDS, f"version={version}"]
    with Run(arguments, environment=environment, directory=tmp_path) as run:
        run.wait_ready(2)
        done = run.reload()
        assert done.returncode == 0
        check_sample("reload", "discordha reload", done.stdout, {})
        version.write_text("dies=1")
        done = run.reload()
        assert done.returncode == 1
        check_sample("reload rolled back", "discordha reload", done.stdout, {})
        assert run.stop() == 0
        done = run.reload()
        assert done.returncode == 1
        check_sample("reload nothing", "discordha reload", done.stderr, {})
