"""Builds the source distribution and the wheel reproducibly, checks both, and tries the wheel in an empty
environment. ``make dist`` runs it.

The two files are built twice, in folders of their own, from what git has committed; they must be the same,
byte for byte. Their times are ``SOURCE_DATE_EPOCH``, by default the time of the last commit. Building needs
git and the package index.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], check=True, env={**os.environ, **(env or {})}, cwd=cwd)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def without_times(path: Path, epoch: int) -> None:
    """Writes a .tar.gz anew: members sorted, owned by nobody, all with one time."""
    with tarfile.open(path) as old:
        members = sorted(old.getmembers(), key=lambda member: member.name)
        contents = [old.extractfile(member).read() if member.isfile() else b"" for member in members]  # type: ignore[union-attr]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member, content in zip(members, contents, strict=True):
            fresh = tarfile.TarInfo(member.name)
            fresh.type, fresh.size, fresh.mtime = member.type, len(content), epoch
            fresh.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(fresh, io.BytesIO(content))
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=epoch) as zipped:
        zipped.write(packed.getvalue())


def build(target: Path, epoch: int) -> dict[str, str]:
    """Builds from the last commit into ``target``; returns the digests by file name."""
    with tempfile.TemporaryDirectory(prefix="discordha-dist-") as folder:
        source = Path(folder) / "source"
        source.mkdir()
        archive = Path(folder) / "source.tar"
        run("git", "-C", ROOT, "archive", "--output", archive, "HEAD")
        with tarfile.open(archive) as tar:
            tar.extractall(source, filter="data")
        env = {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0", "PYTHONPATH": ""}
        # The wheel is built from the source distribution, as `pip install` of the latter would do.
        run(sys.executable, "-m", "build", "--outdir", target, source, env=env)
    for path in target.glob("*.tar.gz"):
        without_times(path, epoch)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(target.iterdir())}


def try_wheel(wheel: Path) -> None:
    """Installs the wheel alone with its extras, outside the source tree, and runs the demo."""
    with tempfile.TemporaryDirectory(prefix="discordha-wheel-") as folder:
        venv.create(Path(folder) / "venv", with_pip=True)
        binaries = Path(folder) / "venv" / "bin"
        pip = (binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        env = {"PYTHONPATH": ""}
        run(*pip, f"{wheel}[operations,testing]", env=env, cwd=Path(folder))
        run(binaries / "discordha", "--version", env=env, cwd=Path(folder))
        run(binaries / "discordha", "demo", env=env, cwd=Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-demo", action="store_true", help="do not try the wheel")
    options = parser.parse_args()
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or output("git", "log", "-1", "--format=%ct"))
    target = ROOT / "dist"
    with tempfile.TemporaryDirectory(prefix="discordha-again-") as again:
        target.mkdir(exist_ok=True)
        for old in target.iterdir():
            old.unlink()
        first, second = build(target, epoch), build(Path(again), epoch)
    if first != second:
        sys.exit(f"two builds differ:\n{first}\n{second}")
    built = [target / name for name in first]
    run(sys.executable, "-m", "twine", "check", "--strict", *built)
    (wheel,) = target.glob("*.whl")
    run(sys.executable, "-m", "check_wheel_contents", wheel)
    if not options.no_demo:
        try_wheel(wheel)
    for name, digest in first.items():
        print(f"{digest}  dist/{name}")


if __name__ == "__main__":
    main()
