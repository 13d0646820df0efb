"""Sets of directions: applied, saved, loaded, and refused where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.directions import (
    Direction,
    DirectionSet,
    apply,
    list_sets,
    load_set,
    open_set,
    save_set,
)
from training.latent.layer_groups import find_layers, layer_groups
from training.latent.sampler import Sampler
from training.models import load_snapshot


def direction(name: str = "up", layers: tuple[int, int] = (1, 3)) -> Direction:
    vector = torch.zeros(8)
    vector[2] = 1
    return Direction(name, vector, layers, 0.5, 3.0, 0.25, {"auroc": 0.9})


def a_set(**changes: object) -> DirectionSet:
    found = DirectionSet("mine", "sefa", "kimg-000000.032", 8, 6, (direction(), direction("down")))
    return replace(found, **changes)  # type: ignore[arg-type]


def test_moves_only_its_layers_by_amount_times_scale() -> None:
    ws = torch.zeros(2, 6, 8)
    moved = apply(ws, direction(), 4.0)
    assert torch.equal(moved[:, 1:3, 2], torch.full((2, 2), 2.0))
    assert float(moved.abs().sum()) == 8.0
    assert float(ws.abs().sum()) == 0.0


def test_there_and_back_is_the_same_picture() -> None:
    ws = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(1))
    back = apply(apply(ws, direction(), 2.0), direction(), -2.0)
    assert torch.allclose(back, ws, atol=1e-6)


def test_each_picture_can_have_its_own_amount() -> None:
    ws = torch.zeros(2, 6, 8)
    moved = apply(ws, direction(), torch.tensor([0.0, 2.0]))
    assert moved[:, 1, 2].tolist() == [0.0, 1.0]


def test_one_picture_is_moved_by_index() -> None:
    ws = torch.zeros(6, 8)
    found = a_set()
    assert torch.equal(found.move(ws, 1, 2.0), apply(ws[None], found.directions[1], 2.0)[0])
    with pytest.raises(SetupError, match="directions 0 to 1, got 2"):
        found.move(ws, 2, 1.0)


@pytest.mark.parametrize("shape", [(6, 8), (1, 6, 7), (1, 2, 8)])
def test_refuses_ws_of_another_model(shape: tuple[int, ...]) -> None:
    with pytest.raises(SetupError, match="use a direction of the same model"):
        apply(torch.zeros(shape), direction(), 1.0)


def test_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    found = a_set()
    path = save_set(tmp_path, found)
    back = load_set(path)
    assert (back.name, back.kind, back.snapshot, back.num_ws) == (
        "mine",
        "sefa",
        "kimg-000000.032",
        6,
    )
    for one, other in zip(back.directions, found.directions, strict=True):
        assert torch.equal(one.vector, other.vector)
        assert replace(one, vector=other.vector) == other
    assert [file.name for file in path.parent.iterdir()] == ["mine.safetensors"]


def test_saving_again_replaces_and_gives_the_same_bytes(tmp_path: Path) -> None:
    first = save_set(tmp_path, a_set()).read_bytes()
    assert save_set(tmp_path, a_set()).read_bytes() == first
    assert list_sets(tmp_path) == ["mine"]


def test_says_which_sets_and_directions_there_are(tmp_path: Path) -> None:
    save_set(tmp_path, a_set())
    with pytest.raises(SetupError, match="no set of directions 'other'; it has mine"):
        open_set(tmp_path, "other")
    with pytest.raises(SetupError, match="no direction 'left'; it has up, down"):
        open_set(tmp_path, "mine").find("left")


@pytest.mark.parametrize("name", ["../run", "", ".hidden", "a/b"])
def test_refuses_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="the name of a set"):
        save_set(tmp_path, a_set(name=name))


def test_refuses_damaged_files(tmp_path: Path) -> None:
    path = save_set(tmp_path, a_set())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(SetupError, match="damaged"):
        load_set(path)
    with pytest.raises(SetupError, match="is not there"):
        load_set(tmp_path / "none.safetensors")


def test_refuses_layers_that_the_model_has_not(tmp_path: Path) -> None:
    path = save_set(tmp_path, a_set(directions=(direction(layers=(2, 9)),)))
    with pytest.raises(SetupError, match="layers must lie within"):
        load_set(path)


def test_fits_only_models_of_its_shape(trained: Trained) -> None:
    sampler = Sampler(load_snapshot(trained.plain))
    a_set().check(sampler)
    with pytest.raises(SetupError, match="7 ws of 8"):
        a_set(num_ws=7).check(sampler)


@given(st.integers(1, 9))
def test_groups_cover_all_ws_once(levels: int) -> None:
    groups = layer_groups(2 * levels)
    bounds = [groups[name] for name in ("coarse", "middle", "fine") if name in groups]
    covered = [w for first, end in bounds for w in range(first, end)]
    assert covered == list(range(2 * levels))
    assert all(end > first for first, end in bounds)


def test_groups_of_a_large_model_are_those_of_the_papers() -> None:
    assert layer_groups(10) == {"all": (0, 10), "coarse": (0, 3), "middle": (3, 5), "fine": (5, 10)}


def test_reads_ranges_of_ws() -> None:
    assert find_layers("2-5", 10) == (2, 6)
    for wrong in ("5-2", "0-10", "-3", "low"):
        with pytest.raises(SetupError, match="coarse"):
            find_layers(wrong, 10)
