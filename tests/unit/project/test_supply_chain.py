"""Dependencies have bounds on both sides, and bandit finds nothing in the code."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
BOUNDED = re.compile(r"[A-Za-z0-9._-]+(\[[a-z]+\])?>=[0-9.]+,<[0-9.]+")


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    sections = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    lines = [line.partition(";")[0].strip() for line in "\n".join(sections).splitlines() if line.strip()]
    assert len(lines) > 15
    assert not [line for line in lines if not BOUNDED.fullmatch(line)]


def test_bandit_finds_nothing() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "bandit", "--quiet", "--ini", ".bandit", "--recursive", "discordha"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout
