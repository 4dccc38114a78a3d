"""A register that refuses old fencing tokens, under an election whose leaders are cut off."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import election_node
from store_helpers import settings_of

from discordha.testing import LocalEtcd, wait_for


class Register:
    """Two processes that hammer a register while they lead, under an election of their own."""

    def __init__(self, etcd: LocalEtcd, root: str, *, guarded: bool) -> None:
        self.root = root
        self.answers: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self.processes: list[subprocess.Popen[str]] = []
        program = str(Path(election_node.__file__))
        for name in ("a", "b"):
            process = subprocess.Popen(
                [sys.executable, program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            self.processes.append(process)
            assert process.stdin is not None
            line = election_node.settings_line(
                settings_of(etcd), root=root, name=name, ttl=1.0, guarded=guarded
            )
            process.stdin.write(line)
            process.stdin.flush()
        self._readers = [threading.Thread(target=self._read, args=(each,)) for each in self.processes]
        for reader in self._readers:
            reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for text in process.stdout:
            with self._lock:
                self.answers.append(json.loads(text))

    def writer(self) -> str | None:
        """The last one that wrote."""
        with self._lock:
            return self.answers[-1]["name"] if self.answers else None

    def stop_writer(self) -> tuple[str, int]:
        """SIGSTOP to the one that leads; its name and process id."""
        name = str(self.writer())
        pid = self.processes["ab".index(name)].pid
        os.kill(pid, signal.SIGSTOP)
        return name, pid

    def finish(self) -> None:
        """Ends both; all that they said has been read."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self.processes:
            assert process.wait(20) == 0
        for reader in self._readers:
            reader.join()

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for reader in self._readers:
            reader.join()
        for process in self.processes:
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()

    def written(self) -> list[tuple[int, int, bool]]:
        """What etcd accepted, in its order: revision, token, and whether the writer's lease was over."""
        return sorted((a["revision"], a["token"], a["late"]) for a in self.answers if a.get("written"))


def test_a_register_under_the_fencing_token_never_goes_back(local_etcd: LocalEtcd, root: str) -> None:
    """Two processes hammer a register, each is stopped for longer than its TTL; what etcd accepted must be in
    order of the tokens. Without the guard the local deadline alone protects it, which leaves the one write
    that was under way when the process was stopped: that is what fencing tokens are for.
    """
    with ExitStack() as ends:
        registers: dict[bool, Register] = {}
        for guarded in (True, False):
            one = Register(local_etcd, f"{root}{guarded}/", guarded=guarded)
            ends.callback(one.kill)
            registers[guarded] = one
        both = list(registers.values())
        for one in both:
            wait_for(one.writer, 20, "a leader")
        for _ in range(4):
            stopped = [one.stop_writer() for one in both]
            try:
                for one, (name, _) in zip(both, stopped, strict=True):
                    wait_for(
                        lambda one=one, name=name: one.writer() not in (None, name),
                        10,
                        "the other to lead",
                    )
                threading.Event().wait(0.3)
            finally:
                for _, pid in stopped:
                    os.kill(pid, signal.SIGCONT)
            threading.Event().wait(0.5)
        for one in both:
            one.finish()
    for guarded, one in registers.items():
        written = one.written()
        assert len(written) > 200
        assert len({token for _, token, _ in written}) >= 5
        backwards = [(before, after) for before, after in itertools.pairwise(written) if after[1] < before[1]]
        if guarded:
            assert not backwards
        else:  # nothing but the write that was under way: its process found out at once
            assert all(after[2] for _, after in backwards)
