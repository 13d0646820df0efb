"""Projection finds its way back, whatever is beside it, and goes on where it was interrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.descent import Descent, renormalize, whiteness
from training.latent.perceptual import JudgedPerceiver, as_known, distances
from training.latent.project import Projected, project
from training.latent.sampler import Pixels, Sampler
from training.models import load_snapshot

SHORT = Descent(steps=12, candidates=20)
ALL = Descent("w+", steps=8, candidates=20, noise=True)
SEEDS = (1001, 1002, 1003)  # of pictures, one of which is beyond white in many places


class KilledError(Exception):
    """Ends the work as a kill would: nothing is tidied up."""


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=4)


@pytest.fixture(scope="module")
def targets(sampler: Sampler) -> Pixels:
    return sampler.render(sampler.ws(SEEDS))


@pytest.fixture(scope="module")
def found(sampler: Sampler, targets: Pixels) -> Projected:
    return project(sampler, targets, Descent(steps=120, candidates=300))


def apart(pixels: Pixels, others: Pixels) -> float:
    return float(np.abs(pixels.astype(np.int16) - others).mean())


def test_a_generated_picture_comes_back(
    sampler: Sampler, targets: Pixels, found: Projected
) -> None:
    assert sampler.model.inverted
    assert found.complete
    assert (found.end < 0.2 * found.start).all()
    see = JudgedPerceiver(sampler.model)
    others = see(as_known(sampler.render(sampler.ws(range(40))), sampler.model))
    for row in range(len(SEEDS)):
        wanted = see(as_known(targets[row : row + 1], sampler.model))
        assert float(found.end[row]) < 0.5 * float(distances(others, wanted).min())
    ends, starts = sampler.render(found.ws), sampler.render(found.start_ws)
    for row in range(len(SEEDS)):
        assert apart(ends[row], targets[row]) < 0.5 * apart(starts[row], targets[row])
    assert apart(ends, targets) < 3


def test_what_a_picture_cuts_off_is_no_hindrance(targets: Pixels, found: Projected) -> None:
    """Networks go beyond white and black; files do not."""
    cut_off = np.isin(targets, (0, 255)).mean((1, 2, 3))
    assert float(cut_off.max()) > 0.02
    assert float(found.end[int(cut_off.argmax())]) < 0.02


def test_distances_are_those_of_the_pictures(
    sampler: Sampler, targets: Pixels, found: Projected
) -> None:
    see = JudgedPerceiver(sampler.model)
    wanted = see(as_known(targets, sampler.model))
    fixed = sampler.noises("fixed", SEEDS)
    for ws, said in ((found.ws, found.end), (found.start_ws, found.start)):
        images = sampler.model.G.synthesis(ws, fixed).clamp(-1, 1)
        assert torch.allclose(distances(see(images), wanted), said, rtol=1e-3, atol=1e-6)
    assert torch.equal(found.end, found.end_fixed)
    assert found.curve.shape == (3, 120)
    assert bool(found.curve.isfinite().all())


def test_w_is_one_for_all_layers_and_w_plus_comes_nearer(sampler: Sampler, targets: Pixels) -> None:
    noise = np.random.default_rng(5).integers(0, 256, targets.shape, np.uint8)
    wanted = np.concatenate([targets[:1], noise[:1]])
    how = Descent(steps=25, candidates=20)
    in_w = project(sampler, wanted, how)
    assert torch.equal(in_w.ws, in_w.ws[:, :1].expand_as(in_w.ws))
    in_plus = project(sampler, wanted, Descent("w+", steps=25, candidates=20))
    assert in_plus.curve.shape == (2, 50)
    assert torch.equal(in_plus.curve[:, :25], in_w.curve)
    assert (in_plus.end <= in_w.end).all()
    assert float(in_plus.end[1]) < 0.98 * float(in_w.end[1])
    assert not torch.equal(in_plus.ws[1], in_plus.ws[1, :1].expand_as(in_plus.ws[1]))


def test_the_best_sample_is_no_farther_than_the_mean(sampler: Sampler, targets: Pixels) -> None:
    mean = project(sampler, targets, Descent(steps=1, start="mean"))
    best = project(sampler, targets, Descent(steps=1, candidates=60))
    assert (best.start <= mean.start).all()
    assert float(best.start.sum()) < float(mean.start.sum())
    assert torch.equal(mean.start_ws[0], mean.start_ws[1])
    assert (best.end <= best.start).all()


def test_seeds_draw_other_noise_and_equal_ones_the_same(sampler: Sampler, targets: Pixels) -> None:
    one, again = project(sampler, targets, SHORT), project(sampler, targets, SHORT)
    other = project(sampler, targets, Descent(steps=12, candidates=20, seed=1))
    assert torch.equal(one.ws, again.ws)
    assert torch.equal(one.curve, again.curve)
    assert not torch.equal(one.ws, other.ws)


@pytest.mark.parametrize("noise", [False, True])
def test_several_at_once_are_as_one_at_a_time(
    sampler: Sampler, targets: Pixels, noise: bool
) -> None:
    how = Descent("w+", steps=5, candidates=20, noise=noise)
    together = project(sampler, targets, how)
    for row in (0, 2):
        alone = project(sampler, targets[row : row + 1], how)
        assert torch.allclose(alone.ws[0], together.ws[row], atol=2e-3)
        assert torch.allclose(alone.curve[0], together.curve[row], rtol=1e-2, atol=1e-4)


def test_more_pictures_than_a_batch_go_in_parts(trained: Trained, targets: Pixels) -> None:
    told = []
    small = Sampler(load_snapshot(trained.plain), batch=2)
    found = project(
        small, targets, SHORT, progress=lambda what, done, total: told.append((what, done, total))
    )
    assert found.ws.shape == (3, small.num_ws, small.w_dim)
    assert [done for what, done, _ in told if what == "projection"] == list(range(1, 25))
    assert {total for what, _, total in told if what == "projection"} == {24}
    assert ("candidates", 40, 40) in told


@pytest.fixture(scope="module")
def undisturbed(sampler: Sampler, targets: Pixels) -> Projected:
    return project(sampler, targets, ALL)


@pytest.mark.parametrize("dies_at", [2, 5, 8, 10, 16])
def test_what_was_killed_goes_on_and_ends_the_same(
    sampler: Sampler, targets: Pixels, undisturbed: Projected, tmp_path: Path, dies_at: int
) -> None:
    told: list[int] = []

    def dies(what: str, done: int, total: int) -> None:
        if what == "projection" and done == dies_at:
            raise KilledError

    def tell(what: str, done: int, total: int) -> None:
        told.append(done if what == "projection" else -1)

    with pytest.raises(KilledError):
        project(sampler, targets, ALL, progress=dies, state=tmp_path, save_every=3)
    resumed = project(sampler, targets, ALL, progress=tell, state=tmp_path, save_every=3)
    saved = (dies_at - 1) // 3 * 3
    assert [done for done in told if done > 0] == list(range(saved + 1, 17))
    assert (-1 in told) == (saved == 0)
    for name in ("ws", "start_ws", "curve", "start", "end", "end_fixed"):
        assert torch.equal(getattr(resumed, name), getattr(undisturbed, name)), name
    for one, other in zip(resumed.noises, undisturbed.noises, strict=True):
        assert torch.equal(one, other)


def test_a_state_of_something_else_or_a_damaged_one_is_begun_anew(
    sampler: Sampler, targets: Pixels, tmp_path: Path
) -> None:
    project(sampler, targets, Descent(steps=12, candidates=20, seed=9), state=tmp_path)
    wanted = project(sampler, targets, SHORT)
    assert torch.equal(project(sampler, targets, SHORT, state=tmp_path).ws, wanted.ws)
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(project(sampler, targets, SHORT, state=tmp_path).ws, wanted.ws)


def test_it_stops_when_asked_and_goes_on_later(
    sampler: Sampler, targets: Pixels, tmp_path: Path
) -> None:
    steps: list[int] = []
    stopped = project(
        sampler,
        targets,
        SHORT,
        progress=lambda what, done, _: steps.append(done) if what == "projection" else None,
        should_stop=lambda: len(steps) == 7,
        state=tmp_path,
    )
    assert not stopped.complete
    assert steps == list(range(1, 8))
    assert bool(stopped.curve[:, :7].isfinite().all())
    assert bool(stopped.curve[:, 7:].isnan().all())
    assert (stopped.end <= stopped.start).all()
    resumed = project(sampler, targets, SHORT, state=tmp_path)
    assert torch.equal(resumed.ws, project(sampler, targets, SHORT).ws)


def test_a_model_with_classes_projects_as_well(trained: Trained) -> None:
    sampler = Sampler(load_snapshot(trained.conditional), batch=2)
    wanted = sampler.render(sampler.ws([7], label=1))
    found = project(sampler, wanted, Descent(steps=60, candidates=20))
    assert float(found.end) < 0.3 * float(found.start)


def test_noise_maps_are_looked_for_only_if_asked(sampler: Sampler, targets: Pixels) -> None:
    fixed = sampler.noises("fixed", SEEDS)
    plain = project(sampler, targets, SHORT)
    assert all(torch.equal(a, b) for a, b in zip(plain.noises, fixed, strict=True))
    asked = project(sampler, targets, Descent(steps=12, candidates=20, noise=True))
    moved = [noise for noise, own in zip(asked.noises, fixed, strict=True) if (noise != own).any()]
    assert moved
    assert all(abs(float(noise[0].mean())) < 1e-4 for noise in moved)
    assert all(abs(float(noise[0].square().mean()) - 1) < 1e-3 for noise in moved)


def test_white_noise_is_whiter_than_what_has_a_pattern() -> None:
    draw = torch.Generator().manual_seed(3)
    white = torch.randn(1, 1, 32, 24, generator=draw)
    smooth = torch.nn.functional.avg_pool2d(white, 3, 1, 1)
    stripes = torch.tensor([1.0, -1.0]).repeat(12).expand(1, 1, 32, 24).clone()
    for noise in (white, smooth, stripes):
        renormalize([noise])
        assert abs(float(noise.mean())) < 1e-5
        assert float(noise.square().mean()) == pytest.approx(1, abs=1e-4)
    assert float(whiteness([white])) < 0.1 * float(whiteness([smooth]))
    # A checker of stripes: −1 beside each other in rows, 1 in columns; gone one level down.
    assert float(whiteness([stripes])) == pytest.approx(2, abs=1e-3)
    twice = torch.cat([smooth, smooth])
    assert float(whiteness([twice])) == pytest.approx(2 * float(whiteness([smooth])), rel=1e-5)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"steps": 0}, "`steps` must be from 1"),
        ({"candidates": 10**6}, "`candidates` must be from 1"),
        ({"seed": -1}, "`seed` must be from 0"),
        ({"space": "z"}, "`space` must be one of w, w+"),
        ({"start": "zero"}, "`start` must be one of mean, best"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, object], told: str) -> None:
    with pytest.raises(SetupError, match=told.replace("+", r"\+")):
        Descent(**values)  # type: ignore[arg-type]


def test_pictures_of_another_size_are_refused(sampler: Sampler) -> None:
    with pytest.raises(SetupError, match="16, 12, 3"):
        project(sampler, np.zeros((1, 12, 16, 3), np.uint8))
    with pytest.raises(SetupError, match="N > 0"):
        project(sampler, np.zeros((0, 16, 12, 3), np.uint8))
