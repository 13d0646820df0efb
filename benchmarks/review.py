"""The review page over a million items: pages, thumbnails and decisions of twenty reviewers.

A reviewer takes a page of 60, loads its thumbnails over six connections as browsers do, decides it,
and begins again ten seconds after: six decisions a second each. As the page does, it asks for the
counts of all queues every 15 seconds, and 0.8 seconds after decisions. The store is filled through
the same door as in earnest. The floor is the smallest answer of the same server under the same
load.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from benchmarks.common import REPOSITORY, SCRATCH, Row, say
from curation.recipe import Recipe
from curation.standardize import encode_thumb
from curation.synthetic.drawing import draw_product
from curation.synthetic.outlines import KINDS
from data_catalog.catalog import Catalog
from data_catalog.packs import PackRef
from data_catalog.reviewing import EVIDENCE, REVIEWED, QueueInfo
from data_catalog.schema import Reason
from review_ui.feed import Feed
from review_ui.store import projection
from review_ui.store.database import open_database

ITEMS: Final = 1_000_000
QUEUED: Final = 100_000
REVIEWERS: Final = 20
PAGE: Final = 60
CONNECTIONS: Final = 6
ROUND_SECONDS: Final = 10.0
POLL_SECONDS: Final = 15.0
POLL_AFTER_SECONDS: Final = 0.8
SECONDS: Final = 60.0
DECIDE_SECONDS: Final = 15.0
_BATCH: Final = 20_000
_THUMBS: Final = 500


def run() -> list[Row]:
    """Fill a store, serve it, measure."""
    folder = SCRATCH / "review"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    filled = _fill(folder)
    rows = [filled]
    with _server(folder) as (address, process, started):
        rows.append(
            Row(
                "review: start-up, store of 1M items",
                f"{started:.2f} s",
                reach="under 3 s",
                met=started < 3,
                numbers={"seconds": started},
            )
        )
        load = asyncio.run(_reviewers(address))
        rows += _latencies(load)
        for at_once in (1, 20):
            rate, errors = asyncio.run(_decide_all_the_time(address, at_once))
            rows.append(
                Row(
                    f"review: durable decisions, {REVIEWERS} at once, {at_once} a request",
                    f"{rate:,.0f}/s, {errors} errors",
                    reach="500/s, no error",
                    met=rate >= 500 and errors == 0,
                    numbers={"per_second": rate, "errors": errors},
                )
            )
        peak = _peak_megabytes(process.pid)
        rows.append(
            Row(
                "review: memory of the server, at most",
                f"{peak:.0f} MB",
                reach="under 500 MB",
                met=peak < 500,
                numbers={"megabytes": peak},
            )
        )
    shutil.rmtree(folder, ignore_errors=True)
    return rows


# ---- A million items. ----------------------------------------------------------------------------


def _fill(folder: Path) -> Row:
    say(f"  filling a store with {ITEMS:,} items, {QUEUED:,} of them flagged")
    catalog, recipe = Catalog(folder / "catalog"), Recipe()
    refs = _thumbs(catalog, recipe)
    database = open_database(f"sqlite:///{folder}/review.sqlite")
    began = time.perf_counter()
    info = QueueInfo(
        Reason.BLURRED,
        "Blurred",
        "Even its strongest edges are wide.",
        "flag",
        "items",
        "sharpness",
        "",
        "low",
        0.55,
    )
    feed = Feed("bench", datetime.now(UTC), recipe.id, [info], _batches(refs), ITEMS)
    projection.replace(database, feed)
    database.close()
    took = time.perf_counter() - began
    return Row(
        "review: reading a build of 1M items",
        f"{took:.0f} s, {ITEMS / took:,.0f} items/s",
        numbers={"seconds": took},
    )


def _thumbs(catalog: Catalog, recipe: Recipe) -> list[PackRef]:
    rng = np.random.default_rng(5)
    refs = []
    with catalog.standard(recipe.id).writer() as writer:
        for number in range(_THUMBS):
            kind = list(KINDS)[number % len(KINDS)]
            rgb = draw_product(rng, kind, (384, 512))
            refs.append(writer.add(f"{number}", encode_thumb(rgb)))
    return refs


def _batches(refs: list[PackRef]) -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(6)
    for start in range(0, ITEMS, _BATCH):
        yield _batch(rng, refs, start)


def _batch(rng: np.random.Generator, refs: list[PackRef], start: int) -> pa.RecordBatch:
    count = _BATCH
    flagged = rng.random(count) < QUEUED / ITEMS
    sharpness = rng.uniform(0.1, 0.55, count)
    ids = [f"{a:016x}{b:016x}{c:016x}{start + n:016x}" for n, (a, b, c) in _words(rng, count)]
    picked = [refs[k] for k in rng.integers(0, len(refs), count)]
    evidence = [
        [_evidence(value)] if flag else []
        for flag, value in zip(flagged.tolist(), sharpness.tolist(), strict=True)
    ]
    columns: dict[str, Any] = {
        "item_id": ids,
        "image_id": ids,
        "rule": np.where(flagged, "flagged", "accepted"),
        "evidence": pa.array(evidence, pa.list_(EVIDENCE)),
        "title": [f"Shoe no. {start + n}" for n in range(count)],
        "source": [f"shop-{n % 7}" for n in range(count)],
        "label": ["shoe"] * count,
        "brand": [f"brand-{n % 40}" for n in range(count)],
        "tags": [["worn"] if n % 9 == 0 else [] for n in range(count)],
        "locator": [f"https://shop.example/{start + n}.jpg" for n in range(count)],
        "page": [f"https://shop.example/{start + n}" for n in range(count)],
        "observed_at": [datetime(2026, 1, 1, tzinfo=UTC)] * count,
        "pixels": ids,
        "phash": rng.integers(-(2**63), 2**63, count),
        "raw_pack": [ref.pack for ref in picked],
        "raw_offset": [ref.offset for ref in picked],
        "raw_length": [ref.length for ref in picked],
        "pack": [ref.pack for ref in picked],
        "offset": [ref.offset for ref in picked],
        "length": [ref.length for ref in picked],
        "thumb_offset": [ref.offset for ref in picked],
        "thumb_length": [ref.length for ref in picked],
        "standard_hash": ids,
        "width": [800] * count,
        "height": [1000] * count,
        "file_bytes": [90_000] * count,
        "standard_ratio": np.full(count, 0.75, np.float32),
    }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in REVIEWED
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=REVIEWED)


def _words(rng: np.random.Generator, count: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
    drawn = rng.integers(0, 2**63, (count, 3)).tolist()
    return ((n, (a, b, c)) for n, (a, b, c) in enumerate(drawn))


def _evidence(value: float) -> dict[str, Any]:
    return {
        "reason": "blurred",
        "title": "Blurred",
        "meaning": "Even its strongest edges are wide.",
        "action": "flag",
        "measure": "sharpness",
        "value": value,
        "limit": 0.55,
        "breaks": "<",
        "text": f"sharpness {value:.3g}, at least 0.55",
    }


# ---- The server. ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str], float]]:
    """Start a server; give its address, its process, and the seconds until it answered."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.review_server",
        str(folder / "review.sqlite"),
        str(folder / "catalog"),
        "bench",
    ]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            asyncio.run(_first_answer(address))
            yield address, process, time.perf_counter() - began
        finally:
            process.send_signal(signal.SIGINT)


async def _first_answer(address: str) -> None:
    client = await Client.open(address)
    assert (await client.ask("GET", "/api/health"))[0] == 200
    client.close()


def _peak_megabytes(pid: int) -> float:
    """Read the most memory that a process had, of its own: mapped files are the system's."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    kilobytes = {name: int(fields[name].split()[0]) for name in ("VmHWM", "RssAnon", "VmRSS")}
    return kilobytes["VmHWM"] / 1e3


# ---- Reviewers. ----------------------------------------------------------------------------------


class Client:
    """The least HTTP that keeps a connection: the load must cost less than what it measures."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        self._reader, self._writer = reader, writer
        self._origin = address.rstrip("/")
        self._host = urlsplit(address).netloc
        self.cookie = ""
        self.csrf = ""

    @classmethod
    async def open(cls, address: str) -> Client:
        """Connect."""
        parts = urlsplit(address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        return cls(reader, writer, address)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, float]:
        """Give status, body and seconds of one request."""
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nOrigin: {self._origin}\r\n"
            f"Cookie: {self.cookie}\r\nX-CSRF-Token: {self.csrf}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        began = time.perf_counter()
        self._writer.write(head.encode() + data)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.split(": ", 1) for line in answer[1:] if ": " in line)
        content = await self._reader.readexactly(int(fields.get("content-length", "0")))
        seconds = time.perf_counter() - began
        if "set-cookie" in fields:
            self.cookie = fields["set-cookie"].split(";")[0]
        return int(answer[0].split()[1]), content, seconds

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()


async def _log_in(address: str, name: str) -> Client:
    client = await Client.open(address)
    _, content, _ = await client.ask("POST", "/api/session", {"name": name})
    client.csrf = json.loads(content)["csrf"]
    return client


@dataclass
class Load:
    """Seconds that requests took; `wrong` counts those that failed."""

    pages: list[float] = field(default_factory=list)
    thumbs: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    decisions: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    wrong: int = 0


async def _reviewers(address: str) -> Load:
    say(f"  {REVIEWERS} reviewers for {SECONDS:.0f} s")
    load = Load()
    end = time.perf_counter() + SECONDS
    await asyncio.gather(*(_reviewer(address, n, load, end) for n in range(REVIEWERS)))
    return load


async def _reviewer(address: str, number: int, load: Load, end: float) -> None:
    first = await _log_in(address, f"reviewer {number}")
    clients = [first]
    for _ in range(CONNECTIONS - 1):
        client = await Client.open(address)
        client.cookie, client.csrf = first.cookie, first.csrf
        clients.append(client)
    await asyncio.sleep(ROUND_SECONDS * number / REVIEWERS)
    polling = asyncio.create_task(_poll(address, first, load))
    while time.perf_counter() < end:
        began = time.perf_counter()
        await _round(clients, load)
        await asyncio.sleep(max(0.0, ROUND_SECONDS - (time.perf_counter() - began)))
    polling.cancel()
    for client in clients:
        client.close()


async def _poll(address: str, known: Client, load: Load) -> None:
    client = await Client.open(address)
    client.cookie = known.cookie
    try:
        while True:
            await _count(client, load)
            await asyncio.sleep(POLL_SECONDS)
    finally:
        client.close()


async def _count(client: Client, load: Load) -> None:
    status, _, seconds = await client.ask("GET", "/api/queues")
    load.counts.append(seconds)
    load.wrong += status != 200


async def _round(clients: list[Client], load: Load) -> None:
    first = clients[0]
    status, _, seconds = await first.ask("GET", "/api/health")
    load.floor.append(seconds)
    status, content, seconds = await first.ask(
        "POST", "/api/queues/blurred/page", {"limit": PAGE, "lease": True}
    )
    load.pages.append(seconds)
    load.wrong += status != 200
    items = json.loads(content)["items"]
    waiting = [item["thumb"] for item in items]

    async def fetch(client: Client) -> None:
        while waiting:
            status, _, seconds = await client.ask("GET", waiting.pop())
            load.thumbs.append(seconds)
            load.wrong += status != 200

    await asyncio.gather(*map(fetch, clients))
    sent = [_decision(item["id"], item["head"], n % 7 == 0) for n, item in enumerate(items)]
    status, content, seconds = await first.ask("POST", "/api/decisions", {"decisions": sent})
    load.decisions.append(seconds)
    outcomes = json.loads(content).get("outcomes", [])
    load.wrong += status != 200 or any(found["outcome"] != "saved" for found in outcomes)
    await asyncio.sleep(POLL_AFTER_SECONDS)
    await _count(first, load)


def _decision(item: str, base: str | None, reject: bool) -> dict[str, Any]:
    return {
        "uuid": str(uuid.uuid4()),
        "item": item,
        "verdict": "rejected" if reject else "accepted",
        "base": base,
        "ms": 400,
    }


async def _decide_all_the_time(address: str, at_once: int) -> tuple[float, int]:
    """Decide as fast as answers come; give saved decisions a second, and how many were not.

    One a request is what keys of the single view send, twenty the smallest page of the grid.
    """
    say(f"  {REVIEWERS} reviewers who do nothing but decide, {at_once} a request")
    clients = [await _log_in(address, f"reviewer {n}") for n in range(REVIEWERS)]
    supply: list[tuple[str, str | None]] = []
    after = None
    while len(supply) < 30_000 and (after is not None or not supply):
        page = {"limit": 100, "after": after}
        _, content, _ = await clients[0].ask(
            "POST", "/api/queues/all/page", {**page, "standing": "accepted"}
        )
        answer = json.loads(content)
        supply += [(item["id"], item["head"]) for item in answer["items"]]
        after = answer["next"]
    saved = errors = 0
    began = time.perf_counter()

    async def decide(client: Client) -> None:
        nonlocal saved, errors
        while supply and time.perf_counter() - began < DECIDE_SECONDS:
            taken = [supply.pop() for _ in range(min(at_once, len(supply)))]
            sent = [_decision(item, base, reject=True) for item, base in taken]
            status, content, _ = await client.ask("POST", "/api/decisions", {"decisions": sent})
            outcomes = json.loads(content)["outcomes"] if status == 200 else []
            good = sum(found["outcome"] == "saved" for found in outcomes)
            saved, errors = saved + good, errors + len(sent) - good

    await asyncio.gather(*map(decide, clients))
    took = time.perf_counter() - began
    for client in clients:
        client.close()
    return saved / took, errors


def _latencies(load: Load) -> list[Row]:
    floor = _p95(load.floor)
    rows = []
    for what, times, reach in (
        (f"review: page of {PAGE} items, {REVIEWERS} reviewers, p95", load.pages, 50),
        (f"review: thumbnail, {REVIEWERS} reviewers, p95", load.thumbs, 15),
        (f"review: {PAGE} decisions at a stroke, durable, p95", load.decisions, None),
        (f"review: counts of all queues, {REVIEWERS} reviewers, p95", load.counts, None),
    ):
        found = _p95(times)
        rows.append(
            Row(
                what,
                f"{found:.1f} ms of {len(times):,}",
                f"empty answer {floor:.1f} ms",
                f"{found / floor:.1f}×",
                "" if reach is None else f"under {reach} ms",
                None if reach is None else found < reach and load.wrong == 0,
                {"p95": found, "median": float(np.median(times)) * 1e3, "wrong": load.wrong},
            )
        )
    return rows


def _p95(times: list[float]) -> float:
    return float(np.percentile(times, 95)) * 1e3


if __name__ == "__main__":
    print(*run(), sep="\n")
    os._exit(0)
