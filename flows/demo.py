"""The demo: scrape a shop with planted defects, run the main job on it, count what was caught."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pydantic import BaseModel

from curation.ingest.selection import current, unread_id
from curation.ingest.sources import ShopConfig
from curation.localshop.server import LocalShop
from curation.synthetic import PlantedImage, write_demo_set
from data_catalog.schema import Reason, Verdict
from data_catalog.versions import REPORT
from flows import progress
from flows.catalog import open_catalog
from flows.publish import publish
from flows.rebuild import rebuild
from flows.settings import ConfigError, DatasetConfig, load
from flows.template import render

COPIES = frozenset({Reason.PIXEL_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.MIRRORED_COPY})
SAME_BYTES = "same_bytes"


class DemoRow(BaseModel):
    """One kind of defect: planted, caught, missed; and sound pictures taken for it."""

    defect: str
    planted: int
    caught: int
    missed: int
    false_alarms: int


class DemoOutcome(BaseModel):
    """What the demo came to, and where to look."""

    rows: list[DemoRow]
    planted: int
    caught: int
    sound: int
    sound_accepted: int
    seconds: float
    pictures: str
    report: str
    version: int
    path: str
    items: int
    shards: int


def run_demo(folder: Path, *, seed: int, products: int) -> DemoOutcome:
    """Open a shop below `folder`, scrape, judge and publish it, hold the verdicts against the plan.

    Run again, it opens the same shop at the same place and finds nothing new.
    """
    began = time.perf_counter()
    file = _begin(folder, seed, products)
    config = load(file)
    with progress.stage("draw pictures") as stage:
        planted = write_demo_set(folder, seed=seed, products=products)
        stage.result = (
            f"{len(planted)} pictures, {sum(p.defect is not None for p in planted)} planted"
        )
    with _shop(folder / "images", seed, config):
        rebuild(config)
    published = publish(config)
    rows, sound, accepted = score(planted, *_outcome(config), config)
    return DemoOutcome(
        rows=rows,
        planted=sum(row.planted for row in rows),
        caught=sum(row.caught for row in rows),
        sound=sound,
        sound_accepted=accepted,
        seconds=round(time.perf_counter() - began, 1),
        pictures=str(folder / "images"),
        report=open_catalog(config).root.join(REPORT),
        version=published.version,
        path=published.path,
        items=published.items,
        shards=published.shards,
    )


def _begin(folder: Path, seed: int, products: int) -> Path:
    """Give the configuration of the demo below `folder`; an edited one stays as it is."""
    file = folder / "nonesuch.toml"
    head = f"# The demo of seed {seed} with {products} products.\n"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        text = render("demo", "catalog", f"http://127.0.0.1:{_free_port()}/", web=_WEB)
        file.write_text(head + text, encoding="utf-8")
    elif not file.read_text("utf-8").startswith(head):
        raise ConfigError(
            f"{file} is not that of the demo of seed {seed} with {products} products; "
            "name another folder, or remove this one"
        )
    return file


# The shop is our own and on this machine: nobody is kept waiting by haste.
_WEB: Final = {
    "contact": "https://github.com/nonesuch/nonesuch",
    "per_host": 8,
    "delay": 0.0,
    "autothrottle": False,
    "timeout": 10.0,
    "allow_hosts": ["127.0.0.1"],
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _shop(pictures: Path, seed: int, config: DatasetConfig) -> LocalShop:
    """Open the shop where the configuration says that it is."""
    shops = [source for source in config.sources if isinstance(source, ShopConfig)]
    place = urlsplit(shops[0].start_urls[0]) if shops else None
    if place is None or place.hostname != "127.0.0.1" or place.port is None:
        raise ConfigError(
            "the demo's configuration must have a shop at http://127.0.0.1:<port>/; take your "
            "changes back, or name another folder"
        )
    return LocalShop(pictures, seed=seed, port=place.port)


Verdicts = Mapping[str, tuple[str, frozenset[str]]]


def _outcome(config: DatasetConfig) -> tuple[dict[str, str], Verdicts]:
    """Give item by file name, and (verdict, reasons) by item."""
    catalog = open_catalog(config)
    observations = catalog.table("observations").read()
    verdicts = catalog.table("verdicts").read()
    items = {
        unquote(urlsplit(row["locator"]).path).rpartition("/")[2]: row["image_id"]
        or unread_id(row["source"], row["locator"])
        for row in observations.select(["source", "locator", "image_id"]).to_pylist()
    }
    assert current(observations, config.sources).num_rows == verdicts.num_rows
    return items, _by_item(verdicts)


def _file_name(url: str) -> str:
    return unquote(urlsplit(url).path).rpartition("/")[2]


def _by_item(verdicts: pa.Table) -> Verdicts:
    return {
        row["item_id"]: (row["verdict"], frozenset(row["reasons"]))
        for row in verdicts.select(["item_id", "verdict", "reasons"]).to_pylist()
    }


def score(
    planted: Sequence[PlantedImage],
    items: Mapping[str, str],
    verdicts: Verdicts,
    config: DatasetConfig,
) -> tuple[list[DemoRow], int, int]:
    """Count what was caught.

    A copy is caught if it or its original is marked as one: either may be the one that is kept.
    Of a family of colourways those above the cap are expected to be caught. A false alarm is a
    sound picture, neither planted nor the original of a copy, that carries the reason.

    Returns
    -------
    rows : list of DemoRow
    sound : int
        Sound pictures.
    accepted : int
        Those of them that were accepted.
    """

    def reasons(name: str) -> frozenset[str]:
        return verdicts[items[name]][1]

    originals = {image.of for image in planted if image.of is not None}
    sound = [
        image.file_name
        for image in planted
        if image.defect is None and image.of is None and image.file_name not in originals
    ]
    alarms = Counter(reason for name in sound for reason in reasons(name))
    rows = []
    defects = [(image, _met(image.defect)) for image in planted if image.defect is not None]
    for kind in dict.fromkeys(kind for _, kind in defects):
        those = [image for image, defect in defects if defect is kind]
        if kind is Reason.COLOURWAY:
            expected, caught = _colourways(those, reasons, config)
        else:
            expected, caught = len(those), sum(_caught(image, kind, reasons) for image in those)
        rows.append(
            DemoRow(
                defect=kind.value,
                planted=expected,
                caught=caught,
                missed=expected - caught,
                false_alarms=alarms[kind.value],
            )
        )
    rows.append(_same_bytes(planted, items))
    good = sum(verdicts[items[name]][0] == Verdict.ACCEPTED.value for name in sound)
    return rows, len(sound), good


def _met(defect: Reason) -> Reason:
    """Give what a crawl calls a defect: a link out of the folder is a redirect out of the web."""
    return Reason.REDIRECT_REFUSED if defect is Reason.LINK_OUTSIDE else defect


def _caught(image: PlantedImage, kind: Reason, reasons: object) -> bool:
    assert callable(reasons)
    names = [image.file_name, *([image.of] if kind in COPIES and image.of else [])]
    return any(kind.value in reasons(name) for name in names)


def _colourways(
    those: Iterable[PlantedImage], reasons: object, config: DatasetConfig
) -> tuple[int, int]:
    assert callable(reasons)
    families: dict[str | None, list[str]] = {}
    for image in those:
        families.setdefault(image.of, []).append(image.file_name)
    cap = config.rules.colourway.max_per_silhouette
    expected = sum(max(0, len(names) - cap) for names in families.values())
    caught = sum(
        min(
            max(0, len(names) - cap),
            sum(Reason.COLOURWAY.value in reasons(name) for name in names),
        )
        for names in families.values()
    )
    return expected, caught


def _same_bytes(planted: Sequence[PlantedImage], items: Mapping[str, str]) -> DemoRow:
    """Count the copies of files that became one item with their original."""
    copies = [image for image in planted if image.defect is None and image.of is not None]
    caught = sum(items[image.file_name] == items[str(image.of)] for image in copies)
    return DemoRow(
        defect=SAME_BYTES,
        planted=len(copies),
        caught=caught,
        missed=len(copies) - caught,
        false_alarms=0,
    )
