from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.duplicates import find_twins
from training.latent.sampler import Sampler
from training.models import load_snapshot


@pytest.fixture
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=16)


class Few(torch.nn.Module):
    """A mapping that knows few pictures."""

    def __init__(self, mapping: torch.nn.Module) -> None:
        super().__init__()
        self.mapping = mapping

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        w: Tensor = self.mapping(torch.where(z > 0, 1.0, -1.0) * (z.abs() > 1.5), labels)
        return w


def test_a_model_that_repeats_itself_is_found_out(sampler: Sampler) -> None:
    twins, sheet = find_twins(sampler, range(40))
    assert twins.count == 40
    assert list(twins.pairs) == sorted(twins.pairs, key=lambda pair: pair[2])
    assert sheet.width > 0
    sampler.model.G.mapping = Few(sampler.model.G.mapping)  # type: ignore[assignment]
    few, _ = find_twins(sampler, range(40))
    assert few.repeated > 10 > twins.repeated
    assert few.pairs[0][2] == pytest.approx(0, abs=1e-3)
    first, second, _ = few.pairs[0]
    a, b = sampler.render(sampler.ws([first, second]))
    assert (a == b).all()


class Two(torch.nn.Module):
    """A mapping that knows two pictures."""

    def __init__(self, mapping: torch.nn.Module) -> None:
        super().__init__()
        self.mapping = mapping

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        side = torch.where(z[:, :1] > 0.4, 1.0, -1.0)
        w: Tensor = self.mapping(side.expand_as(z), labels)
        return w


def test_copies_are_found_where_most_are_copies(sampler: Sampler) -> None:
    sampler.model.G.mapping = Two(sampler.model.G.mapping)  # type: ignore[assignment]
    twins, _ = find_twins(sampler, range(60))
    assert twins.repeated == 60
    assert twins.usual > 0


def test_one_alone_has_no_twin(sampler: Sampler) -> None:
    with pytest.raises(SetupError, match="at least 2 different seeds"):
        find_twins(sampler, [3, 3])
