"""Endpoints: how they are written, when a failed one is tried again, when certificates are read again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import (
    RETRY_AFTER,
    Endpoint,
    Endpoints,
    StoreSettings,
    TlsFiles,
    parse_endpoint,
)
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
        EtcdStore(StoreSettings(()))


def test_a_failed_endpoint_is_left_alone_for_a_while_by_the_given_clock() -> None:
    clock = Clock()
    endpoint = Endpoint("127.0.0.1:1", None, clock=clock)
    assert not endpoint.is_failed
    endpoint.fail()
    clock.now += RETRY_AFTER - 0.01
    assert endpoint.is_failed
    clock.now += 0.01
    assert not endpoint.is_failed
    endpoint.close()


@pytest.mark.parametrize("field", ["ca_cert", "cert", "key"])
def test_an_unreadable_file_names_its_field(tmp_path: Path, field: str) -> None:
    paths = {name: str(tmp_path / name) for name in ("ca_cert", "cert", "key")}
    for name, path in paths.items():
        if name != field:
            Path(path).write_text("pem")
    with pytest.raises(ConfigError, match=field) as caught:
        EtcdStore(StoreSettings(("127.0.0.1:1",), **paths))
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
    endpoints = Endpoints(StoreSettings(("127.0.0.1:1", "127.0.0.1:2")), clock=clock)
    monkeypatch.setattr(time, "time", forbidden)
    first = endpoints.choose().endpoint
    assert endpoints.choose().endpoint is first, "it stays with one that works"
    first.fail()
    second = endpoints.choose().endpoint
    assert second is not first
    clock.now += 0.5
    second.fail()
    assert endpoints.choose().endpoint is first, "both have failed: the one that failed longest ago"
    assert endpoints.choose().endpoint is first, "which is usable at once"
    first.fail()
    clock.now += RETRY_AFTER
    assert endpoints.choose().endpoint in (first, second)
    endpoints.close()


def test_the_first_endpoint_is_chosen_at_random() -> None:
    settings = StoreSettings(("127.0.0.1:1", "127.0.0.1:2"))
    chosen = set()
    for _ in range(40):
        endpoints = Endpoints(settings)
        chosen.add(endpoints.choose().endpoint.address)
        endpoints.close()
    assert chosen == set(settings.endpoints)
