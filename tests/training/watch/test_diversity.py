from __future__ import annotations

import itertools

import numpy as np
import pytest

from training.watch.diversity import Spread, spread

RNG = np.random.default_rng(0)


def test_equals_the_loop_over_all_pairs() -> None:
    pixels = RNG.integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
    squares = [
        np.mean((a.astype(float) - b.astype(float)) ** 2)
        for a, b in itertools.combinations(pixels, 2)
    ]
    assert spread(pixels) == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-12)


def test_pictures_that_are_alike_have_none() -> None:
    one = RNG.integers(0, 256, (1, 5, 4, 3), dtype=np.uint8)
    assert spread(one.repeat(6, 0)) == 0


def test_black_and_white_have_all_of_it() -> None:
    pixels = np.stack([np.zeros((4, 4, 3)), np.full((4, 4, 3), 255)]).astype(np.uint8)
    assert spread(pixels) == pytest.approx(255)


def test_one_picture_has_no_spread() -> None:
    with pytest.raises(ValueError, match="at least 2 pictures, got 1"):
        spread(np.zeros((1, 4, 4, 3), np.uint8))


def test_share_of_a_set_that_is_all_alike_says_nothing() -> None:
    assert Spread(generated=3.0, real=60.0).share == pytest.approx(0.05)
    assert Spread(generated=0.0, real=0.0).share == 1
