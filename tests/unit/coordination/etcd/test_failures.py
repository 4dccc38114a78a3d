"""What errors of etcd and gRPC become: who has to act, what may have been applied, what is tried again."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discordha.coordination.etcd.failures import AccessDenied, Compacted, Failure, explain
from discordha.coordination.etcd.store import LeaseNotFound, RequestRefused
from discordha.errors import ConfigError, StoreUnavailable

Code = grpc.StatusCode


def failure(
    code: grpc.StatusCode, details: str, *, tls: bool = False, write: bool = True, user: str | None = "bot"
) -> Failure:
    return explain(code, details, endpoint="etcd-0:2379", tls=tls, write=write, user=user, timeout=5.0)


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        (Code.UNAVAILABLE, "Socket closed"),
        (Code.UNAVAILABLE, "etcdserver: leader changed"),
        (Code.UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure"),
        (Code.UNAVAILABLE, "etcdserver: server stopped"),
        (Code.CANCELLED, "Channel closed!"),
        (Code.UNKNOWN, ""),
        (Code.INTERNAL, "stream terminated by RST_STREAM"),
    ],
)
def test_a_write_without_an_answer_may_have_been_applied(code: grpc.StatusCode, details: str) -> None:
    found = failure(code, details)
    assert isinstance(found.error, StoreUnavailable)
    assert found.error.maybe_applied
    assert found.blame_endpoint
    assert not found.unsent


@pytest.mark.parametrize(
    "details",
    [
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused",
        "DNS resolution failed for etcd-0:2379: C-ares status is not ARES_SUCCESS",
        "etcdserver: no leader",
    ],
)
def test_what_never_reached_the_cluster_is_tried_elsewhere(details: str) -> None:
    found = failure(Code.UNAVAILABLE, details)
    assert isinstance(found.error, StoreUnavailable)
    assert not found.error.maybe_applied
    assert found.blame_endpoint
    assert found.unsent


@pytest.mark.parametrize(
    ("tls", "reason", "remedy"),
    [
        (False, "UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", "set etcd_ca_cert"),
        (True, "UNAVAILABLE: ipv4:127.0.0.1:1: Handshake read failed (Socket closed)", "unset etcd_ca_cert"),
        (True, "UNKNOWN: Tls handshake failed: SSL_ERROR_SSL: WRONG_VERSION_NUMBER", "unset etcd_ca_cert"),
        (True, "UNKNOWN: Tls handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED", "authority's file"),
        (True, "UNKNOWN: Tls handshake failed: SSL_ERROR_SSL: SSLV3_ALERT_BAD_CERTIFICATE", "set etcd_cert"),
        (True, "UNAVAILABLE: ipv4:127.0.0.1:1: Unwrap failed (TSI_DATA_CORRUPTED)", "set etcd_cert"),
        (True, "UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", "set etcd_cert"),
    ],
)
def test_ends_that_disagree_about_tls_are_told_so(tls: bool, reason: str, remedy: str) -> None:
    found = failure(Code.UNAVAILABLE, f"failed to connect to all addresses; last error: {reason}", tls=tls)
    assert isinstance(found.error, StoreUnavailable)
    assert not found.error.maybe_applied
    assert remedy in str(found.error)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "details",
    [
        "Socket closed",
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused",
        "failed to connect to all addresses; last error: UNAVAILABLE: Handshake timed out",
    ],
)
def test_an_outage_is_not_taken_for_a_disagreement_about_tls(tls: bool, details: str) -> None:
    assert "likely" not in str(failure(Code.UNAVAILABLE, details, tls=tls).error)


def test_a_read_is_never_maybe_applied() -> None:
    found = failure(Code.DEADLINE_EXCEEDED, "Deadline Exceeded", write=False)
    assert isinstance(found.error, StoreUnavailable)
    assert not found.error.maybe_applied


@pytest.mark.parametrize(
    ("details", "remedy"),
    [
        ("etcdserver: mvcc: database space exceeded", "compact and defragment"),
        ("etcdserver: too many requests", "overloaded"),
    ],
)
def test_an_overloaded_cluster_is_not_asked_again_elsewhere(details: str, remedy: str) -> None:
    found = failure(Code.RESOURCE_EXHAUSTED, details)
    assert isinstance(found.error, StoreUnavailable)
    assert remedy in str(found.error)
    assert not found.error.maybe_applied
    assert not found.blame_endpoint
    assert not found.unsent


@pytest.mark.parametrize(
    ("code", "details", "field"),
    [
        (Code.PERMISSION_DENIED, "etcdserver: permission denied", "etcd_user"),
        (
            Code.INVALID_ARGUMENT,
            "etcdserver: authentication failed, invalid user ID or password",
            "etcd_password",
        ),
        (Code.INVALID_ARGUMENT, "etcdserver: user name is empty", "etcd_user"),
        (Code.UNAUTHENTICATED, "etcdserver: invalid auth token", "etcd_user"),
    ],
)
def test_what_an_operator_must_mend_names_the_field(code: grpc.StatusCode, details: str, field: str) -> None:
    found = failure(code, details)
    assert isinstance(found.error, ConfigError)
    assert found.error.field == field
    assert field in str(found.error) or "print-role" in str(found.error)


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (Code.UNAUTHENTICATED, "etcdserver: invalid auth token"),
        (Code.INVALID_ARGUMENT, "etcdserver: revision of auth store is old"),
        (Code.INVALID_ARGUMENT, "etcdserver: user name is empty"),
    ],
)
def test_a_token_is_asked_for_again_only_with_a_user(code: grpc.StatusCode, details: str) -> None:
    assert failure(code, details).token_expired
    assert not failure(code, details, user=None).token_expired


def test_the_rest_of_etcds_own_errors() -> None:
    assert isinstance(failure(Code.NOT_FOUND, "etcdserver: requested lease not found").error, LeaseNotFound)
    assert isinstance(
        failure(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted").error, Compacted
    )
    assert isinstance(
        failure(Code.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request").error, RequestRefused
    )


@given(st.sampled_from(list(Code)), st.text(max_size=60), st.booleans())
def test_whatever_it_says_an_unknown_outcome_is_never_called_unsent(
    code: grpc.StatusCode, details: str, write: bool
) -> None:
    found = failure(code, details, write=write)
    if isinstance(found.error, StoreUnavailable) and found.error.maybe_applied:
        assert write
        assert not found.unsent


def test_a_request_that_is_too_large_for_grpc_is_at_fault_and_an_answer_is_not() -> None:
    """Of an answer that this process does not take, the request was applied."""
    found = failure(Code.RESOURCE_EXHAUSTED, "grpc: received message larger than max (3145905 vs. 2097152)")
    assert isinstance(found.error, RequestRefused)
    assert found.unsent
    answer = failure(Code.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (5 vs. 4)")
    assert isinstance(answer.error, StoreUnavailable)
    assert answer.error.maybe_applied


def test_only_denied_access_depends_on_the_key() -> None:
    assert isinstance(failure(Code.PERMISSION_DENIED, "etcdserver: permission denied").error, AccessDenied)
    for details in ("authentication failed, invalid user ID or password", "invalid auth token"):
        assert not isinstance(failure(Code.UNKNOWN, details).error, AccessDenied)
