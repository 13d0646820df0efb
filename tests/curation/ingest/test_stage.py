from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.errors import SourceError
from curation.ingest.offers import Event, Known, Offer
from curation.ingest.sources import FolderConfig, open_source
from curation.ingest.stage import IngestProgress, _read_all, ingest
from curation.recipe import Limits
from data_catalog.catalog import Catalog
from data_catalog.packs import PackRef

Picture = Callable[[int], bytes]

# Packs of 25 pictures, so that a kill finds several batches; slowed a little, so that it hits one.
CHILD = """
import sys, time
from curation.ingest.sources import FolderConfig, open_source
from curation.ingest import stage
from curation.recipe import Limits
from data_catalog import packs
from data_catalog.catalog import Catalog
packs.PackWriter.full = property(lambda self: self.items >= 25)
add = packs.PackWriter.add
def slowly(self, name, data):
    time.sleep(0.002)
    return add(self, name, data)
packs.PackWriter.add = slowly
print("begin", flush=True)
config = FolderConfig(path=sys.argv[2])
stage.ingest(Catalog(sys.argv[1]), open_source(config), Limits(), tombstones=set())
print("end", flush=True)
"""


def _state(root: Path) -> tuple[set[str], set[str]]:
    """Give image ids and observed locators; check that both hold together with the packs."""
    catalog = Catalog(root)
    images = catalog.table("images").read().to_pylist()
    ids = [r["image_id"] for r in images]
    assert len(ids) == len(set(ids)), "an image is stored twice"
    packs = set(catalog.raw.packs())
    assert {r["pack"] for r in images} <= packs
    observations = catalog.table("observations").read().to_pylist()
    assert {r["image_id"] for r in observations} <= set(ids)
    locators = [r["locator"] for r in observations]
    assert len(locators) == len(set(locators)), "something is observed twice"
    return set(ids), set(locators)


def test_killed_at_any_moment_and_run_again(tmp_path: Path, picture: Picture) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:03}.png").write_bytes(picture(number))
    root, calm = tmp_path / "root", tmp_path / "calm"
    grown = [0]
    for pause in (0.05, 0.15, 0.25, 0.4):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(root), str(folder)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"begin\n"
            time.sleep(pause)
            child.send_signal(signal.SIGKILL)
        grown.append(len(_state(root)[0]))
    assert grown == sorted(grown)
    source = open_source(FolderConfig(path=str(folder)))
    counts = ingest(Catalog(root), source, Limits(), tombstones=set())
    assert counts.seen == 200 and counts.failed == {}
    ingest(Catalog(calm), source, Limits(), tombstones=set())
    assert _state(root) == _state(calm)
    named = {r["pack"] for r in Catalog(root).table("images").read().to_pylist()}
    orphans = set(Catalog(root).raw.packs()) - named
    assert len(orphans) <= 4  # at most one a kill


class _Breaking:
    """A source that breaks after some pictures."""

    name = "breaking"
    random_access = True

    def __init__(self, pictures: list[bytes]) -> None:
        self.pictures = pictures

    def offers(self, known: Known, limits: Limits) -> Iterator[Event]:
        for number, data in enumerate(self.pictures):
            yield Offer(f"{number}", "1", read=lambda data=data: data)
        raise SourceError("the disk was pulled out")


def test_source_that_breaks_loses_nothing_of_what_came_before(
    tmp_path: Path, picture: Picture
) -> None:
    catalog = Catalog(tmp_path)
    with pytest.raises(SourceError, match="pulled out"):
        ingest(catalog, _Breaking([picture(i) for i in range(100)]), Limits(), tombstones=set())
    # What was read ahead and not yet taken is read again next time.
    assert len(catalog.table("observations").read()) >= 60


def test_bytes_are_stored_as_they_came_and_in_order(
    tmp_path: Path, run: Any, picture: Picture
) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    for number in range(120):
        (folder / f"{number:03}").write_bytes(picture(number) * (1 + number % 7))
    seen: list[IngestProgress] = []
    source = open_source(FolderConfig(path=str(folder)))
    ingest(run.catalog, source, Limits(), tombstones=set(), progress=seen.append)
    assert seen[-1].seen == seen[-1].new == 120
    rows = run.rows()
    assert [r["locator"] for r in rows] == sorted(r["locator"] for r in rows)
    where = {r["image_id"]: PackRef(r["pack"], r["offset"], r["length"]) for r in run.images()}
    for row in rows:
        assert (
            run.catalog.raw.read(where[row["image_id"]]) == (folder / row["locator"]).read_bytes()
        )


def test_what_was_read_ahead_is_bounded(tmp_path: Path, picture: Picture) -> None:
    alive = most = 0

    class Large:
        name = "large"
        random_access = True

        def offers(self, known: Known, limits: Limits) -> Iterator[Event]:
            nonlocal alive, most
            for number in range(200):
                alive += 1
                most = max(most, alive)
                yield Offer(str(number), "1", read=lambda: b"x", size=32 << 20)

    for _ in _read_all(Large(), Known(), Limits()):
        alive -= 1
    assert most <= 4
