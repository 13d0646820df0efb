"""Takedown: the bytes of one image leave the catalog, and a tombstone keeps them from coming back.

The tombstone is written first, so that a takedown that was killed is finished by calling it again;
every step may be repeated. Packs are searched by the names of their members, not only by rows, so
that copies that no row refers to (a killed run, a row replaced since) go as well.
"""

from __future__ import annotations

import base64
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError, StorageError
from data_catalog.garbage import abandoned, orphan_packs, stale_table_files
from data_catalog.packs import PackRef, PackStore
from data_catalog.schema import Reason
from data_catalog.shards import ShardWriter, key_of, read_samples
from data_catalog.storage import Root, naming, temporary_name
from data_catalog.tables import Table
from data_catalog.versions import (
    FOLDER,
    MANIFEST,
    MEMBERS,
    REPORT,
    SHARDS,
    count_labels,
    describe_members,
    manifest_json,
    members_parquet,
    read_manifest,
    read_members,
    version_rows,
)

_TABLES: Final = (
    "observations",
    "images",
    "features",
    "pairs",
    "searches",
    "groups",
    "verdicts",
    "scores",
    "versions",
)
_SHEETS: Final = "rank/"  # contact sheets; each names in its file the items that it shows
_ITEM_COLUMNS: Final = {
    "pairs": ("item_a", "item_b"),
    "searches": ("item_id",),
    "groups": ("item_id",),
    "verdicts": ("item_id",),
    "scores": ("item_id",),
}


@dataclass(frozen=True, slots=True)
class ForgetSummary:
    """What a takedown did.

    `known` tells whether anything about the image was there before. `versions` are the published
    versions that held it, `rewritten` those of them that no longer do. `reports` are pages that
    showed it and were removed, relative to the root.
    """

    image_id: str
    known: bool
    items: tuple[str, ...]
    packs: tuple[str, ...]
    reports: tuple[str, ...]
    versions: tuple[int, ...]
    rewritten: tuple[int, ...]


def forget(
    catalog: Catalog, image_id: str, why: str, *, rewrite_versions: bool = False
) -> ForgetSummary:
    """Take an image down for good.

    Its bytes leave the raw and standard packs, its rows leave the tables, and pages of reports
    that show it are removed. `observations` keeps source and locator without the image, so that it
    is not fetched again. Old files of the tables are deleted at once.

    Parameters
    ----------
    image_id
        SHA-256 of the bytes, hex.
    why
        Kept in the tombstone.
    rewrite_versions
        Take it out of published versions too: shards, members and manifests are rewritten, and the
        manifest says `redacted`. By default the versions that hold it are only named.

    Raises
    ------
    CatalogError
        If `image_id` is not the id of an image.
    ConflictError
        If another writer is at work.
    """
    if len(image_id) != 64 or not set(image_id) <= set("0123456789abcdef"):
        raise CatalogError(f"`image_id` must be 64 hex digits in lower case, got {image_id!r}")
    with catalog.lock("forget"):
        known = _bury(catalog, image_id, why)
        features = catalog.table("features").read(where=_about(image_id, "item_id", "image_id"))
        found: list[Any] = features["item_id"].to_pylist()
        items = tuple(sorted({image_id, *found}))
        thumbs = _thumbs(catalog, features)
        holding = [n for n in _version_numbers(catalog) if _holds(catalog, n, image_id)]
        rewritten = [n for n in holding if rewrite_versions]
        reports = _remove_reports(catalog.root, image_id, thumbs, holding, rewritten)
        packs = _rewrite_packs(catalog, image_id, features)
        _drop_rows(catalog, image_id)
        for number in rewritten:
            _redact(catalog, number, image_id)
        _sweep(catalog)
        known = known or bool(packs) or bool(holding)
        return ForgetSummary(
            image_id, known, items, packs, reports, tuple(holding), tuple(rewritten)
        )


def _bury(catalog: Catalog, image_id: str, why: str) -> bool:
    """Write the tombstone, once; tell whether the image is or was known."""
    table = catalog.table("tombstones")
    if table.read(["image_id"], pc.field("image_id") == image_id).num_rows:
        return True
    now = pa.array([datetime.now(UTC)], pa.timestamp("us", tz="UTC"))
    table.append(pa.table({"image_id": [image_id], "why": [why], "forgotten_at": now}))
    seen = catalog.table("observations").read(["image_id"], pc.field("image_id") == image_id)
    return bool(seen.num_rows)


def _about(image_id: str, *columns: str) -> pc.Expression:
    """Rows of an image: one of `columns` is its id, or the id of an item cut out of it."""
    expression = pc.scalar(False)
    for name in columns:
        field = pc.field(name)
        found = (field == image_id) | pc.starts_with(field, f"{image_id}#")
        expression = expression | pc.if_else(field.is_null(), pc.scalar(False), found)
    return expression


def _thumbs(catalog: Catalog, features: pa.Table) -> list[bytes]:
    """Read the small pictures that reports show; an earlier call saw to those that are gone."""
    found = []
    for row in features.to_pylist():
        if row["pack"] is None or row["thumb_offset"] is None:
            continue
        ref = PackRef(row["pack"], row["thumb_offset"], row["thumb_length"])
        try:
            found.append(catalog.standard(row["recipe"]).read(ref))
        except StorageError:
            continue
    return found


def _remove_reports(
    root: Root, image_id: str, thumbs: list[bytes], holding: list[int], rewritten: list[int]
) -> tuple[str, ...]:
    """Remove pages and sheets that show it or name it; those of versions only if rewritten."""
    kept = {f"{FOLDER}/{number}/{REPORT}" for number in _difference(holding, rewritten)}
    needles = [image_id.encode(), *(base64.b64encode(thumb) for thumb in thumbs)]
    gone = []
    for path in root.walk():
        if (path.endswith(".html") or path.startswith(_SHEETS)) and path not in kept:
            page = root.read_bytes(path)
            if any(needle in page for needle in needles):
                root.remove(path)
                gone.append(path)
    return tuple(gone)


def _difference(all_of: Iterable[int], without: Iterable[int]) -> set[int]:
    return set(all_of) - set(without)


def _rewrite_packs(catalog: Catalog, image_id: str, features: pa.Table) -> tuple[str, ...]:
    images = catalog.table("images").read(["pack", "offset"], pc.field("image_id") == image_id)
    raw = {(row["pack"], row["offset"]) for row in images.to_pylist()}
    done = _rewrite_store(catalog.raw, catalog.table("images"), None, image_id, raw)
    gone = [f"raw/{pack}" for pack in done]
    for recipe in catalog.root.ls("standard"):
        if not catalog.root.is_folder(f"standard/{recipe}"):
            continue
        mine = features.filter(pc.equal(features["recipe"], pa.scalar(recipe))).to_pylist()
        refs = {(row["pack"], row[name]) for row in mine for name in ("offset", "thumb_offset")}
        store, table = catalog.standard(recipe), catalog.table("features")
        done = _rewrite_store(store, table, recipe, image_id, refs)
        gone += [f"standard/{recipe}/{pack}" for pack in done]
    return tuple(gone)


def _rewrite_store(
    store: PackStore,
    table: Table,
    recipe: str | None,
    image_id: str,
    refs: set[tuple[str, int]],
) -> list[str]:
    """Copy packs without the image, point the rows at the copies, remove the originals."""
    moved: dict[str, dict[int, PackRef]] = {}
    for pack in store.packs():
        members = list(_members(store, pack))
        doomed = {
            ref.offset for name, ref in members if image_id in name or (pack, ref.offset) in refs
        }
        if doomed:
            kept = [(name, ref) for name, ref in members if ref.offset not in doomed]
            moved[pack] = _copy_members(store, kept)
    if moved:
        at = table.version()
        table.replace(_relocate(table.read(), recipe, image_id, moved), if_version=at)
        for pack in moved:
            store.remove(pack)
    return list(moved)


def _members(store: PackStore, pack: str) -> Iterator[tuple[str, PackRef]]:
    """Yield name and place of each member; files that are no packs have none."""
    try:
        with (
            naming(store.root.join(pack)),
            store.root.open(pack) as file,
            tarfile.open(fileobj=file) as tar,
        ):
            for member in tar:
                yield member.name, PackRef(pack, member.offset_data, member.size)
    except tarfile.TarError:
        return


def _copy_members(store: PackStore, members: list[tuple[str, PackRef]]) -> dict[int, PackRef]:
    """Write members to a new pack; give where each old offset is now."""
    with store.writer() as writer:
        data = store.read_many(ref for _, ref in members)
        return {
            ref.offset: writer.add(name, content)
            for (name, ref), content in zip(members, data, strict=True)
        }


def _relocate(
    rows: pa.Table, recipe: str | None, image_id: str, moved: Mapping[str, dict[int, PackRef]]
) -> pa.Table:
    """Drop the image's rows and point the others at the new packs."""
    columns = [name for name in ("item_id", "image_id") if name in rows.column_names]
    rows = rows.filter(~_about(image_id, *columns))
    inside: Any = pc.is_in(rows["pack"], pa.array(list(moved), pa.string()))
    if recipe is not None:
        inside = pc.and_(inside, pc.equal(rows["recipe"], pa.scalar(recipe)))
    touched = rows.filter(inside).to_pylist()
    for row in touched:
        places = moved[row["pack"]]
        row["pack"] = places[row["offset"]].pack
        for name in ("offset", "thumb_offset"):
            if row.get(name) is not None:
                row[name] = places[row[name]].offset
    kept = rows.filter(pc.invert(inside))
    return pa.concat_tables([kept, pa.Table.from_pylist(touched, schema=rows.schema)])


def _drop_rows(catalog: Catalog, image_id: str) -> None:
    _replace_if_changed(catalog.table("images"), _about(image_id, "image_id"))
    _replace_if_changed(catalog.table("features"), _about(image_id, "item_id", "image_id"))
    for name, columns in _ITEM_COLUMNS.items():
        _replace_if_changed(catalog.table(name), _about(image_id, *columns))
    _free_duplicates(catalog.table("groups"), image_id)
    _blank_observations(catalog.table("observations"), image_id)


def _replace_if_changed(table: Table, doomed: pc.Expression) -> None:
    at = table.version()
    rows = table.read()
    kept = rows.filter(~doomed)
    if kept.num_rows < rows.num_rows:
        table.replace(kept, if_version=at)


def _free_duplicates(table: Table, image_id: str) -> None:
    """Items that were its duplicates stand for themselves until the next rebuild."""
    at = table.version()
    rows = table.read()
    hit = _mask(rows, _about(image_id, "duplicate_of"))
    if pc.any(hit).as_py():
        for name in ("duplicate_of", "relation", "distance"):
            rows = _set(rows, name, pc.if_else(hit, None, rows[name]))
        table.replace(rows, if_version=at)


def _blank_observations(table: Table, image_id: str) -> None:
    """Keep where it was seen, and nothing of what it was."""
    at = table.version()
    rows = table.read()
    hit = _mask(rows, pc.field("image_id") == image_id)
    if pc.any(hit).as_py():
        failure = pc.if_else(hit, Reason.FORGOTTEN.value, rows["failure"])
        for name in ("image_id", "fields", "label", "detail"):
            rows = _set(rows, name, pc.if_else(hit, None, rows[name]))
        kept = zip(hit.to_pylist(), rows["tags"].to_pylist(), strict=True)
        tags = pa.array([None if gone else tags for gone, tags in kept], pa.list_(pa.string()))
        table.replace(_set(_set(rows, "tags", tags), "failure", failure), if_version=at)


def _mask(rows: pa.Table, expression: pc.Expression) -> Any:
    """Give a boolean for each row: whether the expression holds for it."""
    numbered = rows.append_column("_row", pa.array(range(rows.num_rows), pa.int64()))
    return pc.is_in(numbered["_row"], numbered.filter(expression)["_row"].combine_chunks())


def _set(rows: pa.Table, name: str, column: Any) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), column)


def _version_numbers(catalog: Catalog) -> list[int]:
    """Give the numbers of version folders, those that a killed publish left without a row too."""
    return sorted(int(name) for name in catalog.root.ls(FOLDER) if name.isdecimal())


def _holds(catalog: Catalog, number: int, image_id: str) -> bool:
    folder = catalog.root.child(FOLDER, str(number))
    if not folder.exists(MEMBERS):
        return False
    members = read_members(folder, ["image_id"])
    return image_id in members["image_id"].to_pylist()


def _redact(catalog: Catalog, number: int, image_id: str) -> None:
    """Rewrite a version without the image. `members.parquet` comes last: it says what is to do."""
    folder = catalog.root.child(FOLDER, str(number))
    manifest, members = read_manifest(folder), read_members(folder)
    doomed: list[Any] = members.filter(pc.field("image_id") == image_id).to_pylist()
    kept = members.filter(pc.field("image_id") != image_id)
    left = Counter(kept["shard"].to_pylist())
    keys = {key_of(row["item_id"]) for row in doomed}
    names = {row["shard"] for row in doomed}
    shards = [
        _without(folder, shard, keys, left[shard["name"]]) if shard["name"] in names else shard
        for shard in manifest["shards"]
    ]
    data = members_parquet(kept)
    manifest |= {
        "shards": [shard for shard in shards if shard is not None],
        "items": kept.num_rows,
        "members": describe_members(data),
        "labels": count_labels(kept),
        "redacted": sorted({*manifest.get("redacted", ()), image_id}),
    }
    folder.write_bytes(MANIFEST, manifest_json(manifest))
    _update_row(catalog.table("versions"), manifest)
    folder.write_bytes(MEMBERS, data)


def _without(
    folder: Root, shard: Mapping[str, Any], keys: set[str], left: int
) -> dict[str, Any] | None:
    """Rewrite one shard without some samples, or what an earlier call made of it; None for none."""
    name = f"{SHARDS}/{shard['name']}"
    if left == 0:
        folder.remove(name)
        return None
    temporary = temporary_name()
    folder.makedirs(temporary)
    try:
        writer = ShardWriter(folder.child(temporary), samples_per_shard=left, max_bytes=1 << 62)
        with writer:
            for sample in read_samples(folder.child(SHARDS), [(shard["name"], None)]):
                if sample.key not in keys:
                    writer.add(sample)
        new = writer.shards[0] if len(writer.shards) == 1 else None
        if new is None or new.samples != left:
            raise StorageError(
                f"{folder.join(name)} is damaged: it must hold {left} other samples; restore it "
                "from a copy, then run the same command again"
            )
        folder.move(f"{temporary}/{new.name}", name)
    finally:
        folder.remove(temporary)
    return {**shard, "sha256": new.sha256, "bytes": new.bytes, "samples": new.samples}


def _update_row(table: Table, manifest: Mapping[str, Any]) -> None:
    at = table.version()
    rows = table.read()
    others = rows.filter(pc.field("version") != manifest["version"])
    if others.num_rows < rows.num_rows:
        updated = table.fit(version_rows([manifest]))
        table.replace(pa.concat_tables([others, updated]), if_version=at)


def _sweep(catalog: Catalog) -> None:
    """Remove what may still hold the bytes or the rows: orphans, temporaries, old table files."""
    for path in (
        *orphan_packs(catalog),
        *abandoned(catalog),
        *stale_table_files(catalog, _TABLES),
    ):
        catalog.root.remove(path)
