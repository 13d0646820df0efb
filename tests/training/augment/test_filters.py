from __future__ import annotations

import numpy as np
import torch

from training.augment import filters


def test_wavelet_is_orthogonal_and_has_six_vanishing_moments() -> None:
    taps = np.array(filters.SYM6)
    for lag in range(6):
        product = np.dot(taps[: 12 - 2 * lag], taps[2 * lag :])
        assert abs(product - (lag == 0)) < 1e-11
    signs = (-1.0) ** np.arange(12)
    assert all(abs(np.sum(signs * taps * np.arange(12.0) ** k)) < 1e-8 for k in range(6))
    assert abs(np.sum(signs * taps * np.arange(12.0) ** 6)) > 1


def test_enlarged_is_interpolation_at_the_places_it_claims() -> None:
    rows = torch.arange(24, dtype=torch.float64)[:, None]
    columns = torch.arange(20, dtype=torch.float64)[None]

    def field(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return 0.3 * y - 0.2 * x + 0.01 * x * y

    large = filters.enlarged(field(rows, columns)[None, None])
    assert large.shape == (1, 1, 50, 42)

    def places(count: int) -> torch.Tensor:
        place = torch.arange(count, dtype=torch.float64) + filters.START
        return (place - filters.DELAY) / 2

    expected = field(places(50)[:, None], places(42)[None])
    # Reflection bends a slope at the edges: compare within.
    within = (..., slice(8, -8), slice(8, -8))
    torch.testing.assert_close(large[within], expected[None, None][within], rtol=0, atol=1e-9)


def test_reducing_undoes_enlarging() -> None:
    noise = torch.randn(2, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    large = filters.enlarged(noise)
    # `reduced` starts at place 0, `enlarged` at START, which is even.
    small = filters.reduced(large)
    first = filters.START // 2
    assert small.shape == (2, 3, 20, 16)
    torch.testing.assert_close(small, noise[..., first:-2, first:-2], rtol=0, atol=1e-5)


def test_a_constant_stays_one() -> None:
    white = torch.ones(1, 3, 8, 6)
    torch.testing.assert_close(filters.enlarged(white), torch.ones(1, 3, 18, 14))
    torch.testing.assert_close(filters.reduced(torch.ones(1, 3, 26, 22)), white)
