"""What the explorer asks of who makes the pictures; handed in, so that no network is known here."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Literal, Protocol

from review_ui.explore.told import ModelsTold, ModelTold, NearestTold, ProjectionTold

Form = Literal["thumb", "show", "png"]
"""How a picture comes: a small JPEG, one of full size, or a PNG that says what it is made of."""

Which = Literal["target", "start", "end"]


class Studio(Protocol):
    """Makes pictures. All of it may be called from several threads.

    Where a run, snapshot or anything else is named that there is not, `NotFoundError` is raised;
    `WrongInputError` where something cannot be done as asked; `BusyError` where too much waits.
    """

    def models(self) -> ModelsTold:
        """Tell what can be looked into."""

    def model(self, run: str, snapshot: str) -> ModelTold:
        """Tell what can be done with a snapshot; loads it."""

    def key(self, run: str, snapshot: str) -> str:
        """Give what stands for the contents of a snapshot, and of what belongs to it."""

    def picture(
        self, run: str, snapshot: str, look: str, form: Form, *, rush: bool
    ) -> Future[bytes]:
        """Begin to make a picture; cancelled before its turn, it costs nothing.

        Parameters
        ----------
        look
            What it is made of, in JSON.
        rush
            Somebody waits for this one: it comes before those that only fill a page.
        """

    def nearest(self, run: str, snapshot: str, look: str) -> NearestTold:
        """Find the real pictures nearest to a look; the first time, that goes on meanwhile."""

    def real(self, run: str, number: int) -> bytes:
        """Give a real picture that `nearest` has named, as JPEG."""

    def projections(self, run: str) -> Sequence[ProjectionTold]:
        """Tell which pictures were projected, or are being."""

    def project(self, run: str, snapshot: str, name: str, data: bytes) -> ProjectionTold:
        """Begin to project a picture from outside."""

    def stop_projecting(self, run: str, name: str) -> None:
        """End a projection that is under way; what is done stays."""

    def projection_picture(self, run: str, name: str, which: Which) -> bytes:
        """Give a picture of a projection, as PNG."""

    def close(self) -> None:
        """End what is under way."""
