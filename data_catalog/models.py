"""Which trained networks may judge the pictures, and which of them does now."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError, ConflictError
from data_catalog.schema import MODELS

_NAME: Final = re.compile(r"[\w.@-]+", re.ASCII)
# Between snapshots of one run, in the table; snapshot names hold none.
_JOINT: Final = ","
# Whoever is refused so often had as many others write before, each of whom came further.
_TRIES: Final = 50


@dataclass(frozen=True, slots=True)
class Model:
    """A judge: one run, or several that each leave a part of the pictures out.

    Attributes
    ----------
    model : str
        Its id, `<run>@<newest snapshot>`: letters, digits, `.`, `_`, `-` and `@`.
    runs : tuple of str
        Names of the run folders below `models/`; of folds, in the order of the folds.
    snapshots : tuple of tuple of str
        Names of the snapshots that judge together: one tuple a run, newest first.
    version, version_hash
        Of the published version that it was trained on; None where that is not known.
    recipe : str
        Id of the recipe of the pictures it was trained on.
    height, width : int
        Of those pictures, px.
    kimg : float
        Thousand images that it was trained on; of several runs, the least.
    registered_at : datetime
        UTC; set by `register`. It does not tell two models apart.
    """

    model: str
    runs: tuple[str, ...]
    snapshots: tuple[tuple[str, ...], ...]
    version: int | None
    version_hash: str | None
    recipe: str
    height: int
    width: int
    kimg: float
    registered_at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)


def register(catalog: Catalog, model: Model, *, judges: bool = True) -> None:
    """Make a model the current one: add its row as the last; nothing where it is that already.

    Parameters
    ----------
    judges
        False: it is known from then on, but who is the current one stays so, if there is one.

    Raises
    ------
    CatalogError
        If its id has other characters than it may, or not each run has snapshots.
    ConflictError
        If others write all the time.
    """
    _check(model)
    for _ in range(_TRIES - 1):
        with contextlib.suppress(ConflictError):
            return _append(catalog, model, judges)
    return _append(catalog, model, judges)


def current(catalog: Catalog) -> Model | None:
    """Give the model that judges now: the one registered last. None where there is none."""
    rows = _rows(catalog)
    return rows[-1] if rows else None


def all_models(catalog: Catalog) -> list[Model]:
    """Give all models, each as it was registered last; the current one first."""
    found: dict[str, Model] = {}
    for model in reversed(_rows(catalog)):
        found.setdefault(model.model, model)
    return list(found.values())


def find(catalog: Catalog, name: str) -> Model:
    """Give a model by its id.

    Raises
    ------
    CatalogError
        If there is none of that id.
    """
    known = all_models(catalog)
    for model in known:
        if model.model == name:
            return model
    there = ", ".join(model.model for model in known) or "none yet"
    raise CatalogError(f"there is no model {name!r}; registered: {there}")


def _check(model: Model) -> None:
    if not _NAME.fullmatch(model.model):
        raise CatalogError(
            f"`model` must be letters, digits, `.`, `_`, `-` and `@`, got {model.model!r}"
        )
    if not model.runs or len(model.runs) != len(model.snapshots) or not all(model.snapshots):
        raise CatalogError(
            f"model {model.model} must have one or more runs with snapshots of each, "
            f"got {model.runs} and {model.snapshots}"
        )


def _append(catalog: Catalog, model: Model, judges: bool) -> None:
    table = catalog.table("models")
    at = table.version()
    last = current(catalog)
    if last == model or (not judges and any(known == model for known in all_models(catalog))):
        return
    added = [model] if judges or last is None else [model, last]
    now = datetime.now(UTC)
    if last is not None:
        # A clock that was set back must not bring an older model back.
        now = max(now, last.registered_at + timedelta(microseconds=1))
    rows = [
        _row(replace(one, registered_at=now + timedelta(microseconds=number)))
        for number, one in enumerate(added)
    ]
    # In one commit: nobody sees, and no kill leaves, a judge that is not meant to be one.
    table.append(pa.Table.from_pylist(rows, schema=MODELS), if_version=at)


def _rows(catalog: Catalog) -> list[Model]:
    """Give every registration, oldest first."""
    rows = catalog.table("models").read().sort_by("registered_at")
    return [_model(row) for row in rows.to_pylist()]


def _row(model: Model) -> dict[str, Any]:
    columns = {name: getattr(model, name) for name in MODELS.names}
    return columns | {"snapshots": [_JOINT.join(names) for names in model.snapshots]}


def _model(row: dict[str, Any]) -> Model:
    snapshots: Sequence[str] = row["snapshots"]
    lists = {
        "runs": tuple(row["runs"]),
        "snapshots": tuple(tuple(names.split(_JOINT)) for names in snapshots),
    }
    return Model(**(row | lists))
