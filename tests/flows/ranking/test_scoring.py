"""What the driver of a ranking needs to know, and what workers let go."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.ranking import away, density, scoring
from flows.ranking.scoring import part_size
from flows.settings import parse
from training import rank


@pytest.mark.parametrize(
    ("rank", "pictures"),
    [({"device": "cuda"}, 2000), ({"device": "cpu"}, 200), ({"device": "cuda", "partition": 7}, 7)],
)
def test_a_driver_without_a_gpu_plans_for_workers_with_one(
    tmp_path: Path, rank: dict[str, object], pictures: int
) -> None:
    assert part_size(parse({"rank": rank}, name="test", folder=tmp_path)) == pictures


def test_workers_let_go_of_all_that_they_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank, "load_judges", lambda *_, **__: object())
    before = density._encoder("cpu"), scoring._load((), "cpu", 0)
    away._samples["a sample"] = object()  # type: ignore[assignment]
    away.let_go()
    assert density._encoder("cpu") is not before[0]
    assert scoring._load((), "cpu", 0) is not before[1]
    assert not away._samples
    away.let_go()
