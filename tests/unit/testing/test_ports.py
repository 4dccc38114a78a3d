from __future__ import annotations

import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from discordha.testing.ports import ReservedPort

TAKE = "from discordha.testing.ports import ReservedPort as P; print(*[P().number for _ in range(50)])"


def test_a_port_can_be_bound_again_and_again() -> None:
    port = ReservedPort()
    for _ in range(3):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port.number))
    port.release()
    port.release()


def test_a_port_is_outside_of_the_range_for_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [ReservedPort() for _ in range(20)]
    assert max(port.number for port in ports) < lowest
    assert len({port.number for port in ports}) == 20
    for port in ports:
        port.release()


def test_another_process_does_not_get_the_port() -> None:
    ports = [ReservedPort() for _ in range(50)]
    others = subprocess.run(
        [sys.executable, "-c", TAKE], capture_output=True, text=True, check=True, timeout=60
    )
    assert not {port.number for port in ports} & {int(number) for number in others.stdout.split()}
    for port in ports:
        port.release()


def test_a_held_port_is_refused_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock itself: taking the same number fails until the first owner releases it."""
    held = ReservedPort()
    monkeypatch.setattr(random.SystemRandom, "randint", lambda chooser, lowest, highest: held.number)
    with pytest.raises(RuntimeError, match="no free port"):
        ReservedPort()
    held.release()
    again = ReservedPort()
    assert again.number == held.number
    again.release()
