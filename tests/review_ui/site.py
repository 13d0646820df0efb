"""A review page that really serves: real pictures in real packs, on a real port."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import uvicorn
from starlette.types import ASGIApp

from curation.preview import preview
from curation.recipe import Limits, Recipe
from curation.standardize import encode_thumb
from curation.synthetic.drawing import draw_product, encode
from curation.synthetic.outlines import KINDS
from data_catalog.catalog import Catalog
from review_ui.app import create_app
from review_ui.desk import Desk, open_desk
from review_ui.errors import NotFoundError
from review_ui.feed import Done, Tell
from review_ui.loop import Kind, LoopTold, Options, RunDetails, Size
from review_ui.serve import known_hosts
from review_ui.settings import ReviewConfig
from review_ui.store import projection
from review_ui.store.database import open_database
from tests.review_ui import loops
from tests.review_ui.feeds import Item, feed


def work_on_nothing(kind: Kind, _options: Options, tell: Tell) -> Done:
    """Publish, train, … as the real flows do, as far as the page sees it."""
    for done in range(4):
        tell(kind, done, 3)
        time.sleep(0.02)
    if kind == "publish":
        return Done("Version 1: 3 items in 1 shard", version=1, items=3, shards=1)
    return Done(f"{kind} is done")


def encode_anew(data: bytes) -> bytes:
    """Render as the real pipeline does, in this process."""
    return preview(data, Limits())


@dataclass
class Stub:
    """The pipeline as the page sees it, with builds that tests hand in."""

    items: Sequence[Item] = ()
    build: str = "build-1"
    recipe: str = "recipe"
    desk: Desk | None = None
    works: Callable[[Kind, Options, Tell], Done] = work_on_nothing
    told: LoopTold = field(default_factory=LoopTold)
    renders: Callable[[bytes], bytes] = encode_anew
    known: dict[str, Any] = field(default_factory=lambda: {"tests": [], "observations": []})

    def latest_build(self) -> str | None:
        """Give the build that was handed in."""
        return self.build or None

    def refresh(self) -> None:
        """Read it."""
        assert self.desk is not None
        projection.replace(
            self.desk.database, replace(feed(self.items, self.build), recipe=self.recipe)
        )

    def work(self, kind: Kind, options: Options, tell: Tell) -> Done:
        """Do what the test wants."""
        return self.works(kind, options, tell)

    def loop_state(self) -> LoopTold:
        """Tell what the test wants."""
        return self.told

    def run_details(self, run: str) -> RunDetails:
        """Tell the same of each run."""
        self._find(run)
        return loops.details(run)

    def grid(self, run: str, grid: str, size: Size) -> bytes:
        """Give a drawn one."""
        self._find(run)
        return loops.sheet(0 if grid == "reals" else 7)

    def comparison(self) -> bytes:
        """Give one that is hostile."""
        return b"<script>alert(1)</script>"

    def _find(self, run: str) -> None:
        if all(known.name != run for known in self.told.runs):
            raise NotFoundError(f"there is no run {run!r}")

    def explain(self, item: str) -> dict[str, Any]:
        """Tell what the test wants."""
        return {**self.known, "versions": []}

    def render(self, data: bytes) -> bytes:
        """Do what the test wants."""
        return self.renders(data)


@cache
def picture(seed: int) -> tuple[bytes, bytes, bytes]:
    """Draw a product; give it as a file from outside, standardized, and small."""
    kind = list(KINDS)[seed % len(KINDS)]
    rgb = draw_product(np.random.default_rng(seed), kind, (256, 192))
    return encode(rgb, ".jpg", 85), encode(rgb, ".png", 0), encode_thumb(rgb)


def with_pictures(catalog: Catalog, items: Sequence[Item]) -> list[Item]:
    """Put a drawn picture for each item into packs."""
    places: list[dict[str, Any]] = []
    with (
        catalog.raw.writer() as raw,
        catalog.standard(Recipe().id).writer() as standard,
    ):
        for number in range(len(items)):
            came, whole, thumb = picture(number % 40)
            at = raw.add(f"{number}", came)
            big, small = standard.add(f"{number}", whole), standard.add(f"{number}.thumb", thumb)
            places.append(
                {
                    "raw_pack": at.pack,
                    "raw_offset": at.offset,
                    "raw_length": at.length,
                    "pack": big.pack,
                    "offset": big.offset,
                    "length": big.length,
                    "thumb_offset": small.offset,
                    "thumb_length": small.length,
                }
            )
    return [
        Item(item.name, item.evidence, {**place, **item.columns})
        for item, place in zip(items, places, strict=True)
    ]


@dataclass
class Answer:
    """What a request gave."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class Client:
    """Somebody at the page; sends what a browser sends, unless told otherwise."""

    address: str
    cookie: str = ""
    csrf: str = ""

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str | None] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """Send a request; a header that is None is left out."""
        parts = urlsplit(self.address)
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        sent: dict[str, str | None] = {
            "Host": parts.netloc,
            "Origin": self.address.rstrip("/"),
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            "Cookie": self.cookie or None,
            "X-CSRF-Token": self.csrf or None,
            **(headers or {}),
        }
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            # A server that refuses a long body answers before it has taken all of it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(data or None)
            answer = connection.getresponse()
            return Answer(
                answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
            )

    def get(self, path: str) -> Answer:
        """Read."""
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> Answer:
        """Change something."""
        return self.ask("POST", path, body)

    def log_in(self, name: str, token: str | None = None) -> Answer:
        """Log in, and keep the cookie."""
        answer = self.post("/api/session", {"name": name, "token": token})
        if answer.status == 200:
            self.cookie = answer.headers["set-cookie"].split(";")[0]
            self.csrf = answer.json["csrf"]
        return answer


@dataclass
class Site:
    """A page that serves."""

    address: str
    desk: Desk
    pipeline: Stub

    def client(self, name: str = "", token: str | None = None) -> Client:
        """Give somebody, logged in where they have a name."""
        client = Client(self.address)
        if name:
            assert client.log_in(name, token).status == 200
        return client


@contextlib.contextmanager
def opened(
    folder: Path, database_url: str, items: Sequence[Item], config: ReviewConfig | None = None
) -> Iterator[Site]:
    """Serve a build of these items, with pictures, until the body ends."""
    config = config or ReviewConfig(port=0)
    catalog = Catalog(folder / "catalog")
    build = "build-1" if items else ""
    pipeline = Stub(with_pictures(catalog, items), build, Recipe().id)
    desk = open_desk("shoes", config, catalog, open_database(database_url), pipeline)
    pipeline.desk = desk
    if items:
        desk.look()
    with served(desk) as address:
        yield Site(address, desk, pipeline)


@contextlib.contextmanager
def served(desk: Desk) -> Iterator[str]:
    """Serve a desk until the body ends, and close it; give the address."""
    with served_app(create_app(desk, known_hosts(desk.config))) as address:
        yield address


@contextlib.contextmanager
def served_app(app: ASGIApp) -> Iterator[str]:
    """Serve an application until the body ends; give the address."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=0,
            log_level="critical",
            server_header=False,
            proxy_headers=False,
            lifespan="on",
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(20)
