"""A wall clock that jumps: ``time.time`` of this process with an offset. Imported before everything else.

gRPC keeps the real one: its core, which is not Python, reads the machine's clock, and a deadline that one
half computes by another clock than the other half is no fault that a machine can have.
"""

import time
import types

import grpc._channel

__all__ = ["offset"]

#: Seconds ahead of the machine's.
offset = 0.0

_real, _real_ns = time.time, time.time_ns
_whole = {name: getattr(time, name) for name in dir(time)}
grpc._channel.time = types.SimpleNamespace(**_whole)  # type: ignore[attr-defined]


def _jumped() -> float:
    return _real() + offset


def _jumped_ns() -> int:
    return _real_ns() + int(offset * 1e9)


time.time, time.time_ns = _jumped, _jumped_ns
