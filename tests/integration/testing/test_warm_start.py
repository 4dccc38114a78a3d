"""Warm starts: a fork of the nursery is a process like any other."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest

from discordha.testing import wait_for
from discordha.testing.processes import ChildProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="warm starts need Linux")


def test_a_thread_that_waits_for_the_end_holds_up_no_other(tmp_path: Path) -> None:
    script = tmp_path / "sleeps.py"
    script.write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    child = ChildProcess([sys.executable, str(script)], tmp_path / "log")
    try:
        wait_for(lambda: "begun" in child.log_text(), 20, "the script")
        codes: list[int | None] = []
        waiter = threading.Thread(target=lambda: codes.append(child.wait(30)))
        waiter.start()
        asked = threading.Thread(target=lambda: codes.append(child.returncode))
        asked.start()
        asked.join(10)
        assert codes == [None], "it runs, and says so at once"
        child.kill()
        waiter.join(10)
        assert codes == [None, -signal.SIGKILL]
    finally:
        child.kill()


def test_exit_statuses_arguments_and_variables_arrive(tmp_path: Path) -> None:
    script = tmp_path / "ends.py"
    script.write_text("import os, sys\nprint(sys.argv[1:], os.environ['GIVEN'])\nsys.exit(7)\n")
    child = ChildProcess(
        [sys.executable, str(script), "a", "b"], tmp_path / "log", environment={"GIVEN": "x"}
    )
    assert child.wait(20) == 7
    assert "['a', 'b'] x" in child.log_text()
