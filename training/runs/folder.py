"""A run's folder: where everything of a run lies, who may write there, how far it has come.

```
<run>/
├── run.json        how far it has come, for other programs      ├── ticks.jsonl   figures
├── config.json     what it was told, and which version          ├── steps.jsonl   losses
├── live.json       what may be changed while it runs            ├── tensorboard/
├── snapshots/      to go on from                                └── samples/      grids
```
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from training.config import TrainingConfig
from training.errors import SetupError
from training.runs import locks
from training.runs.files import write_atomically
from training.runs.record import (
    RUN_FILE,
    Metric,
    RunRecord,
    VersionFacts,
    is_alive,
    list_runs,
    now,
    read_run,
)
from training.runs.resume import changes, compatible, resumed, same_version

__all__ = [
    "Metric",
    "RunFolder",
    "RunRecord",
    "VersionFacts",
    "changes",
    "compatible",
    "is_alive",
    "list_runs",
    "read_run",
    "resumed",
    "same_version",
]

_FORMAT: Final = 1


class RunFolder:
    """A run's folder, made if it is not there.

    Parameters
    ----------
    path
        Of the folder.

    Raises
    ------
    SetupError
        If there is a file of that name, or the folder cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.snapshots = path / "snapshots"
        self.samples = path / "samples"
        self.tensorboard = path / "tensorboard"
        self.ticks = path / "ticks.jsonl"
        self.steps = path / "steps.jsonl"
        self.live = path / "live.json"
        self.config = path / "config.json"
        self.run = path / RUN_FILE
        self._record: RunRecord | None = None
        try:
            for folder in (self.snapshots, self.samples, self.tensorboard):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"run folder {path} cannot be made: {error.strerror}; give another"
            ) from error

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Be the only trainer in here while the body runs.

        Raises
        ------
        SetupError
            On entering, if another trainer is; its process id is named.
        """
        return locks.hold(self.path)

    def write_config(self, config: TrainingConfig, version: VersionFacts) -> None:
        """Save what the run was told, and which version it trains on."""
        content = {
            "format": _FORMAT,
            "config": config.model_dump(mode="json"),
            "version": version.model_dump(mode="json", include=set(VersionFacts.model_fields)),
        }
        write_atomically(self.config, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def read_config(self) -> TrainingConfig | None:
        """Give the configuration that the run was begun with; None if it was not begun.

        Raises
        ------
        SetupError
            If `config.json` is damaged or of another version of this program.
        """
        content = self._read_config_file()
        with _explaining(self.config):
            return TrainingConfig.model_validate(content["config"]) if content else None

    def read_version(self) -> VersionFacts | None:
        """Give which version the run was begun with; None if it was not begun.

        Raises
        ------
        SetupError
            If `config.json` is damaged or of another version of this program.
        """
        content = self._read_config_file()
        with _explaining(self.config):
            return VersionFacts.model_validate(content["version"]) if content else None

    def begin(self, config: TrainingConfig, version: VersionFacts, cur_nimg: int = 0) -> RunRecord:
        """Write `run.json` as running; what an earlier start of the run left in it is kept."""
        facts = {key: getattr(version, key) for key in VersionFacts.model_fields}
        fresh = RunRecord(
            **facts,
            status="running",
            preset=config.preset,
            cur_nimg=cur_nimg,
            total_kimg=config.run.total_kimg,
            started=now(),
            updated=now(),
            pid=os.getpid(),
        )
        with locks.editing(self.run):
            with contextlib.suppress(SetupError):
                earlier = read_run(self.path)
                kept = ("started", "metrics", "snapshots", "newest_snapshot", "newest_grid")
                fresh = fresh.model_copy(update={key: getattr(earlier, key) for key in kept})
            return self._write(fresh)

    def update(self, **fields: Any) -> RunRecord:
        """Change fields of `run.json`, and `updated`; without fields, a sign of life.

        The file is read anew, so that metrics which another process took meanwhile stay.

        Raises
        ------
        SetupError
            If there is no readable record and this object has written none.
        ValidationError
            If a field is unknown or its value not allowed.
        """
        unknown = set(fields) - set(RunRecord.model_fields)
        assert not unknown, f"{unknown} are no fields of a RunRecord"
        with locks.editing(self.run):
            return self._write(self._last(), fields)

    def add_metrics(self, snapshot: str, values: Mapping[str, float]) -> RunRecord:
        """Add figures of a snapshot to `run.json`; they take the place of those of equal name."""
        with locks.editing(self.run):
            record = self._last()
            kept = [m for m in record.metrics if (m.snapshot, m.name in values) != (snapshot, True)]
            added = [Metric(snapshot=snapshot, name=name, value=values[name]) for name in values]
            return self._write(record, {"metrics": (*kept, *added)})

    def _last(self) -> RunRecord:
        try:
            return read_run(self.path)
        except SetupError:
            if self._record is None:
                raise
            return self._record  # somebody has damaged or removed the file: it is written anew

    def _write(self, record: RunRecord, fields: Mapping[str, Any] | None = None) -> RunRecord:
        values = {key: getattr(record, key) for key in RunRecord.model_fields}
        values |= {"updated": now(), **(fields or {}), "path": self.path}
        self._record = RunRecord.model_validate(values)
        write_atomically(self.run, self._record.model_dump_json(indent=1) + "\n")
        return self._record

    def _read_config_file(self) -> dict[str, Any] | None:
        try:
            text = self.config.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"{self.config} cannot be read: {error}") from error
        with _explaining(self.config):
            content: dict[str, Any] = json.loads(text)
            if content["format"] != _FORMAT:
                raise ValueError(f"format must be {_FORMAT}, got {content['format']!r}")
            return content


@contextlib.contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """Turn what damaged contents lead to into an error that names the file."""
    try:
        yield
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = str(error)
        if isinstance(error, ValidationError):
            part = error.errors()[0]
            what = f"`{'.'.join(map(str, part['loc']))}`: {part['msg']}"
        elif isinstance(error, KeyError):
            what = f"{error} is missing"
        raise SetupError(
            f"{path} is damaged, or of another version of this program: {what}; put back a copy of "
            f"it, or train in another folder (--run) and start from this run's networks "
            f"(--transfer)"
        ) from error
