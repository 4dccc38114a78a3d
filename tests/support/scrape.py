"""What a replica says of itself over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from discordha.testing.ports import ReservedPort

__all__ = ["addresses", "get", "ready", "samples", "value"]


@contextmanager
def addresses(count: int) -> Iterator[list[int]]:
    """Ports that nobody else takes, for ``DISCORDHA_HTTP_ADDRESS``."""
    with ExitStack() as ends:
        ports = [ReservedPort() for _ in range(count)]
        for port in ports:
            ends.callback(port.release)
        yield [port.number for port in ports]


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; status 0 when nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def ready(port: int) -> tuple[bool, list[str]]:
    """What ``/readyz`` says, and why."""
    status, body = get(port, "/readyz")
    return status == 200, json.loads(body)["reasons"] if body else ["nobody listens"]


def samples(port: int) -> list[Any]:
    """All samples of ``/metrics``."""
    families = text_string_to_metric_families(get(port, "/metrics")[1])
    return [sample for family in families for sample in family.samples]


def value(ports: Sequence[int], name: str, **labels: str) -> float:
    """The sum of all samples of that name and with those labels, over replicas."""
    return sum(
        sample.value
        for port in ports
        for sample in samples(port)
        if sample.name == name and labels.items() <= sample.labels.items()
    )
