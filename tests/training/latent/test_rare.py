"""Searches find what scoring everything would, and write it whole."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.conftest import Trained
from tests.training.latent.projected import put_projection
from training.errors import SetupError
from training.latent.draws import Truncation
from training.latent.layout import GREY
from training.latent.rare import (
    Found,
    Search,
    like,
    like_projected,
    search_pictures,
    search_w,
    show_examples,
    write_found,
)
from training.latent.sampler import Sampler
from training.models import load_snapshot


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain))


def first_number(w: torch.Tensor) -> torch.Tensor:
    return w[:, 0]


def test_finds_what_sorting_all_finds(sampler: Sampler) -> None:
    search = Search(10, 5000, 7)
    found = search_w(sampler, first_number, search)
    scores = sampler.w(range(10, 5010))[:, 0]
    best = scores.sort(descending=True)
    assert found.seeds == tuple((best.indices[:7] + 10).tolist())
    assert found.scores == pytest.approx(best.values[:7].tolist())
    assert found.mean == pytest.approx(float(scores.mean()), abs=1e-5)


def test_equal_scores_keep_the_lowest_seeds(sampler: Sampler) -> None:
    found = search_w(sampler, lambda w: torch.zeros(len(w)), Search(5, 5000, 3))
    assert found.seeds == (5, 6, 7)


def test_what_is_scored_is_truncated_as_what_is_shown(sampler: Sampler) -> None:
    seen: list[torch.Tensor] = []

    def score(w: torch.Tensor) -> torch.Tensor:
        seen.append(w)
        return w[:, 0]

    truncation = Truncation(0.5)
    search_w(sampler, score, Search(0, 8, 1, truncation))
    assert torch.allclose(seen[0], sampler.ws(range(8), truncation)[:, 0])


def test_a_w_is_most_like_itself(sampler: Sampler) -> None:
    targets = sampler.w([123, 45])
    found = search_w(sampler, like(targets), Search(0, 500, 3))
    assert set(found.seeds[:2]) == {123, 45}
    assert found.scores[1] > found.scores[2]


def test_a_picture_is_most_like_itself(sampler: Sampler) -> None:
    examples = sampler.render(sampler.ws([17]))
    told: list[tuple[str, int, int]] = []
    found = search_pictures(sampler, examples, Search(0, 40, 2), progress=lambda *a: told.append(a))
    assert found.seeds[0] == 17
    assert found.scores[0] == pytest.approx(0, abs=1e-4)
    assert found.scores[1] < found.scores[0]
    assert told[-1] == ("pictures", 40, 40)


def test_refuses_examples_of_another_size(sampler: Sampler) -> None:
    with pytest.raises(SetupError, match="16×12 px"):
        search_pictures(sampler, np.zeros((1, 8, 8, 3), np.uint8), Search(0, 10, 1))


def test_writes_pictures_scores_and_a_sheet(sampler: Sampler, tmp_path: Path) -> None:
    search = Search(0, 100, 10)
    write_found(sampler, search_w(sampler, first_number, search), search, tmp_path / "found")
    few = Search(0, 100, 3)
    found = search_w(sampler, first_number, few)
    sheet = write_found(
        sampler, found, few, tmp_path / "found", examples=sampler.render(sampler.ws([0]))
    )
    names = [f"{i + 1:04d}-seed{seed}.png" for i, seed in enumerate(found.seeds)]
    files = sorted(path.name for path in sheet.parent.iterdir())
    assert files == sorted([*names, "samples.csv", "sheet.png"])
    with (tmp_path / "found" / "samples.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["seed"]) for row in rows] == list(found.seeds)
    assert [float(row["score"]) for row in rows] == pytest.approx(found.scores, rel=1e-4)
    with Image.open(tmp_path / "found" / names[0]) as image:
        expected = sampler.render(sampler.ws([found.seeds[0]]))[0]
        assert (np.asarray(image) == expected).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"samples": 5, "count": 6}, "`count` must be 1 to 5, .* got 6"),
        ({"count": 0}, "`count` must be 1 to 100,000, .* got 0"),
        ({"start": -1}, "seeds must be from 0"),
        ({"start": 2**63 - 1}, "seeds must be from 0"),
        ({"truncation": Truncation(0.7, cutoff=2)}, "`cutoff` must be left out"),
    ],
)
def test_refuses_searches_out_of_range(values: dict[str, object], message: str) -> None:
    with pytest.raises(SetupError, match=message):
        Search(**values)  # type: ignore[arg-type]


def test_results_are_plain_values() -> None:
    assert Found((1,), (0.5,), 0.1) == Found((1,), (0.5,), 0.1)


def test_a_sheet_shows_examples_above_what_was_found(sampler: Sampler, tmp_path: Path) -> None:
    search = Search(0, 50, 5)
    found = search_w(sampler, first_number, search)
    examples = np.full((2, *sampler.size, 3), 255, np.uint8)
    with Image.open(write_found(sampler, found, search, tmp_path, examples=examples)) as image:
        sheet = np.asarray(image)
    (best,) = sampler.render(sampler.ws([found.seeds[0]]))
    height, width = (6 * side for side in sampler.size)
    assert (sheet[:height, :width] == 255).all()
    assert (sheet[height : height + 10] == GREY).all()  # where white ends is seen
    assert (sheet[height + 16 : 2 * height + 16 : 6, :width:6] == best).all()


def test_large_pictures_are_made_smaller_on_a_sheet(sampler: Sampler, tmp_path: Path) -> None:
    search = Search(0, 50, 1)
    found = search_w(sampler, first_number, search)
    examples = np.zeros((1, 512, 384, 3), np.uint8)
    with Image.open(write_found(sampler, found, search, tmp_path, examples=examples)) as image:
        assert image.size == (192, 256 + 16 + 96)


def test_projected_pictures_are_found_again_and_shown(sampler: Sampler, tmp_path: Path) -> None:
    for seed in (9, 31):
        put_projection(tmp_path, f"seed{seed}", sampler.ws([seed])[0])
    score = like_projected(sampler, tmp_path, ["seed9", "seed31"])
    assert set(search_w(sampler, score, Search(0, 100, 2)).seeds) == {9, 31}
    file = tmp_path / "own.png"
    Image.fromarray(sampler.render(sampler.ws([5]))[0]).save(file)
    shown = show_examples(sampler, tmp_path, ["seed31", file])
    assert (shown == sampler.render(sampler.ws([31, 5]))).all()
    with pytest.raises(SetupError, match="no projected picture 'hat'"):
        show_examples(sampler, tmp_path, ["hat"])
