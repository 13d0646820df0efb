"""Pictures and files with one defect each, and copies: what a clean set has to be without."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from PIL import Image

from curation.synthetic.drawing import (
    RGB,
    SIZE,
    Product,
    draw_backdrop,
    draw_clutter,
    draw_fabric,
    draw_palette,
    draw_product,
    encode,
    finish,
    hsv,
)
from curation.synthetic.outlines import Rng
from data_catalog.schema import Reason


@dataclass(frozen=True, slots=True)
class PlantedImage:
    """A file of the demo set and what is known about it."""

    file_name: str
    data: bytes
    defect: Reason | None = None
    of: str | None = None  # file name of the original, for copies and colourways
    how: str = ""  # what was done to it, in words
    link_to: str | None = None  # the file is a symbolic link to this place


def _jpeg(picture: RGB, rng: Rng) -> tuple[str, bytes]:
    return ".jpg", encode(picture, ".jpg", int(rng.integers(82, 95)))


def _shrink(picture: RGB, shorter: int) -> RGB:
    share = shorter / min(picture.shape[:2])
    small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _plant_few_bytes(rng: Rng) -> tuple[str, bytes]:
    height, width = 400, 320
    picture = np.full((height, width, 3), np.array(hsv(rng.random(), 0.15, 0.85), np.uint8))
    ink = hsv(rng.random(), 0.4, 0.5)
    y = int(rng.integers(90, 190))
    cv2.rectangle(picture, (60, y), (260, y + 130), ink, -1)
    cv2.circle(picture, (160, y + 66), 44, (250, 250, 250), -1)
    cv2.circle(picture, (160, y + 66), 28, ink, -1)
    cv2.putText(picture, "No photo", (70, y + 180), cv2.FONT_HERSHEY_DUPLEX, 1.2, ink, 2)
    return ".jpg", encode(picture, ".jpg", 12)


def _plant_odd_aspect(rng: Rng) -> tuple[str, bytes]:
    size = (int(rng.integers(300, 330)), int(rng.integers(1150, 1500)))
    size = size if rng.random() < 0.5 else size[::-1]
    canvas = draw_backdrop(rng, size)
    for at in (0.17, 0.5, 0.83):
        centre = (at, 0.5) if size[1] > size[0] else (0.5, at)
        Product.draw(rng).paint(canvas, draw_palette(rng), 0.8, centre)
    return _jpeg(finish(rng, canvas), rng)


def _plant_animated(rng: Rng) -> tuple[str, bytes]:
    suffix = str(rng.choice([".gif", ".webp"]))
    product, palette = Product.draw(rng), draw_palette(rng)
    frames = []
    for shift in (-0.03, 0.0, 0.03):
        canvas = np.full((480, 400, 3), 255, np.uint8)
        product.paint(canvas, palette, 0.75, (0.5 + shift, 0.5))
        frames.append(Image.fromarray(canvas))
    buffer = io.BytesIO()
    options = {"method": 0, "quality": 80} if suffix == ".webp" else {}
    kind = suffix[1:].upper()
    frames[0].save(
        buffer, kind, save_all=True, append_images=frames[1:], duration=200, loop=0, **options
    )
    return suffix, buffer.getvalue()


def _plant_monochrome(rng: Rng) -> tuple[str, bytes]:
    grey = cv2.cvtColor(draw_product(rng), cv2.COLOR_RGB2GRAY)
    return _jpeg(np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8), rng)


def _plant_blank(rng: Rng) -> tuple[str, bytes]:
    picture = np.full((*SIZE, 3), np.array(hsv(rng.random(), 0.08, rng.uniform(0.8, 1)), np.uint8))
    if rng.random() < 0.6:
        at = (int(rng.integers(200, 330)), int(rng.integers(300, 500)))
        word = str(rng.choice(["?", "x", "sold", "soon"]))
        cv2.putText(picture, word, at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, (150, 150, 160), 2)
    # Too little grain to be a picture, enough that no two placeholders are the same file.
    picture[: int(rng.integers(2, 9)), :, 2] -= 3
    return _jpeg(picture, rng)


def _plant_blurred(rng: Rng) -> tuple[str, bytes]:
    sharp = draw_product(rng, fill=0.8)
    # So much that it still shows where the picture is made as small as 48×64.
    return _jpeg(np.asarray(cv2.GaussianBlur(sharp, (0, 0), rng.uniform(16, 19)), np.uint8), rng)


def _plant_off_centre(rng: Rng) -> tuple[str, bytes]:
    centre = (float(rng.choice([0.22, 0.78])), float(rng.choice([0.24, 0.76])))
    return _jpeg(draw_product(rng, fill=0.36, centre=centre), rng)


def _plant_cut_off(rng: Rng) -> tuple[str, bytes]:
    # Things about as wide as they are tall leave by several edges, and background is left to see.
    kind = str(rng.choice(["shirt", "dress", "bag", "mug", "chair"]))
    centre = (float(rng.uniform(0.35, 0.65)), float(rng.choice([0.3, 0.7])))
    return _jpeg(draw_product(rng, kind, fill=rng.uniform(1.15, 1.4), centre=centre), rng)


def _plant_not_an_image(rng: Rng) -> tuple[str, bytes]:
    number = int(rng.integers(10_000, 99_999))
    page = f"<!DOCTYPE html><html><body><h1>404</h1><p>Item {number} is gone.</p></body></html>"
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
        f'<circle cx="4" cy="4" r="3" fill="#{number}a"/></svg>'
    )
    forms = [(".jpg", page), (".svg", drawing), (".png", f"rate limited, try again ({number})\n")]
    suffix, text = forms[int(rng.integers(3))]
    return suffix, text.encode()


def _plant_corrupt(rng: Rng) -> tuple[str, bytes]:
    suffix = str(rng.choice([".jpg", ".png"]))
    data = encode(draw_product(rng, size=(400, 300)), suffix)
    return suffix, data[: int(len(data) * rng.uniform(0.3, 0.7))]


def _plant_too_many_pixels(rng: Rng) -> tuple[str, bytes]:
    """Make a PNG of a few bytes whose header promises gigapixels."""
    width, height = (int(n) for n in rng.integers(30_000, 60_000, 2))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1 << 16))), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return ".png", b"\x89PNG\r\n\x1a\n" + body


_DRAWN: Final[Mapping[Reason, Callable[[Rng], tuple[str, bytes]]]] = {
    Reason.TOO_SMALL: lambda r: _jpeg(_shrink(draw_product(r), int(r.integers(190, 260))), r),
    Reason.TOO_FEW_BYTES: _plant_few_bytes,
    Reason.UPSCALED: lambda r: _jpeg(_shrink(draw_product(r), int(r.integers(110, 170))), r),
    Reason.ODD_ASPECT: _plant_odd_aspect,
    Reason.ANIMATED: _plant_animated,
    Reason.MONOCHROME: _plant_monochrome,
    Reason.BLANK: _plant_blank,
    Reason.PATTERN: lambda r: _jpeg(draw_fabric(r), r),
    Reason.BUSY_BACKGROUND: lambda r: _jpeg(draw_clutter(r), r),
    Reason.OFF_CENTRE: _plant_off_centre,
    Reason.CUT_OFF: _plant_cut_off,
    Reason.TINY_SUBJECT: lambda r: _jpeg(draw_product(r, fill=r.uniform(0.07, 0.11)), r),
    Reason.BLURRED: _plant_blurred,
    Reason.EMPTY_FILE: lambda _: (".jpg", b""),
    Reason.NOT_AN_IMAGE: _plant_not_an_image,
    Reason.CORRUPT: _plant_corrupt,
    Reason.TOO_MANY_PIXELS: _plant_too_many_pixels,
}

# Reasons that `plant` can give a picture of its own, and those that need an original.
PLANTABLE: Final = (*_DRAWN, Reason.LINK_OUTSIDE)
COPYABLE: Final = (Reason.PIXEL_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.MIRRORED_COPY)


def plant(rng: Rng, defect: Reason, name: str) -> PlantedImage:
    """Draw a new picture, or make a file, that has one defect.

    Parameters
    ----------
    rng
        Source of everything that varies.
    defect
        One of `PLANTABLE`.
    name
        File name without its suffix.

    Raises
    ------
    ValueError
        If the defect is not one of `PLANTABLE`; copies are made by `plant_copy`.
    """
    if defect is Reason.LINK_OUTSIDE:
        # So many steps up that it ends at the root wherever the set is.
        return PlantedImage(f"{name}.jpg", b"", defect, link_to="../" * 40 + "etc/passwd")
    if defect not in _DRAWN:
        raise ValueError(f"`defect` must be one of {', '.join(PLANTABLE)}, got {defect}")
    suffix, data = _DRAWN[defect](rng)
    return PlantedImage(name + suffix, data, defect)


def plant_copy(
    rng: Rng, defect: Reason, name: str, original: PlantedImage, variant: int
) -> PlantedImage:
    """Make a copy of `original` that a set should not hold beside it.

    Parameters
    ----------
    rng, name
        As in `plant`.
    defect
        One of `COPYABLE`. A pixel duplicate needs an original in a lossless format.
    original
        A picture that OpenCV decodes.
    variant
        Which change makes a near-duplicate: they take turns.
    """
    if defect not in COPYABLE:
        raise ValueError(f"`defect` must be one of {', '.join(COPYABLE)}, got {defect}")
    stored = cv2.imdecode(np.frombuffer(original.data, np.uint8), cv2.IMREAD_COLOR)
    if stored is None:
        raise ValueError(f"`original` must be a picture, {original.file_name} is none")
    picture = np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)
    if defect is Reason.PIXEL_DUPLICATE:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", compress_level=2)
        how, suffix, data = "the same pixels", ".png", buffer.getvalue()
    elif defect is Reason.MIRRORED_COPY:
        how, (suffix, data) = "mirrored", _jpeg(np.ascontiguousarray(picture[:, ::-1]), rng)
    else:
        how, (suffix, data) = _nearly(rng, picture, variant)
    return PlantedImage(name + suffix, data, defect, original.file_name, how)


def _nearly(rng: Rng, picture: RGB, variant: int) -> tuple[str, tuple[str, bytes]]:
    height, width = picture.shape[:2]
    match variant % 5:
        case 0:
            quality = int(rng.integers(40, 75))
            return "re-encoded", (".jpg", encode(picture, ".jpg", quality))
        case 1:
            return "resized", _jpeg(_shrink(picture, int(width * rng.uniform(0.6, 0.9))), rng)
        case 2:
            top, bottom, left, right = rng.uniform(0.005, 0.035, 4)
            rows = slice(int(top * height), int((1 - bottom) * height))
            inside = picture[rows, int(left * width) : int((1 - right) * width)]
            return "cropped", _jpeg(np.ascontiguousarray(inside), rng)
        case 3:
            edge = int(width * rng.uniform(0.03, 0.06))
            framed = cv2.copyMakeBorder(
                picture, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(255, 255, 255)
            )
            return "framed", _jpeg(np.asarray(framed, np.uint8), rng)
        case _:
            gain, lift = rng.uniform(0.88, 0.97), rng.uniform(-12, 4)
            return "darkened", _jpeg(
                np.asarray(cv2.convertScaleAbs(picture, None, gain, lift + 12)), rng
            )
