"""What tests on real parts of the coordination share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from discordha.testing import LocalEtcd


@pytest.fixture
def single() -> Iterator[LocalEtcd]:
    """An etcd to break."""
    with LocalEtcd() as etcd:
        yield etcd
