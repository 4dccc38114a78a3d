"""Revokes the leases of processes that are dead, so that other replicas take over at once.

Guarantees
- ``revoke`` is asked for a process that has been waited for. Nothing else ends a lease: one of a process
  that lives, or of a newer one, is never touched.
- A lease is tried until etcd says that it is gone, for as long as the parent lives: also when etcd was away
  at the moment of death, in which no lease runs out.
- Where etcd's JSON gateway does not work, a short-lived process does the same by gRPC, in half a second.

Threads and locks: ``discordha-revoker`` is owned here, started by ``start``, joined by ``stop``.
``_changed`` guards the jobs and the accesses to check; no I/O under it.
"""

from __future__ import annotations

import json
import logging
import subprocess  # nosec B404
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from discordha.errors import DiscordHAError
from discordha.supervisor.etcd_gateway import EtcdGateway, NoGateway, Unreachable
from discordha.supervisor.process import EtcdAccess

__all__ = ["Revoker", "revoke_by_grpc"]

_log = logging.getLogger("discordha.run")

#: How long a try may take, seconds.
TRY = 1.0
#: How long the process that revokes by gRPC may take, seconds.
HELPER = 10.0
#: Pauses between two tries, seconds: doubled from the first to the last.
FIRST_RETRY, LAST_RETRY = 0.05, 1.0
#: How often the way to etcd is tried before it is needed, seconds: etcd forgets a token after 300.
CHECK = 100.0
_HELPER = "discordha.coordination.etcd.revoke"


@dataclass
class _Job:
    access: EtcdAccess
    lease: int
    name: str
    dead_at: float
    said: bool = False


@dataclass
class _Check:
    lease: int
    due: float
    failed: bool = field(default=False)


class Revoker:
    """See the module.

    :param by_grpc: revokes a lease where there is no JSON gateway; blocks.
    """

    def __init__(
        self,
        *,
        by_grpc: Callable[[EtcdAccess, int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._by_grpc = by_grpc if by_grpc is not None else revoke_by_grpc
        self._clock = clock
        self._gateways: dict[EtcdAccess, EtcdGateway] = {}
        self._changed = threading.Condition()
        self._jobs: list[_Job] = []
        self._checks: dict[EtcdAccess, _Check] = {}
        self._stopping = False
        self._pause = FIRST_RETRY
        self._thread = threading.Thread(target=self._run, name="discordha-revoker", daemon=True)
        self.revoked: list[int] = []

    def start(self) -> None:
        """Starts the thread. Does not block."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Waits up to ``timeout`` seconds for what is left to revoke, then ends the thread. Idempotent."""
        with self._changed:
            self._changed.wait_for(lambda: not self._jobs or not self._thread.is_alive(), timeout)
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(HELPER)
        for job in self._jobs:
            _log.warning("lease %x of %s was not revoked and runs out by itself", job.lease, job.name)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to revoke. Does not block."""
        return not self._jobs

    def expect(self, access: EtcdAccess, lease: int) -> None:
        """Prepares for revoking leases of a living process: tries the way to etcd. Does not block."""
        with self._changed:
            check = self._checks.setdefault(access, _Check(lease, self._clock()))
            check.lease = lease
            self._changed.notify_all()

    def revoke(self, access: EtcdAccess, leases: Sequence[int], name: str) -> None:
        """Ends the leases of a process that has been waited for. Does not block.

        :param name: the process, for the log.
        """
        now = self._clock()
        with self._changed:
            self._jobs += [_Job(access, lease, name, now) for lease in reversed(leases)]
            self._pause = FIRST_RETRY
            self._changed.notify_all()

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                due = [access for access, check in self._checks.items() if check.due <= self._clock()]
                if not self._jobs and not due:
                    if self._stopping:
                        return
                    at = min((check.due for check in self._checks.values()), default=self._clock() + CHECK)
                    self._changed.wait(max(at - self._clock(), 0.0))
                    continue
                jobs = list(self._jobs)
            done = self._revoke_all(jobs)
            with self._changed:
                self._jobs = [job for job in self._jobs if job not in done]
                self._changed.notify_all()
                if self._stopping:
                    return
                if self._jobs:
                    self._changed.wait(self._pause)
                    self._pause = min(self._pause * 2, LAST_RETRY)
            if not jobs:
                for access in due:
                    self._check(access, self._checks[access])

    def _revoke_all(self, jobs: Sequence[_Job]) -> list[_Job]:
        """Tries each; those that are done. An etcd that does not answer is not asked for the next one."""
        done: list[_Job] = []
        silent: set[EtcdAccess] = set()
        for job in jobs:
            if job.access in silent:
                continue
            try:
                self._revoke(job)
            except DiscordHAError as error:
                silent.add(job.access)
                if not job.said:
                    job.said = True
                    _log.warning("lease %x of %s is not revoked yet: %s", job.lease, job.name, error)
            else:
                done.append(job)
                self.revoked.append(job.lease)
                took = (self._clock() - job.dead_at) * 1000
                _log.info("lease %x of %s is revoked, %.0f ms after its end", job.lease, job.name, took)
        return done

    def _revoke(self, job: _Job) -> None:
        gateway = self._gateways.setdefault(job.access, EtcdGateway(job.access))
        try:
            gateway.revoke(job.lease, TRY)
        except NoGateway:
            self._by_grpc(job.access, job.lease)

    def _check(self, access: EtcdAccess, check: _Check) -> None:
        check.due = self._clock() + CHECK
        gateway = self._gateways.setdefault(access, EtcdGateway(access))
        try:
            gateway.check(check.lease, TRY)
        except Unreachable as error:
            _log.debug("etcd is not to be reached: %s", error)
        except NoGateway as error:
            if not check.failed:
                check.failed = True
                _log.warning(
                    "leases of dead replicas are revoked by gRPC, which takes half a second longer: %s", error
                )


def revoke_by_grpc(access: EtcdAccess, lease: int) -> None:
    """Revokes a lease by a process that knows gRPC. Blocks.

    :raises Unreachable: it did not manage to.
    """
    request = json.dumps({"lease": lease, "etcd": access._asdict()})
    try:
        answer = subprocess.run(  # nosec B603
            [sys.executable, "-m", _HELPER],
            input=request,
            capture_output=True,
            text=True,
            check=False,
            timeout=HELPER,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreachable(f"the process that revokes by gRPC failed: {error}") from None
    # By what it says instead of by its status: the parent reaps whatever has ended, and may have been faster.
    if "revoked" not in answer.stdout.split():
        words = answer.stderr.strip().splitlines()
        raise Unreachable(words[-1] if words else "the process that revokes by gRPC ended without an answer")
