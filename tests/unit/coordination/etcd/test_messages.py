"""Requests: those of claims and marks are written in one piece, and say what the client's messages say."""

from __future__ import annotations

import itertools
from typing import Literal

import pytest
from etcd3 import etcdrpc

from discordha.coordination.etcd.messages import fill_txn
from discordha.coordination.etcd.store import Get, Guarded, Op

KEYS = ("k", "k" * 127, "k" * 128, "/discordha/v1/bot/e/message/1456078717431316553", "ключ/é" * 60)
VALUES = (b"", b"r r0 1", b"v" * 127, b"v" * 128, b"v" * 20_000)
NUMBERS = (0, 1, 127, 128, 300_000, 2**62)


def request(*ops: Op) -> etcdrpc.TxnRequest:
    message = etcdrpc.TxnRequest()
    fill_txn(message, (), ops, ())
    return message


@pytest.mark.parametrize("target", ["version", "create_revision"])
def test_a_guarded_put_is_the_same_in_one_piece_and_field_by_field(
    target: Literal["version", "create_revision"],
) -> None:
    made = [
        Guarded(key, target, expected, value, lease)
        for key, value, expected, lease in itertools.product(KEYS, VALUES, NUMBERS, NUMBERS)
    ]
    by_fields = request(*made, Get("other"))  # with anything else beside them
    del by_fields.success[-1]
    at_once = request(*made)
    assert len(at_once.success) == len(made)
    assert at_once == by_fields
    assert etcdrpc.TxnRequest.FromString(at_once.SerializeToString()) == by_fields


def test_a_key_that_is_no_text_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UnicodeEncodeError):
        request(Guarded("\ud800", "version", 0, b"", 0))
