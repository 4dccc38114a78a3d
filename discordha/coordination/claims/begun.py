"""Begun runs: which attempts count when an event is to become a dead letter.

Guarantees: an attempt from the second on counts once its handlers are about to begin, so events whose claims
were lost before that are not buried untried. It is noted in etcd before the handlers begin, so an event that
kills its process at once is counted. Where the answer is lost and nothing was run, the note is taken back,
unless another replica has claimed the event by then: it counts an attempt too many. A first attempt has no
note, and counts once it is claimed.

Threads and locks: no lock. ``note`` blocks and is called on handler threads.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

from discordha.coordination.claims.records import Claim
from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Compare, LeaseNotFound, Put, RequestRefused, Txn

__all__ = ["BegunRuns"]

_log = logging.getLogger(__name__)

#: The pause before a note that etcd did not take is made again, seconds.
NOTE_PAUSE = 0.1
#: The pause doubles up to this one, seconds.
LAST_PAUSE = 1.0


class BegunRuns:
    """Those of one replica, below the key prefix ``root``. ``stop`` ends what waits for etcd."""

    def __init__(
        self, commit: GroupCommit, leases: RetentionLeases, root: str, stop: threading.Event
    ) -> None:
        self._commit = commit
        self._leases = leases
        self._root = root
        self._stop = stop

    def note(self, claim: Claim) -> bool:
        """Notes that an event's handlers are about to begin. Blocks until etcd has answered.

        :return: false if the claim is lost, or the replica stops: they must not begin.
        """
        before = claim.record
        if before is None:
            return True
        noted = {**before, "begun": before["begun"] + 1}
        tried: set[bytes] = set()
        pause = NOTE_PAUSE
        while not claim.lost and not self._stop.is_set():
            data = json.dumps(noted).encode()
            tried.add(data)
            try:
                if self._write(claim, data) and not claim.lost:
                    return True
                break
            except RequestRefused as error:
                if noted["payload"] is not None:
                    _log.warning("%s begins without its payload in etcd: %s", claim.key, error)
                    noted["payload"] = None
            except Exception as error:  # noqa: BLE001 - the session's end, or the replica's, ends this
                _log.debug("the attempt at %s is noted again: %s", claim.key, error)
            self._stop.wait(pause)
            pause = min(2 * pause, LAST_PAUSE)
        for data in tried:
            self._take_back(claim, data, before)
        return False

    def _write(self, claim: Claim, data: bytes) -> bool:
        """Whether it is written; not if another replica owns the event, or nobody."""
        put = Put(f"{self._root}a/{claim.key}", data, self._leases.current())
        mine = Compare.create_revision(f"{self._root}e/{claim.key}", claim.token)
        operation = Operation(Txn((mine,), (put,), ()), (put.key,))
        self._commit.execute((operation,))
        try:
            return operation.value().succeeded
        except LeaseNotFound:
            self._leases.renew(put.lease)
            raise

    def _take_back(self, claim: Claim, data: bytes, before: dict[str, Any]) -> None:
        """Undoes a note that may have been written, until somebody else writes the record. The claim may be
        gone by then, so nobody may learn from the record who owns the event."""
        ended = json.dumps({**before, "replica": None}).encode()
        put = Put(f"{self._root}a/{claim.key}", ended, self._leases.current())
        txn = Txn((Compare.value(put.key, data),), (put,), ())
        self._commit.submit((Operation(txn, (put.key,), persistent=True),))
