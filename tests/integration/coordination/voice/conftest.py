"""Replicas with a voice queue, on a real etcd or in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from store_helpers import settings_of
from voice_node import Node, NodeFactory

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.voice.queue import VoiceQueue
from discordha.testing import LocalEtcd


@pytest.fixture
def node(local_etcd: LocalEtcd, root: str) -> Iterator[NodeFactory]:
    with ExitStack() as ends:

        def make(name: str, **options: float) -> Node:
            made = Node(EtcdStore(settings_of(local_etcd)), root, name, **options)
            ends.callback(made.stop)
            return made

        yield make


@pytest.fixture(params=["etcd", "memory"])
def queue(request: pytest.FixtureRequest) -> Iterator[Callable[..., VoiceQueue]]:
    if request.param == "etcd":
        node = request.getfixturevalue("node")
        yield lambda **options: node("one", **options).voice
        return
    with ExitStack() as ends:

        def make(**options: float) -> VoiceQueue:
            made = Node(MemoryStore(), "/", "one", session_ttl=math.inf, **options)
            ends.callback(made.stop)
            return made.voice

        yield make
