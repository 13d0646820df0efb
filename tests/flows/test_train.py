"""The flow `train`, which does what `nonesuch train` does, with Prefect watching."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.settings import load
from tests.flows.trainable import world_in

pytestmark = pytest.mark.xdist_group("prefect")


def test_the_flow_trains_and_sums_up(tmp_path: Path, prefect_server: str) -> None:
    from flows.train import train
    from flows.trainings.launch import TrainOptions

    assert prefect_server
    world = world_in(tmp_path)
    options = TrainOptions(run="flow", settings={"run.total_kimg": 0.016})
    summary = train(load(world.folder / "nonesuch.toml"), options)
    assert (summary.name, summary.status, summary.kimg) == ("flow", "finished", 0.016)
    assert Path(summary.path) == tmp_path / "catalog" / "models" / "flow"
    assert summary.newest_snapshot == "kimg-000000.016"


def test_what_training_refuses_fails_the_flow(tmp_path: Path, prefect_server: str) -> None:
    from flows.train import train
    from flows.trainings.launch import EndedError, TrainOptions

    assert prefect_server
    world = world_in(tmp_path)
    options = TrainOptions(settings={"data.tags": ["nobody-has-it"]})
    with pytest.raises(EndedError, match="v1-tiny ended with exit code 2") as caught:
        train(load(world.folder / "nonesuch.toml"), options)
    assert caught.value.code == 2
