"""A replica's questions to its leaders, and its answers as one, with etcd and a clock of a test's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from discordha.coordination.journal.questions import Question
from discordha.leader.catch_up import ANSWER_CHECK, SessionCatchUp


class Etcd:
    """Stands for ``QuestionExchange``: what was asked and answered, and what others ask."""

    def __init__(self) -> None:
        self.listeners: dict[int, dict[str, Any]] = {}
        self.asked: list[tuple[int, int, Mapping[str, int], int]] = []
        self.answered: list[tuple[str, int, Mapping[str, int]]] = []
        self.open: dict[int, list[Question]] = {}
        self.error: Exception | None = None
        self.refuses = False

    def listen(self, shard_id: int, **listeners: Any) -> None:
        self.listeners[shard_id] = listeners

    def close(self, shard_id: int) -> None:
        del self.listeners[shard_id]

    def questions(self, shard_id: int) -> Sequence[Question]:
        return tuple(self.open.get(shard_id, ()))

    def ask(self, shard_id: int, number: int, names: Mapping[str, int], *, guilds: Any, lease: int) -> None:
        assert guilds == {"5": {"name": 20}}
        if self.error is not None:
            raise self.error
        self.asked.append((shard_id, number, names, lease))

    def answer(self, question: Question, left: Mapping[str, int], leadership: Any, landmarks: Any) -> bool:
        assert leadership == "term"
        assert landmarks == {"77": dict.fromkeys(left, 3)}
        if self.error is not None:
            raise self.error
        if not self.refuses:
            self.answered.append((question.replica, question.number, left))
        return not self.refuses


class Questions:
    """Stands for those of the shard's journal. ``own``: when this replica's gateway session began."""

    def __init__(self) -> None:
        self.may_ask = True
        self.number = 0
        self.own: int | None = 10
        self.unplaced = 0
        self.guilds = {"5": {"name": 20}}
        self.wanted: Sequence[Question] = ()

    def want(self, questions: Sequence[Question]) -> None:
        """Told what it will answer."""
        self.wanted = questions

    def landmarks(self, names: Mapping[str, int]) -> dict[str, dict[str, int]]:
        return {"77": dict.fromkeys(names, 3)}

    def reached(self, revision: int) -> None:
        if revision >= self.unplaced:
            self.unplaced = 0

    def on_answer(self, number: int, left: Mapping[str, int]) -> None:
        raise AssertionError("no answer comes here")

    def ask(self) -> tuple[int, dict[str, int]] | None:
        self.number += 1
        return (self.number, {"name": 20}) if self.may_ask else None

    def may_answer(self, names: Mapping[str, int]) -> bool:
        return bool(self._known(names))

    def answer(self, names: Mapping[str, int]) -> dict[str, int] | None:
        return dict.fromkeys(self._known(names), 1) or None

    def _known(self, names: Mapping[str, int]) -> list[str]:
        return [name for name, since in names.items() if self.own is not None and self.own <= since]


class Shard:
    """A shard's catch-up, and what stands for the parts around it."""

    def __init__(self, bench: Bench, key: int, *, leads: bool) -> None:
        self.questions = Questions()
        self.election = SimpleNamespace(
            shard_id=key, is_leader=leads, leader="other", leadership="term" if leads else None
        )
        self.catch_up = SessionCatchUp(
            key,
            self.questions,  # type: ignore[arg-type]
            self.election,  # type: ignore[arg-type]
            bench.etcd,  # type: ignore[arg-type]
            bench.session,  # type: ignore[arg-type]
            bench,
            bench.wake,
            announce=bench.announce,
            clock=lambda: bench.now,
        )
        self.catch_up.new_session()


class Bench:
    """One replica, with a shard or two."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.etcd = Etcd()
        self.session = SimpleNamespace(current=SimpleNamespace(lease_id=7))
        self.proofs: list[tuple[int, float, Future[bool]]] = []
        self.beats: list[tuple[int, int]] = []
        self.woken = 0
        self.announced: list[float] = []  # when the member record was to be written
        self.acknowledged = 0

    def beat(self, shard_id: int, seen: int = 0) -> None:
        self.beats.append((shard_id, seen))

    def acknowledged_revision(self, shard_id: int) -> int:
        return self.acknowledged

    def caught_up(self, key: int) -> Future[bool]:
        proof: Future[bool] = Future()
        self.proofs.append((key, self.now, proof))
        return proof

    def wake(self) -> None:
        self.woken += 1

    def announce(self) -> None:
        self.announced.append(self.now)

    def shard(self, key: int = 0, *, leads: bool = False) -> Shard:
        return Shard(self, key, leads=leads)

    def question(self, replica: str = "young", number: int = 1, *, shard: int = 0, **names: int) -> None:
        """Is seen now."""
        kept = [each for each in self.etcd.open.get(shard, []) if each.replica != replica]
        self.etcd.open[shard] = [*kept, Question(replica, number, names or {"name": 20}, {}, self.now)]

    def run(self, shard: Shard, seconds: float, step: float = ANSWER_CHECK) -> None:
        """Tends the shard as the leader's thread does, at the latest when something is due."""
        end = self.now + seconds
        while self.now < end:
            shard.catch_up.tend()
            self.now = min(self.now + min(shard.catch_up.due(), step), end)
        shard.catch_up.tend()

    def answers(self) -> list[tuple[str, int]]:
        return [(replica, number) for replica, number, _ in self.etcd.answered]
