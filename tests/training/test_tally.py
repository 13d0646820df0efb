import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.tally import Tally

COLUMNS = ("loss", "r1")
NAN, INF = math.nan, math.inf


def tally(rows: list[list[float]]) -> Tally:
    made = Tally(COLUMNS, ("r1",))
    made.add(torch.tensor(rows).reshape(-1, len(COLUMNS)))
    return made


def test_a_lazy_figure_is_averaged_over_the_steps_that_have_it() -> None:
    assert tally([[1, NAN], [2, 8], [6, NAN], [3, 4]]).means() == {"loss": 3, "r1": 6}


def test_a_figure_that_no_step_has_is_absent() -> None:
    assert tally([[1, NAN]]).means() == {"loss": 1}
    assert Tally(COLUMNS).means() == {}


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_one_loss_that_is_not_finite_is_seen_in_the_mean(value: float) -> None:
    """Gradients are mended: a loss of NaN is all that is left to tell of a run that is lost."""
    mean = tally([[1, 2], [value, 2], [3, 2]]).means()["loss"]
    assert not math.isfinite(mean)


def test_clearing_starts_the_next_tick() -> None:
    subject = tally([[1, 2], [3, 4]])
    subject.seconds, subject.waited = 3, 1
    subject.clear()
    assert (subject.steps, subject.seconds, subject.waited) == (0, 0, 0)
    subject.add(torch.tensor([[5, NAN]]))
    assert subject.means() == {"loss": 5}
    assert subject.steps == 1


@given(
    st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), max_size=12),
    st.integers(0, 12),
)
def test_a_state_in_the_middle_of_a_tick_changes_nothing(
    rows: list[tuple[float, float]], cut: int
) -> None:
    whole = tally([])
    first, second = tally([]), tally([])
    for number, row in enumerate(rows):
        whole.add(torch.tensor([row]))
        if number < cut:
            first.add(torch.tensor([row]))
    second.restore(json.loads(json.dumps(first.state())))
    for row in rows[cut:]:
        second.add(torch.tensor([row]))
    assert json.dumps(second.state()) == json.dumps(whole.state())


def test_a_column_that_an_older_snapshot_lacks_begins_at_nothing() -> None:
    state = tally([[1, 2], [3, 4]]).state()
    del state["sums"]["r1"], state["counts"]["r1"]
    subject = tally([])
    subject.restore(state)
    assert subject.means() == {"loss": 2}
