"""Which metrics can be taken here: what weights and packages are at hand."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from training.encoder import Encoder
from training.errors import SetupError
from training.inception import find_inception
from training.metrics import OWN, PUBLISHED, encoders
from training.trained_on import mute

Loaded = Sequence[tuple[Encoder, tuple[str, ...]]]
"""Encoders, each with the metrics that it is for."""

_DISTANCES: Final = ("fd_own", "kid_own", "fid", "kid")  # those that need torchmetrics

Say = Callable[[str], None]


def load_encoders(
    names: Sequence[str] | None,
    *,
    inception: Path | None = None,
    lpips: Path | None = None,
    say: Say = mute,
) -> Loaded:
    """Load what metrics need, and find out what is missing, before hours of work depend on it.

    Parameters
    ----------
    names
        Of `training.metrics.OWN` and `PUBLISHED`. None: `fd_own`, `kid_own` and `pr_own`; with
        weights of Inception, given or found, `fid`, `kid` and `pr`; with those of LPIPS `ppl`.
    inception, lpips
        Files of weights.
    say
        Told what is left out of the default ones, and why.

    Raises
    ------
    SetupError
        If a name is unknown, or what was asked for needs weights or a package that are missing.
    """
    if names is not None:
        if not _has_torchmetrics():
            _refuse_distances(names)
        return encoders(names, inception=inception, lpips=lpips)
    loaded = encoders(OWN[:3])
    if inception is not None:
        loaded += encoders(PUBLISHED[:3], inception=inception)
    elif find_inception() is not None:
        try:
            loaded += encoders(PUBLISHED[:3])
        except SetupError as error:
            say(f"without fid, kid and pr: {error}")
    if lpips is not None:
        loaded += encoders(PUBLISHED[3:], lpips=lpips)
    return loaded if _has_torchmetrics() else _without_distances(loaded, say)


def _has_torchmetrics() -> bool:
    return importlib.util.find_spec("torchmetrics") is not None


def _refuse_distances(names: Iterable[str]) -> None:
    needing = [name for name in names if name in _DISTANCES]
    if needing:
        raise SetupError(
            f"{', '.join(needing)} need the package torchmetrics, which is not installed: "
            "`pip install torchmetrics`, or ask for pr_own"
        )


def _without_distances(loaded: Loaded, say: Say) -> Loaded:
    say(
        f"without {', '.join(_DISTANCES)}: they need the package torchmetrics, which is not "
        "installed (`pip install torchmetrics`)"
    )
    kept = [(e, tuple(name for name in names if name not in _DISTANCES)) for e, names in loaded]
    return [(encoder, names) for encoder, names in kept if names]
