"""A whole training learns what is in the pictures: three colours of discs, and how many of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.training.support import start, version_of_pictures
from training.build import build
from training.config import TrainingConfig
from training.networks import Generator
from training.runs import snapshots

SIDE = 8
MIDDLE = slice(SIDE // 2 - 1, SIDE // 2 + 1)
COLOURS = np.array([[200, 40, 40], [40, 170, 60], [50, 70, 200]], float)
BACKGROUND = np.array([225.0, 225, 225])
SHARES = (0.5, 0.3, 0.2)
SETTINGS = {
    # Small and quick; as `tiny` in all else.
    "network.z_dim": 16,
    "network.w_dim": 32,
    "network.channel_base": 256,
    "network.channel_max": 16,
    # Discrimination by what differs within a batch: how many there are of each colour.
    "network.mbstd_group": 16,
    "network.mbstd_channels": 4,
    "augment.mode": "off",
    "loss.kind": "relativistic",
    "loss.r1_gamma": 0.3,
    "loss.r1_interval": 4,
    "loss.style_mixing": 0,
    "optimizer.batch": 16,
    "optimizer.G_lr": 0.01,
    "optimizer.D_lr": 0.01,
    "optimizer.ema_kimg": 0.5,
    "run.total_kimg": 9,
    "run.tick_kimg": 3,
    "run.snapshot_ticks": 1,
}

Pixels = NDArray[np.uint8]


def disc(colour: int, rng: np.random.Generator) -> Pixels:
    y, x = np.mgrid[:SIDE, :SIDE]
    centre = rng.uniform(SIDE / 2 - 1, SIDE / 2, 2)
    distance = np.hypot(y - centre[0], x - centre[1])
    inside = np.clip(0.3 * SIDE - distance + 0.5, 0, 1)[..., None]
    pixels: Pixels = (BACKGROUND * (1 - inside) + COLOURS[colour] * inside).round().astype(np.uint8)
    return pixels


def discs() -> list[Pixels]:
    rng = np.random.default_rng(0)
    counts = np.array(SHARES) * 300
    return [disc(colour, rng) for colour in np.repeat([0, 1, 2], counts.round().astype(int))]


class Seen:
    """What is in pictures of shape (N, SIDE, SIDE, 3).

    Attributes
    ----------
    shares
        Of the colours that the middle is nearest to.
    discs, backgrounds
        Shares of pictures whose middle is of one of the colours, whose corners are as they must be.
    """

    def __init__(self, pixels: NDArray[np.floating] | Pixels) -> None:
        middle = pixels[:, MIDDLE, MIDDLE].mean(axis=(1, 2))
        corners = pixels[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=1)
        distance = np.linalg.norm(middle[:, None] - COLOURS[None], axis=2)
        self.shares = np.bincount(distance.argmin(1), minlength=3) / len(pixels)
        self.discs = float((distance.min(1) < 50).mean())
        self.backgrounds = float((np.linalg.norm(corners - BACKGROUND, axis=1) < 40).mean())

    def has_learned(self, shares: tuple[float, ...] = SHARES) -> bool:
        """Whether the colours have these shares, and there are discs on the background."""
        near = float(np.abs(self.shares - shares).max()) < 0.14
        return near and self.discs > 0.6 and self.backgrounds > 0.9

    def __repr__(self) -> str:
        return f"shares {self.shares.round(3)}, discs {self.discs}, background {self.backgrounds}"


def generated(G: Generator, count: int = 400) -> Seen:
    rng = torch.Generator().manual_seed(1)
    z = torch.randn(count, G.z_dim, generator=rng)
    with torch.no_grad():
        images = G(z, noises=G.draw_noise(count, rng, torch.device("cpu")))
    return Seen(((images.clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy())


def average_of(snapshot: Path) -> Generator:
    loaded = snapshots.load_weights(snapshot)
    config = TrainingConfig.model_validate(loaded.values["config"])
    G = Generator(config.network, (SIDE, SIDE), 0, None)
    of_average = {k: v for k, v in loaded.tensors.items() if k.startswith("G_ema.")}
    G.load_state_dict({key.removeprefix("G_ema."): value for key, value in of_average.items()})
    return G.eval()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_colours_of_discs_are_learned(tmp_path: Path) -> None:
    pictures = discs()
    assert Seen(np.stack(pictures)).has_learned()
    version, run = version_of_pictures(tmp_path / "version", pictures), tmp_path / "run"
    line = [str(version), "--run", str(run), "--preset", "tiny", "--device", "cpu"]
    for key, value in SETTINGS.items():
        line += ["--set", f"{key}={value}"]
    started = start(line, tmp_path / "log")
    assert started.ended(580) == 0, started.said()

    found = sorted((run / "snapshots").iterdir())
    seen = generated(average_of(found[-1]))
    assert seen.has_learned(), seen
    assert seen.shares.argmax() == 0
    # What has not learned this is told apart: colours in other shares, hardly trained, untrained.
    for others in ((0.2, 0.3, 0.5), (0.3, 0.5, 0.2), (0.3, 0.2, 0.5), (0.2, 0.5, 0.3)):
        assert not seen.has_learned(others)
    config = TrainingConfig.model_validate(snapshots.load_weights(found[-1]).values["config"])
    untrained = build(config.network, (SIDE, SIDE), 0, torch.device("cpu")).G_ema
    assert not generated(untrained).has_learned()
    assert generated(untrained).discs < 0.4
