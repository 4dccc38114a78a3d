"""The pytest plugin in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(directory: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_it.py").write_text(test)
    (directory / "pytest.ini").write_text("[pytest]\n" + "\n".join(options))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "discordha.testing.plugin", str(directory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=directory,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # other packages have plugins, too
    )


LEAK = """
import threading
from discordha.testing import plugin

plugin.THREAD_GRACE = 0.5

def test_leaks():
    threading.Thread(target=threading.Event().wait, name="discordha-left-behind", daemon=True).start()

def test_does_not():
    thread = threading.Thread(target=len, args=("",))
    thread.start()
"""


def test_a_leaked_thread_fails_only_when_asked(tmp_path: Path) -> None:
    assert run(tmp_path, LEAK).returncode == 0
    checked = run(tmp_path, LEAK, "discordha_leaked_threads = true")
    assert "leaked threads: discordha-left-behind" in checked.stdout
    assert "2 passed, 1 error in" in checked.stdout


def test_fixtures_share_an_etcd_and_name_spaces_apart(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
names = set()

def test_one(local_etcd, discordha_namespace):
    names.add((local_etcd.endpoints[0], discordha_namespace))
    assert local_etcd.revision() == 1

def test_two(local_etcd, discordha_namespace):
    names.add((local_etcd.endpoints[0], discordha_namespace))
    assert len(names) == 2 and len({endpoint for endpoint, _ in names}) == 1

def test_three(local_etcd_cluster):
    assert len(local_etcd_cluster.endpoints) == 3

def test_replicas(replicas, tmp_path):
    bot = tmp_path / "bot.py"
    bot.write_text("import os; print(os.environ['DISCORDHA_NAME'], 'discordha ready replica=x', flush=True)")
    started = replicas(bot, 1, discord=None)
    assert started[0].wait_ready(20.0) == "x"
    assert "DISCORDHA_ETCD_ENDPOINTS" in started[0].environment
    assert "test-" in started[0].log_text()
    assert "DISCORDHA_ETCD_ENDPOINTS" not in replicas(bot, 1, etcd=None, discord=None)[0].environment

def test_the_local_discord_tells_replicas_apart(replicas, local_discord, tmp_path):
    bot = tmp_path / "bot.py"
    bot.write_text("")
    started = replicas(bot, 2, etcd=None)
    for index, replica in enumerate(started):
        assert replica.environment["DISCORDHA_API_URL"] == local_discord.api_url(f"r{index}")
        assert replica.environment["DISCORDHA_GATEWAY_URL"] == local_discord.gateway_url(f"r{index}")
""",
    )
    assert "5 passed" in done.stdout, done.stdout


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    program = (
        "import sys, pytest, discordha; before = set(sys.modules); import discordha.testing.plugin;"
        "print(*sorted(name for name in set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["discordha.testing", "discordha.testing.plugin"]


def test_a_failure_shows_the_ends_of_the_replicas_logs(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text("print('here I am', flush=True)")
    done = run(
        tmp_path,
        """
from discordha.testing import wait_for

def test_fails(replicas):
    fleet = replicas("bot.py", 2, discord=None, etcd=None)
    wait_for(lambda: all("here" in replica.log_text() for replica in fleet), 10, "the replicas")
    assert False
""",
    )
    assert done.returncode == 1
    assert done.stdout.count("end of the log of <Replica") == 2
    assert done.stdout.count("here I am") == 2
