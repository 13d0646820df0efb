"""What the commands share that look into a trained run: its options, its model, what they say."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flows.cli.common import attempt, complain, say
from flows.cli.training import Device

if TYPE_CHECKING:
    from flows.settings import DatasetConfig
    from training.latent.draws import Truncation
    from training.latent.sampler import Sampler
    from training.trained_on import Progress

FOLDER: Final = "outputs"
"""Of a run: where everything lands that is made of it and is not asked for elsewhere."""


class Noise(StrEnum):
    """Which noise pictures are made with."""

    FIXED = "fixed"
    RANDOM = "random"
    NONE = "none"


RunArgument = Annotated[str, typer.Argument(help="Name of the run, or the path of its folder.")]
SnapshotOption = Annotated[
    str | None, typer.Option(help="Name of a snapshot; the newest otherwise.")
]
SeedsOption = Annotated[str, typer.Option(help="Seeds, like 0-99 or 1,5,10-19.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of what is drawn.")]
PsiOption = Annotated[
    float, typer.Option(help="Truncation in w: 1 is none, 0 the mean picture.", show_default=True)
]
CutoffOption = Annotated[
    int | None, typer.Option(help="Truncate only so many ws, from the lowest; all otherwise.")
]
LimitOption = Annotated[
    float | None, typer.Option(help="Truncation in z: draw numbers beyond this again, e.g. 2.")
]
LabelOption = Annotated[
    str | None, typer.Option(help="Class of a run that has some; each seed its own otherwise.")
]
NoiseOption = Annotated[
    Noise, typer.Option(help="fixed: the same for all; random: of the seed; none.")
]
BatchOption = Annotated[int, typer.Option(min=1, help="Pictures at once.")]
DeviceOption = Annotated[
    Device | None, typer.Option(help="What computes; auto: a GPU where there is one.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(help="Where to write; otherwise below `outputs/` in the run's folder."),
]


@dataclass(frozen=True, slots=True)
class Workbench:
    """A run that is looked into.

    Attributes
    ----------
    run : Path
        Its folder.
    sampler : Sampler
    progress : Progress
        Shown on standard error.
    config : DatasetConfig or None
        None where the run was given by its path and there is no configuration.
    """

    run: Path
    sampler: Sampler
    progress: Progress
    config: DatasetConfig | None

    def out(self, asked: Path | None, name: str) -> Path:
        """Give where to write; make the folder that it lies in."""
        path = self.run / FOLDER / name if asked is None else asked
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def snapshot(self) -> str:
        """Name of the snapshot, for names of files."""
        return self.sampler.model.name


def find_run(run: str, config: Path) -> tuple[Path, DatasetConfig | None]:
    """Give the folder of a run, and the dataset's configuration; a path needs none.

    Raises
    ------
    SetupError, ConfigError
        If there is no such run, or a name is given and the configuration is not there.
    """
    from flows.settings import load
    from flows.trainings.runs import models_folder, run_folder
    from training.errors import SetupError
    from training.runs.record import list_runs, read_run

    settings = load(config) if config.exists() or "/" not in run else None
    if settings is None:
        folder = Path(run).expanduser()
    else:
        models = models_folder(settings)
        folder = run_folder(models, run)
        if "/" not in run and not folder.is_dir():
            known = ", ".join(record.path.name for record in list_runs(models)) or "none"
            raise SetupError(f"there is no run {run!r} in {models}; there are {known}")
    read_run(folder)
    return folder, settings


def with_run(
    work: Callable[[Workbench], None],
    run: str,
    config: Path,
    *,
    snapshot: str | None = None,
    device: Device | None = None,
    batch: int = 8,
) -> None:
    """Load a run's model and work with it; turn errors into a message and an exit code."""

    def attempted() -> None:
        from flows.trainings.launch import require_packages

        require_packages()
        from training.distributed import pick_device
        from training.latent.sampler import Sampler
        from training.models import load_snapshot

        folder, settings = find_run(run, config)
        on = pick_device("auto" if device is None else device.value)
        with showing() as progress:
            model = load_snapshot(folder, snapshot, device=on)
            for message in model.passed_over:
                complain(f"passed over: {message}")
            work(Workbench(folder, Sampler(model, batch), progress, settings))

    attempt(attempted)


@contextlib.contextmanager
def showing() -> Iterator[Progress]:
    """Show progress on standard error: a bar with the time left, or lines."""
    from flows import progress

    with progress.watch() as by:
        stage, before = ("", 0), 0

        def tell(what: str, done: int, total: int) -> None:
            nonlocal stage, before
            if (what, total) != stage or done < before:  # a stage may come again
                by.end()
                by.begin(what, total)
                stage, before = (what, total), 0
            by.advance(done - before)
            before = done

        yield tell


def truncation(psi: float, cutoff: int | None, limit: float | None) -> Truncation:
    """Read the options of truncation."""
    from training.latent.draws import Truncation

    return Truncation(psi, cutoff, limit)


def show(facts: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Say what was made: a line of JSON for programs, text for people."""
    say(json.dumps(dict(facts), allow_nan=False, default=str) if as_json else text)
