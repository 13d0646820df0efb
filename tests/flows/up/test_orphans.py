"""Which runs of schedules a later one makes superfluous."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flows.up.orphans import superfluous
from flows.up.prefect_api import Run

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def run(number: int, due: datetime | None, deployment: str = "rebuild") -> Run:
    return Run(
        id=f"{number:03}",
        flow=deployment,
        deployment=deployment,
        state="SCHEDULED",
        called="Late",
        message="",
        since=NOON,
        due=due,
        is_scheduled=True,
        seconds=0.0,
    )


def chosen(runs: list[Run], now: datetime = NOON) -> set[str]:
    return {one.id for one in superfluous(runs, now)}


def test_the_last_one_that_is_due_makes_up_for_all_before_it() -> None:
    hourly = [run(number, NOON - number * HOUR) for number in range(5)]
    assert chosen(hourly) == {"001", "002", "003", "004"}


def test_each_deployment_keeps_its_own() -> None:
    runs = [run(1, NOON - HOUR), run(2, NOON - 2 * HOUR, "rank"), run(3, NOON - 3 * HOUR, "rank")]
    assert chosen(runs) == {"003"}


def test_what_people_and_events_started_stays() -> None:
    by_hand = replace(run(1, NOON - 2 * HOUR), is_scheduled=False)
    assert chosen([by_hand, run(2, NOON - HOUR)]) == set()


def test_a_clock_that_jumps_ahead_leaves_one_run() -> None:
    """Asleep for a night, or put right by a day: what was to come is due all at once."""
    to_come = [run(number, NOON + number * HOUR) for number in range(1, 25)]
    assert chosen(to_come) == set()
    assert len(chosen(to_come, NOON + 24 * HOUR)) == 23


def test_a_clock_that_jumps_back_makes_nothing_superfluous() -> None:
    runs = [run(1, NOON - HOUR), run(2, NOON)]
    assert chosen(runs) == {"001"}
    assert chosen(runs, NOON - 24 * HOUR) == set()


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.sampled_from(["rebuild", "rank"])), max_size=30),
    st.integers(-60, 60),
)
def test_of_each_deployment_that_has_any_due_one_is_left_however_the_clock_jumps(
    plan: list[tuple[int, str]], jump: int
) -> None:
    runs = [run(n, NOON + hours * HOUR, name) for n, (hours, name) in enumerate(plan)]
    now = NOON + jump * HOUR
    gone = chosen(runs, now)
    for name in ("rebuild", "rank"):
        due = [one for one in runs if one.deployment == name and one.due and one.due <= now]
        left = [one for one in due if one.id not in gone]
        assert len(left) == min(len(due), 1)
        assert all(one.due == max(other.due for other in due if other.due) for one in left)
    assert all(one.due and one.due <= now for one in runs if one.id in gone)
