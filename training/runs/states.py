"""`state.json` of a snapshot: its values, and what its files must be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from training.errors import SnapshotError
from training.runs.files import sync
from training.runs.tensorfile import FileFacts

STATE_FILE: Final = "state.json"
FORMAT: Final = 1


class State(BaseModel):
    """Contents of `state.json`, besides its format and its own checksum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: int
    files: dict[str, FileFacts]
    values: dict[Any, Any]


def write(folder: Path, state: State) -> None:
    """Write a state into a snapshot's folder and have it put on the disk.

    Raises
    ------
    OSError
        If it cannot be written.
    TypeError
        If a value is nothing that JSON has.
    """
    dumped = {"format": FORMAT, **state.model_dump()}
    content = json.loads(json.dumps(dumped))  # keys are text from here on, so the checksum holds
    content["checksum"] = _checksum(content)
    with (folder / STATE_FILE).open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        sync(file.fileno())


def read(path: Path) -> State:
    """Read a snapshot's state.

    Parameters
    ----------
    path
        The snapshot's folder.

    Raises
    ------
    SnapshotError
        If there is none, or it is damaged or of another format.
    """
    file = path / STATE_FILE
    try:
        content = json.loads(file.read_bytes())
        _check(file, content)
        return State.model_validate(content)
    except (FileNotFoundError, NotADirectoryError):
        what = f"damaged: {STATE_FILE} is missing" if path.is_dir() else "no snapshot"
        raise SnapshotError(f"{path} is {what}; give another") from None
    except OSError as error:
        raise SnapshotError(f"{file} cannot be read: {error.strerror}") from error
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotError(f"{file} is damaged: not the state of a snapshot") from error
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{file} is damaged: not valid JSON: {error}") from error


def _check(file: Path, content: dict[str, Any]) -> None:
    """Take format and checksum out of a state, and refuse it if they are not as they must be."""
    found, written = _checksum(content), content.pop("format")
    if written != FORMAT:
        raise SnapshotError(
            f"{file} has format {written!r}, must be {FORMAT}; use the version of this program "
            f"that wrote it"
        )
    expected = content.pop("checksum")
    if found != expected:
        raise SnapshotError(f"{file} is damaged: must have checksum {expected}, has {found}")


def _checksum(content: Mapping[str, Any]) -> str:
    """Hash a state by its meaning, without the checksum itself."""
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
