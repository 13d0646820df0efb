from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.sampler import Sampler
from training.latent.smoothness import measure_smoothness
from training.models import load_snapshot


@pytest.fixture
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=16)


class Steps(torch.nn.Module):
    """A mapping that knows two pictures, and jumps from one to the other."""

    def __init__(self, mapping: torch.nn.Module) -> None:
        super().__init__()
        self.mapping = mapping

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        side = torch.where(z[:, :1] > 0, 1.0, -1.0)
        w: Tensor = self.mapping(side.expand_as(z), labels)
        return w


def test_a_collapsed_model_jumps(sampler: Sampler) -> None:
    smooth, sheet = measure_smoothness(sampler, paths=4, steps=12)
    assert smooth.steps.shape == (4, 12)
    assert 1 <= smooth.jump <= smooth.worst <= 12
    assert np.asarray(sheet).std() > 0
    sampler.model.G.mapping = Steps(sampler.model.G.mapping)  # type: ignore[assignment]
    collapsed, _ = measure_smoothness(sampler, paths=4, steps=12)
    assert collapsed.worst == pytest.approx(12)
    assert smooth.worst < 6


def test_a_way_is_of_the_class_that_is_asked_for_or_of_its_seed(trained: Trained) -> None:
    sampler = Sampler(load_snapshot(trained.conditional), batch=16)
    own, *asked = (
        measure_smoothness(sampler, paths=6, steps=3, label=label)[0].steps
        for label in (None, 0, 1, 2)
    )
    same = np.stack([(own == steps).all(axis=1) for steps in asked])
    assert same.sum(axis=0).tolist() == [1] * 6
    assert (same.sum(axis=1) > 0).sum() > 1


def test_ways_that_nobody_can_go_are_refused(sampler: Sampler) -> None:
    with pytest.raises(SetupError, match="`paths` must be at least 1 and `steps` 2"):
        measure_smoothness(sampler, paths=0)
