"""What the review page is handed of the pipeline. Heavy work runs in processes of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pydantic import ValidationError

from curation.preview import previews
from curation.stages.review import queue_infos, review_items
from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from data_catalog.versions import REPORT
from flows.aside import Aside
from flows.catalog import open_catalog
from flows.decisions import exchange_with, open_store
from flows.progress import AS_JSON, FORM
from flows.settings import DatasetConfig
from review_ui.errors import BusyError, NotFoundError, ReviewError
from review_ui.feed import Feed, Published, Tell
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
        The configuration; publishing runs the command line with it.
    """

    def __init__(self, config: DatasetConfig, file: Path) -> None:
        self._config, self._file = config, file
        self._catalog = open_catalog(config)
        self._lock = threading.Lock()
        self._renderer = Aside(previews, config.limits.seconds)
        self._explainer = Aside(_explain, _EXPLAIN_SECONDS)
        self._explaining = threading.BoundedSemaphore(_EXPLAINED_AT_ONCE)
        self._explained: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()
        self._children: set[int] = set()

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
        with self._tracked(child.pid), ours:
            try:
                problem: str = ours.recv()
            except EOFError:
                child.join()
                problem = f"reading the catalog ended with exit code {child.exitcode}"
            child.join()
        if problem:
            raise ReviewError(problem)

    def publish(self, tell: Tell) -> Published:
        """Run `nonesuch publish`; its progress is told."""
        command = (sys.executable, "-m", "flows.cli", "publish", "--json")
        with (
            subprocess.Popen(
                (*command, "--config", str(self._file)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**os.environ, FORM: AS_JSON},
            ) as child,
            self._tracked(child.pid),
        ):
            assert child.stdout is not None
            assert child.stderr is not None
            said = _follow(child.stderr, tell)
            summary = child.stdout.read()
        if child.returncode != 0:
            raise ReviewError("\n".join(said) or f"publish ended with exit code {child.returncode}")
        found = json.loads(summary.splitlines()[-1])
        return Published(found["version"], found["items"], found["shards"])

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
        found = self._renderer((data, self._config.limits))
        if isinstance(found, str):
            raise NotFoundError(f"the original cannot be shown: {found}")
        return found

    def close(self) -> None:
        """End what still runs; whatever it was will be done again."""
        with self._lock:
            for child in self._children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, 15)
        self._renderer.close()
        self._explainer.close()

    @contextlib.contextmanager
    def _tracked(self, child: int | None) -> Iterator[None]:
        assert child is not None
        with self._lock:
            self._children.add(child)
        try:
            yield
        finally:
            with self._lock:
                self._children.discard(child)


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


def _follow(lines: Any, tell: Tell) -> list[str]:
    """Tell the progress that is written in JSON; give the error at the end of the other lines."""
    said: list[str] = []
    for line in lines:
        try:
            found = json.loads(line)
            tell(found["stage"], found["done"], found["total"] or 0)
        except (ValueError, TypeError, KeyError):
            if line.strip():
                said.append(line.strip())
    # Ours come in words of several lines; of others, the last line says what it was.
    ours = next((n for n, line in enumerate(said) if line.startswith("error: ")), None)
    return said[-1:] if ours is None else [said[ours].removeprefix("error: "), *said[ours + 1 :]]


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
