"""From bytes to upright 8-bit sRGB pixels, or to the reason why not. One decode an image.

The header is checked before a pixel is decoded, nothing truncated is accepted, and whatever a
hostile file makes a decoder raise ends as a `DecodeError` that carries the `Reason` to store.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from curation.errors import DecodeError
from curation.recipe import Limits
from data_catalog.schema import Reason

Pixels = NDArray[np.uint8]

WHITE: Final = (255, 255, 255)

_ORIENTATION_TAG: Final = 0x0112
# EPS hands the file to Ghostscript, a program that runs what it reads; the others are stubs that
# identify a file which Pillow then cannot decode.
_REFUSED_FORMATS: Final = frozenset({"EPS", "BUFR", "GRIB", "HDF5", "WMF"})
# Elsewhere, as in phones' MPO and in TIFF, further pictures are previews, depth maps and pages.
_ANIMATED_FORMATS: Final = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
_ALPHA_MODES: Final = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
# What libjpeg says of a file of which a part is missing or damaged. Its other complaints, such as
# extraneous bytes before a marker, cost no pixel.
_JPEG_DAMAGE: Final = ("premature end", "bad huffman", "corrupt jpeg data: bad", "bogus")
_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
_NOT_IMAGES: Final = (
    (b"<svg", "SVG, a drawing and not pixels"),
    (b"<html", "HTML, a web page"),
    (b"<!doctype html", "HTML, a web page"),
    (b"%pdf", "PDF"),
    (b"%!ps", "PostScript"),
    (b"pk\x03\x04", "a zip archive"),
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """An upright picture and what its file said.

    Attributes
    ----------
    rgb : ndarray of shape (H, W, 3), uint8, sRGB, C-contiguous
    format : str
        Pillow's name of the format, e.g. ``JPEG``.
    mode : str
        Pillow's mode of the file before conversion.
    orientation : int
        EXIF orientation of the file, 1 to 8; already applied to `rgb`.
    frames : int
        Number of frames of an animation; `rgb` is the first.
    """

    rgb: Pixels
    format: str
    mode: str
    orientation: int
    frames: int


def decode(data: bytes, limits: Limits, matte: tuple[int, int, int] = WHITE) -> Decoded:
    """Decode `data` to upright sRGB.

    Parameters
    ----------
    data : bytes
        A file of any raster format that Pillow reads.
    limits : Limits
        `max_pixels` is checked against the header, before decoding.
    matte : tuple of int
        What shows through transparent pixels.

    Raises
    ------
    DecodeError
        With the reason EMPTY_FILE, FILE_TOO_LARGE, NOT_AN_IMAGE, TOO_MANY_PIXELS or CORRUPT.
    """
    if not data:
        raise DecodeError(Reason.EMPTY_FILE, "the file has 0 bytes")
    if len(data) > limits.max_bytes:
        raise DecodeError(
            Reason.FILE_TOO_LARGE, f"{len(data)} bytes, above `max_bytes` = {limits.max_bytes}"
        )
    with warnings.catch_warnings():
        # Pillow only warns of bombs below twice its limit; ours is checked right after opening.
        warnings.simplefilter("ignore")
        with _open(data) as image:
            width, height = image.size
            if width * height > limits.max_pixels:
                raise DecodeError(
                    Reason.TOO_MANY_PIXELS,
                    f"the header says {width}×{height} px, above `max_pixels` = "
                    f"{limits.max_pixels}",
                )
            try:
                return _load(image, data, matte)
            except DecodeError:
                raise
            except MemoryError as error:
                raise DecodeError(
                    Reason.TOO_MANY_PIXELS, f"{width}×{height} px do not fit in memory"
                ) from error
            except Exception as error:
                # Decoders raise whatever hostile bytes lead them to: struct.error, zlib.error, …
                raise DecodeError(
                    Reason.CORRUPT, f"{image.format}: {type(error).__name__}: {error}"
                ) from error


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.ID if name not in _REFUSED_FORMATS)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError as error:
        raise DecodeError(Reason.TOO_MANY_PIXELS, str(error)) from error
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except Exception as error:
        raise DecodeError(Reason.CORRUPT, f"header: {type(error).__name__}: {error}") from error


def _unidentified(data: bytes) -> DecodeError:
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return DecodeError(Reason.CORRUPT, f"begins as {name}, but its header is damaged")
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for marker, name in _NOT_IMAGES:
        if head.startswith(marker) or (marker == b"<svg" and marker in head):
            return DecodeError(Reason.NOT_AN_IMAGE, f"the content is {name}")
    return DecodeError(Reason.NOT_AN_IMAGE, f"no known picture format; begins with {data[:8]!r}")


def _load(image: Image.Image, data: bytes, matte: tuple[int, int, int]) -> Decoded:
    file_format, mode = image.format or "", image.mode
    orientation = _orientation(image)
    frames = int(getattr(image, "n_frames", 1)) if file_format in _ANIMATED_FORMATS else 1
    profile = image.info.get("icc_profile")
    if file_format == "PNG":
        # Loading skips the checksums of the pixels' chunks; only `verify` looks at them.
        with Image.open(io.BytesIO(data), formats=("PNG",)) as again:
            again.verify()
    is_jpeg = file_format in ("JPEG", "MPO")
    rgb = _fast_jpeg(data) if is_jpeg and mode in ("RGB", "L") else None
    if rgb is None:
        image.seek(0)
        image.load()
        upright = ImageOps.exif_transpose(image)
        rgb = np.asarray(_to_srgb(upright, file_format, profile, matte))
    else:
        if profile and mode == "RGB":
            rgb = np.asarray(_convert_by_profile(Image.fromarray(rgb), profile))
        rgb = _turn_upright(rgb, orientation)
    return Decoded(np.ascontiguousarray(rgb), file_format, mode, orientation, frames)


def _fast_jpeg(data: bytes) -> Pixels | None:
    """Decode by libjpeg-turbo; None where only Pillow can, e.g. for an odd colour transform.

    Strict: unlike Pillow and OpenCV it also refuses a file cut in the middle whose end marker
    was put back.
    """
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=True))
    except ValueError as error:
        message = str(error)
        if any(sign in message.lower() for sign in _JPEG_DAMAGE):
            raise DecodeError(Reason.CORRUPT, f"JPEG: {message}") from error
        return None


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a damaged EXIF block costs its orientation, not the picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turn_upright(rgb: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation (CIPA DC-008, tag 274)."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return rgb


def _to_srgb(
    image: Image.Image, file_format: str, profile: bytes | None, matte: tuple[int, int, int]
) -> Image.Image:
    """Bring a loaded image of any mode to 8-bit sRGB."""
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    if image.mode == "CMYK" and file_format == "JPEG" and "adobe" not in image.info:
        # Pillow assumes Adobe's inverted inks for every CMYK JPEG; without the marker the file
        # holds them as they are.
        image = Image.fromarray(255 - np.asarray(image), "CMYK")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _composite(image, profile, matte)
    return _convert_by_profile(image, profile)


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey to 8 bits; `convert` would clip them to white."""
    values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    if image.mode == "F":
        full_scale = 1.0 if top <= 1.0 else 255.0 if top <= 255.0 else max(top, 1.0)
    else:
        full_scale = 65535.0 if top <= 65535.0 else max(top, 1.0)
    grey = np.clip(np.rint(values * (255.0 / full_scale)), 0, 255).astype(np.uint8)
    return Image.fromarray(grey, "L").convert("RGB")


def _composite(
    image: Image.Image, profile: bytes | None, matte: tuple[int, int, int]
) -> Image.Image:
    """Lay a transparent picture on the matte; `convert("RGB")` would expose hidden colour."""
    rgba = image.convert("RGBA")
    flat = Image.new("RGB", rgba.size, matte)
    flat.paste(_convert_by_profile(rgba.convert("RGB"), profile), mask=rgba.getchannel("A"))
    return flat


def _convert_by_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB by the embedded profile; one that is broken or does not fit is ignored."""
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _lab_transform()) or image
    if profile:
        transform = _transform(profile, image.mode)
        if transform is not None:
            converted = ImageCms.applyTransform(image, transform)
            if converted is not None:
                return converted
    return image.convert("RGB")


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if "sRGB" in (source.profile.profile_description or "") and mode == "RGB":
            return None
        return ImageCms.buildTransform(source, _srgb(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")
