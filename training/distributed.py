"""The processes that train together, started by torchrun: one a GPU, or several on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from training.errors import SetupError, TrainingError


@dataclass(frozen=True, slots=True)
class Team:
    """One process among those that train together.

    What it does with the others raises a `TrainingError` where one of them has ended.

    Attributes
    ----------
    rank, world : int
        Which one, of how many.
    device : torch.device
        That it computes on.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes snapshots and speaks."""
        return self.rank == 0

    def mean_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its mean over the processes."""
        if self.world > 1:
            with _together():
                dist.all_reduce(tensor)
            tensor /= self.world
        return tensor

    def any(self, flag: bool) -> bool:
        """Say whether any process says so."""
        if self.world == 1:
            return flag
        said = torch.tensor(float(flag), device=self.device)
        with _together():
            dist.all_reduce(said, op=dist.ReduceOp.MAX)
        return bool(said.item())

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's values."""
        if self.world > 1:
            with _together():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Wait until all are here."""
        if self.world > 1:
            with _together():
                dist.barrier()


@contextmanager
def _together() -> Iterator[None]:
    """Explain what PyTorch says where one process finds another one gone."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise TrainingError(
            "another process of this training has ended; what it has written says why"
        ) from error


def world_size() -> int:
    """Give how many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def pick_device(asked: str) -> torch.device:
    """Give the device of this process.

    Raises
    ------
    SetupError
        If a GPU is asked for and there is none, or fewer than processes.
    """
    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SetupError(
            "there is no GPU that PyTorch can use; `nvidia-smi` shows what the driver sees. "
            "Go on with `--device cpu`, which suits small sizes (`--preset tiny`) only"
        )
    local, here = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= here:
        wanted = os.environ.get("LOCAL_WORLD_SIZE", str(local + 1))
        raise SetupError(
            f"{wanted} GPUs are asked for, this machine has {here}; use `--gpus {here}`"
        )
    return torch.device("cuda", local)


def join(device: torch.device) -> Team:
    """Meet the other processes of torchrun's; alone without it."""
    world = world_size()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world == 1:
        return Team(0, 1, device)
    if not dist.is_initialized():
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            # The first process checks the version while the others wait for it.
            timeout=timedelta(hours=2),
            device_id=device if device.type == "cuda" else None,
        )
    return Team(dist.get_rank(), world, device)


def leave() -> None:
    """Part from the others."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
