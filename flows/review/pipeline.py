"""What the review page is handed of the pipeline. Heavy work runs in processes of its own."""

from __future__ import annotations

import itertools
import json
import math
import multiprocessing
import signal
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pydantic import ValidationError

from curation.preview import LONGEST_SIDE, previews
from curation.stages.review import queue_infos, review_items
from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from data_catalog.versions import REPORT
from flows.catalog import open_catalog
from flows.decisions import exchange_with, open_store
from flows.review import grids, trainings
from flows.review.aside import Aside
from flows.review.prefect import PrefectServer
from flows.review.standing import LoopReader
from flows.review.work import Worker
from flows.settings import DatasetConfig
from review_ui.errors import BusyError, NotFoundError, ReviewError
from review_ui.feed import Done, Feed, Tell
from review_ui.loop import Kind, LoopTold, Options, RunDetails, Size
from review_ui.store import projection

# Of what is explained: at a time, seconds for one, and kept.
_EXPLAINED_AT_ONCE: Final = 2
_EXPLAIN_SECONDS: Final = 60.0
_EXPLAINED: Final = 64
# What an explanation rests on.
_EXPLAINING: Final = ("builds", "observations", "versions")


class CatalogPipeline:
    """The pipeline of one dataset; see `review_ui.feed.Pipeline`.

    Parameters
    ----------
    file
        The configuration; what people start runs the command line with it.
    """

    def __init__(self, config: DatasetConfig, file: Path) -> None:
        self._config = config
        self._catalog = open_catalog(config)
        self._lock = threading.Lock()
        self._renderer = Aside(previews, config.limits.seconds)
        self._explainer = Aside(_explain, _EXPLAIN_SECONDS)
        self._explaining = threading.BoundedSemaphore(_EXPLAINED_AT_ONCE)
        self._explained: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()
        self._server = PrefectServer(config)
        self._loop = LoopReader(config, self._catalog, self._server)
        self._worker = Worker(file, self._server, self._loop.fresh)
        self._grids = grids.Grids(config, self._renderer)

    def latest_build(self) -> str | None:
        """Give the id of the last build that is whole."""
        row = _last_build(self._catalog, ["build", "built_at"])
        return None if row is None else str(row["build"])

    def refresh(self) -> None:
        """Read the last build into the store, in a process: it may be large."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_refresh, args=(self._config, theirs), daemon=True)
        child.start()
        theirs.close()
        with self._worker.tracked(child.pid), ours:
            try:
                problem: str = ours.recv()
            except EOFError:
                child.join()
                problem = f"reading the catalog ended with exit code {child.exitcode}"
            child.join()
        if problem:
            raise ReviewError(problem)

    def work(self, kind: Kind, options: Options, tell: Tell) -> Done:
        """Rebuild, publish, train or rank; its progress is told."""
        return self._worker(kind, options, tell)

    def loop_state(self) -> LoopTold:
        """Tell where the loop stands."""
        return self._loop()

    def run_details(self, run: str) -> RunDetails:
        """Give the curves and grids of a run."""
        return trainings.details(self._config, run)

    def grid(self, run: str, grid: str, size: Size) -> bytes:
        """Give a grid of a run, decoded and encoded in a process that may die of it."""
        return self._grids.get(run, grid, size)

    def comparison(self) -> bytes:
        """Give the page on which runs were compared."""
        return trainings.comparison(self._config)

    def explain(self, item: str) -> dict[str, Any]:
        """Tell what is known about an item: tests, where it came from, versions that have it.

        It reads whole tables, in a process of its own.

        Raises
        ------
        BusyError
            If as many are explained already as may be at a time.
        ReviewError
            If it took too long.
        """
        key = (item, *(self._catalog.table(name).version() for name in _EXPLAINING))
        with self._lock:
            known = self._explained.get(key)
        if known is not None:
            return known
        if not self._explaining.acquire(blocking=False):
            raise BusyError("others are asking for everything known too; try again in a moment")
        try:
            found = self._explainer((self._config, item))
        finally:
            self._explaining.release()
        if isinstance(found, str):
            raise ReviewError(f"what is known about {item[:80]} cannot be told: {found}")
        with self._lock:
            self._explained[key] = found
            while len(self._explained) > _EXPLAINED:
                self._explained.popitem(last=False)
        return found

    def render(self, data: bytes) -> bytes:
        """Decode a picture in a process that may die of it."""
        found = self._renderer((data, self._config.limits, LONGEST_SIDE))
        if isinstance(found, str):
            raise NotFoundError(f"the original cannot be shown: {found}")
        return found

    def close(self) -> None:
        """End what still runs; whatever it was will be done again."""
        self._worker.close()
        self._renderer.close()
        self._explainer.close()
        self._server.close()


def _explain(tasks: Sequence[tuple[DatasetConfig, str]]) -> list[dict[str, Any] | str]:
    """Tell what is known about items, in JSON's types."""
    from flows.inspect import why

    out: list[dict[str, Any] | str] = []
    for config, item in tasks:
        known = why(config, item)
        mine: dict[str, Any] = next(
            (found for found in known["items"] if found["item_id"] == item), {}
        )
        told = {
            "tests": mine.get("tests", []),
            "observations": known["observations"],
            "versions": known["versions"],
        }
        out.append(_plain(told))
    return out


def _refresh(config: DatasetConfig, answer: Any) -> None:
    """Bring the store up to the last build; answer with what went wrong, or with nothing."""
    # Who ends it in the middle has it noted that the build is not being read any more.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stopped)
    problem = ""
    try:
        with open_store(config) as database:
            catalog = open_catalog(config)
            exchange_with(database, catalog)
            feed = make_feed(config, catalog)
            if feed is not None:
                projection.replace(database, feed)
    except Exception as error:
        problem = str(error) or type(error).__name__
    answer.send(problem)


def _stopped(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def make_feed(config: DatasetConfig, catalog: Catalog) -> Feed | None:
    """Give the last build as the page wants it; None where there is none that is whole."""
    row = _last_build(catalog)
    if row is None:
        return None
    built = _as_built(config, row)
    return Feed(
        build=row["build"],
        built_at=row["built_at"],
        recipe=built.recipe.id,
        queues=queue_infos(built.rules),
        items=_of_one_build(catalog, built, row["build"]),
        total=int(json.loads(row["summary"])["items"]),
    )


def _of_one_build(catalog: Catalog, built: DatasetConfig, build: str) -> Iterator[pa.RecordBatch]:
    """Give the items, and make sure that no rebuild changed tables while they were read."""
    batches = review_items(catalog, built.recipe, built.rules, built.sources)
    first = list(itertools.islice(batches, 1))
    last = _last_build(catalog, ["build", "built_at"])
    if last is None or last["build"] != build:
        raise CatalogError("a rebuild began while the catalog was read; it is read again after it")
    yield from first
    yield from batches


def _last_build(catalog: Catalog, columns: list[str] | None = None) -> dict[str, Any] | None:
    """Give the row of the last build; None where tables are half written, or there is none."""
    # The report goes before tables are touched, and comes back after them.
    if not catalog.root.exists(REPORT):
        return None
    rows = catalog.table("builds").read(columns).sort_by("built_at")
    return rows.slice(rows.num_rows - 1).to_pylist()[0] if rows.num_rows else None


def _as_built(config: DatasetConfig, row: dict[str, Any]) -> DatasetConfig:
    """Give the configuration that a build was made with: its thresholds are those to show."""
    try:
        return DatasetConfig.model_validate_json(row["config"])
    except ValidationError:  # by an older Nonesuch
        return config


def _plain(value: Any) -> Any:
    """Leave out what JSON cannot say."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
