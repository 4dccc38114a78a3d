"""What the tests of the group commit share."""

from __future__ import annotations

import pytest
from commit_gate import Gate


@pytest.fixture
def gate() -> Gate:
    return Gate()
