"""What the loop writes down below `<root>/loop/`: trainings it has begun, versions it passed over.

A training is noted before it is begun and taken out when it has ended in good order. What is left
after a kill, a crash or a restart is what has to go on, with the options that it was begun with.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from data_catalog.storage import Root
from flows.trainings.launch import TrainOptions

FOLDER: Final = "loop"

_BEGUN: Final = "trainings"
_DECLINED: Final = "declined"  # a file a version: several processes write here at a time

By = Literal["rules", "person", "failure"]
Note = TypeVar("Note", bound=BaseModel)


class Begun(BaseModel):
    """A training that was begun and has not ended in good order yet."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str = Field(description="path of its folder")
    version: int
    version_hash: str
    options: TrainOptions = Field(description="to start it with, the version among them")
    flow_run: str | None = Field(None, description="id of Prefect's run that does it")
    at: datetime
    cur_nimg: int = Field(0, description="images trained on when it was started last")
    asked: bool = Field(False, description="it was asked to stop, and did: that is no death")
    deaths: int = Field(0, description="times in a row that it died where it had started")


class Declined(BaseModel):
    """A version that is not trained, and why."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int
    version_hash: str
    why: str
    by: By
    at: datetime


def note_begun(catalog: Catalog, begun: Begun) -> None:
    """Write down that a training is begun; of the same run, this replaces what was noted."""
    _write(catalog, _name(begun.run), begun)


def take_out(catalog: Catalog, run: str) -> None:
    """Take a training out: it has ended in good order, or is not to go on."""
    _folder(catalog).remove(_name(run))


def read_begun(catalog: Catalog) -> list[Begun]:
    """Give the trainings that have not ended in good order; a damaged note is passed over."""
    return _read_all(Begun, catalog, _BEGUN)


def find_begun(catalog: Catalog, run: str) -> Begun | None:
    """Give what is noted of a run."""
    return _parse(Begun, _folder(catalog), _name(run))


def note_declined(
    catalog: Catalog, version: int, version_hash: str, why: str, by: By = "rules"
) -> None:
    """Write down that a version is not trained; what is noted already stays as it is."""
    before = _parse(Declined, _folder(catalog), _file(_DECLINED, version_hash))
    if before is not None and (before.why, before.by) == (why, by):
        return
    entry = Declined(
        version=version,
        version_hash=version_hash,
        why=why,
        by=by,
        at=datetime.now(UTC).replace(microsecond=0),
    )
    _write(catalog, _file(_DECLINED, version_hash), entry)


def forget_declined(catalog: Catalog, version_hash: str) -> None:
    """Take a version out of those that are not trained."""
    _folder(catalog).remove(_file(_DECLINED, version_hash))


def read_declined(catalog: Catalog) -> dict[str, Declined]:
    """Give the versions that are not trained, by their hash; what is damaged is passed over."""
    return {entry.version_hash: entry for entry in _read_all(Declined, catalog, _DECLINED)}


def _folder(catalog: Catalog) -> Root:
    return catalog.root.child(FOLDER)


def _name(run: str) -> str:
    return _file(_BEGUN, run.rstrip("/").rpartition("/")[2])


def _file(kind: str, name: str) -> str:
    return f"{kind}/{name}.json"


def _write(catalog: Catalog, name: str, note: BaseModel) -> None:
    _folder(catalog).write_bytes(name, note.model_dump_json(indent=1).encode() + b"\n")


def _read_all(kind: type[Note], catalog: Catalog, folder: str) -> list[Note]:
    root = _folder(catalog)
    names = sorted(name for name in root.ls(folder) if name.endswith(".json"))
    found = (_parse(kind, root, f"{folder}/{name}") for name in names)
    return [note for note in found if note is not None]


def _parse(kind: type[Note], folder: Root, name: str) -> Note | None:
    """Read a note; None where there is none, or it is damaged."""
    if not folder.exists(name):
        return None
    try:
        return kind.model_validate_json(folder.read_bytes(name))
    except (ValueError, CatalogError):
        return None
