"""What the tests of shared state have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from shared_node import LoneNode, Node
from store_helpers import settings_of

from discordha.testing import LocalEtcd


@pytest.fixture
def nodes(local_etcd: LocalEtcd, root: str) -> Iterator[Callable[[str], Node]]:
    """Makes nodes; stops them all at the end."""
    with ExitStack() as ends:
        yield lambda name, **options: ends.enter_context(Node(settings_of(local_etcd), root, name, **options))


@pytest.fixture(params=["etcd", "memory"])
def ha(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One replica, of each kind."""
    if request.param == "etcd":
        yield request.getfixturevalue("nodes")("a")
    else:
        with LoneNode() as node:
            yield node
