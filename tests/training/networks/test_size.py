"""Which sizes can be trained on."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from training.config import NetworkConfig
from training.errors import SetupError
from training.networks.size import Pyramid, channels, pyramid

SIDES = st.integers(1, 1100)


@pytest.mark.parametrize(
    ("size", "base", "doublings"),
    [
        ((512, 384), (4, 3), 7),
        ((384, 512), (3, 4), 7),
        ((512, 512), (4, 4), 7),
        ((64, 48), (4, 3), 4),
        ((480, 320), (15, 10), 5),
        ((40, 40), (5, 5), 3),
        ((13, 7), (13, 7), 0),
        ((4, 1), (4, 1), 0),
        ((1024, 64), (16, 1), 6),
    ],
)
def test_known_sizes(size: tuple[int, int], base: tuple[int, int], doublings: int) -> None:
    assert pyramid(size) == Pyramid(base, doublings)


def test_sizes_go_from_base_to_full() -> None:
    assert pyramid((64, 48)).sizes == [(4, 3), (8, 6), (16, 12), (32, 24), (64, 48)]


@settings(deadline=None)
@given(h=st.integers(1, 16), w=st.integers(1, 16), k=st.integers(0, 7))
def test_every_base_times_a_power_of_two_is_usable(h: int, w: int, k: int) -> None:
    assume(max(h, w) * 2**k >= 4)
    found = pyramid((h << k, w << k))
    assert 4 <= max(found.base) <= 16
    assert found.sizes[-1] == (h << k, w << k)
    assert found.doublings >= k or max(found.base) < 8  # no doubling is left unused


@settings(deadline=None)
@given(h=SIDES, w=SIDES)
def test_any_size_is_usable_or_a_usable_one_is_named(h: int, w: int) -> None:
    assume(max(h, w) >= 4)
    try:
        assert pyramid((h, w)).sizes[-1] == (h, w)
    except SetupError as error:
        named = re.findall(r"(\d+)×(\d+)", str(error).split("use ")[1])
        assert named
        for a, b in named:
            near = (int(a), int(b))
            assert pyramid(near).sizes[-1] == near
            assert abs(near[0] - h) <= max(h, w) / 8
            assert abs(near[1] - w) <= max(h, w) / 8


def test_the_message_names_value_and_remedy() -> None:
    with pytest.raises(SetupError, match=r"got 512×385 = 512×385 × 2\^0; use 512×384 or 512×416"):
        pyramid((512, 385))


@pytest.mark.parametrize("size", [(3, 3), (0, 64), (2, 1)])
def test_too_small(size: tuple[int, int]) -> None:
    with pytest.raises(SetupError, match=f"at least 4 px.*got {size[0]}×{size[1]}"):
        pyramid(size)


@pytest.mark.parametrize(
    ("base", "largest", "size", "expected"),
    [
        (32768, 512, (512, 384), 64),
        (32768, 512, (4, 3), 512),
        (16384, 512, (256, 256), 64),
        (2048, 64, (64, 48), 32),
        (2048, 64, (60, 40), 32),  # 34.1, to a multiple of 8
        (2048, 64, (1024, 1024), 8),  # 2, but at least 8
        (2048, 6, (64, 48), 6),  # the maximum wins
    ],
)
def test_channels(base: int, largest: int, size: tuple[int, int], expected: int) -> None:
    assert channels(NetworkConfig(channel_base=base, channel_max=largest), size) == expected


@settings(deadline=None)
@given(base=st.integers(1, 10**6), side=st.integers(1, 2048))
def test_more_pixels_never_get_more_channels(base: int, side: int) -> None:
    config = NetworkConfig(channel_base=base)
    low, high = channels(config, (side, side)), channels(config, (2 * side, side))
    assert 8 <= high <= low <= 512
    assert low % 8 == high % 8 == 0
