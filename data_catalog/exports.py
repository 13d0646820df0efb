"""Versions in the layouts that other trainers read. Inversion is baked in.

Pictures of a version that is not inverted go through byte for byte. Those of an inverted one become
PNG, since 255 − x of a JPEG would lose quality a second time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from data_catalog.errors import CatalogError, StorageError
from data_catalog.shards import Sample, read_samples
from data_catalog.storage import Root, naming, temporary_name
from data_catalog.versions import SHARDS, read_manifest, read_members, verify, version_root

Kind = Literal["stylegan", "imagefolder", "parquet"]

UNLABELLED: Final = "unlabelled"

_MARKER: Final = ".nonesuch-export"  # in a folder that may be overwritten by another export

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
_GROUP_ROWS: Final = 1000
_GROUP_BYTES: Final = 64 << 20
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|%]')
_NAME_BYTES: Final = 120

_PARQUET: Final = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("fields", pa.string()),  # a JSON object
        pa.field("extension", pa.string(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export holds; `classes` in the order of their indices."""

    kind: Kind
    target: str
    items: int
    bytes: int
    inverted: bool
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """A version to export: its samples as the target wants them, and what is known about all."""

    manifest: Mapping[str, Any]
    samples: Callable[[], Iterator[tuple[Sample, dict[str, Any]]]]
    classes: tuple[str, ...]


def export(
    version_folder: Root | str | PathLike[str],
    target: str | PathLike[str],
    kind: Kind,
    *,
    overwrite: bool = False,
) -> ExportSummary:
    """Write a version for another trainer; memory stays flat.

    Parameters
    ----------
    version_folder
        Folder of a published version.
    target
        Local path of what is made: a zip file (stylegan), a folder (imagefolder) or a file
        (parquet). It shows up when it is complete.
    kind
        stylegan: the layout of StyleGAN2-ADA's dataset_tool, with `dataset.json`; imagefolder:
        `<label>/<key>.<extension>`; parquet: one row a picture, its bytes in the column `image`.
    overwrite
        Replace what is at `target`.

    Raises
    ------
    StorageError
        If the target exists, a shard is damaged, or the disk refuses.
    CatalogError
        If there is no such kind.
    """
    if kind not in get_args(Kind):
        raise CatalogError(f"`kind` must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    final = Path(target).absolute()
    if os.path.lexists(final) and not overwrite:
        raise StorageError(f"{final} exists already; name another target, or overwrite it")
    root = version_root(version_folder)
    source = _open(root, kind)
    _refuse_to_harm(final, root)
    problems = verify(root)
    if problems:
        raise StorageError(f"{root.url} is damaged: {'; '.join(problems)}; restore it from a copy")
    temporary = final.with_name(temporary_name())
    with naming(str(final)):
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            items = _WRITERS[kind](source, temporary)
            size = _replace(temporary, final)
        except BaseException:
            _remove(temporary)
            raise
    inverted = bool(source.manifest["inverted"])
    return ExportSummary(kind, str(final), items, size, inverted, source.classes)


def invert_to_png(data: bytes) -> bytes:
    """Decode a picture as RGB and encode 255 − x as PNG; lossless from here on."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB"))
    return _png(Image.fromarray(255 - pixels))


def folder_name(label: str | None) -> str:
    """Give a folder name for a label: no separators, never hidden, another for each label."""
    if label is None:
        return UNLABELLED
    name = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", label)
    if not name or name.startswith(".") or name.endswith((".", " ")):
        name = f"%{name}"
    if len(name.encode()) > _NAME_BYTES:
        digest = hashlib.sha256(label.encode()).hexdigest()[:16]
        name = f"{name.encode()[: _NAME_BYTES - 18].decode(errors='ignore')}%{digest}"
    return name


def _open(root: Root, kind: Kind) -> _Source:
    manifest = read_manifest(root)
    change = _change(bool(manifest["inverted"]), manifest["format"], kind)
    shards = [(shard["name"], shard["samples"]) for shard in manifest["shards"]]

    def samples() -> Iterator[tuple[Sample, dict[str, Any]]]:
        for sample in read_samples(root.child(SHARDS), shards):
            yield change(sample), json.loads(sample.meta)

    return _Source(manifest, samples, _classes(read_members(root, ["label"])["label"]))


def _classes(labels: Any) -> tuple[str, ...]:
    """Labels in order; where only some have one, the others are a class of their own, the last."""
    classes: list[str] = sorted(labels.drop_null().unique().to_pylist())
    if classes and labels.null_count and UNLABELLED not in classes:
        classes.append(UNLABELLED)
    return tuple(classes)


def _change(inverted: bool, image_format: str, kind: Kind) -> Callable[[Sample], Sample]:
    if inverted:
        return lambda sample: _as_png(sample, invert_to_png(sample.image))
    if image_format == "webp" and kind == "stylegan":  # its loaders read PNG and JPEG
        return lambda sample: _as_png(sample, _png(Image.open(io.BytesIO(sample.image))))
    return lambda sample: sample


def _as_png(sample: Sample, image: bytes) -> Sample:
    return Sample(sample.key, "png", image, sample.meta)


def _png(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.convert("RGB").save(sink, "PNG", compress_level=1)
    return sink.getvalue()


def _write_stylegan(source: _Source, path: Path) -> int:
    """Zip of `00000/img00000000.png`, … and `dataset.json`, nothing compressed."""
    index = {label: i for i, label in enumerate(source.classes)}
    labels: list[list[str | int]] = []
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as archive:
        for number, (sample, meta) in enumerate(source.samples()):
            digits = f"{number:08}"
            name = f"{digits[:5]}/img{digits}.{sample.extension}"
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), sample.image)
            if index:
                label = UNLABELLED if meta["label"] is None else meta["label"]
                labels.append([name, index[label]])
        content = {"labels": labels if index else None, "classes": list(index)}
        archive.writestr(zipfile.ZipInfo("dataset.json", _EPOCH), json.dumps(content))
    return int(source.manifest["items"])


def _write_imagefolder(source: _Source, path: Path) -> int:
    path.mkdir()
    (path / _MARKER).touch()
    items = 0
    for sample, meta in source.samples():
        folder = path / folder_name(meta["label"])
        folder.mkdir(exist_ok=True)
        (folder / f"{sample.key}.{sample.extension}").write_bytes(sample.image)
        items += 1
    return items


def _write_parquet(source: _Source, path: Path) -> int:
    """One file; a row group ends at 1,000 rows or 64 MB of pictures."""
    items = 0
    # Pictures are compressed already.
    with pq.ParquetWriter(path, _PARQUET, compression="none") as writer:
        rows: list[dict[str, Any]] = []
        size = 0
        for sample, meta in source.samples():
            rows.append(_parquet_row(sample, meta))
            size += len(sample.image)
            if len(rows) >= _GROUP_ROWS or size >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(rows, schema=_PARQUET))
                items += len(rows)
                rows, size = [], 0
        writer.write_table(pa.Table.from_pylist(rows, schema=_PARQUET))
        return items + len(rows)


def _parquet_row(sample: Sample, meta: Mapping[str, Any]) -> dict[str, Any]:
    fields = meta["fields"]
    return {
        **{name: meta[name] for name in ("item_id", "image_id", "label", "tags")},
        "fields": None if fields is None else json.dumps(fields, ensure_ascii=False),
        "extension": sample.extension,
        "image": sample.image,
    }


_WRITERS: Final[dict[Kind, Callable[[_Source, Path], int]]] = {
    "stylegan": _write_stylegan,
    "imagefolder": _write_imagefolder,
    "parquet": _write_parquet,
}


def _refuse_to_harm(final: Path, version: Root) -> None:
    """Overwrite only what an export wrote, and nothing of the dataset that it is made from."""
    if version.is_local:
        dataset = Path(version.path).resolve()
        if (dataset.parent.parent / "catalog").is_dir():  # else it is a copy of the version alone
            dataset = dataset.parent.parent
        target = final.resolve()
        if target.is_relative_to(dataset) or dataset.is_relative_to(target):
            raise StorageError(
                f"{final} is part of the dataset at {dataset}, or holds it; name another target"
            )
    if final.is_dir() and not final.is_symlink() and not (final / _MARKER).is_file():
        raise StorageError(
            f"{final} is a folder that no export wrote; remove it yourself, or name another target"
        )


def _replace(temporary: Path, final: Path) -> int:
    """Rename the finished export into place and give its size, bytes."""
    below = [path for path in temporary.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in below or [temporary] if path.is_file())
    if final.is_dir() and not final.is_symlink():
        old = final.with_name(temporary_name())
        final.replace(old)
        temporary.replace(final)
        shutil.rmtree(old)
    else:
        if temporary.is_dir():
            final.unlink(missing_ok=True)
        temporary.replace(final)
    return size


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
