"""What somebody asks of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A run that is to be started, or to go on.

    Attributes
    ----------
    version : str
        Folder of a published version, or its fsspec URL.
    run : Path
        Folder of the run. Where it holds one already, that one goes on.
    preset : str or None
        None: that of the run, or `stylegan2-ada` for a new one.
    overrides : dict
        Nested as `TrainingConfig`; wins over the preset.
    transfer : Path or None
        Snapshot, or run, that a new run takes its weights from.
    cache : Path or None
        Where versions from object storage are kept.
    storage_options : dict
        Handed to fsspec.
    """

    version: str
    run: Path
    preset: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    transfer: Path | None = None
    cache: Path | None = None
    storage_options: dict[str, Any] = field(default_factory=dict)
