"""Pictures as files that say what they were made of."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from PIL import Image, PngImagePlugin

from training.errors import SetupError
from training.latent.sampler import Pixels

Format = Literal["png", "jpeg"]
SUFFIX: Final[Mapping[Format, str]] = {"png": ".png", "jpeg": ".jpg"}
QUALITY: Final = 95

_KEY: Final = "nonesuch"
_SUBSAMPLED_BELOW: Final = 90  # quality, from which colours keep all their pixels


def encode(
    picture: Pixels,
    form: Format,
    facts: Mapping[str, Any],
    *,
    quality: int = QUALITY,
    longer: int | None = None,
) -> bytes:
    """Encode a picture; the same bytes for the same picture and facts.

    Parameters
    ----------
    picture : ndarray of shape (H, W, 3), uint8
    form
    facts
        What it was made of; JSON in a text chunk `nonesuch` of a PNG, in the comment of a JPEG.
    quality
        Of a JPEG, 1 to 100.
    longer
        Make it smaller, by areas, where its longer side has more px than this.
    """
    image = Image.fromarray(picture)
    if longer is not None:
        image.thumbnail((longer, longer), Image.Resampling.BOX)
    text = json.dumps(dict(facts), sort_keys=True)
    out = io.BytesIO()
    if form == "png":
        info = PngImagePlugin.PngInfo()
        info.add_text(_KEY, text)
        image.save(out, "PNG", pnginfo=info)
    else:
        subsampling = 2 if quality < _SUBSAMPLED_BELOW else 0
        image.save(
            out, "JPEG", quality=quality, subsampling=subsampling, comment=text.encode("ascii")
        )
    return out.getvalue()


def read_facts(path: Path) -> dict[str, Any]:
    """Read what a picture of ours was made of.

    Raises
    ------
    SetupError
        If it is no picture, or none that says so.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            said = image.info.get(_KEY) or image.info.get("comment") or ""
        found = json.loads(said)
    except (OSError, ValueError, Image.DecompressionBombError):
        found = None
    if not isinstance(found, dict):
        raise SetupError(f"{path} does not say what it was made of; give a PNG or JPEG of ours")
    return found
