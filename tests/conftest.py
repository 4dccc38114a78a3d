"""What all tests share. The fixtures for etcd, Discord and replicas come from ``discordha.testing.plugin``.

A thread that outlives its test fails it (``discordha_leaked_threads`` in setup.cfg); a process that
outlives the run fails the run.
"""

from __future__ import annotations

import compileall
import gc
import os
from collections.abc import Generator, Iterator
from typing import Any

import psutil
import pytest
import warm_start
from hypothesis import HealthCheck, settings
from machine import slowness

import discordha

# Machines that run these are small and shared: a slow example is no failure, a wrong one is.
settings.register_profile("discordha", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("discordha")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option of ``make test``."""
    parser.addoption(
        "--quiet-worker",
        action="store_true",
        help="with --dist loadfile: the last worker takes unit tests and models only, at low priority",
    )


#: The limit of a test that names none, as setup.cfg has it, seconds.
LIMIT = 120.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets tests take longer where the machine is slow."""
    patience = float(os.environ["DISCORDHA_TEST_PATIENCE"])
    for item in items if patience > 1.0 else ():
        limit = item.get_closest_marker("timeout")
        seconds = float(limit.args[0]) if limit is not None and limit.args else LIMIT
        item.add_marker(pytest.mark.timeout(seconds * patience), append=False)


def pytest_configure(config: pytest.Config) -> None:
    """Measures the machine, once for all workers. Lowers the priority of the quiet one, if there is one."""
    os.environ.setdefault("DISCORDHA_TEST_PATIENCE", str(slowness()))
    if config.getoption("--quiet-worker"):
        from quiet_worker import give_way

        give_way(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The scheduler for ``--quiet-worker``; else xdist's own."""
    if not config.getoption("--quiet-worker"):
        return None
    from quiet_worker import QuietScheduling

    return QuietScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was captured may have lone surrogates (fuzzed keys, in logs): pytest-xdist could not send it."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    """As ``pip install`` does it: where Python may not write what it compiled, each replica that a test
    starts would compile the library anew.
    """
    for folder in discordha.__path__:
        compileall.compile_dir(folder, quiet=2)


@pytest.fixture(scope="session", autouse=True)
def _no_leaked_processes() -> Iterator[None]:
    """Fail the run when a child process is left after all fixtures are gone."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    end_nursery = warm_start.install()
    yield
    gc.collect()
    end_nursery()
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    _, left = psutil.wait_procs(left, timeout=5.0)
    assert not left, f"processes left behind: {left}"


@pytest.fixture
def namespace(discordha_namespace: str) -> str:
    """A ``Config.name`` of the test's own in the shared etcd."""
    return discordha_namespace


@pytest.fixture
def root(namespace: str) -> str:
    """The etcd prefix of a bot of the test's own, with the slash at its end."""
    return f"/discordha/v1/{namespace}/"
