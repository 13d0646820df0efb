"""What the loop writes down below `<root>/loop/`: trainings it has begun, versions it passed over.

A training is noted before it is begun and taken out when it has ended in good order. What is left
after a kill, a crash or a restart is what has to go on, with the options that it was begun with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from data_catalog.storage import Root
from flows.trainings.launch import TrainOptions

FOLDER: Final = "loop"
DECLINED: Final = "declined.json"

_BEGUN: Final = "trainings"

By = Literal["rules", "person", "failure"]


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
    why: str
    by: By
    at: datetime


def note_begun(catalog: Catalog, begun: Begun) -> None:
    """Write down that a training is begun; of the same run, this replaces what was noted."""
    _folder(catalog).write_bytes(_name(begun.run), begun.model_dump_json(indent=1).encode())


def take_out(catalog: Catalog, run: str) -> None:
    """Take a training out: it has ended in good order, or is not to go on."""
    _folder(catalog).remove(_name(run))


def read_begun(catalog: Catalog) -> list[Begun]:
    """Give the trainings that have not ended in good order; a damaged note is passed over."""
    folder = _folder(catalog)
    names = [name for name in folder.ls(_BEGUN) if name.endswith(".json")]
    found = (_parse(folder, f"{_BEGUN}/{name}") for name in sorted(names))
    return [begun for begun in found if begun is not None]


def find_begun(catalog: Catalog, run: str) -> Begun | None:
    """Give what is noted of a run."""
    return _parse(_folder(catalog), _name(run))


def note_declined(
    catalog: Catalog, version: int, version_hash: str, why: str, by: By = "rules"
) -> None:
    """Write down that a version is not trained; what is noted already stays as it is."""
    known = read_declined(catalog)
    before = known.get(version_hash)
    if before is not None and (before.why, before.by) == (why, by):
        return
    entry = Declined(version=version, why=why, by=by, at=datetime.now(UTC).replace(microsecond=0))
    _write_declined(catalog, {**known, version_hash: entry})


def forget_declined(catalog: Catalog, version_hash: str) -> None:
    """Take a version out of those that are not trained."""
    known = dict(read_declined(catalog))
    if known.pop(version_hash, None) is not None:
        _write_declined(catalog, known)


def read_declined(catalog: Catalog) -> dict[str, Declined]:
    """Give the versions that are not trained, by their hash; what is damaged is passed over."""
    raw = _json(_folder(catalog), DECLINED)
    entries = raw if isinstance(raw, dict) else {}
    out = {}
    for content_hash, entry in entries.items():
        try:
            out[content_hash] = Declined.model_validate(entry)
        except ValidationError:
            continue
    return out


def _write_declined(catalog: Catalog, entries: Mapping[str, Declined]) -> None:
    plain = {key: entry.model_dump(mode="json") for key, entry in entries.items()}
    _folder(catalog).write_bytes(DECLINED, json.dumps(plain, indent=1).encode() + b"\n")


def _folder(catalog: Catalog) -> Root:
    return catalog.root.child(FOLDER)


def _name(run: str) -> str:
    return f"{_BEGUN}/{run.rstrip('/').rpartition('/')[2]}.json"


def _parse(folder: Root, name: str) -> Begun | None:
    raw = _json(folder, name)
    try:
        return None if raw is None else Begun.model_validate(raw)
    except ValidationError:
        return None


def _json(folder: Root, name: str) -> Any:
    """Read JSON; None where there is none, or it is damaged."""
    if not folder.exists(name):
        return None
    try:
        return json.loads(folder.read_bytes(name))
    except (ValueError, CatalogError):
        return None
