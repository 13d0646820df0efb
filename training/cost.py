"""What a step costs: operations, memory and, measured or bounded from below, time.

Counted on PyTorch's meta device: nothing is allocated and nothing is computed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from training.build import half_type
from training.config import TrainingConfig
from training.networks import Discriminator, Generator


@dataclass(frozen=True, slots=True)
class Cost:
    """What a configuration costs.

    Attributes
    ----------
    G_parameters, D_parameters : int
    G_flops, D_flops : float
        Of one picture's forward pass; a multiplication and an addition are two.
    step_flops : float
        Of one step on the global batch, with the lazy phases' share.
    memory : float
        Bytes on one GPU: weights, gradients, Adam, and what the larger phase keeps for its
        backward pass. Without what libraries and PyTorch's allocator take besides.
    """

    G_parameters: int
    D_parameters: int
    G_flops: float
    D_flops: float
    step_flops: float
    memory: float

    @property
    def flops_per_image(self) -> float:
        """Operations of training for each picture."""
        return self.step_flops


def estimate(
    config: TrainingConfig, size: tuple[int, int], classes: int, device: torch.device
) -> Cost:
    """Count what a configuration costs.

    Parameters
    ----------
    config
        Resolved.
    size
        Height and width, px.
    """
    at_once = config.optimizer.batch_gpu
    assert at_once is not None
    half = half_type(config.network, device)
    with torch.device("meta"):
        G = Generator(config.network, size, classes, half)
        D = Discriminator(config.network, size, classes, half)
        z = torch.empty(at_once, G.z_dim)
        labels = torch.empty(at_once, dtype=torch.int64) if classes else None
        noises = [torch.empty(at_once, 1, *s) for s in G.noise_sizes]
        pictures = torch.empty(at_once, 3, *size)

    def generate() -> Tensor:
        made: Tensor = G(z, labels, noises=noises)
        return made

    def judge() -> Tensor:
        logits: Tensor = D(pictures.requires_grad_(), labels)
        return logits

    G_flops, G_kept = _measured(generate)
    D_flops, D_kept = _measured(judge)
    G_flops, D_flops = G_flops / at_once, D_flops / at_once
    count = {name: sum(p.numel() for p in net.parameters()) for name, net in (("G", G), ("D", D))}
    # Weight, gradient and two moments of each, and the averaged generator.
    state = 4 * (5 * count["G"] + 4 * count["D"])
    picture = 3 * size[0] * size[1] * 4 * at_once
    # The augmentation works in 32 bit at twice the size, on both halves of D's phase.
    phases = (G_kept + D_kept + 8 * picture, 2 * (D_kept + 8 * picture))
    return Cost(
        count["G"],
        count["D"],
        G_flops,
        D_flops,
        _flops_per_image(config, G_flops, D_flops),
        float(state + max(phases)),
    )


def _flops_per_image(config: TrainingConfig, G: float, D: float) -> float:
    """Add up a step's passes; a backward pass to weights and input costs two forward passes.

    A penalty on a gradient costs a forward pass, a backward pass to the input, and the backward
    passes of both: about six forward passes.
    """
    loss = config.loss
    main_G = 3 * G + 2 * D  # D passes its gradient on, but collects none
    main_D = G + 2 * 3 * D
    lazy = 0.0
    if loss.pl_weight > 0:
        lazy += 6 * G / loss.pl_interval / loss.pl_batch_shrink
    if loss.r1_gamma:
        lazy += 6 * D / loss.r1_interval
    if loss.r2_gamma:
        lazy += (6 * D + G) / loss.r1_interval
    if loss.kind == "relativistic":
        lazy += D
    return main_G + main_D + lazy


def _measured(forward: nn.Module | object) -> tuple[float, float]:
    """Give operations of a forward pass, and bytes that it keeps for the backward pass."""
    assert callable(forward)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[id(tensor.untyped_storage())] = tensor.untyped_storage().nbytes()
            alive.append(tensor)
        return tensor

    alive: list[Tensor] = []  # else a storage's id may be used again
    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return float(counter.get_total_flops()), float(sum(kept.values()))


def conv_flops_per_second(
    device: torch.device, half: torch.dtype | None, seconds: float = 0.3
) -> float:
    """Measure what a plain 3×3 convolution reaches here: a floor for every estimate of time."""
    kind = half or torch.float32
    n, c, side = (16, 256, 64) if device.type == "cuda" else (4, 64, 64)
    layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
    x = torch.randn(n, c, side, side, device=device, dtype=kind).to(memory_format=layout)
    weight = torch.randn(c, c, 3, 3, device=device, dtype=kind).to(memory_format=layout)
    flops = 2 * 9 * c * c * n * side * side

    def run(times: int) -> float:
        begun = time.perf_counter()
        for _ in range(times):
            torch.nn.functional.conv2d(x, weight, padding=1)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begun

    with torch.no_grad():
        run(3)
        each = run(5) / 5
        times = max(int(seconds / max(each, 1e-6)), 1)
        return flops * times / run(times)
