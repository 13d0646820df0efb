"""The trainings of `make bench-rank`, each in a process of its own, and what they are judged by."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.common import REPOSITORY, say
from training.errors import SetupError
from training.folds import fold_plan
from training.runs.record import read_run

FOLDED: Final = "d"
"""What the names of k-fold runs begin with."""


@dataclass(frozen=True, slots=True)
class Trainings:
    """Where runs lie, and how each is trained.

    Attributes
    ----------
    folder : Path
        Holds the runs; its name tells preset and kimg.
    snapshots : int
        Evenly from early to late; all are kept.
    device : str
        "cpu" or "cuda".
    """

    folder: Path
    preset: str
    kimg: float
    snapshots: int
    device: str

    def train(self, name: str, version: Path, seed: int, *, fold: str | None = None) -> Path:
        """Train a run to its end, or go on with it; one that has ended is left as it is.

        Raises
        ------
        RuntimeError
            If training failed; it has said why.
        """
        run = self.folder / name
        if is_finished(run):
            return run
        command = [sys.executable, "-m", "training", str(version), "--run", str(run)]
        command += ["--preset", self.preset, "--device", self.device, "--kimg", f"{self.kimg:g}"]
        command += ["--seed", str(seed), *(["--fold", fold] if fold else [])]
        for setting in (
            f"run.tick_kimg={self.kimg / self.snapshots:g}",
            "run.snapshot_ticks=1",
            f"run.keep_last={self.snapshots + 1}",
        ):
            command += ["--set", setting]
        say(f"training {name}, {self.kimg:g} kimg")
        if subprocess.run(command, cwd=REPOSITORY, check=False).returncode:
            raise RuntimeError(f"training {run} failed; its message is above")
        if not is_finished(run):
            raise RuntimeError(f"training {run} was stopped; start again to go on with it")
        return run

    def train_folds(self, version: Path, seed: int, k: int) -> list[Path]:
        """Train k runs, each without one part of the pictures."""
        return [self.train(name, version, seed, fold=fold) for name, fold in fold_plan(FOLDED, k)]


def is_finished(run: Path) -> bool:
    """Tell whether a run has come to its end."""
    try:
        return read_run(run).status == "finished"
    except SetupError:
        return False


def write_json(path: Path, value: object) -> None:
    """Write so that a reader finds all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def generated_distances(
    run: Path, clean: Path, *, generated: int, seeds: Sequence[int], device: str
) -> list[float]:
    """Take FD-own of a run's newest snapshot beside the clean pictures, for each seed of latents.

    What was measured is kept in the run's folder.
    """
    import torch

    from training.encoder import OwnEncoder
    from training.evaluate import measure_generator
    from training.models import load_model
    from training.trained_on import Source, open_version, select_as_trained

    model = load_model(run, device=device)
    kept = run / "fd-clean.json"
    known: dict[str, float] = json.loads(kept.read_text()) if kept.is_file() else {}
    version, index = open_version(read_run(run), Source(version=str(clean)))
    data = model.config.data.model_copy(update={"fold": None})
    selection = select_as_trained(index, data, model.labels)
    for seed in seeds:
        name = f"{model.name}, {version.hash:.12}, {generated} generated, seed {seed}"
        if name not in known:
            (figures,) = measure_generator(
                model.G,
                version,
                selection,
                [(OwnEncoder(), ("fd_own",))],
                inverted=model.inverted,
                count=generated,
                cache=run.parent / "statistics",
                seed=seed,
                device=torch.device(device),
            )
            known[name] = figures["fd_own"]
            write_json(kept, known)
    wanted = [f"{model.name}, {version.hash:.12}, {generated} generated, seed {s}" for s in seeds]
    return [known[name] for name in wanted]
