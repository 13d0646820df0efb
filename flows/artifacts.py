"""Pictures on Prefect's pages: in Markdown, with the bytes in the address, so that none is lost."""

from __future__ import annotations

import base64
import contextlib
import contextvars
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from flows.trainings.runs import RunSummary, summary_of
from training.errors import SetupError
from training.runs.record import RunRecord, read_run
from training.watch.curves import curves_svg, panels_of, small_jpeg

if TYPE_CHECKING:
    from curation.stages.report import Report

_MOST_BYTES: Final = 1_000_000  # of a picture, all of which goes into Prefect's database
_LOOK_EVERY: Final = 5.0  # seconds
_DRAW_EVERY: Final = 4  # looks


def svg(drawing: str, alt: str) -> str:
    """Give a drawing as Markdown."""
    return _picture(drawing.encode(), "image/svg+xml", alt)


def jpeg(data: bytes, alt: str) -> str:
    """Give a photograph as Markdown."""
    return _picture(data, "image/jpeg", alt)


def _picture(data: bytes, kind: str, alt: str) -> str:
    if len(data) > _MOST_BYTES:
        return f"*{alt}: {len(data):,} bytes are too many to be shown here*"
    return f"![{alt}](data:{kind};base64,{base64.b64encode(data).decode()})"


@contextlib.contextmanager
def watching(run: Path) -> Iterator[None]:
    """Show on the run's page how a training comes along, while the body runs.

    Artifacts are brought up to date in place: a run of days leaves as many as one of minutes.
    A server that is away changes nothing for the training.
    """
    page = _TrainingPage(run)
    ended = threading.Event()

    def watch() -> None:
        looks = 0
        while not ended.wait(_LOOK_EVERY):
            page.update(with_pictures=looks % _DRAW_EVERY == 0)
            looks += 1
        page.update(with_pictures=True)

    context = contextvars.copy_context()  # it knows which flow run this is
    thread = threading.Thread(target=context.run, args=(watch,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_LOOK_EVERY)


def show_build(report: Report | None) -> None:
    """Put the pictures of a build on the run's page; nothing where it was there already."""
    if report is None:
        return
    create_markdown_artifact(key="rebuild-funnel", markdown=svg(report.funnel, "funnel"))
    if report.sheet is not None:
        sheet = jpeg(report.sheet, "what was kept, and what was taken out for which reason")
        create_markdown_artifact(key="rebuild-pictures", markdown=sheet)


def show_end(summary: RunSummary) -> None:
    """Say on the run's page how a training ended."""
    text = (
        f"Run {summary.name} on version {summary.version}: {summary.status} at "
        f"{summary.kimg:g} of {summary.total_kimg:g} kimg"
    )
    metrics = "".join(f"\n- {key}: {value:g}" for key, value in summary.newest_metrics().items())
    create_markdown_artifact(key="training-run", markdown=f"{text}\n{metrics}\n\n`{summary.path}`")


class _TrainingPage:
    """The artifacts of a training: how far it is, its newest grid, its curves."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._bar: UUID | None = None
        self._shown: dict[str, tuple[UUID, str]] = {}

    def update(self, *, with_pictures: bool) -> None:
        try:
            record = read_run(self._run)
        except SetupError:  # it has not begun yet
            return
        with contextlib.suppress(Exception):  # whatever it is, a training does not end for it
            self._progress(summary_of(record))
            if with_pictures:
                self._grid(record)
                self._show("training-curves", svg(curves_svg(panels_of(record)), "curves"))

    def _progress(self, summary: RunSummary) -> None:
        percent = min(100.0 * summary.kimg / max(summary.total_kimg, 1e-9), 100.0)
        words = f"{summary.kimg:g} of {summary.total_kimg:g} kimg"
        if self._bar is None:
            bar = create_progress_artifact(percent, key="training-progress", description=words)
            self._bar = cast("UUID", bar)
        else:
            update_progress_artifact(self._bar, percent, words)

    def _grid(self, record: RunRecord) -> None:
        if record.newest_grid is not None:
            grid = record.path / record.newest_grid
            self._show("training-samples", jpeg(small_jpeg(grid), f"samples {grid.stem}"))

    def _show(self, key: str, markdown: str) -> None:
        """Create an artifact, or bring it up to date."""
        known = self._shown.get(key)
        if known is None:
            identity = cast("UUID", create_markdown_artifact(markdown, key=key))
        elif known[1] == markdown:
            return
        else:
            identity = known[0]
            get_client(sync_client=True).update_artifact(identity, ArtifactUpdate(data=markdown))
        self._shown[key] = (identity, markdown)
