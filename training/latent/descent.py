"""Going down towards pictures: a batch of them, what is drawn for each, and what changes by steps.

The method of https://arxiv.org/abs/1912.04958, appendix D: Adam on w and on noise maps, with noise
on w that fades, and noise maps kept white by their autocorrelation. `training.latent.project` leads
it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from training.draws import generator
from training.errors import SetupError
from training.latent.draws import MAX_SEED
from training.latent.perceptual import Perceiver, as_known, distances
from training.latent.sampler import Sampler
from training.runs import tensorfile
from training.runs.files import sync_folder
from training.trained_on import Progress
from training.watch.grids import Pixels

Space = Literal["w", "w+"]
Start = Literal["mean", "best"]

SPACES: Final = ("w", "w+")
STARTS: Final = ("mean", "best")

_CPU: Final = torch.device("cpu")
_LEARNING_RATE: Final = 0.1
_RAMP_UP, _RAMP_DOWN = 0.05, 0.25  # shares of the steps
_NOISY: Final = 0.75  # share of the steps with noise on w
_NOISE_ON_W: Final = 0.05  # of the spread of w
_WHITENESS: Final = 1e5  # weight of the autocorrelation of noise maps
_SMALLEST_MAP: Final = 8  # px: where the pyramid of noise maps ends
_MAPPED: Final = 1000  # latents at once
_EPS: Final = 1e-8
_MOST_STEPS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Descent:
    """How pictures are projected.

    Attributes
    ----------
    space : {"w", "w+"}
        One w for all layers, or, from there on, one for each: twice the steps, and nearer.
    steps : int
        In each space. Published with 1,000, which took real pictures of 64 × 48 px 10 to 20%
        nearer than 300, in three times the time.
    seed : int
        Of what is drawn.
    start : {"mean", "best"}
        From the mean w, or from the nearest of `candidates` samples.
    candidates : int
    noise : bool
        Whether the noise maps of a picture are looked for, too, as published. The picture comes
        nearer then; but its ws alone, with the fixed noise maps that everything else shows them
        with, come less near than those that were found with the fixed ones.

    Raises
    ------
    SetupError
        If a value is out of range.
    """

    space: Space = "w"
    steps: int = 300
    seed: int = 0
    start: Start = "best"
    candidates: int = 1000
    noise: bool = False

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise SetupError(f"`space` must be one of {', '.join(SPACES)}, got {self.space!r}")
        if self.start not in STARTS:
            raise SetupError(f"`start` must be one of {', '.join(STARTS)}, got {self.start!r}")
        for name, value in (("steps", self.steps), ("candidates", self.candidates)):
            if not 1 <= value <= _MOST_STEPS:
                raise SetupError(f"`{name}` must be from 1 to {_MOST_STEPS:,}, got {value}")
        if not 0 <= self.seed <= MAX_SEED:
            raise SetupError(f"`seed` must be from 0 to {MAX_SEED}, got {self.seed}")

    @property
    def spaces(self) -> tuple[Space, ...]:
        """Those that are gone through, in order."""
        return ("w",) if self.space == "w" else ("w", "w+")

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.steps * len(self.spaces)


class Task:
    """A batch of pictures, what they are measured by, and what is drawn for each."""

    def __init__(
        self,
        sampler: Sampler,
        targets: Pixels,
        how: Descent,
        perceiver: Perceiver,
        statistics: tuple[Tensor, float],
    ) -> None:
        self.sampler, self.how, self.perceiver = sampler, how, perceiver
        self.count, (self.mean, self.spread) = len(targets), statistics
        with torch.no_grad():
            self.wanted = perceiver(as_known(targets, sampler.model))
        self.digests = [hashlib.sha256(target.tobytes()).hexdigest() for target in targets]

    @property
    def key(self) -> Tensor:
        """What a saved state must be of."""
        model, how = self.sampler.model, sorted(asdict(self.how).items())
        own = (model.name, model.version_hash, self.perceiver.name, how, self.digests)
        return torch.tensor(list(hashlib.sha256(repr(own).encode()).digest()), dtype=torch.uint8)

    def render(self, ws: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """Make pictures as the networks know them, cut off at white and black as pictures are.

        Gradients pass as if nothing were cut off: what is beyond white must find its way back.
        """
        images: Tensor = self.sampler.model.G.synthesis(ws, noises)
        return images + (images.clamp(-1, 1) - images).detach()

    def distance(self, ws: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """Measure how far the pictures of ws are from those wanted, (n,)."""
        return distances(self.perceiver(self.render(ws, noises)), self.wanted)

    def jitter(self, step: int) -> Tensor:
        """Draw noise for w, (n, 1, w_dim): of each picture its own, whatever is beside it."""
        draws = [generator(_CPU, self.how.seed, step, f"projection/{d}") for d in self.digests]
        drawn = [torch.randn(1, self.sampler.w_dim, generator=draw) for draw in draws]
        return torch.stack(drawn).to(self.sampler.device)

    @torch.no_grad()
    def start(self, tell: Progress, should_stop: Callable[[], bool]) -> Tensor:
        """Give the w (n, 1, w_dim) that each begins with."""
        fixed = self.sampler.model.G.fixed_noise
        chosen = self.mean.expand(self.count, 1, -1)
        if self.how.start == "mean":
            return chosen.clone()
        nearest = self.distance(chosen.expand(-1, self.sampler.num_ws, -1), fixed(self.count))
        candidates = draw_w(self.sampler, self.how.candidates, self.how.seed, "candidates")
        for at in range(0, len(candidates), self.sampler.batch):
            if should_stop():
                break
            w = candidates[at : at + self.sampler.batch, None]
            images = self.render(w.expand(-1, self.sampler.num_ws, -1), fixed(len(w)))
            seen = self.perceiver(images)
            apart = torch.stack([distances(seen, one) for one in self.wanted])
            least, which = apart.min(1)
            chosen = torch.where((least < nearest)[:, None, None], w[which], chosen)
            nearest = torch.minimum(least, nearest)
            tell("candidates", min(at + self.sampler.batch, len(candidates)), len(candidates))
        return chosen.clone()


@torch.no_grad()
def draw_w(sampler: Sampler, count: int, seed: int, phase: str) -> Tensor:
    """Draw w, (count, w_dim), of all classes alike."""
    G, classes = sampler.model.G, len(sampler.model.labels)
    draw = generator(_CPU, seed, 0, phase)
    z = torch.randn(count, G.z_dim, generator=draw)
    labels = torch.randint(classes, (count,), generator=draw) if classes else None
    found = []
    for at in range(0, count, _MAPPED):
        rows = slice(at, at + _MAPPED)
        own = None if labels is None else labels[rows].to(sampler.device)
        found.append(G.mapping(z[rows].to(sampler.device), own))
    return torch.cat(found)


class Work:
    """What changes while a batch goes down; saved as it is, and taken up again.

    `found` is the nearest so far: w or ws, and noise maps. `moved` goes on from there.
    """

    def __init__(self, task: Task, start: Tensor) -> None:
        fixed = task.sampler.model.G.fixed_noise(task.count)
        ws = start.expand(-1, task.sampler.num_ws, -1)
        self.task, self.step = task, 0
        self.start_ws = ws.clone()
        self.curve = torch.full((task.count, task.how.total), math.nan)
        self.found = [ws.clone(), *(noise.clone() for noise in fixed)]
        with torch.no_grad():
            self.start = task.distance(ws, fixed)
        self.distance = self.start.clone()
        self.begin()

    def begin(self) -> None:
        """Begin with a space."""
        in_w = self.task.how.spaces[min(self.step, self.task.how.total - 1) // self.task.how.steps]
        ws, *noises = (tensor.clone() for tensor in self.found)
        self.moved = [ws[:, :1].clone() if in_w == "w" else ws, *noises]
        free = self.moved if self.task.how.noise else self.moved[:1]
        for tensor in free:
            tensor.requires_grad_()
        self.optimizer = torch.optim.Adam(free, lr=_LEARNING_RATE)

    def advance(self) -> None:
        """Make a step; the last one of a space keeps what has come nearer."""
        how, task = self.task.how, self.task
        share = (self.step % how.steps + 0.5) / how.steps
        first = self.step < how.steps
        self.optimizer.param_groups[0]["lr"] = _LEARNING_RATE * _ramp(share)
        ws, *noises = self.moved
        fade = max(0.0, 1 - share / _NOISY) ** 2 if first else 0.0  # in w+ it would undo the w
        used = ws + task.jitter(self.step) * (_NOISE_ON_W * task.spread * fade) if fade else ws
        apart = task.distance(used.expand(-1, task.sampler.num_ws, -1), noises)
        loss = apart.sum() + (_WHITENESS * whiteness(noises) if how.noise else 0)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if how.noise:
            renormalize(noises)
        self.curve[:, self.step] = apart.detach().cpu()
        self.step += 1
        if self.step % how.steps == 0:
            self.keep()
            self.begin()

    @torch.no_grad()
    def keep(self) -> None:
        """Keep what has come nearer."""
        ws, *noises = (tensor.detach() for tensor in self.moved)
        ws = ws.expand(-1, self.task.sampler.num_ws, -1)
        distance = self.task.distance(ws, noises)
        nearer = distance < self.distance  # what is no number is not
        self.found = [
            torch.where(nearer.view(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in zip((ws, *noises), self.found, strict=True)
        ]
        self.distance = torch.where(nearer, distance, self.distance)

    def save(self, file: Path) -> None:
        """Save all of it, or leave what was saved before."""
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.part")
        tensorfile.write(partial, self._tensors())
        partial.replace(file)
        sync_folder(file.parent)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what was saved."""
        self.step = int(tensors["step"])
        for name, own in self._lasting().items():
            own.copy_(tensors[name])
        self.begin()
        for i, tensor in enumerate(self.moved):
            tensor.data.copy_(tensors[f"moved.{i}"])
        for i, tensor in enumerate(self.optimizer.param_groups[0]["params"]):
            self.optimizer.state[tensor] = {
                part: tensors[f"adam.{i}.{part}"].to("cpu" if part == "step" else tensor.device)
                for part in ("step", "exp_avg", "exp_avg_sq")
                if f"adam.{i}.{part}" in tensors
            }

    def _lasting(self) -> dict[str, Tensor]:
        named = {name: getattr(self, name) for name in ("start_ws", "start", "curve", "distance")}
        return named | {f"found.{i}": tensor for i, tensor in enumerate(self.found)}

    def _tensors(self) -> dict[str, Tensor]:
        kept = self._lasting() | {"key": self.task.key, "step": torch.tensor(self.step)}
        kept |= {f"moved.{i}": tensor.detach() for i, tensor in enumerate(self.moved)}
        for i, tensor in enumerate(self.optimizer.param_groups[0]["params"]):
            state = self.optimizer.state.get(tensor, {})
            kept |= {f"adam.{i}.{part}": value for part, value in state.items()}
        return kept


def _ramp(share: float) -> float:
    """Give the learning rate at a share of the steps: up in a line, down by a cosine."""
    down = min(1.0, (1 - share) / _RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, share / _RAMP_UP)


def whiteness(noises: Sequence[Tensor]) -> Tensor:
    """Sum the squared autocorrelations of noise maps with those beside, in a pyramid; 0 is white.

    Parameters
    ----------
    noises
        Of shape (N, 1, h, w) each, of mean 0 and variance 1.

    Returns
    -------
    Tensor of shape ()
    """
    total = noises[0].new_zeros(())
    for noise in noises:
        while True:
            for axis in (2, 3):
                beside = (noise * noise.roll(1, axis)).mean((1, 2, 3))
                total = total + beside.square().sum()
            if min(noise.shape[2:]) <= _SMALLEST_MAP:
                break
            noise = F.avg_pool2d(noise, 2) * 2  # so the variance of white noise stays
    return total


@torch.no_grad()
def renormalize(noises: Sequence[Tensor]) -> None:
    """Bring every noise map back to mean 0 and variance 1, in place."""
    for noise in noises:
        noise -= noise.mean((2, 3), keepdim=True)
        noise *= (noise.square().mean((2, 3), keepdim=True) + _EPS).rsqrt()
