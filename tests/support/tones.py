"""Sounds whose pitch tells the file and the position."""

from __future__ import annotations

import array
import importlib.util
import math
import wave
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["needs_voice", "write_tones"]

#: Voice is an extra; not every machine has builds of its packages.
needs_voice = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nacl", "davey", "av", "imageio_ffmpeg")),
    reason="discordha[voice] is not installed",
)


def write_tones(path: Path, tones: Sequence[float], seconds: float) -> None:
    """Writes a sound of pure tones, each with its seconds."""
    rate = 48_000
    samples = array.array("h")
    phase = 0.0
    for tone in tones:
        for _ in range(int(seconds * rate)):
            samples.append(int(12_000 * math.sin(phase)))
            phase += 2 * math.pi * tone / rate
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
