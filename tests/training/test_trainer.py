"""A step of training, on the CPU and small."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from training import losses
from training.build import Networks, build
from training.config import TrainingConfig
from training.distributed import Team
from training.errors import SetupError
from training.presets import resolve
from training.runs.live import Live
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


def trainer(
    config: TrainingConfig, labels: Tensor | None = None, size: tuple[int, int] = SIZE
) -> Trainer:
    classes = 0 if labels is None else int(labels.max()) + 1
    networks = build(config.network, size, classes, CPU)
    # Noise is off at first; switched on, so that its draws matter in what is compared.
    for name, parameter in networks.G.named_parameters():
        if "noise_strength" in name:
            parameter.data.fill_(0.3)
    return Trainer(config, networks, Team(0, 1, CPU), labels)


def batches(steps: int, n: int = 8, size: tuple[int, int] = SIZE) -> list[Tensor]:
    rng = torch.Generator().manual_seed(9)
    return [
        torch.randint(0, 256, (n, 3, *size), generator=rng, dtype=torch.uint8) for _ in range(steps)
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


# PyTorch's own compiler still imports a module that uses it, and looks at gradients of inputs.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_compiled_equals_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Double backward goes missing silently where it is compiled wrongly: weights would differ.

    It would do so where graphs of passes are made. What kernels are made of these takes minutes,
    and is tested layer by layer (`networks/test_compiled.py`).
    """
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    # Every layer is captured anew in every phase: of each kind there is one, or a few.
    size, network = (8, 4), {"mapping_layers": 1}
    plain = trainer(settings(network=network, speed={"compile": False}), size=size)
    fast = trainer(settings(network=network, speed={"compile": True}), size=size)
    told: list[str] = []
    before = {name: tensor.clone() for name, tensor in fast.tensors().items()}
    fast.warm_up(told.append)
    assert told[-1].startswith("compiled in")
    assert fast.tensors().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in fast.tensors().items())
    expected, found = (train(t, batches(3, size=size)) for t in (plain, fast))
    torch.testing.assert_close(expected, found, rtol=2e-3, atol=2e-3, equal_nan=True)
    at = COLUMNS.index("r1")
    assert found[0, at] > 0
    torch.testing.assert_close(expected[:, at], found[:, at], rtol=1e-3, atol=0, equal_nan=True)
    close(plain.networks, fast.networks, 2e-3)


def test_a_compiler_that_fails_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the compiler is replaced: that it fails cannot be had for real on every machine."""

    def failing(function: object, **_: object) -> object:
        def call(*_arguments: object) -> object:
            raise TorchDynamoException("no compiler\nand a long trace")

        return call

    monkeypatch.setattr(torch, "compile", failing)
    subject = trainer(settings(speed={"compile": True}))
    before = {name: tensor.clone() for name, tensor in subject.tensors().items()}
    with pytest.raises(SetupError, match=r"no compiler; set speed.compile=false$"):
        subject.warm_up(lambda _: None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in subject.tensors().items())


def test_state_goes_through_a_snapshot_without_loss() -> None:
    pictures = batches(5)
    whole, first = trainer(settings()), trainer(settings())
    expected = train(whole, pictures)
    early = train(first, pictures[:2])
    kept, values = copy.deepcopy(first.tensors()), first.values()
    second = trainer(settings())
    second.restore(kept, values)
    late = train(second, pictures[2:])
    assert torch.allclose(torch.cat([early, late]), expected, rtol=0, atol=0, equal_nan=True)
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, second.tensors()[name]), name


def test_micro_batches_add_up_to_the_batch() -> None:
    whole = trainer(settings(augment={"mode": "ada", "p": 0.3}))
    parts = trainer(
        settings(
            augment={"mode": "ada", "p": 0.3},
            optimizer={"batch_gpu": 4},
            network={"mbstd_group": 4},
        )
    )
    expected, found = train(whole, batches(3)), train(parts, batches(3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4, equal_nan=True)
    close(whole.networks, parts.networks, 1e-3)


def test_the_average_follows_with_its_half_life() -> None:
    subject = trainer(settings(optimizer={"ema_kimg": 0.016, "ema_ramp": None}))
    kept = copy.deepcopy(subject.networks.G_ema)
    train(subject, batches(1))
    beta = losses.ema_beta(8, 8, 0.016, None)
    for before, now, average in zip(
        kept.parameters(),
        subject.networks.G.parameters(),
        subject.networks.G_ema.parameters(),
        strict=True,
    ):
        torch.testing.assert_close(average, before * beta + now * (1 - beta))


def test_lazy_phases_come_at_their_intervals() -> None:
    rows = train(trainer(settings(loss={"r1_interval": 2, "pl_interval": 3})), batches(7))
    r1, path = (
        rows[:, COLUMNS.index(name)].isnan().logical_not() for name in ("r1", "path_length")
    )
    assert r1.tolist() == [True, False, True, False, True, False, True]
    assert path.tolist() == [True, False, False, True, False, False, True]


def test_augmentation_adapts_at_its_interval_only() -> None:
    subject = trainer(settings(augment={"mode": "ada", "p": 0.5, "interval": 2, "kimg": 1.0}))
    p = train(subject, batches(4))[:, COLUMNS.index("ada_p")].tolist()
    assert p[0] == 0.5
    assert p[1] == p[2] != p[3]
    assert abs(p[1] - p[0]) == pytest.approx(16 / 1000, rel=1e-4)


def test_the_mean_of_w_is_tracked() -> None:
    subject = trainer(settings())
    train(subject, batches(1))
    w_avg = subject.networks.G.w_avg
    assert w_avg.abs().sum() > 0
    assert torch.equal(w_avg, subject.networks.G_ema.w_avg)


def test_a_conditional_model_trains_on_labels() -> None:
    config = settings(data={"conditional": True})
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    subject = trainer(config, labels)
    subject.train_step(batches(1)[0], labels)
    assert not subject.take_rows()[0, : COLUMNS.index("r1")].isnan().any()


def test_changed_rates_take_effect() -> None:
    subject = trainer(settings())
    train(subject, batches(1))
    subject.set_live(Live(G_lr=1e-30, D_lr=1e-30, r1_gamma=0.0))
    before = [p.clone() for p in subject.networks.G.parameters()]
    rows = train(subject, batches(2))
    for old, new in zip(before, subject.networks.G.parameters(), strict=True):
        torch.testing.assert_close(old, new)
    assert rows[:, COLUMNS.index("r1")].isnan().all()


def test_bfloat16_is_close_to_float32() -> None:
    exact = trainer(settings())
    half = trainer(settings(network={"half": "bfloat16"}))
    expected, found = train(exact, batches(1)), train(half, batches(1))
    names = ("loss_G", "loss_D", "real_score", "fake_score")
    for at in map(COLUMNS.index, names):
        torch.testing.assert_close(found[0, at], expected[0, at], rtol=0.03, atol=0.03)
    assert not torch.equal(expected, found)


def test_freezing_leaves_weights_as_they_are() -> None:
    config = settings()
    networks = build(config.network, SIZE, 0, CPU)
    frozen = [p for n, p in networks.D.named_parameters() if "16x8" in n]
    for parameter in frozen:
        parameter.requires_grad_(False)
    before = [p.clone() for p in frozen]
    train(Trainer(config, networks, Team(0, 1, CPU)), batches(2))
    assert frozen
    assert all(torch.equal(old, new) for old, new in zip(before, frozen, strict=True))


def test_one_overflow_spoils_no_running_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """The overflow is put in by hand: a real one takes days to come by."""
    subject = trainer(settings(loss={"pl_interval": 1}))
    train(subject, batches(1))
    whole = subject._phases.path_G

    def broken(*tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(figure * torch.nan for figure in whole(*tensors))

    monkeypatch.setattr(subject._phases, "path_G", broken)
    row = train(subject, batches(1))[0]
    assert row[COLUMNS.index("path_length")].isnan()
    assert subject.tensors()["pl.mean"].isfinite()


def test_a_figure_that_is_not_finite_in_one_part_is_not_hidden_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject = trainer(settings(optimizer={"batch_gpu": 4}))
    whole, calls = subject._phases.main_D, iter(range(2))

    def broken(*tensors: Tensor) -> tuple[Tensor, ...]:
        figures = whole(*tensors)
        return tuple(f * torch.nan for f in figures) if next(calls) == 0 else figures

    monkeypatch.setattr(subject._phases, "main_D", broken)
    assert train(subject, batches(1))[0, COLUMNS.index("loss_D")].isnan()


def test_relativistic_augmentation_follows_pairs_and_not_an_offset() -> None:
    """D's common offset has no gradient in this loss, so that it must not steer p."""
    signs = []
    for offset in (-3.0, 0.0, 3.0):
        subject = trainer(settings(loss={"kind": "relativistic"}))
        subject.networks.D.head.out.bias.data.fill_(offset)
        signs.append(train(subject, batches(1))[0, COLUMNS.index("real_sign")].item())
    assert len(set(signs)) == 1
