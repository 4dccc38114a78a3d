"""Replicas of a script without Discord and etcd, which reports ready and follows its environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from discordha.testing import Replicas, WaitTimeout, wait_for

SCRIPT = """
import os, signal, subprocess, sys, time

def drain(*_):
    print("draining", flush=True)
    sys.exit(7)

signal.signal(signal.SIGTERM, drain)
mode = os.environ.get("MODE", "")
if mode == "fails":
    sys.exit("no such token")
if mode == "child":
    print("child", subprocess.Popen(["sleep", "600"]).pid, flush=True)
print(sorted(name for name in os.environ if name.startswith(("DISCORDHA_", "BOT_"))), flush=True)
print("INFO discordha ready replica=" + os.environ["DISCORDHA_REPLICA_ID"], file=sys.stderr)
count = 0
while mode != "dies":
    count += 1
    print("tick", count, flush=True)
    time.sleep(0.01)
os._exit(9)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "bot.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return path


class Place:
    def env(self) -> dict[str, str]:
        return {"DISCORDHA_ETCD_ENDPOINTS": "127.0.0.1:1"}


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_life_of_a_replica(script: Path) -> None:
    with Replicas(script, 2) as replicas:
        replicas.wait_ready(20.0)
        first, second = replicas
        assert first.alive
        assert (first.replica_id, second.replica_id) == ("r0-1", "r1-1")
        assert os.getpgid(first.pid) == first.pid != os.getpgid(0)
        first.pause()
        assert first.paused
        before = first.log_text()
        wait_for(lambda: second.log_text().count("tick") > 20, 10.0, "the other one to go on")
        assert first.log_text() == before
        first.resume()
        wait_for(lambda: first.log_text() != before, 5.0, "the resumed one to go on")
        first.kill()
        assert first.returncode == -signal.SIGKILL
        second.drain()
        assert second.wait_exit(5.0) == 7
        assert second.log_text().rstrip().endswith("draining")
        first.restart(ready_timeout=20.0)
        assert first.replica_id == "r0-2"
        wait_for(lambda: "tick 1\n" in first.run_text(), 5.0, "the new run to go on")
        assert first.log_text().count("tick 1\n") == 2


def test_replicas_inherit_no_bot_settings(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", "the real one")
    monkeypatch.setenv("DISCORDHA_ETCD_ENDPOINTS", "production:2379")
    with Replicas(
        script,
        2,
        etcd=Place(),
        env={"DISCORDHA_NAME": "n", "DISCORDHA_WORKERS": "1"},
        per_replica_env=lambda index: {"DISCORDHA_REPLICA_ID": f"own-{index}"},
    ) as replicas:
        replicas.wait_ready(20.0)
        names = "['DISCORDHA_ETCD_ENDPOINTS', 'DISCORDHA_NAME', 'DISCORDHA_REPLICA_ID', 'DISCORDHA_WORKERS']"
        assert names in replicas[0].log_text()
        assert replicas[0].environment["DISCORDHA_ETCD_ENDPOINTS"] == "127.0.0.1:1"
        assert replicas[1].replica_id == "own-1"


def test_a_replica_that_ends_before_it_is_ready_shows_its_log(script: Path) -> None:
    with (
        pytest.raises(WaitTimeout, match=r"status 1 and was not ready(.|\n)*no such token") as caught,
        Replicas(script, 1, env={"MODE": "fails"}) as replicas,
    ):
        replicas[0].wait_ready(20.0)
    assert "end of its log" in caught.value.__notes__[0]


def test_dead_replicas_are_restarted_and_drained_ones_are_not(script: Path) -> None:
    with Replicas(
        script,
        2,
        restart=True,
        restart_delay=0.01,
        per_replica_env=lambda index: {"MODE": "dies" if index else ""},
    ) as replicas:
        wait_for(lambda: replicas[1].runs >= 3, 20.0, "a dying replica to be revived twice")
        replicas[0].wait_ready(20.0)
        replicas[0].kill()
        wait_for(lambda: replicas[0].runs == 2, 20.0, "a killed replica to be revived")
        replicas[0].wait_ready(20.0)
        replicas[0].drain()
        replicas[0].wait_exit(5.0)
        seen = replicas.restarts
        wait_for(lambda: replicas.restarts > seen + 1, 20.0, "the restarter to have come round")
        assert replicas[0].runs == 2


def test_leaving_the_context_ends_replicas_and_their_children(script: Path) -> None:
    with Replicas(script, 1, env={"MODE": "child"}) as replicas:
        replicas.wait_ready(20.0)
        pid = replicas[0].pid
        child = int(replicas[0].log_text().split()[1])
        replicas[0].pause()
        logs = replicas.directory
    assert not _runs(pid)
    wait_for(lambda: not _runs(child), 5.0, "its child to end")  # an orphan
    assert not logs.exists()


def test_a_killed_test_process_leaves_no_replica(script: Path) -> None:
    program = (
        "import sys, time\n"
        "from discordha.testing import Replicas\n"
        "replicas = Replicas(sys.argv[1], 2); replicas.start(ready_timeout=20.0)\n"
        "print(*[replica.pid for replica in replicas], flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(script)]
    environment = {**os.environ, "TMPDIR": str(script.parent)}  # a killed process can't remove its files
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as harness:
        assert harness.stdout is not None
        pids = [int(pid) for pid in harness.stdout.readline().split()]
        assert len(pids) == 2
        harness.kill()
        harness.wait()
    wait_for(lambda: not any(map(_runs, pids)), 5.0, "the replicas to die with their harness")


def test_a_module_may_be_run_with_arguments() -> None:
    with Replicas("json.tool", 1, arguments=["--help"]) as replicas:
        assert replicas[0].wait_exit(10.0) == 0
        assert "usage" in replicas[0].log_text()
        with pytest.raises(WaitTimeout, match="status 0 and was not ready"):
            replicas[0].wait_ready(5.0)


def test_wrong_use_is_told(script: Path) -> None:
    replicas = Replicas(script, 1)
    with pytest.raises(RuntimeError, match="has not been started"):
        replicas[0].pause()
    replicas.close()
    replicas.close()
