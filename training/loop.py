"""The loop: steps, ticks, snapshots, and stopping in good order."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.cost import memory_explained
from training.data.select import Selection
from training.data.stream import Stream, pictures
from training.draws import generator
from training.errors import DivergedError, TrainingError
from training.evaluate import Evaluation, measure_generator, record, usual_count
from training.metric_encoders import load_encoders
from training.models import full_precision
from training.runs import live, snapshots
from training.runs.folder import RunFolder, RunRecord, VersionFacts
from training.runs.live import Live
from training.shards import PublishedVersion
from training.tally import Tally
from training.trainer import COLUMNS, Trainer
from training.watch.diversity import Spread, spread
from training.watch.grids import grid, save_png, to_pixels, to_tensor
from training.watch.health import Health, non_finite
from training.watch.journal import Journal, Tick
from training.watch.progress import Progress

_ASK_EVERY: Final = 16  # steps between asking other processes whether to stop
_AT_ONCE: Final = 16  # pictures of a grid that are generated together
_SIDE: Final = 2400  # px of a grid's longer side, at most
_GRIDS: Final = 20  # newest grids that are kept, besides those of snapshots
_LAZY: Final = ("r1", "r2", "path_length")  # figures that not every step has
_GO, _FAILED = 0.0, 1.0


class Loop:
    """A run under way in this process.

    Parameters
    ----------
    trainer
        Where it starts or goes on.
    stream
        Its pictures, from the trainer's step on.
    folder
        Of the run; only the first process writes in it.
    """

    def __init__(
        self,
        trainer: Trainer,
        stream: Stream,
        folder: RunFolder,
        facts: VersionFacts,
        version: PublishedVersion,
        selection: Selection,
        say: Callable[[str], None],
    ) -> None:
        self.trainer, self.stream, self.folder, self.facts = trainer, stream, folder, facts
        self._version, self._selection = version, selection
        self._say = say
        self.config = trainer.config
        self.team = trainer.team
        augment = self.config.augment
        self.health = Health(augment.p_max if augment.mode == "ada" else None)
        self.tally = Tally(COLUMNS, _LAZY)
        self.seconds = 0.0
        self._sound = True
        self._total = round(self.config.run.total_kimg * 1000)
        self._tick_nimg = max(round(self.config.run.tick_kimg * 1000), 1)
        self._encoders = load_encoders(self.config.run.metrics) if self._measures else ()
        self._told: list[str] = []
        self._stop = threading.Event()
        self._marked = time.perf_counter()

    @property
    def _measures(self) -> bool:
        return self.team.leads and bool(self.config.run.metrics)

    def restore(self, values: Mapping[str, Any]) -> None:
        """Go on with what a snapshot holds of the loop."""
        self.tally.restore(values["tally"])
        self.health.restore(values["health"])
        self.seconds = float(values["seconds"])

    def run(self) -> RunRecord | None:
        """Train to the end, or until a signal to stop; give the record in the first process."""
        if not self.team.leads:
            with self._signals(), self._memory_explained():
                self.team.wait()
                self._steps()
            return None
        self.folder.begin(self.config, self.facts, self.trainer.cur_nimg)
        self.journal = Journal(self.folder.path, self.trainer.cur_nimg)
        self.progress = Progress(self._total)
        try:
            with self._signals(), self._memory_explained():
                self.team.wait()  # until none of them would die of a signal to stop
                status, reason = self._lead()
            self.journal.close()
        except BaseException as error:
            # On a full disk neither can be written: what has ended the run is what is told.
            with suppress(TrainingError, OSError):
                self.folder.update(status="failed", reason=str(error) or type(error).__name__)
            with suppress(OSError):
                self.journal.close()
            raise
        finally:
            self.progress.close()
        return self.folder.update(status=status, reason=reason, cur_nimg=self.trainer.cur_nimg)

    def _memory_explained(self) -> AbstractContextManager[None]:
        size, classes = self.facts.size, len(self.facts.labels)
        return memory_explained(self.config, size, classes, self.team.device)

    def _lead(self) -> tuple[Any, str]:
        self._real_spread = self._draw_reals()
        if self.trainer.cur_nimg == 0:
            for left in self.folder.samples.glob("kimg-*.png"):  # of a start that saved nothing
                left.unlink(missing_ok=True)
            self._say(f"run {self.folder.path}: {self._summary()}")
            self.journal.text("config", f"```json\n{self.config.model_dump_json(indent=1)}\n```", 0)
            self._draw_grid()
        finished = self._steps()
        self._save()
        if finished:
            return "finished", f"{self.config.run.total_kimg:g} kimg reached"
        self._say(f"stopped at {self.trainer.cur_nimg / 1000:g} kimg; the same command goes on")
        return "stopped", "asked to stop"

    def _summary(self) -> str:
        opt = self.config.optimizer
        return (
            f"preset {self.config.preset}, version {self.facts.version} with "
            f"{len(self._selection):,} pictures of {self.facts.size[1]}×{self.facts.size[0]}, "
            f"batch {opt.batch} on {self.team.world} × {self.team.device.type}"
        )

    def _steps(self) -> bool:
        """Step to the end; give whether it was reached."""
        self._marked = time.perf_counter()
        while self.trainer.cur_nimg < self._total:
            self._step()
            if self._crossed_tick() and not self._tick():
                return False
            if self._asked_to_stop():
                self._flush()
                return False
        return True

    def _step(self) -> None:
        begun = time.perf_counter()
        batch = next(self.stream)
        self.tally.waited += time.perf_counter() - begun
        device = self.team.device
        labels = None if batch.labels is None else batch.labels.to(device, non_blocking=True)
        self.trainer.train_step(batch.pixels.to(device, non_blocking=True), labels)
        if self.team.leads:
            self.progress.update(self.trainer.cur_nimg)

    def _crossed_tick(self) -> bool:
        return self._crossed(self._tick_nimg) or self.trainer.cur_nimg >= self._total

    def _crossed(self, every: int) -> bool:
        """Tell whether this step went past a multiple of so many images."""
        now = self.trainer.cur_nimg
        return now // every > (now - self.trainer.batch) // every

    def _asked_to_stop(self) -> bool:
        if self.team.world > 1 and self.trainer.step % _ASK_EVERY:
            return False
        return self.team.any(self._stop.is_set())

    # -- ticks --------------------------------------------------------------------------------

    def _tick(self) -> bool:
        """Show and decide; give whether to go on."""
        self._flush()
        control = torch.tensor(
            [_GO, *_numbers(self.trainer.live)], dtype=torch.float64, device="cpu"
        )
        failure: TrainingError | None = None
        if self.team.leads:
            try:
                control[1:] = torch.tensor(_numbers(self._lead_tick()), dtype=torch.float64)
            except TrainingError as error:
                failure, control[0] = error, _FAILED
        control = self._shared(control)
        if failure is not None:
            raise failure
        if control[0] == _FAILED:
            return False
        self.trainer.set_live(Live(*control[1:].tolist()))
        return True

    def _shared(self, control: Tensor) -> Tensor:
        there = control.to(self.team.device)
        self.team.share([there])
        return there.cpu()

    def _lead_tick(self) -> Live:
        record = self._record()
        self.tally.clear()
        self.journal.tick(record)
        self.progress.tick(record)
        wanted, messages = live.read(self.folder.live, self.trainer.live)
        for message in messages:
            if message not in self._told:  # a broken file is told of once, not at every tick
                self._note(message)
        self._told = messages
        last = record.cur_nimg >= self._total
        with_snapshot = self._crossed(self._tick_nimg * self.config.run.snapshot_ticks)
        seen = self._draw_grid()
        damaged = non_finite(
            (f"{prefix}.{name}", tensor)
            for prefix, module in self.trainer.networks.named().items()
            for name, tensor in module.named_parameters()
        )
        try:
            warnings = self.health.check(
                record, damaged=damaged, pictures=Spread(seen, self._real_spread)
            )
        except DivergedError as error:
            raise DivergedError(f"{error} Run folder: {self.folder.path}") from None
        for warning in warnings:
            self._note(f"warning: {warning}")
        self._sound = all(map(math.isfinite, record.losses.values()))
        if with_snapshot and self._sound and not last:
            self.trainer.set_live(wanted)  # a snapshot goes on with what is in force after it
            self._save()
        else:
            self.folder.update(cur_nimg=record.cur_nimg)
        return wanted

    def _record(self) -> Tick:
        means = self.tally.means()
        trainer, tally = self.trainer, self.tally
        images = max(tally.steps * trainer.batch, 1)
        return Tick(
            cur_nimg=trainer.cur_nimg,
            kimg=trainer.cur_nimg / 1000,
            tick=trainer.cur_nimg // self._tick_nimg,
            steps=trainer.step,
            seconds=tally.seconds,
            sec_per_kimg=tally.seconds / images * 1000,
            images_per_sec=images / max(tally.seconds, 1e-9),
            data_wait_share=min(tally.waited / max(tally.seconds, 1e-9), 1.0),
            gpu_memory_gb=self._memory(),
            ada_p=float(trainer.ada_p),
            d_sign_real=means.pop("real_sign", 0.0),
            r1_gamma=trainer.live.r1_gamma,
            G_lr=trainer.live.G_lr,
            D_lr=trainer.live.D_lr,
            losses={name: value for name, value in means.items() if name != "ada_p"},
        )

    def _memory(self) -> float | None:
        if self.team.device.type != "cuda":
            return None
        peak = torch.cuda.max_memory_reserved(self.team.device)  # that of graphs is no more
        torch.cuda.reset_peak_memory_stats(self.team.device)
        return peak / 1e9

    def _flush(self) -> None:
        """Bring the figures of steps here, and to disk; waits for the device."""
        rows = self.trainer.take_rows()
        now = time.perf_counter()
        self.tally.seconds += now - self._marked
        self.seconds += now - self._marked
        self._marked = now
        self.tally.add(rows)
        if self.team.leads and self.config.run.log_steps and len(rows):
            first = self.trainer.step - len(rows)
            self.journal.steps(
                {
                    "cur_nimg": (first + at + 1) * self.trainer.batch,
                    "step": first + at,
                    **{n: v for n, v in zip(COLUMNS, row, strict=True) if v == v},
                }
                for at, row in enumerate(rows.tolist())
            )

    def _note(self, message: str) -> None:
        self.progress.note(message)
        self.journal.text("notes", message, self.trainer.cur_nimg)

    # -- snapshots and pictures ---------------------------------------------------------------

    def _save(self) -> None:
        """Save a snapshot, from which the next step is what it would have been."""
        trainer = self.trainer
        name = snapshots.name_of(trainer.cur_nimg)
        values = {
            **trainer.values(),
            "config": self.config.model_dump(mode="json"),
            "version_hash": self.facts.version_hash,
            "version": self.facts.version,
            "inverted": self.facts.inverted,
            "size": list(self.facts.size),
            "labels": list(self.facts.labels),
            "tally": self.tally.state(),
            "health": self.health.state(),
            "seconds": self.seconds,
        }
        snapshots.save(self.folder.snapshots, name, snapshots.Snapshot(trainer.tensors(), values))
        run = self.config.run
        if self._sound:  # else what may be astray would take the place of what is not
            snapshots.prune(self.folder.snapshots, run.keep_last, run.keep_every)
        kept = snapshots.names(self.folder.snapshots)
        self.folder.update(cur_nimg=trainer.cur_nimg, snapshots=tuple(kept), newest_snapshot=name)
        if self._encoders:
            self._measure(name)

    def _measure(self, snapshot: str) -> None:
        """Take the figures that are asked for at every snapshot; the others wait meanwhile."""
        count, seed = usual_count(self._selection), self.config.run.seed
        figures = measure_generator(
            full_precision(self.trainer.networks.G_ema, self.config.network),
            self._version,
            self._selection,
            self._encoders,
            inverted=self.facts.inverted,
            count=count,
            cache=self.folder.path / "statistics",
            seed=seed,
            workers=self.config.data.workers,
            device=self.team.device,
        )
        nimg = self.trainer.cur_nimg
        taken = Evaluation(snapshot, nimg, self.facts.version_hash, count, 1.0, seed, figures)
        record(self.folder, taken)
        for name, value in taken.values.items():
            self._note(f"{name} {value:.4g} at {snapshot}")
        self._marked = time.perf_counter()  # not time of training

    def _draw_reals(self) -> float:
        """Draw a grid of real pictures to compare with; give how much they differ."""
        numbers = np.linspace(0, len(self._selection) - 1, self.config.run.grid).astype(np.int64)
        chosen = self._selection.indices[np.unique(numbers)]
        found = list(pictures(self._version, self._selection.index, chosen))
        pixels = to_pixels(to_tensor(torch.cat(found)), inverted=self.facts.inverted)
        path = self.folder.samples / "reals.png"
        if self.trainer.cur_nimg == 0 or not path.exists():
            save_png(_fitted(grid(pixels)), path)
        return spread(pixels) if len(pixels) > 1 else 0.0

    @torch.no_grad()
    def _draw_grid(self) -> float:
        """Draw the fixed latents, turned back; give how much the pictures differ."""
        run, G = self.config.run, self.trainer.networks.G_ema
        rng = generator(torch.device("cpu"), run.seed, 0, "grid")
        z = torch.randn(run.grid, G.z_dim, generator=rng).to(self.team.device)
        classes = len(self.facts.labels)
        labels = torch.arange(run.grid, device=self.team.device) % classes if classes else None
        made = [
            G(z[some], None if labels is None else labels[some], run.grid_psi).cpu()
            for some in _chunks(run.grid)
        ]
        pixels = to_pixels(torch.cat(made), inverted=self.facts.inverted)
        image = _fitted(grid(pixels))
        name = f"{snapshots.name_of(self.trainer.cur_nimg)}.png"
        save_png(image, self.folder.samples / name)
        if self._keeps_grid(self.trainer.cur_nimg):  # TensorBoard's files only grow
            self.journal.images("samples", image, self.trainer.cur_nimg)
        self._thin_out()
        self.folder.update(newest_grid=f"samples/{name}")
        return spread(pixels) if len(pixels) > 1 else 0.0

    def _thin_out(self) -> None:
        """Keep the newest grids, and those of ticks with a snapshot: a run has thousands."""
        found = sorted(self.folder.samples.glob("kimg-*.png"))
        for path in found[1:-_GRIDS]:
            nimg = int(path.stem.removeprefix("kimg-").replace(".", ""))
            if not self._keeps_grid(nimg):
                path.unlink(missing_ok=True)

    def _keeps_grid(self, nimg: int) -> bool:
        return nimg // self._tick_nimg % self.config.run.snapshot_ticks == 0

    # -- ends ---------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Take SIGTERM and Ctrl-C as a wish to stop after the step; a second Ctrl-C insists."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(_number: int, _frame: object) -> None:
            if self._stop.is_set() and _number == signal.SIGINT:
                raise KeyboardInterrupt
            self._stop.set()

        before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _numbers(of: Live) -> tuple[float, float, float]:
    return of.G_lr, of.D_lr, of.r1_gamma


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, _AT_ONCE):
        yield slice(start, min(start + _AT_ONCE, count))


def _fitted(image: Image.Image) -> Image.Image:
    image.thumbnail((_SIDE, _SIDE))
    return image
