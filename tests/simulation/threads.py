"""Stand-ins for ``threading.Thread``, for the functions around it, and for ``threading.local``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from simulation.primitives import Event, this_task
from simulation.scheduler import Killed, Task, running

__all__ = ["Thread", "current_thread", "enumerate_threads", "get_ident", "local", "main_thread"]


class Thread:
    """``threading.Thread``. Threads count up, so that sets of them have the same order in every run."""

    _numbers = itertools.count(1)

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self._number = next(Thread._numbers)
        self._target, self._args, self._kwargs = target, tuple(args), dict(kwargs or {})
        self.name = name or f"Thread-{self._number}"
        self.daemon = bool(daemon)
        self._task: Task | None = None
        self._over = Event()

    def __hash__(self) -> int:
        return self._number

    def __repr__(self) -> str:
        return f"<Thread {self.name}>"

    @property
    def ident(self) -> int | None:
        """See ``threading.Thread``."""
        return self._number if self._task is not None else None

    native_id = ident

    def start(self) -> None:
        """See ``threading.Thread``."""
        scheduler, task = running(), this_task()
        if self._task is not None:
            raise RuntimeError("threads can only be started once")
        if scheduler is None or task is None:
            raise RuntimeError("only a thread of a simulation starts threads")
        if scheduler.closing:
            raise Killed
        self._task = scheduler.spawn(task.machine, self.name, self._main)
        self._task.thread = self
        scheduler.point()

    def _main(self) -> None:
        try:
            self.run()
        finally:
            scheduler = running()
            if scheduler is None or not scheduler.closing:
                self._over.set()

    def run(self) -> None:
        """See ``threading.Thread``."""
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def join(self, timeout: float | None = None) -> None:
        """See ``threading.Thread``."""
        if self._task is None:
            raise RuntimeError("cannot join thread before it is started")
        self._over.wait(None if timeout is None else max(timeout, 0.0))

    def is_alive(self) -> bool:
        """See ``threading.Thread``."""
        return self._task is not None and not self._over._flag


class _MainThread(Thread):
    def __init__(self) -> None:
        super().__init__(name="MainThread")


_main_thread = _MainThread()


def main_thread() -> Thread:
    """See ``threading.main_thread``."""
    return _main_thread


def current_thread() -> Thread:
    """See ``threading.current_thread``."""
    task = this_task()
    if task is None:
        return _main_thread
    if task.thread is None:
        task.thread = Thread(name=task.name)
        task.thread._task = task
    return task.thread  # type: ignore[no-any-return]


def get_ident() -> int:
    """See ``threading.get_ident``."""
    return current_thread()._number


def enumerate_threads() -> list[Thread]:
    """See ``threading.enumerate``: those of the calling machine."""
    task = this_task()
    if task is None:
        return [_main_thread]
    return sorted((each.thread for each in task.machine.tasks if each.thread), key=lambda each: each._number)


class local:
    """``threading.local``."""

    _numbers = itertools.count(1)
    _outside: ClassVar[dict[int, dict[str, Any]]] = {}

    def __new__(cls, *args: Any, **kwargs: Any) -> local:
        made = object.__new__(cls)
        object.__setattr__(made, "_made", (next(local._numbers), args, kwargs))
        local._here(made, begin=False)
        return made

    @staticmethod
    def _here(made: local, *, begin: bool = True) -> dict[str, Any]:
        number, args, kwargs = object.__getattribute__(made, "_made")
        task = this_task()
        table = local._outside if task is None else task.locals
        found = table.get(number)
        if found is None:
            found = table[number] = {}
            if begin and type(made).__init__ is not object.__init__:
                type(made).__init__(made, *args, **kwargs)
        return found

    def __getattribute__(self, name: str) -> Any:
        here = local._here(self)
        if name == "__dict__":
            return here
        return here[name] if name in here else object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        local._here(self)[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del local._here(self)[name]
        except KeyError:
            raise AttributeError(name) from None
