"""What a step costs: operations, memory and, measured or bounded from below, time.

Counted on PyTorch's meta device: nothing is allocated and nothing is computed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from training.build import half_type
from training.config import TrainingConfig
from training.errors import SetupError
from training.networks import Discriminator, Generator


@dataclass(frozen=True, slots=True)
class Cost:
    """What a configuration costs.

    Attributes
    ----------
    G_parameters, D_parameters : int
    G_flops, D_flops : float
        Of one picture's forward pass; a multiplication and an addition are two.
    flops_per_image : float
        Of training, for each picture of a step: all phases, the lazy ones with their share.
    memory : float
        Bytes on one GPU: weights, gradients, Adam, and what the larger phase keeps for its
        backward pass. Without what libraries and PyTorch's allocator take besides.
    """

    G_parameters: int
    D_parameters: int
    G_flops: float
    D_flops: float
    flops_per_image: float
    memory: float


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


def fitting_batch(
    config: TrainingConfig,
    size: tuple[int, int],
    classes: int,
    device: torch.device,
    memory: float,
) -> int | None:
    """Give how many images at once would fit into a memory that the configured ones exceed.

    Parameters
    ----------
    memory
        Of one GPU, bytes.

    Returns
    -------
    int or None
        Divides the configured number, and is divided by the minibatch groups; None if not even
        one fits.
    """
    at_once, group = config.optimizer.batch_gpu, config.network.mbstd_group
    assert at_once is not None
    assert group is not None

    def needed(n: int) -> float:
        optimizer = config.optimizer.model_copy(update={"batch_gpu": n})
        smaller = config.model_copy(update={"optimizer": optimizer})
        return estimate(smaller, size, classes, device).memory

    # The estimate leaves out what libraries take; the configured number is known not to fit.
    factor = max(1.3, memory / needed(at_once))
    smaller = (n for n in range(at_once - 1, 0, -1) if at_once % n == 0 == n % min(group, n))
    return next((n for n in smaller if needed(n) * factor <= memory), None)


@contextmanager
def memory_explained(
    config: TrainingConfig, size: tuple[int, int], classes: int, device: torch.device
) -> Iterator[None]:
    """Turn running out of memory into an error that says which batch would fit.

    Raises
    ------
    SetupError
        If the body runs out of memory, on the GPU or beside it.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise SetupError(_too_large(config, size, classes, device)) from error


def _is_out_of_memory(error: Exception) -> bool:
    # Allocators and libraries of processors and of NVIDIA have no error of their own for it.
    known = (
        "out of memory",
        "can't allocate memory",
        "ALLOC_FAILED",
        "could not create a primitive",
    )
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error) for words in known
    )


def _too_large(
    config: TrainingConfig, size: tuple[int, int], classes: int, device: torch.device
) -> str:
    total = _memory_of(device)
    where = "GPU" if device.type == "cuda" else "machine"
    at_once = config.optimizer.batch_gpu
    start = f"out of memory with {at_once} images at once on a {where} of {total / 1e9:.0f} GB"
    fitting = fitting_batch(config, size, classes, device, total)
    if fitting is None:
        return f"{start}; not even one would fit: lower `network.channel_base`"
    return (
        f"{start}; about {fitting} would fit: set optimizer.batch_gpu={fitting}, the batch stays "
        "the same and is taken in parts"
    )


def _memory_of(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
