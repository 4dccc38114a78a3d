"""LocalEtcd from a client's side, while it is killed, paused, restarted and its certificates rotated."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from discordha.testing import LocalEtcd, wait_for
from discordha.testing.etcd.api import EtcdApiError, EtcdMetrics
from discordha.testing.etcd.crashes import differences
from discordha.testing.processes import ChildProcess


@pytest.fixture(scope="module")
def single() -> Iterator[LocalEtcd]:
    with LocalEtcd() as etcd:
        yield etcd


@pytest.fixture(scope="module")
def trio() -> Iterator[LocalEtcd]:
    with LocalEtcd(members=3) as etcd:
        yield etcd


def put(etcd: LocalEtcd, key: str, member: int = 0) -> None:
    import base64

    encoded = base64.b64encode(key.encode()).decode()
    etcd.api.call(etcd.url(member), "kv/put", {"key": encoded, "value": encoded})


def test_survives_sigkill_with_its_data(single: LocalEtcd) -> None:
    put(single, "/discordha/kept")
    endpoint, revision = single.endpoints, single.revision()
    single.member(0).kill()
    assert not single.member(0).alive
    with pytest.raises(EtcdApiError, match="no member runs"):
        single.revision()
    single.member(0).restart()
    assert single.endpoints == endpoint
    assert single.revision() == revision
    assert single.keys("/discordha/kept")


def test_a_paused_member_answers_nothing_until_resumed(single: LocalEtcd) -> None:
    member = single.member(0)
    member.pause()
    try:
        assert member.alive
        assert member.paused
        with pytest.raises(EtcdApiError, match="timed out"):
            single.api.call(single.url(), "kv/range", {"key": "YQ=="}, timeout=0.3)
    finally:
        member.resume()
    put(single, "/discordha/after")
    member.stop()
    assert not member.alive
    single.start_all()


def settled(etcd: LocalEtcd) -> EtcdMetrics:
    """The metrics once they stand still, since etcd counts a write after its answer."""
    last: list[EtcdMetrics] = [etcd.metrics()]

    def still() -> bool:
        last.append(etcd.metrics())
        return last[-1].proposals == last[-2].proposals

    wait_for(still, 10.0, "metrics that stand still", interval=0.1)
    return last[-1]


def test_metrics_count_writes_watchers_and_leases(single: LocalEtcd) -> None:
    before = settled(single)
    for number in range(5):
        put(single, f"/discordha/metrics/{number}")
    single.api.call(single.url(), "lease/grant", {"TTL": "60"})
    wait_for(lambda: single.metrics().proposals - before.proposals >= 6, 10.0, "all writes to be counted")
    after = settled(single)
    assert after.proposals - before.proposals == 6
    assert after.leases == before.leases + 1
    assert after.keys == before.keys + 5
    assert after.db_size >= after.db_in_use > 0
    assert after.watchers == 0


def test_compaction_forgets(single: LocalEtcd) -> None:
    put(single, "/discordha/compacted")
    put(single, "/discordha/compacted")
    revision = single.compact()
    with pytest.raises(EtcdApiError, match="compacted"):
        single.api.call(single.url(), "kv/range", {"key": "YQ==", "revision": str(revision - 1)})


def test_a_cluster_outlives_its_leader(trio: LocalEtcd) -> None:
    put(trio, "/discordha/before")
    old = trio.leader()
    old.kill()
    new = trio.leader()
    assert new is not old
    put(trio, "/discordha/between", new.index)
    old.restart()
    wait_for(lambda: trio.api.keys(trio.url(old.index), "/discordha/between"), 10.0, "the member to catch up")


def test_members_that_crash_while_others_write_agree_afterwards(trio: LocalEtcd) -> None:
    stop = threading.Event()

    def write() -> None:
        for number in itertools.cycle(range(500)):
            if stop.is_set():
                return
            with contextlib.suppress(EtcdApiError):
                put(trio, f"/discordha/crash/{number}", number % 3)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        for crashed in ([trio.leader().index], [0], [1, 2], []):
            before = trio.revision()
            trio.crash(*crashed)
            assert [m.index for m in trio.members if not m.alive] == (sorted(crashed) or [0, 1, 2])
            assert not any(member.paused for member in trio.members)
            trio.start_all()
            wait_for(lambda before=before: trio.revision() > before + 20, 30.0, "writes to go on")
            assert trio.differences() == []
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def test_differences_are_seen(trio: LocalEtcd, single: LocalEtcd) -> None:
    put(single, "/discordha/elsewhere")
    urls = [trio.url(), single.url()]
    assert trio.revision() > single.revision()
    assert "/discordha/elsewhere" in differences(trio.api, urls, "/discordha/")


def test_a_paused_leader_is_replaced(trio: LocalEtcd) -> None:
    old = trio.leader()
    old.pause()
    try:
        assert trio.leader() is not old
    finally:
        old.resume()
    trio.restart_all(graceful=True)
    assert trio.leader() in trio.members


def test_tls_needs_a_certificate_and_rotates() -> None:
    with LocalEtcd(tls=True) as etcd:
        settings = etcd.client_settings()
        assert set(settings) == {"etcd_endpoints", "etcd_ca_cert", "etcd_cert", "etcd_key"}
        assert set(etcd.env()) == {f"DISCORDHA_{name.upper()}" for name in settings}
        put(etcd, "/discordha/tls")
        certificate, key = (Path(str(settings[name])).read_bytes() for name in ("etcd_cert", "etcd_key"))
        etcd.rotate_certificates()
        assert Path(str(settings["etcd_cert"])).read_bytes() != certificate
        assert etcd.keys() == ["/discordha/tls"]
        assert etcd.certificates is not None
        etcd.certificates.rotate(days=-1.0)
        with pytest.raises(EtcdApiError, match="expired"):
            etcd.keys()
        etcd.rotate_certificates(authority=True)
        assert etcd.keys() == ["/discordha/tls"]
        etcd.certificates.client_cert.write_bytes(certificate)  # signed by the old authority
        etcd.certificates.client_key.write_bytes(key)
        with pytest.raises(EtcdApiError):
            etcd.keys()


def test_the_user_may_touch_its_prefix_only() -> None:
    with LocalEtcd(auth=True) as etcd:
        settings = etcd.client_settings()
        login = {"name": settings["etcd_user"], "password": settings["etcd_password"]}
        from discordha.testing.etcd.api import EtcdApi

        user = EtcdApi(None, (str(login["name"]), str(login["password"])))
        with pytest.raises(EtcdApiError, match="user name is empty"):
            user.call(etcd.url(), "kv/put", {"key": "YQ==", "value": "YQ=="})
        user.log_in()
        assert user.keys(etcd.url(), "/discordha/") == []
        with pytest.raises(EtcdApiError, match="permission denied"):
            user.call(etcd.url(), "kv/put", {"key": "YQ==", "value": "YQ=="})
        put(etcd, "/elsewhere")  # root
        etcd.restart_all()
        assert etcd.keys("/else") == ["/elsewhere"]


def test_flags_reach_etcd_and_a_failed_start_tells_why() -> None:
    with LocalEtcd(flags=["--quota-backend-bytes=20000000"]) as etcd:
        assert etcd.metrics().raw["etcd_server_quota_backend_bytes"] == 20_000_000
    broken = LocalEtcd(flags=["--no-such-flag"])
    with pytest.raises(TimeoutError, match="flag provided but not defined"):
        broken.start()
    assert not broken.directory.exists()


def test_a_port_of_another_program_is_left_to_it() -> None:
    import socket

    etcd = LocalEtcd()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", etcd.member(0).client_port))
        stranger.listen()
        taken = etcd.endpoints
        etcd.start()
    try:
        assert etcd.endpoints != taken
        put(etcd, "/discordha/x")
    finally:
        etcd.close()
        etcd.close()


def test_starting_twice_is_an_error() -> None:
    with LocalEtcd() as etcd, pytest.raises(RuntimeError, match="started already"):
        etcd.start()


def test_two_members_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or 3"):
        LocalEtcd(members=2)


def test_a_killed_test_process_leaves_no_etcd(tmp_path: Path) -> None:
    """Files may stay, but no process."""
    program = (
        "import sys, time\n"
        "from discordha.testing import LocalEtcd\n"
        "etcd = LocalEtcd(); etcd.start()\n"
        "print(etcd.member(0).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        os.kill(pid, 0)
        harness.kill()
        harness.wait()
    wait_for(lambda: not _runs(pid), 5.0, "etcd to die with its harness")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_takes_its_group_with_it(tmp_path: Path) -> None:
    """A script that starts processes and dies leaves none; a paused one ends, too."""
    program = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); sys.exit(3)"
    child = ChildProcess([sys.executable, "-c", program], tmp_path / "log")
    assert child.wait(10.0) == 3
    grandchild = int(child.log_text())
    wait_for(lambda: not _runs(grandchild), 5.0, "the grandchild to end")
    sleeper = ChildProcess(["sleep", "600"], tmp_path / "log")
    sleeper.pause()
    sleeper.kill()
    assert sleeper.returncode == -signal.SIGKILL


def test_a_child_of_a_thread_outlives_it(tmp_path: Path) -> None:
    """The kernel's "die with the parent" means the parent's thread, which may be short-lived."""
    started: list[ChildProcess] = []
    starter = threading.Thread(
        target=lambda: started.append(ChildProcess(["sleep", "600"], tmp_path / "log"))
    )
    starter.start()
    starter.join()
    assert started[0].wait(0.2) is None
    started[0].kill()
