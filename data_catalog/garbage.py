"""What nothing refers to any more: found, and removed under the catalog's lock."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow.compute as pc

from data_catalog.catalog import Catalog
from data_catalog.packs import PackStore
from data_catalog.schema import TABLES
from data_catalog.storage import TEMPORARY_PREFIX, Root

GRACE_SECONDS: Final = 3600.0
PARTS_SECONDS: Final = 86_400.0
"""A ranking that was killed goes on from its parts when it is started again."""

_PACK: Final = re.compile(r"pack-[0-9a-f]+-[0-9a-f]+\.tar")
_OWN_FOLDERS: Final = ("raw", "standard", "versions")
_RANKINGS: Final = "rank"
_SAMPLES: Final = f"{_RANKINGS}/density"
_LOOP: Final = "loop"
_DENSITY: Final = "density-"  # how names of densities begin; those of networks have an @


@dataclass(frozen=True, slots=True)
class GarbageSummary:
    """What was removed, or would be: paths relative to the root, and their bytes in all."""

    packs: tuple[str, ...]
    temporary: tuple[str, ...]
    table_files: tuple[str, ...]
    rankings: tuple[str, ...]
    bytes: int
    dry_run: bool


def collect(
    catalog: Catalog,
    *,
    recipe: str | None = None,
    dry_run: bool = False,
    grace_seconds: float = GRACE_SECONDS,
    parts_seconds: float = PARTS_SECONDS,
) -> GarbageSummary:
    """Remove packs that no row refers to, abandoned temporaries, old files of tables and rankings.

    Files that have none of the catalog's own names are left alone, whoever put them there.

    Parameters
    ----------
    recipe
        Id of the one in use: samples of others go. None: all samples stay.
    dry_run
        Only say what would go.
    parts_seconds
        Parts of a sample that is not whole yet go when none was added for so long.
    grace_seconds
        Files of tables, samples, sheets and temporaries of the loop younger than this stay: a
        reader may have them open, and reviewers append
        decisions without the lock. On a root without locks (object stores) this holds for packs
        and temporaries too, since their writer may be about to commit. On a local disk the lock
        shows that there is no such writer.

    Raises
    ------
    ConflictError
        If a writer is at work.
    """
    with catalog.lock("gc"):
        root = catalog.root
        patience = 0.0 if root.is_local else grace_seconds
        packs = _old(root, orphan_packs(catalog), patience)
        temporary = _old(root, abandoned(catalog), patience)
        # The loop writes its notes without the lock.
        temporary += _old(root, _temporaries_below(root, _LOOP), grace_seconds)
        files = _old(root, stale_table_files(catalog, tuple(TABLES)), grace_seconds)
        rankings = _old(root, old_samples(catalog, recipe), grace_seconds)
        rankings += _old(root, old_sheets(catalog), grace_seconds)
        rankings += _old(root, parts_of(catalog, recipe), parts_seconds)
        gone = (*packs, *temporary, *files, *rankings)
        size = sum(_size(root, path) for path in gone)
        if not dry_run:
            for path in gone:
                root.remove(path)
        return GarbageSummary(packs, temporary, files, rankings, size, dry_run)


def orphan_packs(catalog: Catalog) -> Iterator[str]:
    """Yield packs without a row: killed before the commit, or replaced since."""
    yield from _orphans("raw", catalog.raw, referenced_packs(catalog, None))
    for recipe in catalog.root.ls("standard"):
        if catalog.root.is_folder(f"standard/{recipe}"):
            store = catalog.standard(recipe)
            yield from _orphans(f"standard/{recipe}", store, referenced_packs(catalog, recipe))


def referenced_packs(catalog: Catalog, recipe: str | None) -> set[str]:
    """Names of packs that rows refer to: of `recipe`, or raw ones for None."""
    if recipe is None:
        batches = catalog.table("images").scan(["pack"])
    else:
        batches = catalog.table("features").scan(["pack"], pc.field("recipe") == recipe)
    found: set[Any] = set()
    for batch in batches:
        found.update(batch["pack"].unique().to_pylist())
    return found - {None}


def abandoned(catalog: Catalog) -> Iterator[str]:
    """Yield temporary files and folders; with the lock held, nobody is writing them."""
    root = catalog.root
    yield from _temporaries(root, "")
    for folder in _OWN_FOLDERS:
        yield from _temporaries(root, folder)
        for name in root.ls(folder):
            path = f"{folder}/{name}"
            if not name.startswith(TEMPORARY_PREFIX) and root.is_folder(path):
                yield from _temporaries(root, path)
    yield from _temporaries_below(root, _RANKINGS)


def old_samples(catalog: Catalog, recipe: str | None) -> Iterator[str]:
    """Yield samples that pictures of other recipes were compared with, whole or in parts."""
    if recipe is None:
        return
    for name in catalog.root.ls(_SAMPLES):
        of, _, kind = name.rpartition(".")
        if kind in ("npz", "parts") and of != recipe and not name.startswith(TEMPORARY_PREFIX):
            yield f"{_SAMPLES}/{name}"


def parts_of(catalog: Catalog, recipe: str | None) -> Iterator[str]:
    """Yield the parts of a sample of the recipe, which is not whole while they are there."""
    path = f"{_SAMPLES}/{recipe}.parts"
    if recipe is not None and catalog.root.exists(path):
        yield path


def old_sheets(catalog: Catalog) -> Iterator[str]:
    """Yield contact sheets of densities by which nothing has a score any more."""
    sheets = [
        name for name in catalog.root.ls(_RANKINGS) if name.startswith(_DENSITY) and "@" not in name
    ]
    if not sheets:
        return
    used: set[Any] = set()
    for batch in catalog.table("scores").scan(["model"]):
        used.update(batch["model"].unique().to_pylist())
    yield from (f"{_RANKINGS}/{name}" for name in sheets if name not in used)


def stale_table_files(catalog: Catalog, tables: tuple[str, ...]) -> Iterator[str]:
    """Yield Parquet files that the last version of a table does not consist of."""
    for name in tables:
        folder = f"catalog/{name}"
        present = [file for file in catalog.root.ls(folder) if file.endswith(".parquet")]
        if present:
            current = catalog.table(name).files()
            yield from (f"{folder}/{file}" for file in present if file not in current)


def _orphans(folder: str, store: PackStore, referenced: set[str]) -> Iterator[str]:
    for pack in store.packs():
        if pack not in referenced and _PACK.fullmatch(pack):
            yield f"{folder}/{pack}"


def _temporaries(root: Root, folder: str) -> Iterator[str]:
    for name in root.ls(folder):
        if name.startswith(TEMPORARY_PREFIX):
            yield f"{folder}/{name}" if folder else name


def _temporaries_below(root: Root, folder: str) -> Iterator[str]:
    """Yield those of a folder and of all folders in it."""
    yield from _temporaries(root, folder)
    for name in root.ls(folder):
        path = f"{folder}/{name}"
        if not name.startswith(TEMPORARY_PREFIX) and root.is_folder(path):
            yield from _temporaries_below(root, path)


def _old(root: Root, paths: Iterator[str], seconds: float) -> tuple[str, ...]:
    return tuple(path for path in paths if _age(root, path) >= seconds)


def _age(root: Root, path: str) -> float:
    return time.time() - root.modified(path)


def _size(root: Root, path: str) -> int:
    if root.is_folder(path):
        return sum(root.size(below) for below in root.walk(path))
    return root.size(path)
