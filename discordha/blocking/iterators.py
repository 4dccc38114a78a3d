"""discord.py's async iterators as blocking iterators, and its sequences as sequences of views.

Guarantees: a page is fetched when one of its items is asked for. The items of one page cost one trip to the
loop. An iterator that is left early may be closed; else asyncio closes it when it is collected.
Not guaranteed: that no page is fetched ahead. Where discord.py filters a page's items, the trip that reaches
its end brings the next page along.

Threads and locks: an iterator belongs to one thread at a time, like a generator. Its source runs on the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeVar, cast, overload

from discordha.blocking.bridge import Bridge
from discordha.context import unfenced

__all__ = ["BlockingIterator", "ViewSequence"]

Item = TypeVar("Item")

#: Items that one trip to the loop fetches. Discord's pages have 100 or a multiple of it.
ITEMS_PER_TRIP = 100


class BlockingIterator(Iterator[Item]):
    """A lazy iterator over an async iterator, and a context manager that closes it. ``next`` blocks when the
    fetched page is used up.

    :param wrap: makes a view of each item.
    """

    __slots__ = ("__weakref__", "_bridge", "_end", "_items", "_source", "_wrap")

    def __init__(
        self, source: AsyncIterator[Any], bridge: Bridge, wrap: Callable[[Any, Bridge], Any]
    ) -> None:
        self._source = source
        self._bridge = bridge
        self._wrap = wrap
        self._items: deque[Any] = deque()
        self._end: BaseException | None = None

    def __iter__(self) -> BlockingIterator[Item]:
        return self

    def __next__(self) -> Item:
        """Blocks; any thread but the loop's. Raises what the source or ``call`` raises."""
        if not self._items and self._end is None:
            self._end = self._bridge.call(_next_page(self._source, self._items))
        if self._items:
            return cast(Item, self._wrap(self._items.popleft(), self._bridge))
        end, self._end = self._end, StopIteration()
        assert end is not None
        if isinstance(end, StopIteration):
            raise StopIteration
        raise end

    def close(self) -> None:
        """Ends the iteration and closes the source, also for a lost event. Blocks; idempotent."""
        self._items.clear()
        self._end = StopIteration()
        close = getattr(self._source, "aclose", None)
        if close is not None:
            with unfenced():
                self._bridge.call(close())

    def __enter__(self) -> BlockingIterator[Item]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<blocking iterator over {self._source!r}>"


async def _next_page(source: AsyncIterator[Any], items: deque[Any]) -> BaseException | None:
    """Fetches one item, and those behind it that need no wait. Returns the end of the source, if reached.

    An error behind items is returned rather than raised, so that the caller sees the items first.
    """
    turned = False

    def note_turn() -> None:
        nonlocal turned
        turned = True

    try:
        items.append(await anext(source))
        turn = asyncio.get_running_loop().call_soon(note_turn)
        try:
            while not turned and len(items) < ITEMS_PER_TRIP:
                items.append(await anext(source))
        finally:
            turn.cancel()
    except StopAsyncIteration:
        return StopIteration()
    except Exception as error:
        if not items:
            raise
        return error
    return None


class ViewSequence(Sequence[Any]):
    """A read-only sequence of views over a sequence of discord.py's objects; wraps an item on access."""

    __slots__ = ("_bridge", "_sequence", "_wrap")

    def __init__(self, sequence: Sequence[Any], bridge: Bridge, wrap: Callable[[Any, Bridge], Any]) -> None:
        self._sequence = sequence
        self._bridge = bridge
        self._wrap = wrap

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._wrap(self._sequence[index], self._bridge)

    def __len__(self) -> int:
        return len(self._sequence)

    def __iter__(self) -> Iterator[Any]:
        wrap, bridge = self._wrap, self._bridge
        return (wrap(item, bridge) for item in self._sequence)

    def __contains__(self, item: object) -> bool:
        return item in self._sequence

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ViewSequence):
            return self._sequence is other._sequence or list(self._sequence) == list(other._sequence)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<views of {self._sequence!r}>"
