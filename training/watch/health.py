"""Whether a training is sound, and what ails it if not.

Every sign is warned of first, and ends a training only after it has lasted for many ticks in a row
and many images. The limits are far from what sound trainings do: they are there so that one that is
past hope does not run for days.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from training.errors import DivergedError
from training.watch.diversity import Spread
from training.watch.journal import Tick

_REMIND: Final = 25  # ticks between warnings of the same thing
_HISTORY: Final = 50  # ticks of losses that are remembered

_SURE: Final = 0.99  # mean sign of D on real pictures: right about nearly all
_HOPELESS: Final = 20.0  # loss of G, nats: D is e^20 : 1 sure that its pictures are generated
_WORRYING: Final = 8.0
_RISE: Final = 1.2  # of the loss of G, second half of the history / first half

_OVERFLOWS: Final = 0.03  # of the steps; one in sixteen is every step with R1

_EXPLODED: Final = 50.0  # × the median of what the loss was before
_LOSS_FLOOR: Final = 1.0  # nats; medians below count as this
_LOSSES: Final = ("loss_G", "loss_D")  # regularizers swing by themselves

_ALIKE: Final = 0.05  # spread of generated pictures / spread of real ones
_VARIED: Final = 0.2  # from here on a generator has shown that it can vary
_FIRST_PICTURES: Final = 500_000  # images; generators may take this long to vary for the first time

_BACK: Final = (
    "go on from an older snapshot (take the newer folders out of `snapshots/` and start it again)"
)


class Limits(NamedTuple):
    """How long a sign must last: ticks in a row until a warning and until the end, and images."""

    warn: int
    stop: int
    nimg: int


_LIMITS: Final = {
    "losses": Limits(warn=1, stop=2, nimg=0),
    "explosion": Limits(warn=1, stop=5, nimg=10_000),
    "gradients": Limits(warn=1, stop=20, nimg=10_000),
    "D wins": Limits(warn=10, stop=50, nimg=100_000),
    "collapse": Limits(warn=5, stop=25, nimg=100_000),
}


def non_finite(named: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Name the tensors that hold NaN or infinity, waiting for the device only once.

    Parameters
    ----------
    named
        Names and tensors, such as a module's `named_parameters()`.
    """
    names, flags = [], []
    for name, tensor in named:
        names.append(name)
        flags.append(tensor.detach().isfinite().all())
    if not flags:
        return []
    finite = torch.stack([flag.to(flags[0].device) for flag in flags]).tolist()
    return [name for name, fine in zip(names, finite, strict=True) if not fine]


class Health:
    """Watches a training's figures; warns, and stops it once it is past hope.

    Parameters
    ----------
    p_max
        Where adaptive augmentation ends; None where it is off or fixed: nothing holds D back then.
    """

    def __init__(self, p_max: float | None) -> None:
        self._p_max = p_max
        self._since: dict[str, tuple[int, int]] = {}  # sign → ticks in a row, cur_nimg at the first
        self._losses: dict[str, deque[float]] = {name: deque(maxlen=_HISTORY) for name in _LOSSES}
        self._varied = False

    def check(
        self, record: Tick, *, damaged: Sequence[str] = (), pictures: Spread | None = None
    ) -> list[str]:
        """Look at a tick.

        Parameters
        ----------
        record
            Its figures.
        damaged
            Weights that are not finite, as `non_finite` names them. They end the training at once:
            no snapshot may be saved any more.
        pictures
            Where a sample grid was taken in this tick.

        Returns
        -------
        list of str
            Warnings.

        Raises
        ------
        DivergedError
            If it is past hope.
        """
        if damaged:
            raise DivergedError(_of_weights(damaged, record))
        signs = {
            "losses": self._strange_losses(record),
            "explosion": self._explosion(record),
            "gradients": _strange_gradients(record),
            "D wins": self._d_wins(record),
        }
        if pictures is not None:  # a tick without a grid tells nothing about the pictures
            signs["collapse"] = self._collapse(record, pictures)
        self._remember(record, exploded=signs["explosion"] is not None)
        warnings = [self._judge(sign, seen, record) for sign, seen in signs.items()]
        return [warning for warning in warnings if warning is not None]

    def state(self) -> dict[str, Any]:
        """Give what must be kept over a restart, as JSON can hold it."""
        return {
            "since": {sign: list(since) for sign, since in self._since.items()},
            "losses": {name: list(values) for name, values in self._losses.items()},
            "varied": self._varied,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._since = {sign: (int(n), int(nimg)) for sign, (n, nimg) in state["since"].items()}
        for name, values in self._losses.items():
            values.clear()
            values.extend(state["losses"].get(name, ()))
        self._varied = bool(state["varied"])

    def _judge(self, sign: str, seen: str | None, record: Tick) -> str | None:
        """Count how long a sign has lasted; warn, or stop."""
        if seen is None:
            self._since.pop(sign, None)
            return None
        ticks, first = self._since.get(sign, (0, record.cur_nimg))
        ticks += 1
        self._since[sign] = ticks, first
        limits = _LIMITS[sign]
        if ticks >= limits.stop and record.cur_nimg - first >= limits.nimg and self._final(sign):
            raise DivergedError(f"{_at(record)} {seen}, for {ticks} ticks. {_ADVICE[sign]}")
        if ticks >= limits.warn and (ticks - limits.warn) % _REMIND == 0:
            return f"{_at(record)} {seen}. {_ADVICE[sign]}"
        return None

    def _final(self, sign: str) -> bool:
        """Tell whether a sign that has lasted long enough is past hope."""
        if sign == "D wins":
            past = list(self._losses["loss_G"])
            half = len(past) // 2
            if not half:
                return False
            early, late = statistics.fmean(past[:half]), statistics.fmean(past[half:])
            return late >= _HOPELESS and late >= _RISE * early
        return sign != "collapse" or self._varied

    def _remember(self, record: Tick, *, exploded: bool) -> None:
        for name, past in self._losses.items():
            value = record.losses.get(name)
            # what has exploded would soon make itself the rule
            if value is not None and math.isfinite(value) and not exploded:
                past.append(value)

    def _strange_losses(self, record: Tick) -> str | None:
        names = [name for name, value in record.losses.items() if not math.isfinite(value)]
        return f"not finite: {', '.join(names)}" if names else None

    def _explosion(self, record: Tick) -> str | None:
        for name, past in self._losses.items():
            value = record.losses.get(name, 0.0)
            if len(past) < _HISTORY // 2 or not math.isfinite(value):
                continue
            usual = max(statistics.median(map(abs, past)), _LOSS_FLOOR)
            if abs(value) > _EXPLODED * usual:
                return f"{name} has jumped to {value:.3g}, from {usual:.3g} and less"
        return None

    def _d_wins(self, record: Tick) -> str | None:
        loss = record.losses.get("loss_G", 0.0)
        held = self._p_max is not None and record.ada_p < 0.999 * self._p_max
        if held or record.d_sign_real < _SURE or not loss >= _WORRYING:
            return None
        p = "no adaptive augmentation" if self._p_max is None else f"p at its limit {self._p_max}"
        return (
            f"D wins: it is right about nearly all real pictures (mean sign "
            f"{record.d_sign_real:.3f}) with {p}, and loss_G is {loss:.3g}"
        )

    def _collapse(self, record: Tick, pictures: Spread) -> str | None:
        self._varied = self._varied or pictures.share >= _VARIED
        early = not self._varied and record.cur_nimg < _FIRST_PICTURES
        if early or pictures.share >= _ALIKE:
            return None
        return (
            f"generated pictures are nearly all alike: they differ by {pictures.generated:.2g} "
            f"of 255, real ones by {pictures.real:.2g}"
        )


_ADVICE: Final = {
    "losses": (
        "Usual causes: a learning rate that is too high, or 16-bit numbers that overflow. Halve "
        f"`G_lr` and `D_lr` in `live.json`, or set `network.half` to off; then {_BACK}."
    ),
    "gradients": (
        "Usual causes: 16-bit numbers that overflow, or R1 too strong for them. Set `network.half` "
        f"to off; then {_BACK}."
    ),
    "explosion": (
        "Usual causes: a learning rate that is too high, or R1 too weak. Halve both rates or "
        f"double `r1_gamma` in `live.json`; then {_BACK}."
    ),
    "D wins": (
        "Usual causes: too few pictures, so that D learns them by heart, or R1 too weak. Double "
        "`r1_gamma` or halve `D_lr` in `live.json`, or set `augment.mode` to ada; "
        f"then {_BACK}."
    ),
    "collapse": (
        "Usual causes: R1 too weak, a learning rate that is too high. Double `r1_gamma` or halve "
        f"`G_lr` in `live.json`; then {_BACK}."
    ),
}


def _strange_gradients(record: Tick) -> str | None:
    share = record.losses.get("not_finite", 0.0)
    if share < _OVERFLOWS:
        return None
    return f"gradients were not finite in {share:.0%} of the steps, and left out"


def _at(record: Tick) -> str:
    return f"at {record.kimg:.1f} kimg"


def _of_weights(damaged: Sequence[str], record: Tick) -> str:
    named = ", ".join(damaged[:5]) + (f" and {len(damaged) - 5} more" if len(damaged) > 5 else "")
    return f"{_at(record)} weights are not finite: {named}. {_ADVICE['losses']}"
