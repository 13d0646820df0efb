"""Pictures from outside, brought to the size of a model: upright, on white, never stretched.

Whoever gives them is not trusted: few formats, none of which runs a program; the header is checked
before a pixel is decoded; whatever a damaged file makes a decoder raise ends as one error.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from training.errors import SetupError
from training.watch.grids import Pixels

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS: Final = 50_000_000
MAX_BYTES: Final = 200_000_000

_WHITE: Final = (255, 255, 255)
_SMOOTH_DOWN_TO: Final = 0.75  # below this scale bicubic aliases, and areas are averaged
_ALPHA: Final = ("RGBA", "LA", "PA", "La", "RGBa")


@dataclass(frozen=True, slots=True)
class Target:
    """A picture that is to be projected.

    Attributes
    ----------
    source : str
        Name of its file.
    sha256 : str
        Of the file's bytes.
    pixels : ndarray of shape (H, W, 3), uint8
    """

    source: str
    sha256: str
    pixels: Pixels


def open_target(source: Path | bytes, size: tuple[int, int], name: str = "") -> Target:
    """Read a picture with what tells it from others; see `read_target`.

    Parameters
    ----------
    source
    size
    name
        Of the file, where bytes are given.
    """
    called = str(source) if isinstance(source, Path) else name or "the picture"
    data = _read(source) if isinstance(source, Path) else source
    if not data or len(data) > MAX_BYTES:
        raise SetupError(
            f"{called} must have 1 to {MAX_BYTES:,} bytes, has {len(data):,}; give another picture"
        )
    pixels = _fitted(_decode(data, called), size)
    known_as = source.name if isinstance(source, Path) else name
    return Target(known_as, hashlib.sha256(data).hexdigest(), pixels)


def read_target(source: Path | bytes, size: tuple[int, int]) -> Pixels:
    """Read a picture and bring it to a size, whole, with white beside it where it is narrower.

    Parameters
    ----------
    source
        A file, or what is in one: JPEG, PNG, WebP, GIF, BMP or TIFF; of several frames the first.
        It is turned upright as EXIF says, laid on white where it is transparent, and converted to
        sRGB by its profile.
    size : tuple of int
        Height and width, px. A picture of this size stays as it is.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Raises
    ------
    SetupError
        If it cannot be read, is no picture or a damaged one, or has more than `MAX_PIXELS`.
    """
    return open_target(source, size).pixels


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}; give a picture") from error


def _decode(data: bytes, name: str) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bombs; ours is a lower limit than Pillow's
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                _check(opened, name)
                opened.load()
                return _on_white(_upright(opened))
        except SetupError:
            raise
        except Image.DecompressionBombError as error:
            raise SetupError(_too_large(name, str(error))) from error
        except Exception as error:  # decoders raise whatever hostile bytes lead them to
            raise SetupError(
                f"{name} must be a whole picture ({', '.join(FORMATS)}): "
                f"{_told(error, name)}; give another file"
            ) from error


def _check(opened: Image.Image, name: str) -> None:
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise SetupError(_too_large(name, f"its header says {width} × {height}"))


def _too_large(name: str, found: str) -> str:
    return f"{name} must have at most {MAX_PIXELS:,} px: {found}; give a smaller one"


def _told(error: Exception, name: str) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is none"
    return f"{type(error).__name__}: {error}"[:200].replace(name, "it")


def _upright(opened: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(opened)
    except Exception:  # damaged EXIF costs the orientation, not the picture
        return opened


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    profile = image.info.get("icc_profile")
    if image.mode not in _ALPHA and "transparency" not in image.info:
        return _as_srgb(image, profile)
    whole = image.convert("RGBA")
    flat = Image.new("RGB", whole.size, _WHITE)
    flat.paste(_as_srgb(whole.convert("RGB"), profile), mask=whole.getchannel("A"))
    return flat


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Scale greys of more than 8 bits, which `convert` would cut off."""
    values = np.nan_to_num(np.asarray(image, np.float64))
    top = float(values.max(initial=0.0))
    whole = (1.0 if top <= 1 else 255.0) if image.mode == "F" else 65535.0
    grey = np.clip(values * (255 / whole), 0, 255).round().astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _as_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert by the embedded profile; one that is broken or does not fit is passed over."""
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, own, srgb, outputMode="RGB") or image
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def _fitted(image: Image.Image, size: tuple[int, int]) -> Pixels:
    height, width = size
    scale = min(width / image.width, height / image.height)
    inner = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    method = Image.Resampling.BICUBIC if scale >= _SMOOTH_DOWN_TO else Image.Resampling.BOX
    if inner != image.size:
        image = image.resize(inner, method)
    frame = Image.new("RGB", (width, height), _WHITE)
    frame.paste(image, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return np.array(frame, dtype=np.uint8)
