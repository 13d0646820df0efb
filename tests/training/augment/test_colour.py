from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.augment.colour import colour_matrices, recolour
from training.augment.draws import Draws

N = 5
PIXELS = torch.rand(N, 3, 4, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1


def draws(**values: float) -> Draws:
    """Draws for `N` pictures, with all but these at nothing."""
    return Draws(**{name: torch.full((N,), values.get(name, 0.0)) for name in Draws._fields})


def coloured(images: Tensor = PIXELS, **values: float) -> Tensor:
    return recolour(images, colour_matrices(draws(**values)))


def chroma(images: Tensor) -> Tensor:
    """Distance from the axis of greys."""
    return (images - images.mean(1, keepdim=True)).norm(dim=1)


def test_nothing_drawn_changes_nothing() -> None:
    assert torch.equal(coloured(), PIXELS)


def test_brightness_adds() -> None:
    torch.testing.assert_close(coloured(brightness=0.3), PIXELS + 0.3)


def test_contrast_multiplies_about_grey() -> None:
    torch.testing.assert_close(coloured(log2_contrast=1.0), PIXELS * 2)


def test_luma_flip_turns_luma_alone() -> None:
    flipped = coloured(luma_flip=1.0)
    torch.testing.assert_close(flipped.mean(1), -PIXELS.mean(1))
    before = PIXELS - PIXELS.mean(1, keepdim=True)
    torch.testing.assert_close(flipped - flipped.mean(1, keepdim=True), before)
    torch.testing.assert_close(
        coloured(torch.ones(N, 3, 2, 2), luma_flip=1.0), -torch.ones(N, 3, 2, 2)
    )


@pytest.mark.parametrize("angle", [0.3, -2.0, math.pi])
def test_hue_keeps_luma_and_chroma(angle: float) -> None:
    turned = coloured(hue=angle)
    torch.testing.assert_close(turned.mean(1), PIXELS.mean(1))
    torch.testing.assert_close(chroma(turned), chroma(PIXELS))
    assert (turned - PIXELS).abs().max() > 0.1


def test_a_third_of_a_turn_of_hue_passes_channels_on() -> None:
    torch.testing.assert_close(coloured(hue=2 * math.pi / 3), PIXELS.roll(1, 1))


def test_saturation_keeps_luma_and_multiplies_chroma() -> None:
    vivid = coloured(log2_saturation=1.0)
    torch.testing.assert_close(vivid.mean(1), PIXELS.mean(1))
    torch.testing.assert_close(chroma(vivid), chroma(PIXELS) * 2)
    dull = coloured(log2_saturation=-1.0)
    assert (chroma(dull) < chroma(PIXELS)).all()


@pytest.mark.parametrize("name", ["hue", "log2_saturation"])
def test_greys_have_no_hue(name: str) -> None:
    greys = PIXELS[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(coloured(greys, **{name: 0.7}), greys)


def test_they_are_composed_in_order() -> None:
    values = {
        "brightness": 0.2,
        "log2_contrast": -0.4,
        "luma_flip": 1.0,
        "hue": 1.1,
        "log2_saturation": 0.6,
    }
    expected = PIXELS
    for name, value in values.items():
        expected = coloured(expected, **{name: value})
    torch.testing.assert_close(coloured(**values), expected)


def test_every_picture_has_its_own() -> None:
    apart = draws()._replace(brightness=torch.arange(N) / 10)
    change = recolour(PIXELS, colour_matrices(apart)) - PIXELS
    torch.testing.assert_close(change.mean((1, 2, 3)), torch.arange(N) / 10)


def test_matrices_are_homogeneous() -> None:
    matrices = colour_matrices(draws(brightness=0.1, hue=1.0))
    assert torch.equal(matrices[:, 3], torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(N, 4))
