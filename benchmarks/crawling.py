"""How fast a list of URLs is fetched and stored, beside img2dataset.

One nginx serves the photographs to both, in turn. Ours is the whole ingest: the crawl in its
process, obeying robots.txt, and the process that stores what comes into a catalog; img2dataset
writes a WebDataset, in one process, with as many threads as we have requests at a time, and
re-encodes nothing. Both compute the SHA-256 of each picture. Imports of the process that begins are
left out for both, the start of all others is not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from benchmarks.common import SCRATCH, Row, Skipped, fresh, median, peer_python, photographs, say
from benchmarks.crawl import CONCURRENCY, crawled, nginx
from curation.synthetic.demo_set import write_demo_set

REACH: Final = 400.0  # images/s
PEER: Final = "img2dataset==1.47.0"
BLOCKS: Final = 5

_PEER_SCRIPT: Final = """
import json, multiprocessing, resource, sys, time, warnings
warnings.simplefilter("ignore")
from img2dataset import download

def spent():
    multiprocessing.active_children()  # collects those that have ended
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(r.ru_utime + r.ru_stime for r in map(resource.getrusage, who))

if __name__ == "__main__":
    table, folder, threads = sys.argv[1:]
    began, busy = time.perf_counter(), spent()
    download(
        url_list=table, input_format="csv", url_col="url", output_folder=folder,
        output_format="webdataset", resize_mode="no", disable_all_reencoding=True,
        processes_count=1, thread_count=int(threads), enable_wandb=False,
    )
    seconds = time.perf_counter() - began
    time.sleep(0.5)
    with open(folder + "/00000_stats.json") as file:
        images = json.load(file)["successes"]
    print(json.dumps({"seconds": seconds, "processor": spent() - busy, "images": images}))
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of one block, wall and processor, and how many pictures came."""

    images: int
    seconds: float
    processor: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def each(self) -> float:
        """Processor time of an image, in milliseconds."""
        return 1e3 * self.processor / self.images


def pictures() -> list[Path]:
    """Give the photographs; those of the demo where they are not at hand."""
    try:
        return photographs()
    except Skipped as skipped:
        say(f"crawling: {skipped}; the demo's pictures instead")
    folder = SCRATCH / "demo"
    if not folder.is_dir():
        write_demo_set(folder, seed=0)
    # Some are planted that are no pictures at all, which we refuse and the peer does not look at.
    found = sorted((folder / "images").glob("*.jpg"))
    return [path for path in found if path.read_bytes().startswith(b"\xff\xd8")]


def ours(table: Path) -> Spent:
    """Crawl a table of URLs into a new catalog."""
    folder = fresh("crawl")
    done = crawled({"kind": "urls", "path": str(table)}, folder / "catalog")
    shutil.rmtree(folder)
    if done.failed:
        raise RuntimeError(f"{done.failed} of {done.seen} pictures were not fetched")
    return Spent(done.seen, done.seconds, done.parent + done.child)


def theirs(python: Path, table: Path) -> Spent:
    """Let img2dataset fetch the same."""
    folder = fresh("crawl-peer")
    script = SCRATCH / "crawl_peer.py"
    script.write_text(_PEER_SCRIPT)
    done = subprocess.run(
        [str(python), str(script), str(table), str(folder), str(CONCURRENCY)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
    )
    shutil.rmtree(folder)
    if done.returncode:
        raise Skipped(f"{PEER} failed: {done.stderr.strip().splitlines()[-1:]}")
    return Spent(**json.loads(done.stdout.splitlines()[-1]))


def run() -> list[Row]:
    """Fetch the list in turn, block by block."""
    paths = pictures()
    for path in paths:
        path.read_bytes()  # whoever is first should not be the one to wait for the disk
    try:
        python, missing = peer_python(PEER), ""
    except Skipped as skipped:
        python, missing = None, str(skipped)
    say(f"crawling: {len(paths):,} pictures, {BLOCKS} times, beside {PEER}")
    mine: list[Spent] = []
    peers: list[Spent] = []
    with nginx(f"root '{paths[0].parent}';") as url:
        table = SCRATCH / "urls.csv"
        table.write_text("\n".join(["url", *(f"{url}/{quote(p.name)}" for p in paths)]) + "\n")
        for _ in range(BLOCKS):
            mine.append(ours(table))
            say(f"  {mine[-1].rate:,.0f} images/s, {mine[-1].each:.2f} ms of processor time each")
            if python is not None:
                peers.append(theirs(python, table))
                say(f"  {PEER}: {peers[-1].rate:,.0f} images/s, {peers[-1].each:.2f} ms")
    return _rows(mine, peers, missing)


def _rows(mine: Sequence[Spent], peers: Sequence[Spent], missing: str) -> list[Row]:
    rate, each = median(s.rate for s in mine), median(s.each for s in mine)
    what = f"fetch and store {mine[0].images:,} URLs from nginx, one crawl process"
    numbers = {
        "ours": {"rates": [s.rate for s in mine], "ms": [s.each for s in mine]},
        "peer": {"rates": [s.rate for s in peers], "ms": [s.each for s in peers]},
    }
    if not peers:
        return [
            Row(what, f"{rate:,.0f} images/s", missing, "", f"≥ {REACH:.0f}", rate >= REACH),
            Row("processor time of an image", f"{each:.2f} ms", missing, "", "≤ 1×"),
        ]
    peer = PEER.replace("==", " ")
    faster = [a.rate / b.rate for a, b in zip(mine, peers, strict=True)]
    dearer = [a.each / b.each for a, b in zip(mine, peers, strict=True)]
    return [
        Row(
            what,
            f"{rate:,.0f} images/s",
            f"{peer}, {CONCURRENCY} threads: {median(s.rate for s in peers):,.0f} images/s",
            _spread(faster),
            f"≥ {REACH:.0f} images/s",
            rate >= REACH,
            numbers,
        ),
        Row(
            "processor time of an image, crawl and storing",
            f"{each:.2f} ms",
            f"{peer}: {median(s.each for s in peers):.2f} ms",
            _spread(dearer),
            "≤ 1×",
            median(dearer) <= 1,
            numbers,
        ),
    ]


def _spread(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
