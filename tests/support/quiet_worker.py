"""One pytest worker more, for the files that compute or are patient, at low priority.

The other workers' tests wait for most of their time, for leases to end and processes to start, and leave half
of the cores idle; one more of their kind would make them late. So ``--quiet-worker`` has the last worker take
files of ``QUIET`` alone, with a niceness that gives it what the others leave. The others take all else first,
and help with what is left of those in the end.

Guarantees: files keep their order within each kind. Without a file for it the quiet worker ends.
"""

from __future__ import annotations

import os

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

__all__ = ["QuietScheduling", "give_way", "is_quiet"]

#: Folders of files that compute, or wait with so much patience that a slow machine is none of their business.
QUIET = (
    "tests/unit/",
    "tests/model/",
    "tests/simulation/",
    "tests/integration/blocking/",
    "tests/integration/commands/",
    "tests/integration/coordination/memory/",
    "tests/integration/coordination/shared/",
    "tests/integration/examples/",
    "tests/integration/ext/",
    "tests/integration/operations/",
    "tests/integration/peers/",
    "tests/integration/testing/",
)
NICENESS = 5


def is_quiet(scope: str) -> bool:
    """Whether a file is one for the quiet worker."""
    return scope.startswith(QUIET)


def _is_last(worker: str, count: int) -> bool:
    return count > 1 and worker == f"gw{count - 1}"


def give_way(config: pytest.Config) -> None:
    """Lowers this process's priority, and that of its children to come, if it is the quiet worker."""
    given = getattr(config, "workerinput", None)
    if given is not None and _is_last(given["workerid"], given["workercount"]):
        os.nice(NICENESS)


class QuietScheduling(LoadFileScheduling):
    """Files to workers, in the order of their names; see the module."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        self._count = self.numnodes

    def _assign_work_unit(self, node: WorkerController) -> None:
        quiet = _is_last(node.gateway.id, self._count)
        fitting = (scope for scope in self.workqueue if is_quiet(scope) is quiet)
        scope = next(fitting, None)
        if scope is not None:
            self.workqueue.move_to_end(scope, last=False)
        elif quiet:
            node.shutdown()  # once it has ended what it has
            return
        super()._assign_work_unit(node)
