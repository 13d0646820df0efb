from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError, StorageError, VersionNotFoundError
from data_catalog.exports import Kind, export, folder_name
from data_catalog.packs import PackRef
from data_catalog.versions import Version, publish
from tests.data_catalog.conftest import MANIFEST, RECIPE, fill

KINDS: list[Kind] = ["stylegan", "imagefolder", "parquet"]


def freeze(catalog: Catalog, members: pa.Table, image_format: str, inverted: bool) -> Version:
    manifest: dict[str, Any] = MANIFEST | {"format": image_format, "inverted": inverted}
    return publish(
        catalog, members, recipe_id=RECIPE, manifest=manifest, build="b", samples_per_shard=8
    )


def read_export(target: Path, kind: Kind) -> dict[str, bytes]:
    """Pictures of an export by their names, which tell their formats."""
    if kind == "stylegan":
        with zipfile.ZipFile(target) as archive:
            names = [name for name in archive.namelist() if name != "dataset.json"]
            return {name: archive.read(name) for name in names}
    if kind == "imagefolder":
        return {str(p.relative_to(target)): p.read_bytes() for p in target.glob("*/*.*")}
    rows = pq.read_table(target).to_pylist()
    return {f"{row['item_id']}.{row['extension']}": row["image"] for row in rows}


def pixels(data: bytes) -> bytes:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("inverted", [False, True])
def test_every_export_holds_the_same_pictures(
    catalog: Catalog, tmp_path: Path, kind: Kind, image_format: str, inverted: bool
) -> None:
    members = fill(catalog, range(20), image_format, crops=2)
    version = freeze(catalog, members, image_format, inverted)
    target = tmp_path / "out" / "export"
    summary = export(version.path, target, kind)
    found = read_export(target, kind)
    store = catalog.standard(RECIPE)
    originals = [
        store.read(PackRef(row["pack"], row["offset"], row["length"]))
        for row in members.to_pylist()
    ]
    flip = bytes(range(255, -1, -1)) if inverted else bytes(range(256))
    assert sorted(map(pixels, found.values())) == sorted(
        pixels(data).translate(flip) for data in originals
    )
    as_png = inverted or (image_format == "webp" and kind == "stylegan")
    extension = "png" if as_png else {"jpeg": "jpg"}.get(image_format, image_format)
    assert {name.rsplit(".")[-1] for name in found} == {extension}
    if not as_png:
        assert sorted(found.values()) == sorted(originals)
    assert (summary.items, summary.kind, summary.inverted) == (21, kind, inverted)
    assert summary.bytes >= sum(map(len, found.values()))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["export"]


def test_stylegan_names_and_labels(catalog: Catalog, tmp_path: Path) -> None:
    version = freeze(catalog, fill(catalog, range(20)), "png", False)
    summary = export(version.path, tmp_path / "x.zip", "stylegan")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        names = archive.namelist()[:-1]
        content = json.loads(archive.read("dataset.json"))
    assert names == [f"00000/img{i:08}.png" for i in range(20)]
    assert summary.classes == ("dress", "shirt", "unlabelled")
    assert [name for name, _ in content["labels"]] == names
    counts = np.bincount([index for _, index in content["labels"]])
    assert counts.tolist() == [7, 7, 6]


def test_stylegan_without_labels(catalog: Catalog, tmp_path: Path) -> None:
    members = fill(catalog, range(3)).drop_columns(["label"])
    members = members.append_column("label", pa.nulls(3, pa.string()))
    export(freeze(catalog, members, "png", False).path, tmp_path / "x.zip", "stylegan")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert json.loads(archive.read("dataset.json"))["labels"] is None


def test_the_same_version_exports_to_the_same_bytes(catalog: Catalog, tmp_path: Path) -> None:
    version = freeze(catalog, fill(catalog, range(5)), "jpeg", True)
    for name in ("a.zip", "b.zip"):
        export(version.path, tmp_path / name, "stylegan")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_folders_are_named_for_labels(catalog: Catalog, tmp_path: Path) -> None:
    rows = fill(catalog, range(4)).to_pylist()
    for row, label in zip(rows, ["../evil", "T\u6064", None, "hat"], strict=True):
        row["label"] = label
    version = freeze(catalog, pa.Table.from_pylist(rows), "png", False)
    export(version.path, tmp_path / "out", "imagefolder")
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert names == ["%..%2Fevil", "T\u6064", "hat", "unlabelled"]


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"])), unique=True))
def test_folder_names_are_safe_and_differ(labels: list[str]) -> None:
    names = [folder_name(label) for label in labels]
    assert len(set(names)) == len(labels)
    for name in names:
        assert name
        assert name not in (".", "..")
        assert len(name.encode()) <= 255
        assert not set(name) & set("/\\\0\n:")


def test_long_labels_make_names_that_fit() -> None:
    names = {folder_name(label) for label in ("\u6064" * 500, "\u6064" * 501, "/" * 500)}
    assert len(names) == 3
    assert all(len(name.encode()) <= 255 for name in names)


def test_parquet_row_groups_are_bounded(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_catalog.exports._GROUP_BYTES", 10_000)
    version = freeze(catalog, fill(catalog, range(20)), "png", False)
    export(version.path, tmp_path / "x.parquet", "parquet")
    file = pq.ParquetFile(tmp_path / "x.parquet")
    assert file.num_row_groups > 5
    row = file.read().to_pylist()[0]
    assert json.loads(row["fields"])["number"] in range(20)
    assert row["tags"] == ["a", "b"]
    file.close()


@pytest.mark.parametrize("kind", KINDS)
def test_an_existing_target_is_kept_unless_told_otherwise(
    catalog: Catalog, tmp_path: Path, kind: Kind
) -> None:
    version = freeze(catalog, fill(catalog, range(4)), "png", False)
    for old in (tmp_path / "file", tmp_path / "folder"):
        if old.name == "folder":
            export(version.path, old, "imagefolder")
        else:
            old.touch()
        with pytest.raises(StorageError, match=f"{old} exists already"):
            export(version.path, old, kind)
        export(version.path, old, kind, overwrite=True)
        assert len(read_export(old, kind)) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder", "root"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_shard_is_named_and_leaves_no_export(
    catalog: Catalog, tmp_path: Path, kind: Kind
) -> None:
    version = freeze(catalog, fill(catalog, range(20)), "png", False)
    shard = Path(version.path) / "shards" / "00001.tar"
    shard.write_bytes(shard.read_bytes()[:20_000])
    with pytest.raises(StorageError, match=r"is damaged: shards/00001\.tar"):
        export(version.path, tmp_path / "out", kind)
    assert [p.name for p in tmp_path.iterdir()] == ["root"]


def test_what_is_no_version_or_kind_is_named(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(VersionNotFoundError, match="is not a published version"):
        export(tmp_path, tmp_path / "x", "parquet")
    with pytest.raises(CatalogError, match="must be one of stylegan, imagefolder, parquet"):
        export(tmp_path, tmp_path / "x", "zip")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_overwriting_never_takes_what_no_export_wrote(
    catalog: Catalog, tmp_path: Path, kind: Kind
) -> None:
    version = freeze(catalog, fill(catalog, range(3)), "png", False)
    root = Path(catalog.root.path)
    mine = tmp_path / "pictures"
    mine.mkdir()
    (mine / "holiday.jpg").write_bytes(b"dear to me")
    for target in (root, root.parent, root / "raw", mine):
        with pytest.raises(StorageError, match="name another target"):
            export(version.path, target, kind, overwrite=True)
    assert (mine / "holiday.jpg").read_bytes() == b"dear to me"
    assert catalog.raw.root.exists()


def test_a_damaged_picture_is_not_exported(catalog: Catalog, tmp_path: Path) -> None:
    version = freeze(catalog, fill(catalog, range(3)), "png", False)
    shard = next(Path(version.path).glob("shards/*.tar"))
    data = bytearray(shard.read_bytes())
    data[700] ^= 0xFF
    shard.write_bytes(bytes(data))
    with pytest.raises(StorageError, match=shard.name):
        export(version.path, tmp_path / "out.zip", "stylegan")
    assert not (tmp_path / "out.zip").exists()
