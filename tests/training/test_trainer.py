"""A step of training, on the CPU and small."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from training import losses
from training.build import Networks, build
from training.config import TrainingConfig
from training.distributed import Team
from training.presets import resolve
from training.trainer import COLUMNS, Trainer

SIZE = (16, 8)
CPU = torch.device("cpu")
SMALL: dict[str, dict[str, Any]] = {
    "network": {"z_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 8, "half": "off"},
    "augment": {"mode": "fixed", "p": 0.5},
    "loss": {"r1_interval": 2, "pl_weight": 2.0, "pl_interval": 2, "r1_gamma": 1.0},
    "optimizer": {"batch": 8, "batch_gpu": 8},
}


def settings(**changes: dict[str, Any]) -> TrainingConfig:
    asked = copy.deepcopy(SMALL)
    for section, values in changes.items():
        asked.setdefault(section, {}).update(values)
    return resolve("tiny", asked, size=SIZE, gpus=1)


def trainer(config: TrainingConfig, classes: Tensor | None = None, **build_with: int) -> Trainer:
    networks = build(config.network, SIZE, build_with.get("classes", 0), CPU)
    # Noise is off at first; switched on, so that its draws matter in what is compared.
    for name, parameter in networks.G.named_parameters():
        if "noise_strength" in name:
            parameter.data.fill_(0.3)
    return Trainer(config, networks, Team(0, 1, CPU), classes)


def batches(steps: int, n: int = 8) -> list[Tensor]:
    rng = torch.Generator().manual_seed(9)
    return [
        torch.randint(0, 256, (n, 3, *SIZE), generator=rng, dtype=torch.uint8) for _ in range(steps)
    ]


def train(subject: Trainer, pictures: list[Tensor]) -> Tensor:
    for batch in pictures:
        subject.train_step(batch)
    return subject.take_rows()


def close(a: Networks, b: Networks, tolerance: float) -> None:
    for name, module in a.named().items():
        for key, value in module.state_dict().items():
            other = b.named()[name].state_dict()[key]
            torch.testing.assert_close(
                value, other, rtol=tolerance, atol=tolerance, msg=f"{name}.{key}"
            )


def test_every_phase_moves_what_it_should() -> None:
    subject = trainer(settings())
    before = {k: v.clone() for k, v in subject.tensors().items()}
    rows = train(subject, batches(1))
    figures = dict(zip(COLUMNS, rows[0].tolist(), strict=True))
    assert all(figures[name] == figures[name] for name in ("loss_G", "loss_D", "r1", "path_length"))
    assert figures["not_finite"] == 0
    after = subject.tensors()
    still = [
        k for k, v in before.items() if k.startswith(("G.", "D.")) and torch.equal(v, after[k])
    ]
    assert all("fixed_noise" in name for name in still), still


def test_r1_gives_the_discriminator_its_gradient() -> None:
    """With no other loss left, D moves, and by R1 of the closed form in float64."""
    subject = trainer(settings(augment={"mode": "off"}))
    D = subject.networks.D
    real = torch.rand(8, 3, *SIZE) * 2 - 1
    D.requires_grad_(True)
    gradient = subject._phases.picture_gradient(real, None, None, None)
    penalty = losses.gradient_penalty(gradient).mean()
    grads = torch.autograd.grad(penalty, list(D.parameters()), allow_unused=True)
    exact = copy.deepcopy(D).double()
    step = 1e-5
    x = real.double()
    # R1 by central differences of the logits, in float64: no autograd in it at all.
    with torch.no_grad():
        total = 0.0
        flat = x.flatten(1)
        for at in range(0, flat.shape[1], 16):  # a sample of the pixels, each of all pictures
            up, down = flat.clone(), flat.clone()
            for picture in range(len(x)):
                # One picture at a time: minibatch standard deviation couples them.
                up.copy_(flat), down.copy_(flat)
                up[picture, at] += step
                down[picture, at] -= step
                slope = (exact(up.view_as(x)).sum() - exact(down.view_as(x)).sum()) / (2 * step)
                total = max(total, abs(slope.item() - gradient.flatten(1)[picture, at].item()))
    assert total < 1e-4
    moved = [
        n
        for (n, _), g in zip(D.named_parameters(), grads, strict=True)
        if g is not None and g.abs().sum() > 0
    ]
    assert sum("weight" in name for name in moved) == sum(
        "weight" in name for name, _ in D.named_parameters()
    )


@pytest.mark.slow
# PyTorch's own compiler still imports a module that uses it, and looks at gradients of inputs.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["logistic", "relativistic"])
def test_compiled_equals_eager(kind: str) -> None:
    """Double backward goes missing silently where it is compiled wrongly: weights would differ."""
    loss = {"kind": kind}
    plain = trainer(settings(loss=loss, speed={"compile": "off"}))
    fast = trainer(settings(loss=loss, speed={"compile": "on"}))
    assert fast._phases.compiled
    expected, found = train(plain, batches(3)), train(fast, batches(3))
    torch.testing.assert_close(expected, found, rtol=2e-3, atol=2e-3, equal_nan=True)
    at = COLUMNS.index("r1")
    assert found[0, at] > 0
    torch.testing.assert_close(expected[:, at], found[:, at], rtol=1e-3, atol=0, equal_nan=True)
    close(plain.networks, fast.networks, 2e-3)
