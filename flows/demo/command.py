"""The demo: once round the loop, on a shop with planted defects."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel

from curation.ingest.sources import ShopConfig
from curation.judging import OF_SCORES
from curation.localshop.server import LocalShop
from curation.synthetic.defects import PlantedImage
from curation.synthetic.demo_set import write_demo_set
from data_catalog.schema import Verdict
from data_catalog.versions import REPORT
from flows import progress
from flows.catalog import open_catalog
from flows.demo.review import decide_flagged
from flows.demo.score import DemoRow, file_name, outcome, score
from flows.publish import publish
from flows.rank import rank
from flows.rebuild import rebuild
from flows.settings import ConfigError, DatasetConfig, load
from flows.template import render, with_settings
from flows.trainings.launch import TrainOptions, train_run


class DemoLoop(BaseModel):
    """The second half of the way round: what people, training and the ranking came to.

    Attributes
    ----------
    decided : dict
        Flagged pictures that the script accepted and rejected by the API of the review page.
    run, kimg, grid
        What was trained, on how many thousand images, and a grid of what it has learned.
    ranked : dict
        Pictures that were scored, by scorer.
    flagged : dict
        How many of those that nobody has decided about the ranking has people look at, by reason.
    pictures : dict
        Contact sheets of the lowest and the highest, by scorer and side.
    """

    decided: dict[str, int]
    run: str
    kimg: float
    grid: str | None
    ranked: dict[str, int]
    flagged: dict[str, int]
    pictures: dict[str, str]


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
    loop: DemoLoop | None


def run_demo(folder: Path, *, seed: int, products: int, kimg: float) -> DemoOutcome:
    """Open a shop below `folder` and go once round: scrape, judge, decide, publish, train, rank.

    Run again, it opens the same shop at the same place and finds nothing new to do.

    Parameters
    ----------
    kimg
        Thousand images to train on; 0 leaves training and ranking out.
    """
    began = time.perf_counter()
    file = _begin(folder, seed, products)
    config = load(file)
    with progress.stage("draw pictures") as stage:
        planted = write_demo_set(folder, seed=seed, products=products)
        stage.result = f"{len(planted)} pictures"
    with _shop(folder / "images", seed, config):
        rebuild(config)
        rows, sound, accepted = score(planted, *outcome(config), config)
        decided = _decide(file, planted)
        published = publish(config)
        loop = _go_round(config, decided, kimg) if kimg else None
    return DemoOutcome(
        rows=rows,
        planted=sum(row.planted for row in rows),
        caught=sum(row.caught for row in rows),
        sound=sound,
        sound_accepted=accepted,
        seconds=round(time.perf_counter() - began, 1),
        pictures=str((folder / "images").absolute()),
        report=open_catalog(config).root.join(REPORT),
        version=published.version,
        path=published.path,
        items=published.items,
        shards=published.shards,
        loop=loop,
    )


def _decide(file: Path, planted: Sequence[PlantedImage]) -> dict[str, int]:
    """Decide about what was flagged as somebody would who sees what was planted."""
    defects = {image.file_name for image in planted if image.defect is not None}

    def judge(item: Mapping[str, Any]) -> str:
        return "rejected" if file_name(str(item["locator"])) in defects else "accepted"

    with progress.stage("decide on the review page") as stage:
        decided = decide_flagged(file, judge)
        stage.result = ", ".join(f"{count} {verdict}" for verdict, count in decided.items())
    return decided


def _go_round(config: DatasetConfig, decided: dict[str, int], kimg: float) -> DemoLoop:
    """Train on what was published, rank by what was trained, judge with the scores."""
    run = train_run(config, TrainOptions(settings={"run.total_kimg": kimg}))
    rankings = rank(config).rankings
    rebuild(config)
    _, verdicts = outcome(config)
    # What people have rejected before is low, too, but nobody is asked about it again.
    asked = Counter(
        reason
        for verdict, reasons in verdicts.values()
        if verdict == Verdict.FLAGGED
        for reason in reasons
    )
    return DemoLoop(
        decided=decided,
        run=run.path,
        kimg=run.kimg,
        grid=None if run.newest_grid is None else str(Path(run.path) / run.newest_grid),
        ranked={ranking.scorer: ranking.scored for ranking in rankings},
        flagged={reason.value: asked[reason] for reason in OF_SCORES},
        pictures={
            f"{ranking.scorer}, {side}": path
            for ranking in rankings
            for side, path in ranking.pictures.items()
        },
    )


def _begin(folder: Path, seed: int, products: int) -> Path:
    """Give the configuration of the demo below `folder`; an edited one stays as it is."""
    file = folder / "nonesuch.toml"
    head = f"# The demo of seed {seed} with {products} products.\n"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        text = render("demo", "catalog", f"http://127.0.0.1:{_free_port()}/", web=_WEB)
        text = with_settings(text, _SMALL)
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


# So small that a processor trains on them in minutes. A picture counts as enlarged where it would
# be too small for 384×512, eight times as tall, as well.
_SMALL: Final = {
    "recipe.width": 48,
    "recipe.height": 64,
    "rules.upscaled": {"max_factor": 0.25, "action": "flag"},
    "train.preset": "tiny",
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
