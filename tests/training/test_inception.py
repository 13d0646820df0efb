from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.errors import SetupError
from training.inception import find_inception, load_inception, load_lpips


class Script(nn.Module):
    """Called as the published Inception is; features are means of the picture, repeated."""

    def __init__(self, features: int = 2048) -> None:
        super().__init__()
        self.features = features

    def forward(self, pixels: Tensor, return_features: bool = False) -> Tensor:
        means = pixels.float().mean([2, 3]).mean(1, keepdim=True)
        return means.expand(-1, self.features if return_features else 1008)


class Lpips(nn.Module):
    """Called as the published VGG-16 is."""

    def forward(
        self,
        pixels: Tensor,
        resize_images: bool = True,
        return_lpips: bool = False,
    ) -> Tensor:
        assert not resize_images
        assert return_lpips
        assert pixels.size(2) <= 256
        return pixels.mean([2, 3]) / 255


class Other(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def saved(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        # the files in use are TorchScript, whatever torch advises for new ones
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), str(path))
    return path


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches of this user that hold nothing."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def test_a_scripted_inception_gives_its_features(tmp_path: Path) -> None:
    encoder = load_inception(saved(Script(), tmp_path / "inception-2015-12-05.pt"))
    pixels = torch.full((3, 3, 20, 30), 100, dtype=torch.uint8)
    features = encoder(pixels)
    assert features.shape == (3, 2048) == (3, encoder.num_features)
    assert features.dtype == torch.float32
    assert (features == 100).all()
    assert encoder.suffix == ""


def test_the_name_tells_the_file(tmp_path: Path) -> None:
    first = load_inception(saved(Script(), tmp_path / "a.pt"))
    (tmp_path / "b.pt").write_bytes((tmp_path / "a.pt").read_bytes())
    assert first.name.startswith("inception-")
    assert load_inception(tmp_path / "b.pt").name == first.name
    assert load_lpips(saved(Lpips(), tmp_path / "c.pt")).name.startswith("lpips-")


def test_without_weights_the_remedies_are_named(no_cache: Path) -> None:
    assert find_inception() is None
    with pytest.raises(SetupError, match=r"--inception FILE.*fd_own"):
        load_inception()
    with pytest.raises(SetupError, match=r"missing\.pt"):
        load_inception(no_cache / "missing.pt")


@pytest.mark.parametrize(
    "place",
    [
        "torch/hub/checkpoints/inception-2015-12-05.pt",
        "torch/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth",
        "torch/hub/checkpoints/pt_inception-2015-12-05-6726825d.pth",
        "home/.cache/dnnlib/downloads/0123_inception-2015-12-05.pt",
    ],
)
def test_weights_are_found_where_others_leave_them(no_cache: Path, place: str) -> None:
    (no_cache / place).parent.mkdir(parents=True)
    (no_cache / place).touch()
    assert find_inception() == no_cache / place


def test_weights_in_the_cache_are_loaded(no_cache: Path) -> None:
    folder = no_cache / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    saved(Script(), folder / "inception-2015-12-05.pt")
    assert load_inception().num_features == 2048


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"2048 features a picture, gave \(2, 100\)"):
        load_inception(saved(Script(100), tmp_path / "small.pt"))
    with pytest.raises(SetupError, match="cannot encode"):
        load_inception(saved(Other(), tmp_path / "other.pt"))
    with pytest.raises(SetupError, match="cannot encode"):
        load_lpips(saved(Other(), tmp_path / "other.pt"))


def test_weights_alone_need_torch_fidelity_or_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    torch.save({"fc.bias": torch.zeros(3)}, path)
    with pytest.raises(SetupError, match=r"torch-fidelity|no weights of Inception"):
        load_inception(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(SetupError, match=r"torch-fidelity|no weights of Inception"):
        load_inception(path)


@pytest.mark.parametrize("size", [(20, 30), (300, 700)])
def test_lpips_takes_floating_point_and_brings_large_pictures_down(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    encoder = load_lpips(saved(Lpips(), tmp_path / "vgg16.pt"))
    features = encoder(torch.full((2, 3, *size), 127.5))
    assert features.shape == (2, 3) == (2, encoder.num_features)
    assert torch.allclose(features, torch.tensor(0.5))


def test_lpips_is_never_replaced_silently(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="ppl_own"):
        load_lpips(None)
    with pytest.raises(SetupError, match="must be a TorchScript file"):
        load_lpips(tmp_path / "missing.pt")
