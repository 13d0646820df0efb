"""One step of training, and all state that it changes.

A step goes: G on its loss, every few steps G on path length, D on its loss, every few steps D on
R1 (and R2), the moving average, the chance of augmentation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from training import losses
from training.augment import AugmentParameters, AugmentPipe, adapted
from training.build import Networks
from training.config import TrainingConfig
from training.distributed import Team
from training.draws import Latents, Part, draw_direction, draw_latents, generator
from training.errors import SetupError
from training.gradients import FlatGradients
from training.graphs import Graphed
from training.phases import Phases
from training.runs.live import Live
from training.watch.grids import to_tensor

COLUMNS: Final = (
    "loss_G",
    "loss_D",
    "real_score",
    "fake_score",
    "real_sign",
    "r1",
    "r2",
    "path_length",
    "ada_p",
    "not_finite",
)
W_BETA: Final = 0.995


class Trainer:
    """Networks, optimizers and counters, and the step that moves them.

    Parameters
    ----------
    config
        Resolved.
    networks
        On the team's device.
    classes : Tensor of shape (m,), int64, or None
        Labels of the real pictures, from which those of generated ones are drawn.
    """

    def __init__(
        self, config: TrainingConfig, networks: Networks, team: Team, classes: Tensor | None = None
    ) -> None:
        opt, loss = config.optimizer, config.loss
        assert opt.batch is not None
        assert opt.batch_gpu is not None
        self.config, self.networks, self.team = config, networks, team
        self.batch, self.at_once = opt.batch, opt.batch_gpu
        self.live = Live.of(config)
        self.cur_nimg = 0
        self.step = 0
        device = team.device
        self.ada_p = torch.tensor(config.augment.p, device=device)
        self._signs = torch.zeros((), device=device)
        self._pl_mean = torch.zeros((), device=device)
        self._classes = None if classes is None else classes.to(device)
        self._rows: list[Tensor] = []
        self._row = torch.zeros(len(COLUMNS), device=device)
        self._noted: set[str] = set()  # figures of this step, of which micro-batches add theirs
        self._pipe = (
            None if config.augment.mode == "off" else AugmentPipe(config.augment, networks.G.size)
        )
        self._r1_on = self.live.r1_gamma > 0 or loss.r2_gamma > 0
        self._G_lazy = losses.lazy(loss.pl_interval if loss.pl_weight > 0 else None)
        self._D_lazy = losses.lazy(loss.r1_interval)
        self._trained = {
            "G": [p for p in networks.G.parameters() if p.requires_grad],
            "D": [p for p in networks.D.parameters() if p.requires_grad],
        }
        self._gradients = {name: FlatGradients(p) for name, p in self._trained.items()}
        self._optimizers = {
            "G": self._adam("G", self._G_lazy),
            "D": self._adam("D", self._D_lazy),
        }
        self.set_live(self.live)
        for part in self._trained.values():
            _require(part, False)
        self._set_up_speed()

    def _set_up_speed(self) -> None:
        """Choose what makes it fast on this device."""
        on_gpu = self.team.device.type == "cuda"
        speed = self.config.speed

        def wanted(asked: str) -> bool:
            return asked == "on" or (asked == "auto" and on_gpu)

        self._channels_last = wanted(speed.channels_last)
        # Compiled code starts few kernels by itself; both together are for who asks for both.
        self._graphs_on = on_gpu and (
            speed.cuda_graphs == "on" or (speed.cuda_graphs == "auto" and not speed.compile)
        )
        self._phases = Phases(
            self.networks,
            self._pipe,
            relativistic=self._relativistic,
            share=self._share,
            compiled=self.config.speed.compile,
        )
        self._graphed: dict[str, Graphed] = {}
        self._pool = torch.cuda.graph_pool_handle() if self._graphs_on else None

    def warm_up(self, say: Callable[[str], None]) -> None:
        """Run every phase once and change nothing, so that what compiles has compiled.

        Parameters
        ----------
        say
            Told how long that takes.

        Raises
        ------
        SetupError
            If PyTorch's compiler fails, which depends on its version and on the machine's tools.
        """
        if not self._phases.compiled:
            return
        say("compiling the networks: some minutes at first, less from the second start on")
        begun = time.perf_counter()
        try:
            self._try_phases()
        except TorchDynamoException as error:
            raise SetupError(
                f"the networks cannot be compiled here: {_first_line(error)}; "
                "set speed.compile=false"
            ) from error
        say(f"compiled in {time.perf_counter() - begun:.0f} s")

    def _try_phases(self) -> None:
        """Take a step with all of its phases, and take it back."""
        kept = {name: tensor.clone() for name, tensor in self.tensors().items()}
        values = self.values()
        local = self.batch // self.team.world
        size = (local, 3, *self.networks.G.size)
        pictures = torch.zeros(size, dtype=torch.uint8, device=self.team.device)
        labels = None
        if self._classes is not None:
            labels = self._classes[:1].repeat(local)
        self.step = 0  # every lazy phase is due
        try:
            self.train_step(pictures, labels)
        finally:
            for parameters in self._trained.values():
                _require(parameters, False)
            for optimizer in self._optimizers.values():
                optimizer.state.clear()
            self.restore(kept, values)

    # -- one step -----------------------------------------------------------------------------

    def train_step(self, pictures: Tensor, labels: Tensor | None = None) -> None:
        """Train on this process's rows of the global batch of this step.

        Parameters
        ----------
        pictures : Tensor of shape (batch / world, 3, H, W), uint8
            Rows `rank`, `rank + world`, … of the global batch, on the team's device.
        labels : Tensor of shape (batch / world,), int64, or None
        """
        layout = torch.channels_last if self._channels_last else torch.contiguous_format
        real = to_tensor(pictures.contiguous(memory_format=layout))
        loss = self.config.loss
        self._row, self._noted = torch.full_like(self._row, torch.nan), set()
        self._train_G(real, labels)
        if loss.pl_weight > 0 and self.step % loss.pl_interval == 0:
            self._regularize_G()
        self._train_D(real, labels)
        if self._r1_on and self.step % loss.r1_interval == 0:
            self._regularize_D(real, labels)
        self.cur_nimg += self.batch
        self._average()
        self._adapt()
        self._row[COLUMNS.index("ada_p")] = self.ada_p
        self._rows.append(self._row)
        self.step += 1

    def _train_G(self, real: Tensor, labels: Tensor | None) -> None:
        relativistic = self._relativistic
        w_mean = torch.zeros_like(self.networks.G.w_avg)
        with self._phase("G"):
            for part, rows in self._parts():
                drawn = self._paired(self._latents(self.batch, part, "G"), _rows(labels, rows))
                drawn_for = ("G", "G_real") if relativistic else ("G",)
                loss, w = self._run(
                    "main_G",
                    *drawn.inputs(),
                    *self._augmentation(part, *drawn_for),
                    real[rows] if relativistic else None,
                    _rows(labels, rows) if relativistic else None,
                    *drawn.noises,
                )
                w_mean += w * self._share
                self._note("loss_G", loss)
        self._lerp_(self.networks.G.w_avg, w_mean, 1 - W_BETA)

    def _regularize_G(self) -> None:
        loss = self.config.loss
        n = self._regularized
        seen = torch.zeros_like(self._pl_mean)
        weight = torch.full_like(seen, loss.pl_weight * loss.pl_interval * self._share)
        with self._phase("G"):
            for part, _ in self._parts():
                drawn = self._latents(n, part, "G_reg")
                direction = draw_direction(n, part, self.networks.G.size, self._rng("G_direction"))
                (length,) = self._run(
                    "path_G", *drawn.inputs(), direction, self._pl_mean, weight, *drawn.noises
                )
                seen += length * self._share
                self._note("path_length", length)
        self._lerp_(self._pl_mean, seen, loss.pl_decay)

    def _lerp_(self, mean: Tensor, seen: Tensor, weight: float) -> None:
        """Move a running mean towards what was seen, which one overflow must not spoil for good."""
        seen = self.team.mean_(seen)
        mean.lerp_(torch.where(torch.isfinite(seen), seen, mean), weight)

    def _train_D(self, real: Tensor, labels: Tensor | None) -> None:
        with self._phase("D"):
            for part, rows in self._parts():
                drawn = self._paired(self._latents(self.batch, part, "D"), _rows(labels, rows))
                figures = self._run(
                    "main_D",
                    *drawn.inputs(),
                    *self._augmentation(part, "D", "D_real"),
                    real[rows],
                    _rows(labels, rows),
                    *drawn.noises,
                )
                names = ("loss_D", "fake_score", "real_score", "real_sign")
                for name, figure in zip(names, figures, strict=True):
                    self._note(name, figure)

    def _regularize_D(self, real: Tensor, labels: Tensor | None) -> None:
        loss = self.config.loss
        with self._phase("D"):
            for part, rows in self._parts():
                if self.live.r1_gamma > 0:
                    self._penalize("r1", self.live.r1_gamma, real[rows], part, _rows(labels, rows))
                if loss.r2_gamma > 0:
                    drawn = self._latents(self.batch, part, "D_reg")
                    fake = self._phases.generated(*drawn.inputs(), drawn.noises)
                    self._penalize("r2", loss.r2_gamma, fake, part, drawn.labels)

    def _penalize(
        self, name: str, gamma: float, pictures: Tensor, part: Part, labels: Tensor | None
    ) -> None:
        weight = gamma / 2 * self.config.loss.r1_interval * self._share
        (penalty,) = self._run(
            "penalty_D",
            pictures,
            labels,
            *self._augmentation(part, f"D_{name}"),
            torch.full_like(self._pl_mean, weight),
        )
        self._note(name, penalty)

    def _run(self, phase: str, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Run a phase on a micro-batch, as a CUDA graph where these are on."""
        function = getattr(self._phases, phase)
        if not self._graphs_on:
            result: tuple[Tensor, ...] = function(*tensors)
            return result
        if phase not in self._graphed:
            name = phase.rpartition("_")[2]
            self._graphed[phase] = Graphed(function, [self._gradients[name].buffer], self._pool)
        return self._graphed[phase](*tensors)

    def _average(self) -> None:
        opt = self.config.optimizer
        assert opt.ema_kimg is not None
        beta = losses.ema_beta(self.batch, self.cur_nimg, opt.ema_kimg, opt.ema_ramp)
        G, G_ema = self.networks.G, self.networks.G_ema
        with torch.no_grad():
            torch._foreach_lerp_(list(G_ema.parameters()), list(G.parameters()), 1 - beta)
            for kept, now in zip(G_ema.buffers(), G.buffers(), strict=True):
                kept.copy_(now)

    def _adapt(self) -> None:
        augment = self.config.augment
        if augment.mode != "ada":
            return
        self._signs += self._row[COLUMNS.index("real_sign")]
        if (self.step + 1) % augment.interval == 0:
            sign = self.team.mean_(self._signs / augment.interval)
            seen = self.batch * augment.interval
            self.ada_p = adapted(self.ada_p, sign, images=seen, config=augment)
            self._signs = torch.zeros_like(self._signs)

    # -- what is drawn ------------------------------------------------------------------------

    @property
    def _accumulated(self) -> int:
        """Micro-batches of a step."""
        return self.batch // (self.team.world * self.at_once)

    @property
    def _share(self) -> float:
        """Share of a micro-batch in the step, on this process."""
        return 1 / self._accumulated

    @property
    def _regularized(self) -> int:
        """Pictures that path length is taken on: fewer, since it costs more memory."""
        parts = self.team.world * self._accumulated
        return max(self.at_once // self.config.loss.pl_batch_shrink, 1) * parts

    def _parts(self) -> Iterator[tuple[Part, slice]]:
        """Go through the micro-batches: which rows of the global, and of this process's batch."""
        for micro in range(self._accumulated):
            world = self.team.world
            part = Part(micro * world + self.team.rank, self._accumulated * world)
            yield part, slice(micro, None, self._accumulated)

    def _rng(self, phase: str) -> torch.Generator:
        return generator(self.team.device, self.config.run.seed, self.step, phase)

    def _paired(self, drawn: Latents, labels: Tensor | None) -> Latents:
        """Give generated pictures the labels of those that they are compared with, if they are."""
        return replace(drawn, labels=labels) if self._relativistic else drawn

    @property
    def _relativistic(self) -> bool:
        return self.config.loss.kind == "relativistic"

    def _latents(self, n: int, part: Part, phase: str) -> Latents:
        G = self.networks.G
        return draw_latents(
            n,
            part,
            z_dim=G.z_dim,
            num_ws=G.num_ws,
            noise_sizes=G.noise_sizes,
            mixing=self.config.loss.style_mixing,
            classes=self._classes,
            rng=self._rng(phase),
        )

    def _augmentation(self, part: Part, *phases: str) -> tuple[Tensor | None, Tensor | None]:
        """Draw how pictures are augmented; those of several phases follow one another."""
        if self._pipe is None:
            return None, None
        drawn = [
            self._pipe.draw(
                self.batch, self.ada_p, self._rng(f"{phase}_augment"), self.team.device
            ).rows(part.slice)
            for phase in phases
        ]
        joined = AugmentParameters.joined(drawn)
        return joined.geometry, joined.colour

    # -- optimizers ---------------------------------------------------------------------------

    def _adam(self, name: str, lazy: float) -> torch.optim.Adam:
        opt = self.config.optimizer
        return torch.optim.Adam(
            self._trained[name],
            lr=1.0,  # `set_live` sets it
            betas=(opt.beta1**lazy, opt.beta2**lazy),
            eps=opt.eps,
            fused=True,
        )

    def set_live(self, live: Live) -> None:
        """Take over learning rates and gamma that were changed during the run."""
        self.live = live
        for name, rate in (("G", live.G_lr * self._G_lazy), ("D", live.D_lr * self._D_lazy)):
            for group in self._optimizers[name].param_groups:
                group["lr"] = rate
        self._r1_on = live.r1_gamma > 0 or self.config.loss.r2_gamma > 0

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        """Collect gradients of one network, then step it."""
        parameters, gradients = self._trained[name], self._gradients[name]
        _require(parameters, True)
        gradients.zero()
        yield
        _require(parameters, False)
        broken = gradients.finish(self.team)
        known = self._row[COLUMNS.index("not_finite")]
        self._row[COLUMNS.index("not_finite")] = torch.fmax(known, broken)
        self._optimizers[name].step()

    # -- what happened ------------------------------------------------------------------------

    def _note(self, name: str, value: Tensor) -> None:
        """Add a micro-batch's figure to those of this step."""
        at = COLUMNS.index(name)
        value = value * self._share
        self._row[at] = self._row[at] + value if name in self._noted else value
        self._noted.add(name)

    def take_rows(self) -> Tensor:
        """Give the figures of the steps since the last call, averaged over the processes.

        Returns
        -------
        Tensor of shape (steps, len(COLUMNS)), float32, on the CPU
            NaN where a step has no such figure.
        """
        # Each process has its own sum so far; a snapshot holds one.
        self._signs = self.team.mean_(self._signs)
        if not self._rows:
            return torch.zeros(0, len(COLUMNS))
        rows = self.team.mean_(torch.stack(self._rows)).cpu()
        self._rows = []
        return rows

    # -- state --------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Give every tensor that the next step depends on, by its name in a snapshot."""
        state: dict[str, Tensor] = {
            f"{prefix}.{name}": tensor
            for prefix, module in self.networks.named().items()
            for name, tensor in module.state_dict().items()
        }
        for prefix, named in self._named_parameters().items():
            for name, parameter in named.items():
                for key, tensor in self._optimizers[prefix].state[parameter].items():
                    state[f"{prefix}_opt.{name}.{key}"] = tensor
        state |= {"ada.p": self.ada_p, "ada.signs": self._signs, "pl.mean": self._pl_mean}
        if self._rows:
            state["rows"] = torch.stack(self._rows)
        return state

    def values(self) -> dict[str, Any]:
        """Give the counters that the next step depends on."""
        return {
            "cur_nimg": self.cur_nimg,
            "step": self.step,
            "live": {
                "G_lr": self.live.G_lr,
                "D_lr": self.live.D_lr,
                "r1_gamma": self.live.r1_gamma,
            },
        }

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from what `tensors` and `values` gave."""
        device = self.team.device
        for prefix, module in self.networks.named().items():
            module.load_state_dict(_below(tensors, f"{prefix}."))
        for prefix, named in self._named_parameters().items():
            optimizer = self._optimizers[prefix]
            for name, parameter in named.items():
                kept = _below(tensors, f"{prefix}_opt.{name}.")
                if kept:
                    optimizer.state[parameter] = {k: v.to(device).clone() for k, v in kept.items()}
        self.ada_p = tensors["ada.p"].to(device)
        self._signs = tensors["ada.signs"].to(device)
        self._pl_mean = tensors["pl.mean"].to(device)
        self._rows = list(tensors["rows"].to(device)) if "rows" in tensors else []
        self.cur_nimg, self.step = int(values["cur_nimg"]), int(values["step"])
        self.set_live(Live(**values["live"]))

    def _named_parameters(self) -> dict[str, dict[str, nn.Parameter]]:
        named: dict[str, dict[str, nn.Parameter]] = {}
        for prefix, module in (("G", self.networks.G), ("D", self.networks.D)):
            trained = {id(p) for p in self._trained[prefix]}
            named[prefix] = {n: p for n, p in module.named_parameters() if id(p) in trained}
        return named


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _rows(tensor: Tensor | None, rows: slice) -> Tensor | None:
    return None if tensor is None else tensor[rows]


def _require(parameters: list[nn.Parameter], wanted: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(wanted)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
