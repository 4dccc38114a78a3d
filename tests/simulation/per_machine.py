"""What a module of the library keeps for its process: in a simulation, for each machine."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, MutableMapping
from typing import Any

import discordha.process.threads
from simulation.primitives import this_task
from simulation.scheduler import Machine

__all__ = ["forget"]


class _List:
    """A list of each machine."""

    def __init__(self) -> None:
        self._lists: dict[Machine | None, list[Any]] = {}

    def _here(self) -> list[Any]:
        task = this_task()
        return self._lists.setdefault(task.machine if task is not None else None, [])

    def append(self, item: Any) -> None:
        self._here().append(item)

    def remove(self, item: Any) -> None:
        self._here().remove(item)

    def __contains__(self, item: Any) -> bool:
        return item in self._here()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._here())


class _ByThread(MutableMapping[Any, Any]):
    """A weak mapping by threads, which shows the calling machine's."""

    def __init__(self) -> None:
        self._all: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def __getitem__(self, thread: Any) -> Any:
        return self._all[thread]

    def __setitem__(self, thread: Any, value: Any) -> None:
        self._all[thread] = value

    def __delitem__(self, thread: Any) -> None:
        del self._all[thread]

    def __iter__(self) -> Iterator[Any]:
        task = this_task()
        here = [each for each in self._all if task is not None and each._task.machine is task.machine]
        return iter(sorted(here, key=hash))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def forget() -> None:
    """Begins anew, for a new simulation."""
    module: Any = discordha.process.threads
    module._listeners, module._troubles = _List(), _ByThread()
