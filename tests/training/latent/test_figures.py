from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent import figures
from training.latent.draws import Truncation
from training.latent.layout import labelled
from training.latent.looks import mix
from training.latent.sampler import Pixels, Sampler
from training.models import load_snapshot


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=4)


def cell(
    sheet: Pixels, row: int, column: int, size: tuple[int, int], rows: int, columns: int = 3
) -> Pixels:
    """A picture of a sheet that has captions above and beside, as it was before enlarging."""
    height, width = size
    factor = max(-(-128 // max(size)), 1)
    columns_left = sheet.shape[1] - (width * factor + 4) * columns + 4
    top = sheet.shape[0] - (height * factor + 4) * rows + 4
    y = top + row * (height * factor + 4)
    x = columns_left + column * (width * factor + 4)
    return sheet[y : y + height * factor : factor, x : x + width * factor : factor]


def test_a_sweep_has_a_seed_a_row_and_a_psi_a_column(sampler: Sampler) -> None:
    sheet = np.asarray(figures.truncation_sweep(sampler, [4, 5], [1.0, 0.5, 0.0]))
    for row, seed in enumerate([4, 5]):
        for column, psi in enumerate([1.0, 0.5, 0.0]):
            (expected,) = sampler.render(sampler.ws([seed], Truncation(psi)))
            assert np.array_equal(cell(sheet, row, column, sampler.size, 2), expected)


def test_mixing_in_all_layers_is_the_source_and_in_some_is_between(sampler: Sampler) -> None:
    a, b = sampler.ws([1]), sampler.ws([2])
    assert torch.equal(mix(a, b, (0, sampler.num_ws)), b)
    assert torch.equal(mix(a, b, (2, 2)), a)
    some = mix(a, b, (1, 3))
    assert torch.equal(some[:, 1:3], b[:, 1:3])
    assert torch.equal(some[:, [0, 3]], a[:, [0, 3]])
    sheet = np.asarray(figures.style_mixing(sampler, [1], [2, 3], (0, sampler.num_ws)))
    for column, seed in ((1, 2), (2, 3)):
        (source,) = sampler.render(sampler.ws([seed]))
        assert np.array_equal(cell(sheet, 0, column, sampler.size, 2), source)
        assert np.array_equal(cell(sheet, 1, column, sampler.size, 2), source)


def test_layers_that_there_are_not_are_refused(sampler: Sampler) -> None:
    with pytest.raises(SetupError, match="`layers` must be of 0 to"):
        figures.style_mixing(sampler, [1], [2], (3, 99))


def test_noise_shows_where_a_picture_differs(sampler: Sampler) -> None:
    with torch.no_grad():
        before = [conv.noise_strength.clone() for conv in sampler.model.G.synthesis.convs]
        try:
            for conv in sampler.model.G.synthesis.convs:
                conv.noise_strength.zero_()
            still = np.asarray(figures.noise_detail(sampler, [1], draws=2, compared=3))
            assert not cell(still, 0, 2, sampler.size, 1).any()
            sampler.model.G.synthesis.convs[-1].noise_strength.fill_(1.0)
            sheet = np.asarray(figures.noise_detail(sampler, [1], draws=2, compared=3))
            assert cell(sheet, 0, 2, sampler.size, 1).max() == 255
            parts = np.asarray(figures.noise_components(sampler, [1]))
        finally:
            for conv, strength in zip(sampler.model.G.synthesis.convs, before, strict=True):
                conv.noise_strength.copy_(strength)
    everything, none, fine, coarse = (cell(parts, 0, at, sampler.size, 1, 4) for at in range(4))
    assert np.array_equal(everything, fine)
    assert np.array_equal(none, coarse)
    assert not np.array_equal(none, fine)


def test_pictures_of_a_grid_stand_where_one_sheet_of_all_has_them(sampler: Sampler) -> None:
    expected = labelled(sampler.render(sampler.ws(range(3, 13))), columns=4)
    told: list[tuple[str, int, int]] = []
    sheet = figures.uncurated(
        sampler, range(3, 13), columns=4, progress=lambda *what: told.append(what)
    )
    assert np.array_equal(np.asarray(sheet), np.asarray(expected))
    assert told[-1] == ("pictures", 10, 10)


def test_a_grid_holds_few_of_its_pictures(sampler: Sampler) -> None:
    alive: weakref.WeakSet[Pixels] = weakref.WeakSet()
    most = 0

    class Batch(np.ndarray):  # weak sets want what can be hashed
        __hash__ = object.__hash__

    class Watched(Sampler):
        def pictures(self, *asked: Any, **more: Any) -> Iterator[tuple[list[int], Pixels]]:
            nonlocal most
            for seeds, pixels in super().pictures(*asked, **more):
                batch = pixels.view(Batch)
                alive.add(batch)
                most = max(most, len(alive))
                yield seeds, batch

    figures.uncurated(Watched(sampler.model, batch=4), range(80))
    assert 0 < most <= 3


def test_more_pictures_than_a_sheet_has_room_for_are_refused_before_they_are_made(
    sampler: Sampler,
) -> None:
    told: list[str] = []
    with pytest.raises(
        SetupError, match="at most 3,200 rows and as many columns, got 10,000 and 1"
    ):
        figures.uncurated(
            sampler, range(10_000), columns=1, progress=lambda what, *_: told.append(what)
        )
    assert not told
