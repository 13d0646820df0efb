from __future__ import annotations

import pytest
import torch

from training.augment import adapted
from training.config import AugmentConfig

CONFIG = AugmentConfig(target=0.6, kimg=500, p_max=0.8)


def step(p: float, sign: float, images: int = 256) -> float:
    moved = adapted(torch.tensor(p), torch.tensor(sign), images=images, config=CONFIG)
    assert moved.shape == () and moved.dtype == torch.float32
    return float(moved)


@pytest.mark.parametrize(("sign", "direction"), [(0.9, 1), (0.61, 1), (0.59, -1), (-1.0, -1)])
def test_moves_by_images_over_kimg_whatever_the_distance(sign: float, direction: int) -> None:
    assert step(0.3, sign) == pytest.approx(0.3 + direction * 256 / 500_000, abs=1e-7)


def test_stays_on_the_target() -> None:
    target = torch.tensor(CONFIG.target)
    assert adapted(torch.tensor(0.3), target, images=256, config=CONFIG) == torch.tensor(0.3)


def test_a_sure_discriminator_takes_it_from_0_to_1_in_kimg() -> None:
    config = CONFIG.model_copy(update={"kimg": 1.0, "p_max": 1.0})
    p = torch.tensor(0.0, dtype=torch.float64)
    for _ in range(10):
        p = adapted(p, torch.tensor(1.0), images=100, config=config)
    assert float(p) == pytest.approx(1.0)


def test_stays_between_0_and_the_maximum() -> None:
    assert step(0.0001, -1.0, images=1000) == 0.0
    assert step(0.7999, 1.0, images=1000) == pytest.approx(0.8)


def test_nan_leaves_it() -> None:
    assert step(0.3, float("nan")) == pytest.approx(0.3)
