"""`live.json`: settings that a person may change while a run goes on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from training.config import TrainingConfig
from training.errors import TrainingError
from training.runs.files import write_atomically

_HELP: Final = (
    "Read at every tick: change a number and save, and the run goes on with it; the log says so. "
    "G_lr, D_lr: learning rates, > 0. r1_gamma: weight of R1, >= 0, more is steadier."
)


@dataclass(frozen=True)
class Live:
    """Settings that may change during a run.

    Attributes
    ----------
    G_lr, D_lr : float
        Learning rates, > 0.
    r1_gamma : float
        Weight of R1, >= 0.
    """

    G_lr: float
    D_lr: float
    r1_gamma: float

    @classmethod
    def of(cls, config: TrainingConfig) -> Live:
        """Give those of a resolved configuration, with which a run begins."""
        G_lr, D_lr = config.optimizer.G_lr, config.optimizer.D_lr
        gamma = config.loss.r1_gamma
        assert G_lr is not None
        assert D_lr is not None
        assert gamma is not None
        return cls(G_lr, D_lr, gamma)


def write_initial(path: Path, live: Live) -> None:
    """Write the file, for people to edit.

    Raises
    ------
    TrainingError
        If it cannot be written.
    """
    content = {"_help": _HELP, **asdict(live)}
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read(path: Path, current: Live) -> tuple[Live, list[str]]:
    """Read what a person wants now. Never raises: a typing error must not end a run of days.

    Parameters
    ----------
    path
        Of the file; if it is missing, it is written anew.
    current
        In force until now. Stays in force as a whole if anything in the file is wrong, so that
        no half of a change is made; a key that is left out stays as it is.

    Returns
    -------
    live : Live
        In force from now on.
    messages : list of str
        What has changed, or what is wrong.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return current, [_restore(path, current)]
    except OSError as error:
        return current, [f"{path} cannot be read: {error.strerror}; nothing was changed"]
    except (ValueError, RecursionError) as error:
        return current, [f"{path} is not valid JSON: {error}; nothing was changed"]
    wrong = _wrong(content)
    if wrong:
        return current, [f"{path}: {what}; nothing was changed" for what in wrong]
    wanted = replace(current, **{key: float(content[key]) for key in _keys() if key in content})
    return wanted, _changes(current, wanted)


def _keys() -> list[str]:
    return [entry.name for entry in fields(Live)]


def _restore(path: Path, current: Live) -> str:
    try:
        write_initial(path, current)
    except TrainingError as error:
        return str(error)
    return f"{path} was missing; written anew with what is in force"


def _wrong(content: Any) -> list[str]:
    if not isinstance(content, dict):
        return [f"must be an object with {', '.join(_keys())}, got {_shown(content)}"]
    told = []
    for key, value in content.items():
        if key not in (*_keys(), "_help"):
            told.append(f"`{key}` is no setting; there are: {', '.join(_keys())}")
        elif key != "_help" and not _is_allowed(key, value):
            rule = ">= 0" if key == "r1_gamma" else "> 0"
            told.append(f"`{key}` must be a number {rule}, got {_shown(value)}")
    return told


def _is_allowed(key: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    return math.isfinite(number) and (number > 0 or (number == 0 and key == "r1_gamma"))


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _changes(before: Live, after: Live) -> list[str]:
    pairs = [(key, getattr(before, key), getattr(after, key)) for key in _keys()]
    return [f"{key}: {was:.10g} → {now:.10g}" for key, was, now in pairs if was != now]
