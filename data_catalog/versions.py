"""Published versions: accepted items frozen into shards, a manifest and one row.

A version is named by its content: the same items under the same recipe give the same hash, the
same order of samples and the same bytes, whenever and by however many processes it is made.

On a local disk a version is written below a temporary folder and renamed when it is complete;
its row comes last. A publish that was killed leaves either a temporary folder, which the next one
removes, or a folder without a row, which the next one takes over when its content is the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import tee
from os import PathLike
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from blake3 import blake3

from data_catalog import locks
from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError, StorageError, VersionNotFoundError
from data_catalog.packs import PackRef
from data_catalog.shards import (
    EXTENSIONS,
    MAX_SHARD_BYTES,
    SAMPLES_PER_SHARD,
    Sample,
    ShardWriter,
    key_of,
)
from data_catalog.storage import TEMPORARY_PREFIX, Root, naming, temporary_name

FOLDER: Final = "versions"
MANIFEST: Final = "manifest.json"
MEMBERS: Final = "members.parquet"
REPORT: Final = "report.html"
SHARDS: Final = "shards"

MEMBERS_IN: Final = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("fields", pa.string()),  # a JSON object
        pa.field("pack", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("standard_hash", pa.string(), nullable=False),
    ]
)
"""What `publish` takes: where each standardized image lies, and what is known about it."""

MEMBERS_OUT: Final = pa.schema(
    [
        *(field for field in MEMBERS_IN if field.name not in ("pack", "offset", "length")),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
    ]
)
"""What `members.parquet` holds, in the order of the shards."""

_BATCH: Final = 1000
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_HASHED: Final = ("recipe", "inverted", "format")


@dataclass(frozen=True, slots=True)
class Version:
    """A published version; `path` is its folder, `manifest` what `manifest.json` holds."""

    version: int
    hash: str
    items: int
    shards: int
    parent: int | None
    path: str
    manifest: Mapping[str, Any]

    @property
    def split(self) -> str | None:
        """Name of the part of the set that it is; None: the whole set."""
        name: str | None = self.manifest.get("split")
        return name


def publish(
    catalog: Catalog,
    members: pa.Table,
    *,
    recipe_id: str,
    manifest: Mapping[str, Any],
    build: str,
    samples_per_shard: int = SAMPLES_PER_SHARD,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    progress: Callable[[int, int], None] | None = None,
    report_html: str | None = None,
) -> Version:
    """Freeze members into the next version, or give the version that has the same content.

    Numbers count all versions; the parent, and the version of the same content, are sought among
    those of the same split.

    Parameters
    ----------
    members
        Of `MEMBERS_IN`, in any order; `pack` is below `standard/<recipe_id>/`.
    manifest
        Goes into `manifest.json`; needs `recipe` (a JSON object), `inverted` and `format`
        (jpeg, png, webp), which with the members decide the hash; should have `width`, `height`,
        and where the members are a part of the set, its name as `split`.
    build
        Id of the build that judged the members.
    progress
        Called with samples written and samples in all.
    report_html
        Page to lie beside the shards.

    Raises
    ------
    ConflictError
        If another writer is at work; nothing was published by this one.
    StorageError
        If bytes are missing or not those that were measured, or the disk refuses.
    """
    fitted = _fit(members)
    base = {"split": None, **_checked(manifest)}
    content = content_hash(fitted, base)
    with catalog.lock("publish"):
        table = catalog.table("versions")
        at = table.version()
        known = list_versions(catalog)
        alike = [version for version in known if version.split == base["split"]]
        for version in alike:
            if version.hash == content:
                return version
        parent = alike[-1].version if alike else None
        number = known[-1].version + 1 if known else 1
        head = base | {
            "version": number,
            "hash": content,
            "parent": parent,
            "build": build,
            "recipe_id": recipe_id,
            "labels": count_labels(fitted),
            "items": fitted.num_rows,
        }
        found = _leftover(catalog.root.child(FOLDER, str(number)), head)
        if found is None:
            _remove_abandoned(catalog)

            def write(work: Root) -> dict[str, Any]:
                writer = ShardWriter(
                    work.child(SHARDS),
                    samples_per_shard=samples_per_shard,
                    max_bytes=max_shard_bytes,
                )
                ordered = _shuffled(fitted, content)
                written = _write_samples(catalog, ordered, head, writer, progress)
                head["shards"] = [asdict(shard) for shard in writer.shards]
                return _complete(work, written, head, report_html)

            found = _write_then_rename(catalog.root, f"{FOLDER}/{number}", write)
        table.append(version_rows([found]), if_version=at)
        return _version(catalog, found)


def _write_then_rename(
    root: Root, final: str, write: Callable[[Root], dict[str, Any]]
) -> dict[str, Any]:
    """Let `write` fill a temporary folder, then give it its name; nothing is left of a failure."""
    temporary = f"{FOLDER}/{temporary_name()}"
    try:
        root.makedirs(f"{temporary}/{SHARDS}")
        manifest = write(root.child(temporary))
        locks.check(root)  # what lies there may be another writer's by now
        root.remove(final)
        root.move(temporary, final)
    except BaseException:
        with contextlib.suppress(StorageError):
            root.remove(temporary)
        raise
    return manifest


def content_hash(members: pa.Table, manifest: Mapping[str, Any]) -> str:
    """SHA-256 in hex over what a trainer would see; order, time and places of bytes do not count.

    Parameters
    ----------
    members
        With the columns item_id, standard_hash, label, tags.
    manifest
        With `recipe`, `inverted`, `format`.
    """
    digest = hashlib.sha256(_canonical({name: manifest[name] for name in _HASHED}))
    columns = members.select(["item_id", "standard_hash", "label", "tags"]).sort_by("item_id")
    for batch in columns.to_batches(max_chunksize=65536):
        for row in batch.to_pylist():
            row["tags"] = sorted(set(row["tags"] or ()))
            digest.update(b"\n" + _canonical(row))
    return digest.hexdigest()


def list_versions(catalog: Catalog) -> list[Version]:
    """Give all published versions, oldest first."""
    rows = catalog.table("versions").read(["manifest", "version"]).sort_by("version")
    manifests: list[Any] = rows["manifest"].to_pylist()
    return [_version(catalog, json.loads(text)) for text in manifests]


def load_version(
    catalog: Catalog, version: int | None = None, *, split: str | None = None
) -> Version:
    """Give one published version; the latest of the whole set by default.

    Parameters
    ----------
    version
        Its number; None: the latest.
    split
        Name of the split that it must be of. None: with a number any, else the whole set.

    Raises
    ------
    VersionNotFoundError
        If it does not exist; names those that do.
    """
    known = {found.version: found for found in list_versions(catalog)}
    where = catalog.root.url
    if not known:
        raise VersionNotFoundError(f"{where} has no published version; run `nonesuch publish`")
    if version is None:
        alike = [number for number in known if known[number].split == split]
        if not alike:
            raise VersionNotFoundError(_no_such_split(where, split, known.values()))
        return known[max(alike)]
    if version not in known:
        raise VersionNotFoundError(
            f"{where} has no version {version}; there are {', '.join(map(str, sorted(known)))}"
        )
    found = known[version]
    if split is not None and found.split != split:
        raise VersionNotFoundError(
            f"version {version} of {where} is of {_called(found.split)}, not of {_called(split)}; "
            "name another version, or no split"
        )
    return found


def _no_such_split(where: str, split: str | None, known: Iterable[Version]) -> str:
    """Say what there is in place of versions of a split."""
    numbers: dict[str | None, list[str]] = {}
    for version in known:
        numbers.setdefault(version.split, []).append(str(version.version))
    there = "; ".join(f"{_called(name)}: {', '.join(numbers[name])}" for name in numbers)
    if split is None:
        return (
            f"{where} has no version of the whole set, only of splits ({there}); name a split or "
            "a version, or run `nonesuch publish --whole`"
        )
    return f"{where} has no version of {_called(split)}; there are those of {there}"


def _called(split: str | None) -> str:
    return "the whole set" if split is None else f"the split {split!r}"


def version_root(folder: Root | str | PathLike[str]) -> Root:
    """Give the folder of a version as a Root."""
    return folder if isinstance(folder, Root) else Root(folder)


def read_manifest(folder: Root | str | PathLike[str]) -> dict[str, Any]:
    """Read the manifest of a version's folder."""
    root = version_root(folder)
    if not root.exists(MANIFEST):
        raise VersionNotFoundError(f"{root.url} is not a published version: no {MANIFEST} in it")
    loaded: dict[str, Any] = json.loads(root.read_bytes(MANIFEST))
    return loaded


def read_members(folder: Root | str | PathLike[str], columns: list[str] | None = None) -> pa.Table:
    """Read `members.parquet` of a version's folder: `MEMBERS_OUT`, in the order of the shards."""
    root = version_root(folder)
    with naming(root.join(MEMBERS)), root.open(MEMBERS) as file:
        return pq.read_table(file, columns=columns)


def verify(folder: Root | str | PathLike[str]) -> list[str]:
    """Check a version against its manifest: every shard's size and SHA-256, the members.

    Returns
    -------
    list of str
        What is wrong, each naming its file; empty when all is well.
    """
    root = version_root(folder)
    try:
        manifest = read_manifest(root)
    except (VersionNotFoundError, StorageError, ValueError) as error:
        return [str(error)]
    problems = [
        problem
        for name, expected in _files_of(manifest)
        if (problem := _compare(root, name, expected["bytes"], expected["sha256"]))
    ]
    listed = {shard["name"] for shard in manifest["shards"]}
    problems += [
        f"{SHARDS}/{name}: not in {MANIFEST}" for name in root.ls(SHARDS) if name not in listed
    ]
    return problems


def describe_members(data: bytes) -> dict[str, Any]:
    """Give the manifest's entry for `members.parquet`."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def members_parquet(members: pa.Table) -> bytes:
    """Encode members; the bytes are the same for the same rows."""
    sink = pa.BufferOutputStream()
    pq.write_table(members, sink, compression="zstd")
    return bytes(sink.getvalue())


def count_labels(members: pa.Table) -> dict[str, int]:
    """Count members by label, in the order of labels; those without one do not count."""
    labels: list[Any] = members["label"].drop_null().to_pylist()
    return dict(sorted(Counter(labels).items()))


def manifest_json(manifest: Mapping[str, Any]) -> bytes:
    """Encode a manifest for people and programs."""
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def version_rows(manifests: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Build rows of the table `versions` from manifests."""
    return pa.table(
        {
            "version": pa.array([m["version"] for m in manifests], pa.int64()),
            "hash": pa.array([m["hash"] for m in manifests], pa.string()),
            "parent": pa.array([m["parent"] for m in manifests], pa.int64()),
            "split": pa.array([m.get("split") for m in manifests], pa.string()),
            "build": pa.array([m["build"] for m in manifests], pa.string()),
            "items": pa.array([m["items"] for m in manifests], pa.int64()),
            "shards": pa.array([len(m["shards"]) for m in manifests], pa.int64()),
            "manifest": pa.array([_canonical(m).decode() for m in manifests], pa.string()),
            "published_at": pa.array(
                [datetime.fromisoformat(m["created"]) for m in manifests],
                pa.timestamp("us", tz="UTC"),
            ),
        }
    )


def _fit(members: pa.Table) -> pa.Table:
    missing = set(MEMBERS_IN.names) - set(members.column_names)
    if missing:
        raise CatalogError(f"`members` must have the columns {sorted(missing)}")
    fitted = members.select(MEMBERS_IN.names)
    for field in MEMBERS_IN:
        if not field.nullable and fitted[field.name].null_count:
            raise CatalogError(f"`members.{field.name}` must not be null")
    fitted = fitted.cast(MEMBERS_IN)
    counts = fitted["item_id"].value_counts()
    twice = [row["values"].as_py() for row in counts if row["counts"].as_py() > 1][:3]
    if twice:
        raise CatalogError(f"`members.item_id` must be unique, got several of {twice}")
    return fitted


def _checked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in _HASHED if name not in manifest]
    if missing:
        raise CatalogError(f"`manifest` must have {missing}")
    if manifest["format"] not in EXTENSIONS:
        raise CatalogError(
            f"`manifest.format` must be one of {', '.join(EXTENSIONS)}, got {manifest['format']!r}"
        )
    return dict(manifest)


def _canonical(value: object) -> bytes:
    return _ENCODER.encode(value).encode()


def _shuffled(members: pa.Table, content: str) -> pa.Table:
    """Order members by a hash seeded by the content: a shuffle that no library can change."""
    seed = bytes.fromhex(content)
    items: list[Any] = members["item_id"].to_pylist()
    ranks = [hashlib.blake2b(item.encode(), key=seed, digest_size=16).digest() for item in items]
    return members.take(pc.sort_indices(pa.array(ranks, pa.binary())))


def _write_samples(
    catalog: Catalog,
    ordered: pa.Table,
    head: Mapping[str, Any],
    writer: ShardWriter,
    progress: Callable[[int, int], None] | None,
) -> pa.Table:
    """Copy every member from its pack into the shards; give the rows of `members.parquet`."""
    extension = EXTENSIONS[head["format"]]
    shards: list[str] = []
    keys: list[str] = []
    rows, ahead = tee(_rows(ordered))
    refs = (PackRef(row["pack"], row["offset"], row["length"]) for row in ahead)
    images = catalog.standard(head["recipe_id"]).read_many(refs)
    with writer:
        for row, image in zip(rows, images, strict=True):
            if blake3(image).hexdigest() != row["standard_hash"]:
                raise StorageError(
                    f"item {row['item_id']}: {row['pack']} at {row['offset']} holds other bytes "
                    "than were measured; remove that pack and run `nonesuch rebuild`"
                )
            key = key_of(row["item_id"])
            shards.append(writer.add(Sample(key, extension, image, _meta(row))))
            keys.append(key)
            if progress and (len(keys) % _BATCH == 0 or len(keys) == ordered.num_rows):
                progress(len(keys), ordered.num_rows)
    added = [pa.array(shards, pa.string()), pa.array(keys, pa.string())]
    kept = [ordered[name] for name in MEMBERS_OUT.names[: -len(added)]]
    return pa.table([*kept, *added], schema=MEMBERS_OUT)


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for start in range(0, table.num_rows, _BATCH):
        yield from table.slice(start, _BATCH).to_pylist()


def _meta(row: Mapping[str, Any]) -> bytes:
    return _canonical(
        {
            "item_id": row["item_id"],
            "image_id": row["image_id"],
            "label": row["label"],
            "tags": sorted(set(row["tags"] or ())),
            "fields": _fields(row),
        }
    )


def _fields(row: Mapping[str, Any]) -> object:
    if not row["fields"]:
        return None
    try:
        return json.loads(row["fields"])
    except ValueError as error:
        raise CatalogError(
            f"`members.fields` of item {row['item_id']} must be JSON, got {row['fields']!r:.80}"
        ) from error


def _complete(
    work: Root, members: pa.Table, head: Mapping[str, Any], report_html: str | None
) -> dict[str, Any]:
    """Write what lies beside the shards; the manifest last, since it makes a folder a version."""
    data = members_parquet(members)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = {**head, "members": describe_members(data), "created": created}
    work.write_bytes(MEMBERS, data)
    if report_html is not None:
        work.write_bytes(REPORT, report_html.encode())
    work.write_bytes(MANIFEST, manifest_json(manifest))
    return manifest


def _leftover(folder: Root, head: Mapping[str, Any]) -> dict[str, Any] | None:
    """Take over what a killed publish left, if it is complete and the same."""
    if not folder.exists(MANIFEST):
        return None
    try:
        manifest = read_manifest(folder)
    except ValueError:
        return None
    names = ("hash", "build", "parent", "split")
    same = all(manifest.get(name) == head[name] for name in names)
    return manifest if same and not verify(folder) else None


def _remove_abandoned(catalog: Catalog) -> None:
    """Free the space of killed publishes. Only the holder of a real lock knows they are dead."""
    if catalog.root.is_local:
        for name in catalog.root.ls(FOLDER):
            if name.startswith(TEMPORARY_PREFIX):
                catalog.root.remove(f"{FOLDER}/{name}")


def _version(catalog: Catalog, manifest: Mapping[str, Any]) -> Version:
    return Version(
        version=manifest["version"],
        hash=manifest["hash"],
        items=manifest["items"],
        shards=len(manifest["shards"]),
        parent=manifest["parent"],
        path=catalog.root.child(FOLDER, str(manifest["version"])).url,
        manifest=manifest,
    )


def _files_of(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield MEMBERS, manifest["members"]
    for shard in manifest["shards"]:
        yield f"{SHARDS}/{shard['name']}", shard


def _compare(root: Root, name: str, size: int, sha256: str) -> str | None:
    if not root.exists(name):
        return f"{name}: missing"
    found = root.size(name)
    if found != size:
        return f"{name}: {found} bytes, {MANIFEST} says {size}"
    if sha256_of(root, name) != sha256:
        return f"{name}: its SHA-256 is not the one in {MANIFEST}"
    return None


def sha256_of(root: Root, name: str) -> str:
    """Hash a file in pieces; hex."""
    digest = hashlib.sha256()
    with naming(root.join(name)), root.open(name) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
