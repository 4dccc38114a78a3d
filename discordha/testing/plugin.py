"""pytest fixtures: etcd, a local Discord, replicas, and a check for leaked threads.

Guarantees: pytest's entry point loads it, and it imports nothing but pytest until a fixture is asked for. It
changes no test that does not ask, unless pytest's configuration says ``discordha_leaked_threads = true``.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from discordha.testing.discord.local_discord import LocalDiscord
    from discordha.testing.etcd.local_etcd import LocalEtcd
    from discordha.testing.replicas import Replicas

__all__ = [
    "ReplicasFactory",
    "discordha_namespace",
    "local_discord",
    "local_etcd",
    "local_etcd_cluster",
    "no_leaked_threads",
    "pytest_addoption",
    "pytest_runtest_makereport",
    "replicas",
]

_LEAK_OPTION = "discordha_leaked_threads"
_ETCD_OPTION = "--local-etcd"
_THREAD_PREFIX = "discordha"
#: How long threads may take to end after their test, seconds.
THREAD_GRACE = 5.0
_SHARED: Any = object()  # "the fixture's etcd", as opposed to None, "no etcd"
_STARTED: pytest.StashKey[list[Replicas]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the setting that checks all tests for leaked threads, and the option that chooses the etcd."""
    parser.addoption(
        _ETCD_OPTION,
        choices=["plain", "secure"],
        default="plain",
        help="local_etcd: one member; or three with mutual TLS, authentication and a least-privilege user",
    )
    parser.addini(_LEAK_OPTION, "fail a test that leaves a thread behind", type="bool", default=False)


@pytest.fixture(scope="session")
def local_etcd(request: pytest.FixtureRequest) -> Iterator[LocalEtcd]:
    """One etcd for the whole run; ``discordha_namespace`` keeps tests apart.

    Other tests use it, too: a test that kills etcd takes ``local_etcd_cluster`` or an etcd of its own.
    """
    from discordha.testing.etcd.local_etcd import LocalEtcd

    secure = _is_secure(request)
    with LocalEtcd(members=3 if secure else 1, tls=secure, auth=secure) as etcd:
        yield etcd


def _is_secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption(_ETCD_OPTION) == "secure")


@pytest.fixture
def local_etcd_cluster(request: pytest.FixtureRequest) -> Iterator[LocalEtcd]:
    """A cluster of three members for one test, to kill, pause and restart."""
    from discordha.testing.etcd.local_etcd import LocalEtcd

    secure = _is_secure(request)
    with LocalEtcd(members=3, tls=secure, auth=secure) as etcd:
        yield etcd


@pytest.fixture
def discordha_namespace() -> str:
    """A new ``Config.name``, which keeps tests apart that share one etcd."""
    from discordha.testing.etcd.local_etcd import LocalEtcd

    return LocalEtcd.namespace()


@pytest.fixture(scope="session")
def _discord_process() -> Iterator[LocalDiscord]:
    from discordha.testing.discord.local_discord import LocalDiscord

    with LocalDiscord() as discord:
        yield discord


@pytest.fixture
def local_discord(_discord_process: LocalDiscord) -> LocalDiscord:
    """A local Discord for one test: as new, though its process serves the whole run.

    Tests may break it. ``local_discord.reset(guilds=4, shards=2)`` gives it other options.
    """
    _discord_process.reset()
    return _discord_process


class ReplicasFactory:
    """Starts replicas for one test; takes the arguments of ``Replicas``.

    Without ``etcd=`` they use the fixture ``local_etcd`` (``etcd=None``: no etcd), without ``discord=`` the
    fixture ``local_discord``, and without ``DISCORDHA_NAME`` in ``env`` a namespace of the test's own.
    """

    def __init__(self, request: pytest.FixtureRequest, ends: ExitStack) -> None:
        self._request = request
        self._ends = ends

    def __call__(
        self, script: Any, count: int, *, etcd: Any = _SHARED, discord: Any = _SHARED, **options: Any
    ) -> Replicas:
        """Starts ``count`` replicas of ``script``, without waiting until they are ready."""
        from discordha.testing.replicas import Replicas

        etcd = self._request.getfixturevalue("local_etcd") if etcd is _SHARED else etcd
        discord = self._request.getfixturevalue("local_discord") if discord is _SHARED else discord
        namespace = self._request.getfixturevalue("discordha_namespace")
        options["env"] = {"DISCORDHA_NAME": namespace, **(options.get("env") or {})}
        started = self._ends.enter_context(Replicas(script, count, etcd=etcd, discord=discord, **options))
        self._request.node.stash.setdefault(_STARTED, []).append(started)
        return started


@pytest.fixture
def replicas(request: pytest.FixtureRequest) -> Iterator[ReplicasFactory]:
    """A factory of replica processes. The report of a failed test has the ends of their logs."""
    with ExitStack() as ends:
        factory = ReplicasFactory(request, ends)
        yield factory


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the ends of the replicas' logs to the report of a test that failed."""
    report = yield
    if call.when == "call" and report.failed:
        for replica in [replica for started in item.stash.get(_STARTED, []) for replica in started]:
            report.sections.append((f"end of the log of {replica!r}", replica.tail()))
    return report


def _suspects(known: set[threading.Thread]) -> list[threading.Thread]:
    """The new threads of this library, and those that keep the interpreter from ending."""
    return [
        thread
        for thread in threading.enumerate()
        if thread not in known and (thread.name.startswith(_THREAD_PREFIX) or not thread.daemon)
    ]


@pytest.fixture
def no_leaked_threads() -> Iterator[None]:
    """Fails a test whose threads run for ``THREAD_GRACE`` seconds after it, if they are discordha's or no
    daemons.
    """
    from discordha.testing.waiting import WaitTimeout, wait_for

    known = set(threading.enumerate())
    yield
    try:
        wait_for(lambda: not _suspects(known), THREAD_GRACE, "threads to end")
    except WaitTimeout:
        names = ", ".join(sorted(thread.name for thread in _suspects(known)))
        pytest.fail(f"leaked threads: {names}", pytrace=False)


@pytest.fixture(autouse=True)
def _discordha_thread_check(request: pytest.FixtureRequest) -> None:
    """Applies ``no_leaked_threads`` to every test if the configuration says so."""
    if request.config.getini(_LEAK_OPTION):
        request.getfixturevalue("no_leaked_threads")
