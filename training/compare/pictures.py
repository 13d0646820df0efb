"""Which grids of several runs stand beside each other, and how they get into a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from training.compare.collect import Run

_LONGEST_SIDE: Final = 960  # px of a grid in the page
_QUALITY: Final = 86  # of JPEG


def common_nimg(runs: Sequence[Run]) -> int | None:
    """Give how many images the runs were trained on when their grids are compared.

    It is the last time at which each has a grid; where there is none but the start, the last one
    of whoever has come least far. Runs that have failed or not begun do not hold the others back.

    Returns
    -------
    int or None
        None where no run has a grid.
    """
    grids = [set(run.grids) for run in runs if run.grids and run.status not in ("failed", "lost")]
    grids = grids or [set(run.grids) for run in runs if run.grids]
    if not grids:
        return None
    shared = set.intersection(*grids)
    return max(shared) if shared and max(shared) > 0 else min(max(own) for own in grids)


def grid_at(run: Run, nimg: int) -> int | None:
    """Give the images trained on of a run's last grid up to `nimg`; its first where all are later.

    None where it has no grid.
    """
    before = [own for own in run.grids if own <= nimg]
    return max(before) if before else min(run.grids, default=None)


def picture_uri(path: Path) -> str:
    """Give a picture as a data URI, at most 960 px long, as JPEG; empty if it cannot be read."""
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except OSError:  # thinned out meanwhile, or damaged
        return ""
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
