"""Projection: the latents whose pictures come nearest to given ones.

Several pictures go down together, none of which knows of the others; `training.latent.descent` has
the steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from training.errors import SetupError, SnapshotError
from training.latent.descent import Descent, Task, Work, draw_w
from training.latent.perceptual import JudgedPerceiver, Perceiver
from training.latent.sampler import Sampler
from training.latent.targets import read_target as read_target
from training.runs import tensorfile
from training.trained_on import Progress, silent
from training.watch.grids import Pixels

DEFAULT: Final = Descent()

_SAMPLES: Final = 10_000  # of w, for its mean and spread


@dataclass(frozen=True, slots=True)
class Projected:
    """What came of N pictures; tensors are on the CPU.

    Attributes
    ----------
    ws : Tensor of shape (N, num_ws, w_dim)
    noises : tuple of Tensor of shape (N, 1, h, w)
        One for each layer.
    start_ws : Tensor of shape (N, num_ws, w_dim)
        Where it began.
    curve : Tensor of shape (N, steps)
        Distance at every step, of the picture with the noise on its w; NaN where none was made.
    start, end : Tensor of shape (N,)
        Distance before (with the fixed noise maps), and after.
    end_fixed : Tensor of shape (N,)
        Distance after, with the fixed noise maps: as other tools show `ws`.
    perceiver : str
        Name of the measure.
    complete : bool
        Whether it went to the end.
    """

    ws: Tensor
    noises: tuple[Tensor, ...]
    start_ws: Tensor
    curve: Tensor
    start: Tensor
    end: Tensor
    end_fixed: Tensor
    perceiver: str
    complete: bool


def never() -> bool:
    """Do not stop."""
    return False


def project(
    sampler: Sampler,
    targets: Pixels,
    how: Descent = DEFAULT,
    *,
    perceiver: Perceiver | None = None,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = never,
    state: Path | None = None,
    save_every: int = 50,
) -> Projected:
    """Look for the latents of pictures, as many at once as the sampler makes.

    What is found is never farther from a picture than where it began, nor in w+ than in w. On a
    CPU it depends on `how`, the picture and, by rounding, those that are projected beside it.

    Parameters
    ----------
    sampler : Sampler
    targets : ndarray of shape (N, H, W, 3), uint8
        As people see them, of the model's size.
    how : Descent
    perceiver
        None: what the model's own D sees.
    progress
        Told "candidates", and "projection" in steps.
    should_stop
        Asked before every step. What was found until then is given back, not `complete`.
    state
        Folder to save the work in; the same call goes on from there, and ends as if it had not been
        interrupted. Whoever calls removes it when what came of it is safe.
    save_every
        Steps.

    Raises
    ------
    SetupError
        If the pictures are of another size, or there are none.
    OSError
        If the work cannot be saved.
    """
    _check(sampler, targets)
    perceiver = JudgedPerceiver(sampler.model) if perceiver is None else perceiver
    statistics = _statistics(sampler)
    parts = [targets[at : at + sampler.batch] for at in range(0, len(targets), sampler.batch)]
    found = []
    for number, part in enumerate(parts):
        task = Task(sampler, part, how, perceiver, statistics)
        file = None if state is None else state / f"{number:06}.safetensors"

        def tell(what: str, done: int, total: int, number: int = number) -> None:
            progress(what, number * total + done, len(parts) * total)

        found.append(_descend(task, tell, should_stop, file, save_every))
    return _joined(found)


def _check(sampler: Sampler, targets: Pixels) -> None:
    height, width = sampler.size
    if targets.ndim != 4 or targets.shape[1:] != (height, width, 3) or not len(targets):
        raise SetupError(
            f"pictures must be of shape (N, {height}, {width}, 3) with N > 0 for this model, got "
            f"{targets.shape}; bring them to its size by `read_target`"
        )


def _statistics(sampler: Sampler) -> tuple[Tensor, float]:
    """Give the mean w, and the root of the mean square of the distance from it."""
    w = draw_w(sampler, _SAMPLES, 0, "statistics")
    mean = w.mean(0)
    return mean, math.sqrt(float((w - mean).square().sum(1).mean()))


def _descend(
    task: Task,
    tell: Progress,
    should_stop: Callable[[], bool],
    file: Path | None,
    save_every: int,
) -> Projected:
    saved = None if file is None else _read(file, task)
    if saved is None:
        work = Work(task, task.start(tell, should_stop))
    else:
        work = Work(task, task.mean.expand(task.count, 1, -1))
        work.restore(saved)
    total = task.how.total
    while work.step < total and not should_stop():
        work.advance()
        tell("projection", work.step, total)
        if file is not None and work.step % save_every == 0 and work.step < total:
            work.save(file)
    if file is not None and work.step:
        work.save(file)
    return _result(work)


def _read(file: Path, task: Task) -> Mapping[str, Tensor] | None:
    """Read a saved state; None where there is none of this task: it is begun anew."""
    try:
        tensors = tensorfile.read(file) if file.is_file() else {}
    except SnapshotError:
        return None
    return tensors if "key" in tensors and torch.equal(tensors["key"], task.key) else None


def _result(work: Work) -> Projected:
    work.keep()
    ws, *noises = work.found
    with torch.no_grad():
        fixed = work.task.distance(ws, work.task.sampler.model.G.fixed_noise(len(ws)))
    return Projected(
        ws=ws.cpu(),
        noises=tuple(noise.cpu() for noise in noises),
        start_ws=work.start_ws.cpu(),
        curve=work.curve,
        start=work.start.cpu(),
        end=work.distance.cpu(),
        end_fixed=fixed.cpu(),
        perceiver=work.task.perceiver.name,
        complete=work.step == work.task.how.total,
    )


def _joined(found: Sequence[Projected]) -> Projected:
    def rows(name: str) -> Tensor:
        return torch.cat([getattr(one, name) for one in found])

    return Projected(
        ws=rows("ws"),
        noises=tuple(torch.cat(maps) for maps in zip(*(one.noises for one in found), strict=True)),
        start_ws=rows("start_ws"),
        curve=rows("curve"),
        start=rows("start"),
        end=rows("end"),
        end_fixed=rows("end_fixed"),
        perceiver=found[0].perceiver,
        complete=all(one.complete for one in found),
    )
