from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from discordha.testing import WaitTimeout, wait_for


def test_returns_the_predicates_value() -> None:
    values = iter([None, 0, "found"])
    assert wait_for(lambda: next(values), 5.0) == "found"


def test_the_error_has_the_condition_and_its_last_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISCORDHA_TEST_PATIENCE", raising=False)
    with pytest.raises(WaitTimeout, match=r"waited 0\.02 s for the moon; the last value was 0"):
        wait_for(lambda: 0, 0.02, "the moon")


def test_a_slow_machine_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for patience, waited in (("3", "0.06"), ("0.5", "0.02"), ("", "0.02")):
        monkeypatch.setenv("DISCORDHA_TEST_PATIENCE", patience)
        with pytest.raises(WaitTimeout, match=f"waited {waited} s"):
            wait_for(lambda: 0, 0.02)


def test_a_callable_description_is_asked_only_on_failure() -> None:
    asked: list[int] = []

    def describe() -> str:
        asked.append(1)
        return "late news"

    wait_for(lambda: True, 1.0, describe)
    assert not asked
    with pytest.raises(WaitTimeout, match="late news"):
        wait_for(lambda: None, 0.0, describe)


def test_a_condition_that_holds_is_seen_even_without_time() -> None:
    assert wait_for(lambda: 7, 0.0) == 7


def test_errors_of_the_predicate_pass_through() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_for(lambda: 1 / 0, 1.0)


def test_time_for_which_the_process_stands_still_does_not_count() -> None:
    """A thread of the same process makes the condition true."""
    program = """
import threading
from discordha.testing import wait_for
count = 0
def work():
    global count
    while True:
        threading.Event().wait(0.01)
        count += 1
threading.Thread(target=work, daemon=True).start()
print("begun", flush=True)
wait_for(lambda: count >= 50, 2.0, "fifty")
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3.0)  # longer than the timeout
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == 0
