"""What the measure of projection sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.training.conftest import Trained
from tests.training.test_inception import saved
from training.errors import SetupError
from training.latent.perceptual import (
    JudgedPerceiver,
    LpipsPerceiver,
    as_known,
    distances,
    levels_of,
)
from training.latent.sampler import Sampler
from training.models import load_snapshot


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=4)


class Vgg(nn.Module):
    """Called as the published VGG-16 is; features are the pixels, in [0, 1]."""

    def forward(
        self, pixels: Tensor, resize_images: bool = True, return_lpips: bool = False
    ) -> Tensor:
        assert return_lpips
        assert not resize_images
        return pixels.flatten(1) / 255


def test_a_picture_is_nowhere_from_itself_and_farther_from_noisier_ones(sampler: Sampler) -> None:
    see = JudgedPerceiver(sampler.model)
    picture = as_known(sampler.render(sampler.ws([3])), sampler.model)
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    found = [float(distances(see(picture + a * noise), see(picture))) for a in (0, 0.1, 0.3, 0.9)]
    assert found[0] == 0
    assert found == sorted(found)
    assert len(set(found)) == 4


def test_each_picture_is_described_by_itself(sampler: Sampler) -> None:
    see = JudgedPerceiver(sampler.model)
    pictures = as_known(sampler.render(sampler.ws([1, 2, 3])), sampler.model)
    together = see(pictures)
    alone = torch.cat([see(picture[None]) for picture in pictures])
    assert torch.allclose(together, alone, atol=1e-5)


def test_every_level_has_the_same_say(sampler: Sampler) -> None:
    model = sampler.model
    picture = as_known(sampler.render(sampler.ws([1])), model)
    sizes = [level.shape[1:] for level in levels_of(model.D, picture)]
    features = JudgedPerceiver(model)(picture)[0]
    parts = torch.split(features, [size.numel() for size in sizes] + [picture[0].numel()])
    # Of length 1 at each place, but where nothing is active.
    shares = [float(part.square().sum()) for part in parts[:-1]]
    assert shares == pytest.approx([1 / len(sizes)] * len(sizes), rel=0.01)
    assert features.numel() == sum(size.numel() for size in sizes) + picture[0].numel()


def test_pictures_of_an_inverted_set_are_known_inverted(sampler: Sampler) -> None:
    assert sampler.model.inverted
    pixels = np.full((1, *sampler.size, 3), 255, np.uint8)
    pixels[:, 0, 0] = 0
    known = as_known(pixels, sampler.model)
    assert known.shape == (1, 3, *sampler.size)
    assert float(known[0, :, 0, 0].min()) == 1
    assert float(known[0, :, 1, 1].max()) == -1


def test_lpips_sees_what_people_see_and_has_gradients(sampler: Sampler, tmp_path: Path) -> None:
    see = LpipsPerceiver(saved(Vgg(), tmp_path / "vgg16.pt"), sampler.model)
    assert see.name.startswith("lpips-")
    pixels = sampler.render(sampler.ws([4]))
    images = as_known(pixels, sampler.model).requires_grad_()
    features = see(images)
    seen = features.detach().reshape(3, *sampler.size).permute(1, 2, 0).numpy()
    assert np.allclose(seen, pixels[0] / 255, atol=1e-5)
    features.sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert float(images.grad.max()) < 0  # inverted: less of what the network knows is brighter


def test_another_file_is_no_lpips(sampler: Sampler, tmp_path: Path) -> None:
    (tmp_path / "no.pt").write_text("nothing")
    with pytest.raises(SetupError, match="TorchScript"):
        LpipsPerceiver(tmp_path / "no.pt", sampler.model)
