from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.errors import SetupError
from training.metric_encoders import Loaded, load_encoders


class Script(nn.Module):
    """Called as the published Inception is."""

    def forward(self, pixels: Tensor, return_features: bool = False) -> Tensor:
        return pixels.float().mean([2, 3]).mean(1, keepdim=True).expand(-1, 2048)


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights are found; empty."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def weights(folder: Path) -> Path:
    path = folder / "inception-2015-12-05.pt"
    with warnings.catch_warnings():
        # the files in use are TorchScript, whatever torch advises for new ones
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        torch.jit.save(torch.jit.script(Script()), str(path))
    return path


def names(loaded: Loaded) -> list[str]:
    return [name for _, found in loaded for name in found]


def test_without_weights_our_own(checkpoints: Path) -> None:
    assert names(load_encoders(None)) == ["fd_own", "kid_own", "pr_own"]
    with pytest.raises(SetupError, match="--inception"):
        load_encoders(["fid"])


def test_with_weights_found_or_given_both(checkpoints: Path, tmp_path: Path) -> None:
    both = ["fd_own", "kid_own", "pr_own", "fid", "kid", "pr"]
    given = weights(tmp_path)
    assert names(load_encoders(None, inception=given)) == both
    weights(checkpoints)
    assert names(load_encoders(None)) == both


def test_useless_weights_stop_only_what_was_asked_for(checkpoints: Path) -> None:
    damaged = checkpoints / "inception-2015-12-05.pt"
    damaged.write_bytes(b"nothing")
    told: list[str] = []
    assert names(load_encoders(None, say=told.append)) == ["fd_own", "kid_own", "pr_own"]
    assert told[0].startswith("without fid, kid and pr")
    for asked, given in ((["pr"], None), (None, damaged)):
        with pytest.raises(SetupError, match="inception-2015"):
            load_encoders(asked, inception=given)


def test_without_torchmetrics(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)  # as where it is not installed
    told: list[str] = []
    assert names(load_encoders(None, say=told.append)) == ["pr_own"]
    assert "pip install torchmetrics" in told[0]
    assert names(load_encoders(["pr_own", "ppl_own"])) == ["pr_own", "ppl_own"]
    with pytest.raises(SetupError, match="kid_own need the package torchmetrics"):
        load_encoders(["kid_own", "pr_own"])
