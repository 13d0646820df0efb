"""`run.json`: what a run is and how far it has come, for every other part of the product."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field

from training.errors import SetupError
from training.runs.locks import is_held

RUN_FILE: Final = "run.json"

Status = Literal["running", "finished", "stopped", "failed"]


class VersionFacts(BaseModel):
    """Which published version is trained on, and how."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset: str = Field(description="folder or URL of the version")
    version: int = Field(description="its number")
    version_hash: str = Field(description="its content hash")
    inverted: bool = Field(description="whether pictures are trained on as 255 - x")
    size: tuple[int, int] = Field(description="height and width of the pictures, px")
    labels: tuple[str, ...] = Field((), description="names of the classes; none: unconditional")


class Metric(BaseModel):
    """A figure of a snapshot."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    snapshot: str
    name: str
    value: float


class RunRecord(VersionFacts):
    """All of `run.json`. A newer trainer may write more; that is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    status: Status = Field(description="`running` is a claim: ask `is_alive`")
    reason: str = Field("", description="why it stopped or failed, for people")
    preset: str
    cur_nimg: int = Field(0, ge=0, description="images trained on so far")
    total_kimg: float = Field(description="thousand images to train on, in all")
    snapshots: tuple[str, ...] = Field((), description="names in `snapshots/`, oldest first")
    newest_snapshot: str | None = None
    newest_grid: str | None = Field(None, description="sample grid, relative to the folder")
    metrics: tuple[Metric, ...] = ()
    started: datetime = Field(description="when the run was first started, UTC")
    updated: datetime = Field(description="when this was last written, UTC")
    pid: int = Field(description="process of the trainer that wrote it")
    path: Path = Field(Path(), exclude=True, description="the run's folder; not in the file")

    @computed_field(description="thousand images trained on so far")  # type: ignore[prop-decorator]
    @property
    def kimg(self) -> float:
        """Thousand images trained on so far."""
        return self.cur_nimg / 1000


def read_run(path: Path) -> RunRecord:
    """Read a run's record.

    Parameters
    ----------
    path
        The run's folder.

    Raises
    ------
    SetupError
        If it is no run's folder, or its record is damaged.
    """
    file = path / RUN_FILE
    try:
        record = RunRecord.model_validate_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise SetupError(f"{path} holds no {RUN_FILE}; give the folder of a run") from None
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        part = error.errors()[0]
        key = ".".join(map(str, part["loc"]))
        what = f"`{key}`: {part['msg']}" if key else part["msg"]
        raise SetupError(
            f"{file} is damaged: {what}; start the run again to have it written anew"
        ) from error
    return record.model_copy(update={"path": path})


def list_runs(models: Path) -> list[RunRecord]:
    """Give the runs in a folder of runs, the one started last first.

    A run with a damaged record is among them, as `failed` with the damage as its reason: one bad
    file must not hide the others, nor itself. Folders whose names begin with a dot are being
    written, or are what was left when that was killed: they are passed over.

    Parameters
    ----------
    models
        Folder of run folders; may be missing.
    """
    if not models.is_dir():
        return []
    folders = [file.parent for file in models.glob(f"*/{RUN_FILE}")]
    records = [_read_or_explain(one) for one in folders if not one.name.startswith(".")]
    return sorted(records, key=lambda record: (record.started, record.path), reverse=True)


def is_alive(record: RunRecord) -> bool:
    """Tell whether the run's trainer is at work now, on this machine.

    Asks the lock, not the process id, which another process may have by now.
    """
    return is_held(record.path)


def now() -> datetime:
    """Give the time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def _read_or_explain(folder: Path) -> RunRecord:
    try:
        return read_run(folder)
    except SetupError as error:
        return RunRecord(
            status="failed",
            reason=str(error),
            path=folder,
            preset="",
            dataset="",
            version=0,
            version_hash="",
            inverted=False,
            size=(0, 0),
            total_kimg=0,
            started=datetime.fromtimestamp(0, UTC),
            updated=datetime.fromtimestamp(0, UTC),
            pid=0,
        )
