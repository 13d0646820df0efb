"""Recorded phases against plain ones; only where there is a GPU."""

from typing import Any

import pytest
import torch
from torch import Tensor

from training.build import build
from training.distributed import Team
from training.presets import resolve
from training.runs.live import Live
from training.trainer import COLUMNS, Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")

SIZE = (32, 24)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


def trainer(**speed: Any) -> Trainer:
    asked = {
        "network": {"half": "off"},
        "augment": {"mode": "ada", "p": 0.3},
        "loss": {"r1_interval": 2, "r1_gamma": 1.0, "r2_gamma": 0.5, "pl_weight": 2.0},
        "optimizer": {"batch": 8, "batch_gpu": 4},
        "data": {"conditional": True},
        "speed": {"channels_last": "off", "tf32": False, **speed},
    }
    config = resolve("tiny", asked, size=SIZE, gpus=1)
    device = torch.device("cuda")
    return Trainer(config, build(config.network, SIZE, 3, device), Team(0, 1, device), LABELS)


def train(subject: Trainer, steps: int) -> Tensor:
    rng = torch.Generator().manual_seed(subject.step)
    for step in range(steps):
        if step == 3:  # what changes while a run goes on must not be recorded with it
            subject.set_live(Live(G_lr=0.001, D_lr=0.001, r1_gamma=3.0))
        batch = torch.randint(0, 256, (8, 3, *SIZE), generator=rng, dtype=torch.uint8)
        subject.train_step(batch.cuda(), LABELS.cuda())
    return subject.take_rows()


def test_recorded_phases_equal_plain_ones() -> None:
    torch.backends.cudnn.allow_tf32 = False
    plain, recorded = trainer(cuda_graphs="off"), trainer(cuda_graphs="on")
    expected, found = train(plain, 8), train(recorded, 8)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02, equal_nan=True)
    assert (found[::2, COLUMNS.index("r1")] > 0).all()


def test_a_recorded_trainer_goes_on_from_a_state() -> None:
    recorded = trainer(cuda_graphs="on")
    train(recorded, 4)
    kept = {name: tensor.clone() for name, tensor in recorded.tensors().items()}
    values = recorded.values()
    expected = train(recorded, 4)
    recorded.restore(kept, values)
    torch.testing.assert_close(train(recorded, 4), expected, rtol=0.02, atol=0.02, equal_nan=True)
