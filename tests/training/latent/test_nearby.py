from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import ITEMS, Trained
from training.encoder import OwnEncoder
from training.errors import SetupError
from training.latent.nearby import RealPictures
from training.neighbours import median_nearest
from training.trained_on import AS_TRAINED, Opened, Source, open_run, real_pictures


@pytest.fixture(scope="module")
def opened(trained: Trained) -> Opened:
    return open_run(trained.plain, AS_TRAINED)


def ready(reals: RealPictures) -> RealPictures:
    end = time.monotonic() + 60
    while not reals.is_ready and not reals.problem:
        assert time.monotonic() < end
        time.sleep(0.01)
    return reals


def test_a_real_picture_is_nearest_to_itself(opened: Opened) -> None:
    reals = ready(RealPictures(opened))
    assert reals.done == reals.total == ITEMS
    all_of_them = torch.cat(list(real_pictures(opened.version, opened.selection)))
    for number in (0, 13):
        picture = reals.picture(number)
        assert np.array_equal(picture, all_of_them[number].permute(1, 2, 0).numpy())
        near = reals.near(picture, k=4)
        assert near.numbers[0] == number
        assert near.distances[0] == pytest.approx(0, abs=1e-4)  # encoded in another batch
        assert list(near.distances) == sorted(near.distances)
    features = OwnEncoder()(all_of_them).double()
    assert near.between == pytest.approx(median_nearest([features[:9], features[9:]]))
    apart = torch.cdist(features, features)
    apart.fill_diagonal_(torch.inf)
    assert near.between == pytest.approx(float(np.median(apart.amin(1).numpy())), rel=1e-6)


def test_what_is_not_looked_through_yet_is_told(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, may_go_on = threading.Event(), threading.Event()
    encode = OwnEncoder.forward

    def slow(self: OwnEncoder, pixels: torch.Tensor) -> torch.Tensor:
        entered.set()
        assert may_go_on.wait(60)
        return encode(self, pixels)

    monkeypatch.setattr(OwnEncoder, "forward", slow)
    reals = RealPictures(opened, most=5)
    assert entered.wait(60)
    assert (reals.done, reals.total, reals.is_ready) == (0, 5, False)
    with pytest.raises(SetupError, match="still being looked through"):
        reals.near(np.zeros((16, 12, 3), np.uint8))
    with pytest.raises(SetupError, match="numbered 0 to 4, got 5"):
        reals.picture(5)
    may_go_on.set()
    assert ready(reals).done == 5


def test_what_cannot_be_read_is_told(trained: Trained, tmp_path: Path) -> None:
    version = shutil.copytree(trained.version, tmp_path / "version")
    opened = open_run(trained.plain, Source(str(version)))
    for shard in version.rglob("*.tar"):
        shard.unlink()
    reals = ready(RealPictures(opened))
    assert reals.problem
    with pytest.raises(SetupError):
        reals.near(np.zeros((16, 12, 3), np.uint8))
