"""A refusal ends a start, and is an outage afterwards; it is said once when it begins and once at its end."""

from __future__ import annotations

import logging

import pytest

from discordha.coordination.etcd.failures import QUIET, Refusals
from discordha.coordination.etcd.store import StoreRefused
from discordha.errors import ConfigError, StoreUnavailable


def test_at_start_it_is_an_error_of_the_configuration() -> None:
    refusals = Refusals()
    error = ConfigError("no", field="etcd_user")
    assert refusals.note(error) is error
    assert refusals.reason is None


def test_later_it_is_an_outage_that_is_said_twice(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    refusals = Refusals(lambda: now[0])
    refusals.outlast()
    with caplog.at_level(logging.INFO):
        for _ in range(50):
            now[0] += 0.1
            found = refusals.note(ConfigError("grant its role", field="etcd_user"))
            assert isinstance(found, StoreUnavailable)
            assert not found.maybe_applied
            refusals.accepted()  # another prefix is not refused
            assert refusals.reason == "grant its role"
        now[0] += QUIET
        refusals.accepted()
    assert refusals.reason is None
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "grant its role" in caplog.text


def test_a_full_disk_is_a_refusal_and_an_outage_is_none() -> None:
    refusals = Refusals()
    for error in (StoreUnavailable("gone"), ValueError("x")):
        assert refusals.note(error) is error
    assert refusals.reason is None
    refusals.note(StoreRefused("full"))
    assert refusals.reason == "full"
