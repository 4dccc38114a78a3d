"""What makes a source distribution reproducible. ``make dist`` builds the real ones."""

from __future__ import annotations

import importlib.util
import os
import tarfile
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[3]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dist", ROOT / "tools" / "dist.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def archive(folder: Path, names: list[str], mtime: int) -> Path:
    path = folder / "x.tar.gz"
    folder.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            source = folder / name
            source.write_text(name * 100)
            os.utime(source, (mtime, mtime))
            tar.add(source, f"x/{name}")
    return path


def test_archives_of_the_same_files_become_the_same_bytes(tmp_path: Path) -> None:
    one = archive(tmp_path / "one", ["a", "b"], 1_000_000_000)
    other = archive(tmp_path / "other", ["b", "a"], 1_500_000_000)
    assert one.read_bytes() != other.read_bytes()
    for path in (one, other):
        load().without_times(path, 1_700_000_000)
    assert one.read_bytes() == other.read_bytes()
    with tarfile.open(one) as tar:
        assert tar.getnames() == ["x/a", "x/b"]
        found = tar.extractfile("x/b")
        assert found is not None
        assert found.read() == b"b" * 100
        assert {member.mtime for member in tar} == {1_700_000_000}
