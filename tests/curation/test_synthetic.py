from __future__ import annotations

import csv
import io
import struct
from collections import Counter
from itertools import combinations
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from curation.synthetic import (
    COPYABLE,
    KINDS,
    PLANTABLE,
    RGB,
    PlantedImage,
    demo_images,
    draw_clutter,
    draw_colourways,
    draw_fabric,
    draw_product,
    encode,
    plant,
    plant_copy,
    write_demo_set,
)
from data_catalog.schema import Reason

SMALL = (240, 180)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def decode(image: PlantedImage) -> RGB:
    with Image.open(io.BytesIO(image.data)) as picture:
        return np.asarray(picture.convert("RGB"))


def planted(defect: Reason, seed: int = 0) -> PlantedImage:
    return plant(rng(seed), defect, "x")


def detail(picture: RGB) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def foreground(picture: RGB) -> np.ndarray:
    """Where a picture differs from its upper left corner."""
    away = np.abs(picture.astype(int) - picture[0, 0].astype(int)).max(-1)
    return away > 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_product_looks_like_a_photograph_on_a_plain_background(kind: str) -> None:
    picture = draw_product(rng(), kind, SMALL)
    assert picture.shape == (*SMALL, 3) and picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 257
    frame = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert frame.std(axis=0).max() < 12
    assert 0.02 < foreground(picture).mean() < 0.8


def test_one_state_one_picture() -> None:
    assert np.array_equal(draw_product(rng(3), size=SMALL), draw_product(rng(3), size=SMALL))
    assert not np.array_equal(draw_product(rng(3), size=SMALL), draw_product(rng(4), size=SMALL))


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match=r"must be one of shirt.*got 'yacht'"):
        draw_product(rng(), "yacht")


def test_products_are_told_apart_by_a_perceptual_hash() -> None:
    source = rng()
    kinds = list(KINDS)
    hashes = [
        imagehash.phash(Image.fromarray(draw_product(source, kinds[i % 12], SMALL)))
        for i in range(96)
    ]
    distances = [a - b for a, b in combinations(hashes, 2)]
    assert np.mean([d <= 6 for d in distances]) < 0.003


def test_fill_and_centre_place_the_product() -> None:
    picture = draw_product(rng(1), "mug", (300, 300), fill=0.3, centre=(0.25, 0.75))
    rows, columns = np.nonzero(foreground(picture))
    assert abs(columns.mean() / 300 - 0.25) < 0.06 and abs(rows.mean() / 300 - 0.75) < 0.06
    assert 0.15 < np.ptp(columns) / 300 < 0.4


def test_colourways_share_an_outline_and_differ_in_colour() -> None:
    ways = list(draw_colourways(rng(), 5, "dress", SMALL))
    shapes = [foreground(w) for w in ways]
    for shape in shapes[1:]:
        assert (shape & shapes[0]).sum() / (shape | shapes[0]).sum() > 0.9
    colours = [w[s].mean(axis=0) for w, s in zip(ways, shapes, strict=True)]
    assert min(np.abs(a - b).max() for a, b in combinations(colours, 2)) > 20


def test_fabric_is_the_same_everywhere_and_clutter_nowhere_plain() -> None:
    fabric, clutter = draw_fabric(rng(), SMALL), draw_clutter(rng(), SMALL)
    quarters = [q.mean(axis=(0, 1)) for half in np.split(fabric, 2) for q in np.split(half, 2, 1)]
    assert np.ptp(quarters, axis=0).max() < 25
    assert clutter[:20].std() > 25 and clutter[-20:].std() > 15


@pytest.mark.parametrize("defect", PLANTABLE)
def test_planting_is_deterministic_and_says_what_it_is(defect: Reason) -> None:
    first = planted(defect)
    assert first == planted(defect)
    assert first.defect is defect and first.of is None


def test_sizes_of_what_is_planted() -> None:
    assert min(decode(planted(Reason.TOO_SMALL)).shape[:2]) < 300
    assert min(decode(planted(Reason.UPSCALED)).shape[:2]) < 192
    assert len(planted(Reason.TOO_FEW_BYTES).data) < 4000
    sides = decode(planted(Reason.ODD_ASPECT)).shape[:2]
    assert max(sides) / min(sides) > 3


@pytest.mark.parametrize("seed", range(4))
def test_what_moves_has_frames(seed: int) -> None:
    with Image.open(io.BytesIO(planted(Reason.ANIMATED, seed).data)) as picture:
        assert getattr(picture, "n_frames", 1) == 3


def test_a_grey_picture_has_no_colour_and_a_blank_one_no_content() -> None:
    grey = decode(planted(Reason.MONOCHROME)).astype(int)
    assert np.ptp(grey, axis=-1).max() <= 2
    for seed in range(4):
        assert foreground(decode(planted(Reason.BLANK, seed))).mean() < 0.01


def test_a_blurred_picture_has_less_detail_than_any_sound_one() -> None:
    blurred = max(detail(decode(planted(Reason.BLURRED, s))) for s in range(4))
    assert blurred < min(detail(draw_product(rng(s))) for s in range(4))


def test_subjects_in_the_wrong_place() -> None:
    for seed in range(4):
        aside = np.argwhere(foreground(decode(planted(Reason.OFF_CENTRE, seed)))).mean(0)
        assert np.abs(aside / (800, 600) - 0.5).min() > 0.15
        assert foreground(decode(planted(Reason.TINY_SUBJECT, seed))).mean() < 0.02
        cut = decode(planted(Reason.CUT_OFF, seed)).astype(int)
        edges = (cut[0], cut[-1], cut[:, 0], cut[:, -1])
        assert sum(e.std(axis=0).max() > 12 for e in edges) >= 2


@pytest.mark.parametrize("seed", range(4))
def test_files_that_are_no_pictures(seed: int) -> None:
    assert planted(Reason.EMPTY_FILE, seed).data == b""
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(planted(Reason.NOT_AN_IMAGE, seed).data))
    with pytest.raises((OSError, SyntaxError)):
        decode(planted(Reason.CORRUPT, seed))
    bomb = planted(Reason.TOO_MANY_PIXELS, seed).data
    width, height = struct.unpack(">II", bomb[16:24])
    assert len(bomb) < 1000 and width * height > 100_000_000
    assert planted(Reason.LINK_OUTSIDE, seed).link_to is not None


def original(suffix: str = ".png") -> PlantedImage:
    return PlantedImage(f"mug{suffix}", encode(draw_product(rng(), "mug", SMALL), suffix))


def test_a_pixel_duplicate_has_other_bytes() -> None:
    copy = plant_copy(rng(), Reason.PIXEL_DUPLICATE, "copy", original(), 0)
    assert copy.of == "mug.png" and copy.data != original().data
    assert np.array_equal(decode(copy), decode(original()))


def test_a_mirrored_copy_is_flipped() -> None:
    copy = decode(plant_copy(rng(), Reason.MIRRORED_COPY, "copy", original(), 0))
    assert np.abs(copy[:, ::-1].astype(int) - decode(original())).mean() < 4


@pytest.mark.parametrize("variant", range(5))
def test_a_near_duplicate_is_the_same_picture_to_the_eye(variant: int) -> None:
    copy = plant_copy(rng(), Reason.NEAR_DUPLICATE, "copy", original(), variant)
    shown = [
        cv2.resize(decode(i), (24, 32), interpolation=cv2.INTER_AREA) for i in (copy, original())
    ]
    likeness = np.corrcoef(shown[0].ravel(), shown[1].ravel())[0, 1]
    assert copy.data != original().data and likeness > 0.8


def test_what_cannot_be_planted_is_named() -> None:
    with pytest.raises(ValueError, match="`defect` must be one of"):
        planted(Reason.NEAR_DUPLICATE)
    with pytest.raises(ValueError, match="`defect` must be one of"):
        plant_copy(rng(), Reason.BLANK, "x", original(), 0)
    with pytest.raises(ValueError, match=r"broken\.jpg is none"):
        plant_copy(rng(), Reason.MIRRORED_COPY, "x", PlantedImage("broken.jpg", b"no"), 0)
    with pytest.raises(ValueError, match="`suffix` must be one of"):
        encode(draw_product(rng(), size=SMALL), ".bmp")
    with pytest.raises(ValueError, match="`products` must be at least 2 × each = 16"):
        list(demo_images(seed=0, products=3))


def test_the_demo_set_on_disk_is_what_its_labels_say(tmp_path: Path) -> None:
    images = write_demo_set(tmp_path, seed=1, products=12, each=1)
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [r["file"] for r in rows]
    assert len(set(names)) == len(names) == len(images)
    assert set(names) == {p.name for p in (tmp_path / "images").iterdir()}
    count = Counter(r["planted"] for r in rows)
    assert count[""] == 12 + 1  # one is a copy of the same bytes
    assert {d for d in count if d} == {*map(str, (*PLANTABLE, *COPYABLE)), "colourway"}
    assert count["colourway"] == 36 and count["near_duplicate"] == 2
    assert {r["of"] for r in rows if r["of"]} <= set(names)
    same = next(r for r in rows if r["how"] == "copied")
    assert (tmp_path / "images" / same["file"]).read_bytes() == (
        tmp_path / "images" / same["of"]
    ).read_bytes()
    links = [p for p in (tmp_path / "images").iterdir() if p.is_symlink()]
    assert [p.name for p in links] == ["link_outside-00.jpg"]
    assert not links[0].resolve().is_relative_to(tmp_path.resolve())


def test_one_seed_one_demo_set() -> None:
    first, same = (list(demo_images(seed=2, products=2, each=1)) for _ in range(2))
    other = list(demo_images(seed=3, products=2, each=1))
    assert first == same
    assert [i.data for i in first] != [i.data for i in other]
