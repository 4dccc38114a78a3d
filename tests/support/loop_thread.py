"""An asyncio loop on a thread of its own, like the gateway's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from discordha.blocking import LoopBridge


@contextmanager
def loop_thread(*, call_timeout: float = 10.0) -> Iterator[tuple[asyncio.AbstractEventLoop, LoopBridge]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="test-loop")
    thread.start()
    bridge = LoopBridge(loop, call_timeout=call_timeout)
    try:
        yield loop, bridge
    finally:
        bridge.close()

        async def finish() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await loop.shutdown_asyncgens()

        asyncio.run_coroutine_threadsafe(finish(), loop).result(10.0)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10.0)
        loop.close()
        assert not thread.is_alive()
