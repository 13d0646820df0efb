"""Directions from tags: known ones are found, and useless ones seen as such."""

from __future__ import annotations

import pytest
import torch

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.directions import Direction
from training.latent.labelled import Examples
from training.latent.sampler import Sampler
from training.latent.tagged import auroc, fit, model_of, tag_directions, tag_models
from training.models import load_snapshot


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


TRUE = torch.nn.functional.normalize(torch.arange(1.0, 9.0), dim=0)


def examples(count: int = 300) -> Examples:
    """Tag `far` is beyond a plane; `dice` has nothing to do with w; `rare` is had by 3."""
    draw = rng()
    w = torch.randn(count, 8, generator=draw) + 2
    far = (w @ TRUE) > (w @ TRUE).median() + 0.5
    dice = torch.rand(count, generator=draw) < 0.4
    rare = torch.arange(count) < 3
    names = {"far": far, "dice": dice, "rare": rare}
    tags = [frozenset(n for n, has in names.items() if has[i]) for i in range(count)]
    return Examples(w, tuple(tags))


def test_finds_the_normal_of_a_plane() -> None:
    found = examples()
    has = torch.tensor(["far" in tags for tags in found.tags])
    weight, bias = fit(found.w, has)
    assert float(torch.nn.functional.normalize(weight, dim=0) @ TRUE.double()) > 0.97
    right = (found.w.double() @ weight + bias > 0) == has
    assert float(right.double().mean()) > 0.9


def test_moving_and_scaling_w_changes_no_probability() -> None:
    found = examples()
    has = torch.tensor(["far" in tags for tags in found.tags])
    weight, bias = fit(found.w, has)
    scaled, other = fit(found.w * 50 + 7, has)
    before = found.w.double() @ weight + bias
    after = (found.w * 50 + 7).double() @ scaled + other
    assert torch.allclose(before, after, atol=1e-3)


def test_what_tags_tell_is_measured_on_others() -> None:
    models, left_out = tag_models(examples())
    by_tag = {model.tag: model for model in models}
    assert [model.tag for model in models] == ["far", "dice"]
    assert by_tag["far"].auroc > 0.95
    assert by_tag["far"].useful
    assert by_tag["dice"].auroc < 0.6
    assert not by_tag["dice"].useful
    assert left_out == {"rare": "3 with it, 297 without; 5 of each are needed"}


def test_chance_stays_below_its_bound() -> None:
    w = torch.randn(60, 8, generator=rng())
    draw = rng()
    useful = 0
    for _ in range(20):
        order = torch.randperm(60, generator=draw)
        has = [frozenset({"t"}) if place < 20 else frozenset() for place in order.tolist()]
        useful += tag_models(Examples(w, tuple(has)))[0][0].useful
    assert useful <= 4  # 1 is expected


def test_ranks_count_ties_half() -> None:
    has = torch.tensor([True, True, False, False])
    assert auroc(torch.tensor([3.0, 2.0, 1.0, 0.0]), has) == 1
    assert auroc(torch.tensor([0.0, 1.0, 2.0, 3.0]), has) == 0
    assert auroc(torch.tensor([1.0, 1.0, 1.0, 1.0]), has) == 0.5
    assert auroc(torch.tensor([2.0, 1.0, 1.0, 0.0]), has) == 0.875


def test_a_direction_raises_the_probability_and_predicts_as_its_model(trained: Trained) -> None:
    sampler = Sampler(load_snapshot(trained.plain))
    w = sampler.w(range(100))
    has = w[:, 0] > w[:, 0].median()
    tags = tuple(frozenset({"big"}) if one else frozenset() for one in has.tolist())
    models, _ = tag_models(Examples(w, tags))
    found = tag_directions(sampler, models, samples=200)
    direction = found.find("big")
    again = model_of(direction)
    assert torch.allclose(again.predict(w), models[0].predict(w), atol=1e-5)
    moved = w + direction.scale * direction.vector
    assert bool((again.predict(moved) > again.predict(w)).all())
    along = (sampler.w(range(200)) @ direction.vector).std()
    assert direction.scale == pytest.approx(float(along), rel=1e-4)


def test_refuses_what_cannot_tell() -> None:
    with pytest.raises(SetupError, match="must come from tags"):
        model_of(Direction("pc-1", TRUE, (0, 6), 1.0))
