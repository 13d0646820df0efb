"""Decoding one picture: bytes in, colour planes out."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

_FORMATS: Final = ("JPEG", "PNG", "WEBP")
_MODES: Final = ("RGB", "L")


class PictureError(ValueError):
    """A picture cannot be trained on; the message says why, and not which one it is."""


def check_picture(data: bytes, shape: tuple[int, int]) -> None:
    """Look at a picture's header, without decoding it.

    Parameters
    ----------
    data
        Encoded as JPEG, PNG or WebP.
    shape
        Height and width that it must have, px.

    Raises
    ------
    PictureError
        If it is no picture, has another size, or is neither RGB nor grey.
    """
    try:
        with _opened(data) as image:
            _check(image, shape)
    except PictureError:
        raise
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        raise _undecodable(error) from error


def decode_into(
    data: bytes, out: Pixels, *, inverted: bool = False, mirrored: bool = False
) -> None:
    """Decode a picture into colour planes.

    Parameters
    ----------
    data
        Encoded as JPEG, PNG or WebP.
    out : ndarray of shape (3, H, W), uint8
        Filled with red, green and blue; grey is taken for all three.
    inverted
        Give 255 - x.
    mirrored
        Turn left and right around.

    Raises
    ------
    PictureError
        If it cannot be decoded, has another size, or is neither RGB nor grey.
    """
    try:
        with _opened(data) as image:
            _check(image, (out.shape[1], out.shape[2]))
            # By bands: the whole picture would come as (H, W, 3), and putting that into planes
            # costs a quarter of the time that decoding takes.
            bands = image.split()
    except PictureError:
        raise
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        raise _undecodable(error) from error
    for channel, plane in enumerate(out):
        band = np.asarray(bands[channel if len(bands) == len(out) else 0])
        band = band[:, ::-1] if mirrored else band
        if inverted:
            np.invert(band, out=plane)  # 255 - x
        else:
            plane[:] = band


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def _check(image: Image.Image, shape: tuple[int, int]) -> None:
    size = (image.height, image.width)
    if size != shape:
        raise PictureError(f"is {size}, must be {shape} (height, width)")
    if image.mode not in _MODES:
        raise PictureError(f"has the mode {image.mode}, must be RGB, or L for grey; without alpha")


def _undecodable(error: Exception) -> PictureError:
    return PictureError(f"cannot be decoded: {str(error) or type(error).__name__:.200}")
