"""Blended runs: exact at both ends, between them in between, and runs like any other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import Trained, settings
from training.errors import SetupError
from training.latent.blend import Recipe, blend, blended
from training.latent.sampler import Sampler
from training.models import Model, load_snapshot
from training.request import Request
from training.runs import snapshots
from training.runs.locks import hold
from training.runs.record import is_alive, list_runs, read_run
from training.session import train

LEVELS = ["4x3", "8x6", "16x12"]


def snapshot_of(run: Path) -> Path:
    return load_snapshot(run).path


@pytest.fixture(scope="module")
def other(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went on from the plain one."""
    run = tmp_path_factory.mktemp("other") / "other"
    train(
        Request(
            str(trained.version),
            run,
            preset="tiny",
            overrides=settings(),
            transfer=trained.plain,
        )
    )
    return run


def made(trained: Trained, other: Path, out: Path, recipe: Recipe) -> Model:
    blend(snapshot_of(trained.plain), snapshot_of(other), out, recipe)
    return load_snapshot(out)


def pictures(model: Model) -> np.ndarray:
    sampler = Sampler(model)
    return sampler.render(sampler.ws(range(4)))


def test_the_ends_are_the_two_exactly(trained: Trained, other: Path, tmp_path: Path) -> None:
    for weight, parent in ((0.0, trained.plain), (1.0, other)):
        model, own = (
            made(trained, other, tmp_path / f"w{weight:g}", Recipe(weight)),
            load_snapshot(parent),
        )
        for network, wanted in ((model.G, own.G), (model.D, own.D)):
            state = network.state_dict()
            assert all(torch.equal(state[k], v) for k, v in wanted.state_dict().items())
        assert (pictures(model) == pictures(own)).all()


def test_between_the_ends_weights_are_averaged(
    trained: Trained, other: Path, tmp_path: Path
) -> None:
    model = made(trained, other, tmp_path / "mid", Recipe(0.25))
    first, second = (load_snapshot(run).G.state_dict() for run in (trained.plain, other))
    for name, tensor in model.G.state_dict().items():
        expected = 0.75 * first[name] + 0.25 * second[name]
        if name.endswith("fixed_noise"):
            expected = first[name]
        assert torch.allclose(tensor, expected, atol=1e-5), name
    assert float((second["w_avg"] - first["w_avg"]).abs().amax()) > 0


def test_swapping_takes_resolutions_from_the_second(
    trained: Trained, other: Path, tmp_path: Path
) -> None:
    model = made(trained, other, tmp_path / "swap", Recipe(1.0, "8x6"))
    first, second = (load_snapshot(run).G.state_dict() for run in (trained.plain, other))
    for name, tensor in model.G.state_dict().items():
        upper = "levels.8x6" in name or "levels.16x12" in name
        assert torch.equal(tensor, (second if upper else first)[name]), name
    assert not torch.equal(first["mapping.layers.0.weight"], second["mapping.layers.0.weight"])


def test_a_ramp_rises_evenly_about_its_resolution() -> None:
    assert list(Recipe(1.0, "8x6").shares(LEVELS).values()) == [0, 1, 1]
    assert list(Recipe(1.0, "8x6", 1).shares(LEVELS).values()) == [0.25, 0.75, 1]
    assert list(Recipe(0.5, "16x12", 2).shares(LEVELS).values()) == pytest.approx([0, 1 / 6, 1 / 3])


def test_is_a_run_like_any_other(trained: Trained, other: Path, tmp_path: Path) -> None:
    found = blend(snapshot_of(trained.plain), snapshot_of(other), tmp_path / "new", Recipe(0.6))
    record = read_run(tmp_path / "new")
    assert (record.status, record.snapshots) == ("finished", (found.snapshot,))
    assert record.size == read_run(trained.plain).size
    assert "plain/" in record.reason
    assert "weight 0.6" in record.reason
    told = snapshots.load(tmp_path / "new" / "snapshots" / found.snapshot).values["blend"]
    assert told["second"].startswith("other/")
    assert told["nearer"] == told["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_training_goes_on_in_it(trained: Trained, other: Path, tmp_path: Path) -> None:
    made(trained, other, tmp_path / "new", Recipe(0.5))
    longer = settings()
    longer["run"]["total_kimg"] = 0.048
    train(Request(str(trained.version), tmp_path / "new", preset="tiny", overrides=longer))
    assert read_run(tmp_path / "new").cur_nimg == 48


def test_likeness_tells_kin_from_strangers(trained: Trained, other: Path, tmp_path: Path) -> None:
    own = snapshot_of(trained.plain)
    kin = blend(own, snapshot_of(other), tmp_path / "kin", Recipe()).likeness
    assert kin > 0.5
    assert blend(own, own, tmp_path / "self", Recipe()).likeness == pytest.approx(1)
    asked = settings()
    asked["run"] |= {"seed": 1, "total_kimg": 0.0}
    train(Request(str(trained.version), tmp_path / "own", preset="tiny", overrides=asked))
    stranger = blend(own, snapshot_of(tmp_path / "own"), tmp_path / "not", Recipe()).likeness
    assert abs(stranger) < 0.1


def test_refuses_other_shapes_and_names_what_differs(trained: Trained, tmp_path: Path) -> None:
    own, conditional = snapshot_of(trained.plain), snapshot_of(trained.conditional)
    with pytest.raises(SetupError, match=r"mapping\.embedding: none and \(3, 8\)") as caught:
        blend(own, conditional, tmp_path / "new", Recipe())
    assert str(own) in str(caught.value)
    assert str(conditional) in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_refuses_to_write_over_anything(trained: Trained, tmp_path: Path) -> None:
    own = snapshot_of(trained.plain)
    with pytest.raises(SetupError, match="must not be there yet"):
        blend(own, own, tmp_path, Recipe())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight": 1.5}, "`weight` must be from 0 to 1"),
        ({"weight": float("nan")}, "`weight`"),
        ({"ramp": -1}, "`ramp` must be at least 0"),
        ({"ramp": 1}, "needs a resolution"),
    ],
)
def test_refuses_recipes_out_of_range(values: dict[str, float], message: str) -> None:
    with pytest.raises(SetupError, match=message):
        Recipe(**values)  # type: ignore[arg-type]


def test_refuses_resolutions_that_there_are_not() -> None:
    with pytest.raises(SetupError, match="one of 4x3, 8x6, 16x12"):
        Recipe(1.0, "32x24").shares(LEVELS)


def test_leaves_what_is_not_of_g() -> None:
    tensors = {"D.x": torch.ones(1), "G.x": torch.ones(1), "G_opt.x": torch.ones(1)}
    assert set(blended(tensors, tensors, {}, 0.5)) == {"G.x"}


def test_what_a_killed_blend_has_left_is_removed_by_the_next(
    trained: Trained, tmp_path: Path
) -> None:
    own = snapshot_of(trained.plain)
    names = (".tmp-new-123", f".tmp-new-{os.getpid()}", ".tmp-new-2-123", ".tmp-new-124")
    stale, of_this_process, of_another, at_work = (tmp_path / name for name in names)
    for folder in (stale, of_this_process, of_another, at_work):
        shutil.copytree(trained.conditional, folder)
    with hold(at_work):
        blend(own, own, tmp_path / "new", Recipe())
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {"new", of_another.name, at_work.name}
    (run,) = list_runs(tmp_path)
    assert (run.path.name, run.labels, run.snapshots) == ("new", (), (own.name,))
    assert not is_alive(run)
