"""Users, passwords and certificates of a real etcd, and how a client outlives their change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from etcd3 import etcdrpc
from store_helpers import Recorder, settings_of, store_of

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.etcd.store import Put, StoreRefused
from discordha.errors import ConfigError, StoreUnavailable
from discordha.testing import LocalEtcd, wait_for
from discordha.testing.etcd.api import EtcdApi

# -- authentication


@pytest.fixture(scope="module")
def guarded() -> Iterator[LocalEtcd]:
    with LocalEtcd(auth=True) as etcd:
        yield etcd


def test_a_user_may_do_what_its_role_says_without_tls(guarded: LocalEtcd) -> None:
    with store_of(guarded) as store:
        assert store.put("/discordha/a", b"1")
        lease = store.grant(10)
        assert store.keep_alive(lease.id) == 10.0
        store.revoke(lease.id)
        assert store.status()[0].error is None
        with pytest.raises(ConfigError, match="print-role") as caught:
            store.put("/elsewhere", b"1")
        assert caught.value.field == "etcd_user"


@pytest.fixture
def token_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The user of each request for a token."""
    asked: list[str] = []

    class CountingStub(etcdrpc.AuthStub):
        def __init__(self, channel: Any) -> None:
            super().__init__(channel)
            authenticate = self.Authenticate
            self.Authenticate = lambda request, *more: (
                asked.append(request.name) or authenticate(request, *more)
            )

    monkeypatch.setattr(etcdrpc, "AuthStub", CountingStub)
    return asked


def test_tokens_that_etcd_forgot_are_renewed_without_an_error(
    guarded: LocalEtcd, token_requests: list[str]
) -> None:
    with store_of(guarded) as store:
        store.put("/discordha/a", b"1")
        lease = store.grant(30)
        assert len(token_requests) == 1
        forget_tokens(guarded)
        store.put("/discordha/a", b"2")
        assert len(token_requests) == 2
        forget_tokens(guarded)
        assert store.keep_alive(lease.id) == 30.0
        forget_tokens(guarded)
        assert store.txn([], [Put("/discordha/a", b"2")]).succeeded
        assert len(token_requests) == 3  # etcd renews a lease whatever the token


def test_a_watch_whose_token_etcd_forgot_begins_anew_without_an_error(
    guarded: LocalEtcd, caplog: pytest.LogCaptureFixture
) -> None:
    """etcd denies it as it denies one that the user may not have."""
    with store_of(guarded) as store:
        store.outlast_refusals(1.0)
        watch = store.watch("/discordha/", Recorder(), silence=5.0)
        watch.start()
        try:
            assert watch.wait_synced(10)
            store.put("/discordha/a", b"1")
            losses = watch.losses
            guarded.restart_all(graceful=True)  # its tokens were in its memory
            wait_for(lambda: watch.losses > losses and watch.alive, 10, "the watch to be back")
            wait_for(lambda: answers(store), 5, "etcd")
            assert watch.wait_revision(store.put("/discordha/a", b"1"), 10)
        finally:
            watch.stop()
    assert "is lost" in caplog.text
    assert "refuses" not in caplog.text


def test_a_watch_that_the_user_may_not_have_is_refused(guarded: LocalEtcd) -> None:
    with store_of(guarded) as store:
        store.outlast_refusals(1.0)
        watch = store.watch("/elsewhere/", Recorder(), silence=5.0)
        watch._gap = False  # the snapshot would be refused before
        watch.start()
        try:
            wait_for(lambda: store.refusal, 5, "the refusal")
            assert "refuses the watch on /elsewhere/" in str(store.refusal)
        finally:
            watch.stop()


def forget_tokens(etcd: LocalEtcd) -> None:
    """A password that is set again, to what it was, makes all tokens of the user invalid."""
    settings = settings_of(etcd)
    etcd.api.call(etcd.url(), "auth/user/changepw", {"name": settings.user, "password": settings.password})


def answers(store: EtcdStore) -> bool:
    try:
        return store.get("/discordha/a", timeout=1.0) is not None
    except StoreUnavailable:
        return False


def test_many_threads_share_one_token(guarded: LocalEtcd, token_requests: list[str]) -> None:
    with store_of(guarded) as store:
        threads = [threading.Thread(target=store.put, args=(f"/discordha/{n}", b"")) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(token_requests) == 1
        assert store.range("/discordha/").items


def test_wrong_credentials_name_the_field_and_never_show_the_password(guarded: LocalEtcd) -> None:
    right = settings_of(guarded)
    for settings, field in [
        (replace(right, password="hunter2"), "etcd_password"),
        (replace(right, user="nobody", password="hunter2"), "etcd_password"),
        (replace(right, user=None, password=None), "etcd_user"),
    ]:
        store = EtcdStore(settings)
        with pytest.raises(ConfigError) as caught:
            store.get("/discordha/a")
        assert caught.value.field == field
        assert "hunter2" not in str(caught.value)
        store.close()


def test_a_login_that_etcd_refuses_is_tried_now_and_then(
    guarded: LocalEtcd, token_requests: list[str]
) -> None:
    right = settings_of(guarded)
    password = {"name": right.user, "password": right.password}
    with store_of(guarded) as store:
        store.put("/discordha/a", b"1")
        store.outlast_refusals(quiet=0.0)
        guarded.api.call(guarded.url(), "auth/user/changepw", {**password, "password": "another"})
        try:
            token_requests.clear()
            until, calls = time.monotonic() + 1.0, 0
            while time.monotonic() < until:
                with pytest.raises(StoreRefused):
                    store.put("/discordha/a", b"2")
                calls += 1
            assert calls > 50
            assert len(token_requests) <= 3  # at 0, 0.25 and 0.75 s
        finally:
            guarded.api.call(guarded.url(), "auth/user/changepw", password)
        wait_for(lambda: answers(store), 2, "a login")
        store.put("/discordha/a", b"3")


def test_users_that_are_switched_off_and_on_again(guarded: LocalEtcd) -> None:
    """A replica that has learnt that it needs no token learns that it needs one."""
    with store_of(guarded) as store:
        store.put("/discordha/a", b"1")
        guarded.api.call(guarded.url(), "auth/disable", {})
        try:
            store.forget_token()
            store.put("/discordha/a", b"2")
        finally:
            EtcdApi(None, None).call(guarded.url(), "auth/enable", {})
        store.put("/discordha/a", b"3")
        assert store.get("/discordha/a") is not None


def test_users_that_are_switched_off_and_on_again_where_certificates_have_names() -> None:
    """etcd takes the name in a client certificate for the user's, where there is no token."""
    with LocalEtcd(tls=True, auth=True) as etcd, store_of(etcd) as store:
        store.put("/discordha/a", b"1")
        etcd.api.call(etcd.url(), "auth/disable", {})
        try:
            store.forget_token()
            store.put("/discordha/a", b"2")
        finally:
            EtcdApi(etcd.certificates, None).call(etcd.url(), "auth/enable", {})
        store.put("/discordha/a", b"3")


def test_a_user_where_etcd_knows_no_users(caplog: pytest.LogCaptureFixture) -> None:
    with LocalEtcd() as etcd:
        store = EtcdStore(StoreSettings(tuple(etcd.endpoints), user="bot", password="secret"))
        with caplog.at_level(logging.WARNING):
            store.put("/discordha/a", b"1")
            store.put("/discordha/a", b"2")
        assert caplog.text.count("etcd_user is not needed") == 1
        assert "secret" not in caplog.text
        store.close()


# -- TLS


def test_mutual_tls_and_certificates_rotated_without_a_restart_of_the_replica() -> None:
    with LocalEtcd(tls=True) as etcd, store_of(etcd, timeout=2.0) as store:
        store.put("/discordha/a", b"1")
        etcd.rotate_certificates(authority=True)
        begun = time.monotonic()
        wait_for(lambda: answers(store), 15, "the new certificates to be used")
        assert time.monotonic() - begun < 5.0


def test_tls_without_a_client_certificate_is_refused() -> None:
    with LocalEtcd(tls=True) as etcd:
        store = EtcdStore(replace(settings_of(etcd, timeout=2.0), cert=None, key=None))
        with pytest.raises(StoreUnavailable):
            store.put("/discordha/a", b"1")
        store.close()


def test_ends_that_disagree_about_tls_are_told_what_to_set(local_etcd: LocalEtcd) -> None:
    with LocalEtcd(tls=True) as secure:
        with_tls = settings_of(secure, timeout=2.0)
        plain = StoreSettings(tuple(local_etcd.endpoints), timeout=2.0)
        cases = (
            (replace(plain, endpoints=with_tls.endpoints), "etcd likely speaks TLS.*set etcd_ca_cert"),
            (replace(with_tls, endpoints=plain.endpoints), "etcd likely speaks no TLS.*unset etcd_ca_cert"),
            (replace(with_tls, cert=None, key=None), "set etcd_cert and etcd_key"),
            (
                replace(plain, endpoints=tuple(f"https://{each}" for each in with_tls.endpoints)),
                "not of an authority trusted here.*set etcd_ca_cert",
            ),
        )
        for settings, remedy in cases:
            store = EtcdStore(settings)
            with pytest.raises(StoreUnavailable, match=remedy) as raised:
                store.put("/discordha/a", b"1")
            assert not raised.value.maybe_applied
            store.close()
