"""Cooldowns whose window others change at each moment: a stop ends the tries."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from discordha.coordination.etcd.store import TxnResult
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.shared import cooldowns as module
from discordha.coordination.shared.cache import SharedCaches
from discordha.coordination.shared.cooldowns import Cooldowns
from discordha.errors import StoreUnavailable


def test_a_stop_ends_the_pause_after_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    caches = SharedCaches(MemoryStore(), "/c/", retry_for=1.0, silence=5.0)
    conflict, errors = threading.Event(), []

    def refused(*_: Any) -> TxnResult:
        conflict.set()
        return TxnResult(succeeded=False, responses=[], revision=1)

    monkeypatch.setattr(caches, "run", refused)
    monkeypatch.setattr(module.random, "uniform", lambda *_: 60.0)

    def take() -> None:
        try:
            Cooldowns(caches).take("roll", 1, 5.0, now=100.0, use="1")
        except StoreUnavailable as error:
            errors.append(error)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    assert conflict.wait(5)
    caches.stop()
    thread.join(5)
    assert not thread.is_alive(), "it sleeps on"
    assert str(errors[0]) == "the bot stops"
