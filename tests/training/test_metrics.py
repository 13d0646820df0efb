from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.encoder import Encoder, OwnEncoder
from training.errors import SetupError
from training.metrics import OWN, Generated, StatisticsCache, encoders, measure


class Quarters(Encoder):
    """Mean colours of the four quarters of a picture."""

    name, suffix, num_features = "quarters-1", "_own", 12

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(pixels.float() / 255, 2).flatten(1)


class Published(Quarters):
    name, suffix = "inception-00000000", ""


def pictures(count: int, seed: int, light: float = 1.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 3, 6, 4, generator=draw) * 255 * light).to(torch.uint8)


class Fake:
    """Pictures at hand, instead of a generator."""

    def __init__(self, pixels: Tensor, batch: int = 32) -> None:
        self.pixels, self.batch = pixels, batch

    def __call__(self, count: int) -> Iterator[Tensor]:
        yield from self.pixels[:count].split(self.batch)


REAL = pictures(150, seed=0)


def test_worse_pictures_have_worse_figures() -> None:
    good, bad = (
        measure(
            ("fd_own", "kid_own", "pr_own"),
            real=REAL.split(40),
            fake=Fake(pictures(120, seed=1, light=light)),
            count=120,
            encoder=Quarters(),
        )
        for light in (1.0, 0.7)
    )
    names = {"fd_own", "kid_own", "kid_std_own", "precision_own", "recall_own", "n_real", "n_fake"}
    assert set(good) == names
    assert all(type(value) is float for value in good.values())
    assert good["fd_own"] < bad["fd_own"]
    assert good["kid_own"] < bad["kid_own"]
    assert good["precision_own"] > bad["precision_own"]
    assert good["recall_own"] > bad["recall_own"]
    assert (good["n_real"], good["n_fake"]) == (150, 120)


def test_figures_tell_what_they_were_taken_with() -> None:
    figures = measure(
        ["fd_own"], real=[REAL], fake=Fake(pictures(100, seed=1)), count=100, encoder=Quarters()
    )
    assert figures.encoder == "quarters-1"
    text = str(figures)
    assert text.startswith("fd_own 0.")
    assert text.endswith("(quarters-1; 150 real, 100 generated)")


def test_batches_change_nothing() -> None:
    fake = pictures(60, seed=1)
    one, other = (
        measure(
            ("fd_own", "kid_own", "pr_own"),
            real=REAL.split(size),
            fake=Fake(fake, size),
            count=60,
            encoder=Quarters(),
            keep=40,
        )
        for size in (7, 150)
    )
    assert one == pytest.approx(other, rel=1e-6)


def test_only_published_encoders_give_published_names() -> None:
    fake = Fake(pictures(60, seed=1))
    figures = measure(("fid", "kid", "pr"), real=[REAL], fake=fake, count=60, encoder=Published())
    assert {"fid", "kid", "kid_std", "precision", "recall"} < set(figures)
    with pytest.raises(SetupError, match="quarters-1 is for fd_own"):
        measure(["fid"], real=[REAL], fake=fake, count=60, encoder=Quarters())
    with pytest.raises(SetupError, match="is for fid"):
        measure(["fd_own"], real=[REAL], fake=fake, count=60, encoder=Published())


def test_own_and_published_figures_of_the_same_features_are_equal() -> None:
    fake = Fake(pictures(60, seed=1))
    own = measure(["fd_own", "kid_own"], real=[REAL], fake=fake, count=60, encoder=Quarters())
    published = measure(["fid", "kid"], real=[REAL], fake=fake, count=60, encoder=Published())
    assert own["fd_own"] == published["fid"]
    assert own["kid_own"] == published["kid"]


def test_names_are_grouped_by_encoder() -> None:
    ((encoder, names),) = encoders(["pr_own", "fd_own", "pr_own"])
    assert isinstance(encoder, OwnEncoder)
    assert names == ("pr_own", "fd_own")
    assert encoders([]) == []
    with pytest.raises(SetupError, match=r"fd_own.*got 'fdi'"):
        encoders(["fdi"])


def test_missing_weights_come_out_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SetupError, match="--inception FILE"):
        encoders(["fd_own", "fid"])
    with pytest.raises(SetupError, match="--lpips FILE"):
        encoders(["ppl"])


def test_real_pictures_are_read_once_if_there_is_a_cache(tmp_path: Path) -> None:
    reads: list[int] = []

    def real() -> Iterator[Tensor]:
        reads.append(1)
        yield from REAL.split(50)

    told: list[tuple[str, int]] = []

    def take(version: str) -> dict[str, float]:
        return measure(
            ("fd_own", "kid_own", "pr_own"),
            real=real,
            fake=Fake(pictures(60, seed=1)),
            count=60,
            encoder=Quarters(),
            cache=StatisticsCache(tmp_path, {"version": version}),
            progress=lambda what, done: told.append((what, done)),
        )

    first = take("a")
    assert told == [
        *(("real", n) for n in (50, 100, 150)),
        ("generated", 32),
        ("generated", 60),
    ]
    assert take("a") == first
    assert len(reads) == 1
    take("b")
    assert len(reads) == 2


def test_too_few_generated_pictures_are_named() -> None:
    with pytest.raises(SetupError, match="must give 90 pictures, gave 60"):
        measure(
            ["fd_own"], real=[REAL], fake=Fake(pictures(60, seed=1)), count=90, encoder=Quarters()
        )


class Line(nn.Module):
    """Its picture is grey of level w × slope: the length of every path is known."""

    z_dim, labels = 1, 0

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return z

    def spread(self, w: Tensor, psi: float = 1.0) -> Tensor:
        return w[:, None]

    def fixed_noise(self, n: int) -> list[Tensor]:
        return []

    def synthesis(self, ws: Tensor, noises: list[Tensor]) -> Tensor:
        return (ws[:, :1, :1, None] * self.slope).expand(-1, 3, 6, 4)

    def forward(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0) -> Tensor:
        return self.synthesis(z[:, None], [])


@pytest.mark.parametrize("slope", [0.1, 0.3])
def test_path_length_of_a_straight_line_is_known(slope: float) -> None:
    figures = measure(
        ["ppl_own"],
        real=(),
        fake=Generated(Line(slope), batch=500),
        count=2000,
        encoder=Quarters(),
    )
    # 12 features move by slope / 2 × (w1 - w0), a normal of variance 2; 1% is cut off each end
    draw = torch.Generator().manual_seed(0)
    moves = 12 * (slope / 2 * torch.randn(2, 200_000, generator=draw).diff(dim=0)).square()
    low, high = moves.quantile(0.01), moves.quantile(0.99)
    expected = moves[(moves >= low) & (moves <= high)].mean().item()
    assert figures["ppl_own"] == pytest.approx(expected, rel=0.12)
    assert figures["n_steps"] == 2000


def test_path_lengths_need_a_generator() -> None:
    with pytest.raises(SetupError, match="Generated"):
        measure(["ppl_own"], real=(), fake=Fake(REAL), count=10, encoder=Quarters())


def test_all_figures_of_the_own_encoder_at_once() -> None:
    figures = measure(
        OWN, real=[REAL[:20]], fake=Generated(Line(0.5)), count=12, encoder=OwnEncoder()
    )
    assert figures.encoder == "own-1"
    assert {"fd_own", "kid_own", "precision_own", "recall_own", "ppl_own"} < set(figures)
    assert figures["recall_own"] == 0  # grey pictures are no noise
    assert torch.tensor(list(figures.values())).isfinite().all()
