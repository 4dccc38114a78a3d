"""A simulated etcd for tests without a simulation: each call is a thread of its own, run to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from simulation.etcd import SimulatedEtcd
from simulation.etcd_client import SimulatedStore
from simulation.scheduler import Scheduler

__all__ = ["SteppedStore"]

#: Virtual seconds after which a call will never end.
LONG = 60.0


class SteppedStore:
    """Calls any method of ``SimulatedStore``; watch streams can be iterated."""

    def __init__(self, seed: int = 0) -> None:
        self._scheduler = Scheduler(seed)
        self._machine = self._scheduler.machine("client")
        self.etcd = SimulatedEtcd(self._scheduler)
        self._store = self._run(lambda: SimulatedStore(self.etcd, self._machine))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = self._run(lambda: getattr(self._store, name)(*args, **kwargs))
            return _Stream(self, answer) if name == "open_watch" else answer

        return call

    def close(self) -> None:
        """Ends what is left of the simulation."""
        self._scheduler.close()

    def _run(self, call: Callable[[], Any]) -> Any:
        answers: list[Any] = []
        errors: list[Exception] = []

        def main() -> None:
            try:
                answers.append(call())
            except Exception as error:  # noqa: BLE001 - it is the caller's
                errors.append(error)

        task = self._scheduler.spawn(self._machine, "call", main)
        until = self._scheduler.now + LONG
        while not task.over and self._scheduler.now < until:
            self._scheduler.run(self._scheduler.now + 0.01)
        assert task.over, "the call does not end"
        if errors:
            raise errors[0]
        return answers[0]


class _Stream:
    def __init__(self, owner: SteppedStore, stream: Any) -> None:
        self._owner = owner
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._stream)
        while True:
            yield self._owner._run(lambda: next(batches))

    def cancel(self) -> None:
        self._owner._run(self._stream.cancel)
