"""``make run``'s helper: a script with an etcd of its own, its exit status and its signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
print(os.environ["DISCORDHA_ETCD_ENDPOINTS"], flush=True)
while "wait" in sys.argv:
    time.sleep(0.01)
sys.exit(4)
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "bot.py"
    path.write_text(SCRIPT)
    return str(path)


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DISCORDHA_") and name != "BOT_TOKEN"
    }
    return subprocess.Popen(
        [sys.executable, "-m", "discordha.testing.run_local", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, **environment},
    )


def test_run_local_starts_an_etcd_and_passes_the_exit_status_on(script: str) -> None:
    with start(script, BOT_TOKEN="x") as run:
        out, told = run.communicate(timeout=60)
    assert run.returncode == 4
    assert out.startswith("127.0.0.1:")
    assert f"started an etcd on {out.strip()}" in told


def test_run_local_passes_sigterm_on(script: str) -> None:
    with start(script, "wait", BOT_TOKEN="x", DISCORDHA_ETCD_ENDPOINTS="here:1") as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "here:1\n"
        run.send_signal(signal.SIGTERM)
        assert run.wait(10) == 5


def test_without_a_token_run_local_says_where_to_get_one(script: str) -> None:
    with start(script) as run:
        _, told = run.communicate(timeout=60)
    assert run.returncode == 1
    assert told.startswith("no token: set BOT_TOKEN")
    assert "Traceback" not in told


def test_without_a_script_run_local_shows_its_usage() -> None:
    with start() as run:
        _, told = run.communicate(timeout=60)
    assert (run.returncode, told.split(":")[0]) == (2, "usage")
