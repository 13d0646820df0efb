"""Figures of a run: JSON lines for programs, TensorBoard for people.

A run that is killed after its last snapshot has logged rows that it will log again once it goes on
from there. They are cut off before it does, so that every curve has each point once.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

TICKS: Final = "ticks.jsonl"
STEPS: Final = "steps.jsonl"
TENSORBOARD: Final = "tensorboard"

_LONGEST_SIDE: Final = 1024  # px of a picture in TensorBoard, whose files are never thinned out


@dataclass(frozen=True, slots=True)
class Tick:
    """Figures of one tick.

    Attributes
    ----------
    cur_nimg : int
        Real images that were trained on so far.
    kimg : float
        The same in thousands.
    tick, steps : int
        Ticks and optimizer steps so far.
    seconds : float
        That this tick took.
    sec_per_kimg, images_per_sec : float
        Speed in this tick.
    data_wait_share : float
        Share of the tick in which the loop waited for data, 0 to 1.
    gpu_memory_gb : float or None
        Peak of this process, 10^9 bytes; None on the CPU.
    ada_p : float
        Probability of augmentations at the end of the tick.
    d_sign_real : float
        Mean sign of D on real pictures over the tick, -1 to 1.
    r1_gamma, G_lr, D_lr : float
        In force at the end of the tick.
    losses : dict
        Means over the tick; what was not taken in it is absent.
    """

    cur_nimg: int
    kimg: float
    tick: int
    steps: int
    seconds: float
    sec_per_kimg: float
    images_per_sec: float
    data_wait_share: float
    gpu_memory_gb: float | None
    ada_p: float
    d_sign_real: float
    r1_gamma: float
    G_lr: float
    D_lr: float
    losses: dict[str, float] = dataclasses.field(default_factory=dict)

    def scalars(self) -> dict[str, float]:
        """Give what is drawn as curves, by its name in TensorBoard."""
        named: dict[str, float | None] = {
            "speed/sec_per_kimg": self.sec_per_kimg,
            "speed/images_per_sec": self.images_per_sec,
            "speed/data_wait_share": self.data_wait_share,
            "speed/gpu_memory_gb": self.gpu_memory_gb,
            "augment/p": self.ada_p,
            "augment/d_sign_real": self.d_sign_real,
            "settings/r1_gamma": self.r1_gamma,
            "settings/G_lr": self.G_lr,
            "settings/D_lr": self.D_lr,
        }
        named |= {f"losses/{name}": value for name, value in self.losses.items()}
        return {name: value for name, value in named.items() if value is not None}


class Journal:
    """Writer of `ticks.jsonl`, `steps.jsonl` and `tensorboard/`; one a run, in its first process.

    Log a tick before its snapshot is saved: a run that goes on from the snapshot keeps it then.

    Parameters
    ----------
    folder : Path
        Of the run.
    cur_nimg : int
        Where the run starts or goes on: rows beyond it are cut off. At 0, all are.
    """

    def __init__(self, folder: Path, cur_nimg: int) -> None:
        self._ticks, self._steps = folder / TICKS, folder / STEPS
        folder.mkdir(parents=True, exist_ok=True)
        for path in (self._ticks, self._steps):
            cut_off(path, cur_nimg)
        # TensorBoard forgets points from this step on
        forget = cur_nimg + 1 if cur_nimg else 0
        self._board = SummaryWriter(str(folder / TENSORBOARD), purge_step=forget)

    def tick(self, record: Tick) -> None:
        """Log a tick's figures; on disk when this returns."""
        _append(self._ticks, [dataclasses.asdict(record)])
        for name, value in record.scalars().items():
            self._board.add_scalar(name, value, record.cur_nimg)
        self._board.flush()

    def steps(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Log steps, each a row with `cur_nimg` and whatever was measured."""
        rows = list(rows)
        assert all(isinstance(row.get("cur_nimg"), int) for row in rows), "rows need `cur_nimg`"
        _append(self._steps, rows)

    def images(self, name: str, image: Image.Image, cur_nimg: int) -> None:
        """Show a picture in TensorBoard, made smaller if its longer side is over 1024 px."""
        small = image.convert("RGB")
        small.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        self._board.add_image(name, np.asarray(small), cur_nimg, dataformats="HWC")

    def text(self, name: str, text: str, cur_nimg: int) -> None:
        """Show a text in TensorBoard, in Markdown."""
        self._board.add_text(name, text, cur_nimg)

    def flush(self) -> None:
        """Bring everything to disk."""
        self._board.flush()

    def close(self) -> None:
        """Bring everything to disk and stop."""
        self._board.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Go through the rows of a JSON lines file; none if it is missing, torn lines are left out."""
    if path.is_file():
        with path.open("rb") as file:
            yield from (row for row in map(_row, file) if row is not None)


def cut_off(path: Path, cur_nimg: int) -> int:
    """Take out rows beyond `cur_nimg` (all if it is 0) and torn lines.

    The file is replaced in one go: a kill in the middle leaves it as it was.

    Returns
    -------
    int
        How many lines were taken out.
    """
    if not path.is_file():
        return 0
    partial = path.with_name(f".{path.name}.part")
    try:
        taken = _copy_up_to(path, partial, cur_nimg)
        if taken:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return taken


def _copy_up_to(path: Path, copy: Path, cur_nimg: int) -> int:
    taken = 0
    with path.open("rb") as old, copy.open("wb") as new:
        for line in old:
            row = _row(line)
            if row is not None and cur_nimg and row["cur_nimg"] <= cur_nimg:
                new.write(line)
            else:
                taken += 1
    return taken


def _row(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("cur_nimg"), int) else None


def _append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = "".join(json.dumps(_plain(row), allow_nan=False) + "\n" for row in rows)
    if lines:
        with path.open("a", encoding="utf-8") as file:
            file.write(lines)


def _plain(value: Any) -> Any:
    """Give null for what is not finite: JSON has no word for it."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
