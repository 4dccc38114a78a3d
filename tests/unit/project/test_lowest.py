from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def load() -> object:
    spec = importlib.util.spec_from_file_location("lowest", ROOT / "tools" / "lowest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.lowest


def test_every_requirement_has_a_lowest_version() -> None:
    lowest = load()
    assert callable(lowest)
    found = dict(line.split("==") for line in lowest((ROOT / "setup.cfg").read_text()))
    assert {"discord.py", "cslab-etcd3", "cachetools", "orjson", "click", "discord.py[voice]"} <= set(found)
    assert found["opentelemetry-sdk"] == found["opentelemetry-api"]
    assert all(found.values())


def test_one_without_a_bound_is_an_error() -> None:
    lowest = load()
    assert callable(lowest)
    extras = "".join(f"{extra} =\n" for extra in lowest.__globals__["EXTRAS"])
    text = f"[options]\ninstall_requires =\n  six\n[options.extras_require]\n{extras}"
    with pytest.raises(ValueError, match="'six' has no lower bound"):
        list(lowest(text))
