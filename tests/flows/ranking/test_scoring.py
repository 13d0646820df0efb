"""What the driver of a ranking needs to know, and what workers let go."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.ranking import away, density
from flows.ranking.scoring import part_size
from flows.settings import parse


@pytest.mark.parametrize(
    ("rank", "pictures"),
    [({"device": "cuda"}, 2000), ({"device": "cpu"}, 200), ({"device": "cuda", "partition": 7}, 7)],
)
def test_a_driver_without_a_gpu_plans_for_workers_with_one(
    tmp_path: Path, rank: dict[str, object], pictures: int
) -> None:
    assert part_size(parse({"rank": rank}, name="test", folder=tmp_path)) == pictures


def test_workers_let_go_of_all_that_they_keep() -> None:
    before = density._encoder("cpu")
    away.let_go()
    assert density._encoder("cpu") is not before
    assert not away._samples
