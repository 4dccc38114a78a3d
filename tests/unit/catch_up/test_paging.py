"""Pages of a listing, and the order of what they hold, for any history."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from discordha.catch_up.missed import Missed, moment_of
from discordha.catch_up.paging import Pages, Timeline

IDS = st.integers(0, 400)


def listing(history: list[int], after: int, limit: int) -> list[dict[str, Any]]:
    """Discord's: the next ones, newest first."""
    assert 1 <= limit <= 100
    return [{"id": str(each)} for each in sorted(each for each in history if each > after)[:limit][::-1]]


def read(pages: Pages, history: list[int]) -> tuple[list[int], int]:
    found: list[int] = []
    requests = 0
    while not pages.over:
        after, limit = pages.next()
        found += [int(entry["id"]) for entry in pages.take(listing(history, after, limit))]
        requests += 1
        assert requests <= len(history) + 2, "the pages do not end"
    return found, requests


@given(
    history=st.lists(IDS, unique=True, max_size=300),
    since=IDS,
    until=IDS,
    limit=st.integers(1, 300),
    size=st.integers(1, 100),
)
@example(history=list(range(1, 101)), since=0, until=400, limit=300, size=100)  # exactly a page
@example(history=list(range(1, 201)), since=0, until=200, limit=200, size=100)  # exactly the limit
@example(history=list(range(1, 202)), since=0, until=201, limit=200, size=100)  # one more than the limit
@example(history=list(range(1, 102)), since=0, until=100, limit=100, size=100)  # one more, but of later
@example(history=[], since=0, until=400, limit=1, size=1)
def test_each_entry_of_the_window_once_in_order(
    history: list[int], since: int, until: int, limit: int, size: int
) -> None:
    window = sorted(each for each in history if since < each <= until)
    pages = Pages(since, until, limit=limit, size=size)
    found, requests = read(pages, history)
    assert found == window[:limit]
    assert pages.cut == (len(window) > limit)
    assert requests <= len(found) // min(size, limit) + 2


@given(history=st.lists(IDS, unique=True, max_size=300), stop=st.integers(0, 5), size=st.integers(1, 100))
def test_a_second_reader_goes_on_where_the_first_stopped(history: list[int], stop: int, size: int) -> None:
    first = Pages(0, 400, limit=1000, size=size)
    found: list[int] = []
    for _ in range(stop):
        if not first.over:
            after, limit = first.next()
            found += [int(entry["id"]) for entry in first.take(listing(history, after, limit))]
    rest, _ = read(Pages(first.position, 400, limit=1000, size=size), history)
    assert found + rest == sorted(each for each in history if each > 0)


@given(pages=st.lists(st.lists(IDS, max_size=8), max_size=20))
def test_whatever_is_answered_the_pages_end(pages: list[list[int]]) -> None:
    """Equal ids, ids that came before, no order."""
    reader = Pages(100, 300, limit=1000, size=5)
    found: list[int] = []
    for page in pages:
        if reader.over:
            break
        new = reader.take([{"id": str(each)} for each in page])
        assert new or reader.over
        found += [int(entry["id"]) for entry in new]
    assert found == sorted(set(found))
    assert all(100 < each <= 300 for each in found)


def event(kind: str, moment: int) -> Missed:
    return Missed(kind, {}, moment, "1", "channel:1")


@given(
    created=st.lists(IDS, unique=True, max_size=60),
    delays=st.lists(st.integers(0, 200), max_size=60),
    size=st.integers(1, 20),
)
def test_an_edit_comes_in_its_time(created: list[int], delays: list[int], size: int) -> None:
    """An edit is known with the page of its message, and may be later than pages to come."""
    messages = sorted(created)
    edits = {each: each + delay for each, delay in zip(messages, delays, strict=False)}
    timeline, merged = Timeline(), list[Missed]()
    for start in range(0, len(messages), size):
        page = messages[start : start + size]
        for each in page:
            if each in edits:
                timeline.keep(event("MESSAGE_UPDATE", edits[each]))
        merged += timeline.merge([event("MESSAGE_CREATE", each) for each in page], upto=page[-1])
    merged += timeline.merge(())
    moments = [each.snowflake for each in merged]
    assert moments == sorted(moments)
    assert sorted(moments) == sorted([*messages, *edits.values()])


@given(milliseconds=st.integers(0, 2**41))
def test_a_time_is_the_moment_of_its_millisecond(milliseconds: int) -> None:
    """To the millisecond, which floating point is not."""
    seconds, rest = divmod(1_420_070_400_000 + milliseconds, 1000)
    import datetime

    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC) + datetime.timedelta(milliseconds=rest)
    assert moment_of(at) == milliseconds << 22
    assert moment_of(at.isoformat()) == milliseconds << 22
