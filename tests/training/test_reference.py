"""A sample that is kept: the same whatever the order, and it tells when it is out of date."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.density import Reference, reference_of
from training.errors import SetupError
from training.reference import Kept, from_bytes, lowest, to_bytes

KEYS = [f"{number:064x}" for number in range(50)]
FEATURES = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))


def kept(keys: list[str] = KEYS, pictures: int = 50, encoder: str = "own-1") -> Kept:
    rows = [KEYS.index(key) for key in keys]
    return Kept(reference_of([(keys, FEATURES[rows])], encoder, most=20), pictures)


def test_it_is_read_as_it_was_written() -> None:
    before = kept()
    data = to_bytes(before)
    after = from_bytes(data)
    assert (after.pictures, after.reference.encoder) == (50, "own-1")
    assert after.reference.keys == before.reference.keys
    for name in ("points", "mean", "scale"):
        assert torch.equal(getattr(after.reference, name), getattr(before.reference, name))
    assert after.name("a") == before.name("a")
    assert all(key.encode() in data for key in before.reference.keys)  # a takedown looks for them


@pytest.mark.parametrize("cut", [0, 10, 1000, -1])
def test_what_is_not_whole_is_refused(cut: int) -> None:
    with pytest.raises(SetupError, match="no whole sample"):
        from_bytes(to_bytes(kept())[:cut])


@given(st.permutations(range(50)), st.integers(2, 60))
def test_the_order_changes_nothing(order: list[int], most: int) -> None:
    keys = [KEYS[at] for at in order]
    chosen = lowest(keys, most)
    assert chosen == sorted(chosen)
    assert {keys[at] for at in chosen} == {KEYS[at] for at in lowest(KEYS, most)}
    assert len(chosen) == min(most, 50)
    found = reference_of([(keys, FEATURES[order])], "own-1", most=most)
    assert set(found.keys) == {KEYS[at] for at in lowest(KEYS, most)}  # one and the same choice
    assert kept(keys).name("a") == kept().name("a")


def test_another_sample_set_or_encoder_has_another_name() -> None:
    names = [
        kept().name("a"),
        kept().name("b"),
        kept(KEYS[:25]).name("a"),
        kept(encoder="own-2").name("a"),
    ]
    assert len(set(names)) == 4
    assert all(len(name) == 8 and set(name) <= set("0123456789abcdef") for name in names)
    assert kept(pictures=9).name("a") == names[0]


@pytest.mark.parametrize(
    ("pictures", "encoder", "fits"),
    [(1, "own-1", True), (75, "own-1", True), (76, "own-1", False), (50, "own-2", False)],
)
def test_it_stands_until_the_set_has_grown_by_half(pictures: int, encoder: str, fits: bool) -> None:
    assert kept().fits(pictures, encoder) is fits


def test_features_that_are_there_give_what_pictures_would() -> None:
    parts = [(KEYS[at : at + 7], FEATURES[at : at + 7]) for at in range(0, 50, 7)]
    one = reference_of(parts, "own-1")
    assert isinstance(one, Reference)
    whole = reference_of([(KEYS, FEATURES)], "own-1")
    assert one.keys == whole.keys
    assert torch.allclose(one.points, whole.points, atol=1e-6)
    assert np.allclose(one.points.mean(0), 0, atol=1e-6)
