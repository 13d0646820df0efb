"""Presets, and the arithmetic that fills in what a configuration leaves open.

Figures of `stylegan2-ada` are those of its authors' automatic configuration
(https://arxiv.org/abs/2006.06676, appendix C); a non-square picture counts by its pixels.
`sneaker` follows thissneakerdoesnotexist, `stylegan2-ext` the large network of anime portraits.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from training.config import TrainingConfig
from training.errors import SetupError

_EXT: Final[dict[str, Any]] = {
    "network": {
        "z_dim": 1024,
        "w_dim": 1024,
        "mapping_layers": 4,
        "channel_base": 32768,
        "channel_max": 1024,
        "mbstd_group": 32,
        "mbstd_channels": 4,
    },
    "loss": {"r1_gamma": 5.0, "pl_weight": 0.0, "style_mixing": 0.0},
}
_SNEAKER: Final[dict[str, Any]] = {
    "network": {"channel_base": 65536, "mbstd_group": 20},
    "loss": {"r1_gamma": 1.0, "pl_weight": 0.0, "style_mixing": 0.0},
}
_TINY: Final[dict[str, Any]] = {
    "network": {
        "z_dim": 64,
        "w_dim": 64,
        "mapping_layers": 2,
        "channel_base": 1024,
        "channel_max": 64,
        "half": "off",
    },
    "augment": {"kimg": 100.0},
    "loss": {"pl_weight": 0.0},
    "optimizer": {"batch": 8, "ema_kimg": 1.0},
    "data": {"workers": 0},
    "run": {"total_kimg": 100.0, "tick_kimg": 1.0, "snapshot_ticks": 5, "device": "auto"},
}

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "stylegan2-ada": {},
    "sneaker": _SNEAKER,
    "stylegan2-ext": _EXT,
    "tiny": _TINY,
}


def resolve(
    preset: str,
    overrides: Mapping[str, Any],
    *,
    size: tuple[int, int],
    gpus: int,
) -> TrainingConfig:
    """Make a configuration that leaves nothing open.

    Parameters
    ----------
    preset
        Key of `PRESETS`.
    overrides
        Nested as `TrainingConfig`; wins over the preset.
    size
        Height and width of the pictures, px.
    gpus
        Processes that train together, 1 on the CPU.

    Raises
    ------
    SetupError
        If the preset or a key is not known, a value is out of its range, or batch, GPUs and
        minibatch groups do not divide.
    """
    if preset not in PRESETS:
        close = difflib.get_close_matches(preset, PRESETS, n=1, cutoff=0.5)
        meant = f"; did you mean {close[0]!r}?" if close else ";"
        raise SetupError(f"preset {preset!r} is unknown{meant} there are: {', '.join(PRESETS)}")
    if gpus < 1:
        raise SetupError(f"GPUs must be at least 1, got {gpus}")
    asked = _merge(PRESETS[preset], overrides)
    asked["preset"] = preset
    config = _checked(asked)
    resolved = _checked(_merge(_automatic(config, size, gpus), asked))
    _check_batch(resolved, gpus)
    return resolved


def _automatic(config: TrainingConfig, size: tuple[int, int], gpus: int) -> dict[str, Any]:
    """Give what the automatic configuration says to each field that may be left open."""
    pixels = size[0] * size[1]
    side = 2 ** math.ceil(math.log2(max(size)))  # what a square network would be called
    usual = max(min(gpus * min(4096 // side, 32), 64), gpus)
    # Each GPU holds a whole group, where a preset asks for a large one.
    groups = gpus * (config.network.mbstd_group or 1)
    batch = config.optimizer.batch or -(-usual // groups) * groups
    at_once = config.optimizer.batch_gpu or max(batch // gpus, 1)
    lr = 0.002 if side >= 1024 else 0.0025
    gamma = float(f"{0.0002 * pixels / batch:.6g}")
    values: dict[str, Any] = {
        "network": {
            "mapping_layers": 2,
            "channel_base": 32768 if side >= 512 else 16384,
            "mbstd_group": _group(at_once),
        },
        "loss": {"r1_gamma": gamma},
        "optimizer": {
            "batch": batch,
            "batch_gpu": at_once,
            "G_lr": lr,
            "D_lr": lr,
            "ema_kimg": batch * 10 / 32,
        },
    }
    if config.loss.kind == "relativistic" and not config.loss.r2_gamma:
        weight = config.loss.r1_gamma
        values["loss"]["r2_gamma"] = gamma if weight is None else weight
    return values


def _group(at_once: int) -> int:
    """Give the group that divides a batch: 4 if it does, one alone has nothing to compare with."""
    dividing = [n for n in range(2, at_once + 1) if at_once % n == 0]
    return max([n for n in dividing if n <= 4] or dividing[:1] or [1])


def _check_batch(config: TrainingConfig, gpus: int) -> None:
    batch, at_once = config.optimizer.batch, config.optimizer.batch_gpu
    group = config.network.mbstd_group
    assert batch is not None
    assert at_once is not None
    assert group is not None
    if batch % (gpus * at_once):
        whole = [n for n in range(1, batch + 1) if batch % (n * gpus) == 0]
        hint = f"; use one of {', '.join(map(str, whole))} for batch_gpu" if whole else ""
        unit = gpus * 4 if batch > gpus * 4 else gpus  # whole minibatch groups on each
        near = max(unit, round(batch / unit) * unit)
        hint = hint or f"; use a batch of {near}"
        raise SetupError(
            f"`optimizer.batch` must be a multiple of {gpus} GPUs × {at_once} images at once, "
            f"got {batch}{hint}"
        )
    if at_once % min(group, at_once):
        fitting = max(n for n in range(1, group + 1) if at_once % n == 0)
        raise SetupError(
            f"`network.mbstd_group` must divide the {at_once} images at once on a GPU, got "
            f"{group}; use {fitting}, or another `optimizer.batch_gpu`"
        )


def _checked(values: Mapping[str, Any]) -> TrainingConfig:
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        raise SetupError("; ".join(_explain(part) for part in error.errors())) from error


def _explain(part: Any) -> str:
    key = ".".join(str(step) for step in part["loc"])
    if part["type"] == "extra_forbidden":
        known = list(known_keys())
        close = difflib.get_close_matches(key, known, n=1)
        return f"`{key}` is no setting" + (f"; did you mean `{close[0]}`?" if close else "")
    return f"`{key}`: {part['msg']}, got {part['input']!r}"


def known_keys() -> list[str]:
    """Give every setting as `section.key`."""
    keys = []
    for name, section in TrainingConfig.model_fields.items():
        fields = getattr(section.annotation, "model_fields", None)
        keys += [f"{name}.{field}" for field in fields] if fields else [name]
    return keys


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `over` on `under`, section by section; None in it leaves what is below."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = _merge(below, value)
        elif value is not None or key not in merged:
            merged[key] = dict(value) if isinstance(value, Mapping) else value
    return merged


def overlay(saved: TrainingConfig, overrides: Mapping[str, Any], *, gpus: int) -> TrainingConfig:
    """Make the configuration of a run that goes on: as saved, with what is asked for now.

    On another number of GPUs the batch is cut up anew, if the one at once does not divide it.

    Raises
    ------
    SetupError
        As `resolve`.
    """
    values = _merge(saved.model_dump(), overrides)
    asked = _checked(values)
    batch, at_once = asked.optimizer.batch, asked.optimizer.batch_gpu
    assert batch is not None
    assert at_once is not None
    if "batch_gpu" not in overrides.get("optimizer", {}) and batch % gpus == 0:
        fitting = math.gcd(batch // gpus, at_once)
        asked = _checked(_merge(values, {"optimizer": {"batch_gpu": fitting}}))
    _check_batch(asked, gpus)
    return asked
