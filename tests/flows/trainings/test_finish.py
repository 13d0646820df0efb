"""A training that has ended is told of once, however many look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_catalog import models
from flows import events
from flows.settings import load
from flows.trainings.finish import finish
from tests.flows.trainable import world_in
from tests.flows.trainings.test_models import a_run


def test_a_model_is_told_of_by_who_registers_it_and_by_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(events, "model_trained", lambda _, model: told.append(model))
    world = world_in(tmp_path)
    config = load(world.folder / "nonesuch.toml")
    run = a_run(world)
    model = finish(config, [run])
    assert model is not None
    # The runner may look in the same moment as the run's own flow.
    assert finish(config, [run]) == model
    assert told == [model.model]
    assert len(models.all_models(world.catalog)) == 1
    # Where it does not judge, there is nothing to rank by it.
    assert finish(config, [a_run(world, "v1-other")], judges=False) is not None
    assert told == [model.model]
