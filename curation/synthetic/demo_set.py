"""The set of the demo: sound products, every kind of defect, and a table of which is which."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from curation.synthetic.defects import PLANTABLE, PlantedImage, plant, plant_copy
from curation.synthetic.drawing import draw_colourways, draw_product, encode
from curation.synthetic.outlines import KINDS, LOPSIDED, Rng
from data_catalog.schema import Reason


def demo_images(*, seed: int, products: int = 300, each: int = 8) -> Iterator[PlantedImage]:
    """Draw the demo set: sound products, and `each` files of every defect.

    Parameters
    ----------
    seed
        One seed gives one set, byte for byte.
    products
        Sound pictures, at least 2 × `each` of them.
    each
        Files a kind of defect. Near-duplicates come in twice as many, being of five kinds;
        colourways as two families of 18.

    Raises
    ------
    ValueError
        If there are too few products to make copies of.
    """
    if products < 2 * each:
        raise ValueError(f"`products` must be at least 2 × each = {2 * each}, got {products}")
    rng = np.random.default_rng(seed)
    lossless: list[PlantedImage] = []
    lopsided: list[PlantedImage] = []
    lossy: list[PlantedImage] = []
    kinds = list(KINDS)
    for i in range(products):
        kind = kinds[i % len(kinds)]
        image = _sound(rng, f"{kind}-{i:04d}", kind, lossless=len(lossless) < each)
        yield image
        pool = lossless if image.file_name.endswith(".png") else lossy
        # Few are held: copies are made of the first ones.
        if kind in LOPSIDED and len(lopsided) < each:
            lopsided.append(image)
        elif len(pool) < 3 * each:
            pool.append(image)
    yield from _defects(rng, each, lossless or lossy, lopsided or lossy, lossy)


def _sound(rng: Rng, name: str, kind: str, *, lossless: bool) -> PlantedImage:
    height = int(rng.integers(700, 860))
    size = (height, int(height * rng.uniform(0.68, 0.95)))
    centre = (float(rng.uniform(0.47, 0.53)), float(rng.uniform(0.47, 0.53)))
    picture = draw_product(rng, kind, size, fill=rng.uniform(0.6, 0.86), centre=centre)
    if lossless and kind not in LOPSIDED:
        return PlantedImage(f"{name}.png", encode(picture, ".png"))
    if rng.random() < 0.08:
        return PlantedImage(f"{name}.webp", encode(picture, ".webp", 85))
    return PlantedImage(f"{name}.jpg", encode(picture, ".jpg", int(rng.integers(80, 96))))


def _defects(
    rng: Rng,
    each: int,
    lossless: Sequence[PlantedImage],
    lopsided: Sequence[PlantedImage],
    lossy: Sequence[PlantedImage],
) -> Iterator[PlantedImage]:
    for defect in PLANTABLE:
        for i in range(each):
            yield plant(rng, defect, f"{defect}-{i:02d}")
    for i in range(each):
        for defect, pool in (
            (Reason.PIXEL_DUPLICATE, lossless),
            (Reason.MIRRORED_COPY, lopsided),
        ):
            yield plant_copy(rng, defect, f"{defect}-{i:02d}", pool[i % len(pool)], i)
        same = lossy[i % len(lossy)]
        suffix = Path(same.file_name).suffix
        yield PlantedImage(f"same-bytes-{i:02d}{suffix}", same.data, None, same.file_name, "copied")
    for i in range(2 * each):
        original = lossy[(each + i) % len(lossy)]
        name = f"{Reason.NEAR_DUPLICATE}-{i:02d}"
        yield plant_copy(rng, Reason.NEAR_DUPLICATE, name, original, i)
    for family, kind in enumerate(("dress", "sneaker")):
        first = f"{Reason.COLOURWAY}-{family}-00.jpg"
        for i, picture in enumerate(draw_colourways(rng, 18, kind)):
            name = f"{Reason.COLOURWAY}-{family}-{i:02d}.jpg"
            data = encode(picture, ".jpg", 90)
            yield PlantedImage(name, data, Reason.COLOURWAY, first, f"{kind} in 18 colours")


LABELS: Final = "labels.csv"


def write_demo_set(
    folder: Path, *, seed: int, products: int = 300, each: int = 8
) -> list[PlantedImage]:
    """Write the demo set below `folder/images`, and `folder/labels.csv` beside it.

    The table has the columns `file`, `planted` (a Reason, empty for sound pictures), `of` (the
    original's file name, for copies and colourways) and `how`. All members of a colourway family
    are labelled so, since any may be the one that is kept: up to the cap they are rightly accepted.

    Returns
    -------
    list of PlantedImage
        In the order of writing, without the bytes.

    Raises
    ------
    ValueError
        As `demo_images`.
    OSError
        If the folder cannot be written to.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    planted = []
    for image in demo_images(seed=seed, products=products, each=each):
        path = images / image.file_name
        if image.link_to is None:
            path.write_bytes(image.data)
        else:
            path.unlink(missing_ok=True)
            path.symlink_to(image.link_to)
        planted.append(replace(image, data=b""))
    with (folder / LABELS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "planted", "of", "how"])
        writer.writerows([i.file_name, i.defect or "", i.of or "", i.how] for i in planted)
    return planted
