"""Projected pictures as they lie in a run's folder, and their sheet."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.descent import Descent
from training.latent.labelled import projected_ws
from training.latent.perceptual import JudgedPerceiver
from training.latent.projection_files import (
    list_projections,
    load_projection,
    name_of,
    project_into,
)
from training.latent.projection_sheet import projection_sheet
from training.latent.sampler import Sampler
from training.latent.targets import Target, open_target
from training.models import load_snapshot

HOW = Descent(steps=8, candidates=8)


class KilledError(Exception):
    """Ends the work as a kill would."""


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=2)


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    return trained.copy_of(trained.plain, tmp_path)


def target(sampler: Sampler, number: int, name: str = "") -> Target:
    sink = io.BytesIO()
    Image.fromarray(sampler.render(sampler.ws([number]))[0]).save(sink, "PNG")
    return open_target(sink.getvalue(), sampler.size, name or f"shoe {number}.png")


def contents(run: Path) -> dict[str, bytes]:
    folder = run / "projections"
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_a_projection_is_found_again_as_it_was_saved(run: Path, sampler: Sampler) -> None:
    wanted = target(sampler, 5)
    kept = project_into(run, sampler, [wanted], HOW)
    (name,) = kept.names
    assert kept.already == ()
    found = load_projection(run, name)
    assert list_projections(run) == (found.facts,)
    assert found.ws.shape == (sampler.num_ws, sampler.w_dim)
    assert torch.equal(projected_ws(run, name, sampler), found.ws)
    assert found.facts.distance <= found.facts.start_distance
    assert (found.facts.source, found.facts.sha256) == ("shoe 5.png", wanted.sha256)
    assert (found.facts.steps, found.facts.snapshot) == (8, sampler.model.name)
    assert len(found.curve) == 8
    with Image.open(found.path / "target.png") as image:
        assert np.array_equal(np.asarray(image), wanted.pixels)
    for file, ws in (("end.png", found.ws), ("start.png", found.start_ws)):
        with Image.open(found.path / file) as image:
            seen = np.asarray(image).astype(int)
        assert np.abs(seen - sampler.render(ws[None])[0]).max() <= 1
    with safe_open(found.path / "ws.safetensors", "pt") as opened:
        header = json.loads(opened.metadata()["facts"])
    assert header == found.facts.model_dump()


def test_what_is_finished_is_not_done_again(run: Path, sampler: Sampler) -> None:
    first = project_into(run, sampler, [target(sampler, 1), target(sampler, 2)], HOW)
    before = contents(run)
    told: list[str] = []
    again = project_into(
        run,
        sampler,
        [target(sampler, 2), target(sampler, 1)],
        HOW,
        progress=lambda what, done, total: told.append(what),
    )
    assert set(again.already) == set(first.names) == set(again.names)
    assert not told
    assert contents(run) == before
    more = project_into(run, sampler, [target(sampler, 1), target(sampler, 3)], HOW)
    assert len(more.already) == 1
    assert len(list_projections(run)) == 3


@pytest.fixture(scope="module")
def undisturbed(
    trained: Trained, sampler: Sampler, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What comes of five pictures, three batches."""
    run = trained.copy_of(trained.plain, tmp_path_factory.mktemp("undisturbed"))
    project_into(run, sampler, [target(sampler, number) for number in range(5)], HOW)
    return contents(run)


@pytest.mark.parametrize("dies_at", [3, 19])
def test_a_killed_run_ends_as_an_undisturbed_one(
    run: Path, sampler: Sampler, undisturbed: dict[str, bytes], dies_at: int
) -> None:
    wanted = [target(sampler, number) for number in range(5)]

    def dies(what: str, done: int, total: int) -> None:
        if what == "projection" and done == dies_at:
            raise KilledError

    with pytest.raises(KilledError):
        project_into(run, sampler, wanted, HOW, progress=dies, save_every=2)
    assert len(list_projections(run)) == (dies_at - 1) // 8 * 2
    project_into(run, sampler, wanted, HOW, save_every=2)
    assert contents(run) == undisturbed


def test_a_batch_that_was_saved_in_part_is_finished(run: Path, sampler: Sampler) -> None:
    """Killed between two folders of a batch: the other one ends as it would have."""
    wanted = [target(sampler, number) for number in range(2)]

    def dies(what: str, done: int, total: int) -> None:
        if what == "projection" and done == 7:
            raise KilledError

    with pytest.raises(KilledError):
        project_into(run, sampler, wanted, HOW, progress=dies, save_every=3)
    (state,) = (run / "projections" / ".unfinished").iterdir()
    kept_state = {file.name: file.read_bytes() for file in state.iterdir()}
    names = project_into(run, sampler, wanted, HOW).names
    complete = contents(run)
    for file in (run / "projections" / names[1]).iterdir():
        file.unlink()
    (run / "projections" / names[1]).rmdir()
    state.mkdir(parents=True)
    for name, data in kept_state.items():
        (state / name).write_bytes(data)
    project_into(run, sampler, wanted, HOW)
    assert contents(run) == complete


def test_stopped_work_is_not_kept_but_goes_on(run: Path, sampler: Sampler) -> None:
    asked: list[bool] = []

    def stops() -> bool:
        asked.append(True)
        return len(asked) > 8

    assert project_into(run, sampler, [target(sampler, 1)], HOW, should_stop=stops).names == ()
    assert list_projections(run) == ()
    assert len(project_into(run, sampler, [target(sampler, 1)], HOW).names) == 1


def test_names_are_plain_and_tell_contents_and_settings_apart(sampler: Sampler) -> None:
    see = JudgedPerceiver(sampler.model)

    def name(number: int, file: str, how: Descent = HOW) -> str:
        return name_of(target(sampler, number, file), sampler, how, see)

    assert name(1, "Schöne Schuhe.jpg").startswith("Schone-Schuhe-w-")
    hostile = ("../../etc/passwd", "靴.png", ".hidden", "a" * 300, "x\0y\n.png", "-rf.png")
    for file in hostile:
        found = name(1, file)
        assert found.isascii()
        assert len(found) < 60
        assert found[0].isalnum()
        assert set(found) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    other = [Descent("w+", steps=8, candidates=8), Descent(steps=9, candidates=8)]
    names = [name(1, "a.png"), name(2, "a.png"), *(name(1, "a.png", how) for how in other)]
    assert len(set(names)) == 4
    assert name(1, "a.png") == name(1, "a.jpg")


def test_there_is_no_way_out_of_the_folder(run: Path, sampler: Sampler) -> None:
    (name,) = project_into(run, sampler, [target(sampler, 1)], HOW).names
    for wrong in ("..", "../snapshots", ".", "", "nothing", f"../projections/{name}"):
        with pytest.raises(SetupError, match=name):
            load_projection(run, wrong)


def test_a_damaged_one_is_told_and_left_out(run: Path, sampler: Sampler) -> None:
    one, two = project_into(run, sampler, [target(sampler, n) for n in (1, 2)], HOW).names
    (run / "projections" / one / "ws.safetensors").write_bytes(b"broken")
    with pytest.raises(SetupError, match="damaged"):
        load_projection(run, one)
    (run / "projections" / one / "facts.json").write_text("{}")
    assert [facts.name for facts in list_projections(run)] == [two]


def test_noise_maps_are_saved_where_they_were_looked_for(run: Path, sampler: Sampler) -> None:
    how = Descent(steps=8, candidates=8, noise=True)
    (name,) = project_into(run, sampler, [target(sampler, 1)], how).names
    found = load_projection(run, name)
    with safe_open(found.path / "noises.safetensors", "pt") as file:
        noises = [file.get_tensor(f"noise.{i}")[None] for i in range(len(file.keys()))]
    with Image.open(found.path / "end.png") as image:
        seen = np.asarray(image).astype(int)
    assert np.abs(seen - sampler.render(found.ws[None], noises)[0]).max() <= 1


def test_a_sheet_shows_start_end_and_target(run: Path, sampler: Sampler) -> None:
    names = project_into(run, sampler, [target(sampler, n) for n in (1, 2, 3)], HOW).names
    found = [load_projection(run, name) for name in names]
    one, three = projection_sheet(found[:1]), projection_sheet(found)
    assert three.width * three.height == pytest.approx(3 * one.width * one.height, rel=0.4)
    sheet = np.asarray(one)
    enlarged = []
    for file in ("start.png", "end.png", "target.png"):
        with Image.open(found[0].path / file) as image:
            enlarged.append(np.asarray(image).repeat(10, 0).repeat(10, 1))
    rows, columns = enlarged[0].shape[:2]
    lefts = [
        left
        for left in range(one.width - columns)
        if any(np.array_equal(sheet[48 : 48 + rows, left : left + columns], e) for e in enlarged)
    ]
    assert len(lefts) == 3
    for left, picture in zip(lefts, enlarged, strict=True):
        assert np.array_equal(sheet[48 : 48 + rows, left : left + columns], picture)
    with pytest.raises(ValueError, match="at least one"):
        projection_sheet([])
