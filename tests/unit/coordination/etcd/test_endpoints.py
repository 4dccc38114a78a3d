"""Endpoints: how they are written, when a failed one is tried again, when certificates are read again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from discordha.coordination.etcd.endpoints import RETRY_AFTER, Endpoint, TlsFiles, parse_endpoint
from discordha.coordination.etcd.store import Store, StoreSettings
from discordha.errors import ConfigError


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "address", "secure"),
    [
        ("etcd-0.etcd:2379", "etcd-0.etcd:2379", False),
        ("http://10.0.0.1:2379", "10.0.0.1:2379", False),
        ("https://etcd:2379/", "etcd:2379", True),
        ("[::1]:2379", "[::1]:2379", False),
    ],
)
def test_the_ways_to_write_an_endpoint(text: str, address: str, secure: bool) -> None:
    assert parse_endpoint(text) == (address, secure)


@pytest.mark.parametrize(
    "text", ["", "etcd", "etcd:port", "etcd:99999", "ftp://etcd:1", "http://u:p@etcd:1", "etcd:1/x"]
)
def test_what_is_no_endpoint_names_the_field(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_endpoint(text)
    assert caught.value.field == "etcd_endpoints"


def test_no_endpoint_at_all() -> None:
    with pytest.raises(ConfigError, match="etcd_endpoints"):
        Store(StoreSettings(()))


def test_a_failed_endpoint_is_left_alone_for_a_while_by_the_given_clock() -> None:
    clock = Clock()
    endpoint = Endpoint("127.0.0.1:1", None, clock=clock)
    assert endpoint.use() is endpoint.channel
    endpoint.fail()
    with pytest.raises(ValueError, match="failed a moment ago"):
        endpoint.use()
    clock.now += RETRY_AFTER
    assert endpoint.use() is endpoint.channel
    endpoint.fail()
    endpoint.forgive()
    assert endpoint.use() is endpoint.channel
    endpoint.close()


@pytest.mark.parametrize("field", ["ca_cert", "cert", "key"])
def test_an_unreadable_file_names_its_field(tmp_path: Path, field: str) -> None:
    paths = {name: str(tmp_path / name) for name in ("ca_cert", "cert", "key")}
    for name, path in paths.items():
        if name != field:
            Path(path).write_text("pem")
    with pytest.raises(ConfigError, match=field) as caught:
        Store(StoreSettings(("127.0.0.1:1",), **paths))
    assert caught.value.field == f"etcd_{field}"


def test_certificates_are_read_again_only_after_a_failure_and_a_change(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("one")
    clock = Clock()
    endpoint = Endpoint("127.0.0.1:1", TlsFiles(str(authority), None, None), clock=clock)
    first = endpoint.use()
    endpoint.fail()
    clock.now += RETRY_AFTER
    assert endpoint.use() is first
    authority.write_text("two")
    os.utime(authority, ns=(1, 1))
    assert endpoint.use() is first
    endpoint.fail()
    clock.now += RETRY_AFTER
    assert endpoint.use() is not first
    endpoint.close()


def test_settings_never_show_the_password() -> None:
    assert "secret" not in repr(StoreSettings(("e:1",), user="bot", password="secret"))


def test_the_choice_of_an_endpoint_does_not_look_at_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> float:
        raise AssertionError("the wall clock was asked")

    clock = Clock()
    store = Store(StoreSettings(("127.0.0.1:1", "127.0.0.1:2")), clock=clock)
    for endpoint in store._endpoints:
        endpoint._clock = clock
    monkeypatch.setattr(time, "time", forbidden)
    first = store._choose().endpoint
    assert store._choose().endpoint is first, "it stays with one that works"
    store._fail(first)
    second = store._choose().endpoint
    assert second is not first
    clock.now += 0.5
    store._fail(second)
    assert store._choose().endpoint is first, "both have failed: the one that failed longest ago"
    store.close()
