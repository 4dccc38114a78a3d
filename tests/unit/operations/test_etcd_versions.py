"""What `discordha check` says of an etcd release."""

from __future__ import annotations

import pytest

from discordha.operations.cli.checks import etcd_faults


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("3.4.35", ["gets no mends"]),
        ("3.5.1", ["corrupt", "single member", "pass over", "lease may be revoked"]),
        ("3.5.3", ["single member", "pass over", "lease may be revoked"]),
        ("3.5.7", ["pass over", "lease may be revoked"]),
        ("3.5.12", ["lease may be revoked"]),
        ("3.5.13", []),
        ("3.5.21", []),
        ("3.6.0-rc.1", []),
        ("3.10.0", []),
        ("", []),
        ("unknown", []),
    ],
)
def test_each_known_fault_is_told_below_the_release_that_mends_it(version: str, says: list[str]) -> None:
    told = etcd_faults(version)
    effects = ["gets no mends", "corrupt", "single member", "pass over", "lease may be revoked"]
    assert [effect for effect in effects if effect in (told or "")] == says
    assert (told is None) == (not says)
    assert told is None or "3.5.13" in told
