"""A review of real photographs through a real browser, from the first key to the next version.

The photographs are judged; in Chromium their queues are gone through with keys, singly, by the page
and by the cluster; the page publishes; then the set is judged anew, with other thresholds, and with
another recipe. What was decided must hold each time.

The time of a key is taken in the page: from the browser's own time stamp of the key to the frame in
which the next picture is painted. The floor is the same with a page that does nothing but that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from playwright.sync_api import Browser, Page, expect

from benchmarks.common import Row, fresh, photographs, say, write_config
from benchmarks.review_pages import all_saved, browser, entered, go, nonesuch, queues, served
from data_catalog.catalog import Catalog
from data_catalog.versions import load_version
from review_ui.store import exchange
from review_ui.store.database import open_database

KEYS: Final = 400
THINKING_MS: Final = 150  # 400 decisions a minute: faster than people are
PAGES: Final = 10
CLUSTERS: Final = 20
REACH_MS: Final = 50.0

# Every seventh is rejected, and every thirteenth for another reason.
_PATTERN: Final = "aaaaaaraaaaa2"
_WATCH: Final = """() => {
  window.pressed = [];
  addEventListener("keydown", (event) => window.pressed.push(event.timeStamp), true);
}"""
_TIMES: Final = """() => ({
  pressed: window.pressed,
  shown: performance.getEntriesByName("nonesuch:shown").map(({ startTime }) => startTime),
})"""
_FLOOR: Final = """<!doctype html><title>floor</title><p id="number">0</p><script>
  addEventListener("keydown", () => {
    const node = document.getElementById("number");
    node.textContent = Number(node.textContent) + 1;
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => performance.mark("nonesuch:shown");
      port2.postMessage(null);
    });
  });
</script>"""


@dataclass(slots=True)
class _Reviewed:
    """What was done in the browser."""

    latencies: list[float]
    floor: list[float]
    singly: int
    in_pages: int
    in_clusters: int


def run() -> list[Row]:
    """Review, publish, and judge anew."""
    folder = fresh("review-browser")
    config = write_config(folder, _pictures(folder))
    say("  judging the photographs")
    nonesuch("rebuild", "-c", str(config))
    with browser() as chromium, served(config) as address:
        page = entered(chromium, address, "anna")
        reviewed = _review(chromium, page)
        say("  publishing from the page")
        items = _publish(page)
    return [*_latency(reviewed), _kept(config, reviewed, items)]


def _pictures(folder: Path) -> Path:
    """Give the folder of the photographs, or of the first few where only those are wanted."""
    found = photographs()
    if len(found) == len(list(found[0].parent.glob("*.jpg"))):
        return found[0].parent
    few = folder / "pictures"
    few.mkdir()
    for path in found:
        (few / path.name).write_bytes(path.read_bytes())
    return few


# ---- In the browser. -----------------------------------------------------------------------------


def _review(chromium: Browser, page: Page) -> _Reviewed:
    known = queues(page)
    of_items = [q for q in known if q["kind"] == "items" and q["id"] != "all" and q["open"]]
    largest = max(of_items, key=lambda queue: queue["open"])
    say(f"  {largest['title']}: {largest['open']} pictures, one by one")
    floor = _floor(chromium)
    go(page, f"single/{largest['id']}")
    page.wait_for_timeout(2_000)
    keys = [_PATTERN[n % len(_PATTERN)] for n in range(min(KEYS, largest["open"] - 1))]
    latencies = _press(page, keys)
    all_saved(page)
    in_pages = sum(_commit_pages(page, queue["id"]) for queue in of_items)
    in_clusters = sum(
        _keep_best(page, queue["id"]) for queue in known if queue["kind"] == "clusters"
    )
    return _Reviewed(latencies, floor, len(keys), in_pages, in_clusters)


def _press(page: Page, keys: Sequence[str]) -> list[float]:
    """Press keys as somebody does who decides fast; give ms from each to what it shows."""
    page.evaluate(_WATCH)
    page.evaluate("() => performance.clearMarks('nonesuch:shown')")
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_timeout(THINKING_MS)
    times = page.evaluate(_TIMES)
    assert len(times["pressed"]) == len(keys)
    shown = np.asarray(times["shown"])
    return [
        float(shown[np.searchsorted(shown, at)]) - at for at in times["pressed"] if at < shown[-1]
    ]


def _floor(chromium: Browser) -> list[float]:
    page = chromium.new_page()
    page.set_content(_FLOOR)
    page.evaluate("() => performance.mark('nonesuch:shown')")
    found = _press(page, ["a"] * 100)
    page.close()
    return found


def _commit_pages(page: Page, queue: str) -> int:
    """Mark the third picture of each page of a queue, commit; give how many were decided."""
    go(page, f"grid/{queue}")
    decided = 0
    for _ in range(PAGES):
        cells = page.locator(".grid .cell").count()
        if not cells:
            break
        first = page.locator(".grid .cell").first.get_attribute("data-id")
        for key in ("ArrowRight", "ArrowRight", " ", "Enter")[0 if cells > 2 else 3 :]:
            page.keyboard.press(key)
        decided += cells
        page.wait_for_function(
            "first => document.querySelector('.grid .cell')?.dataset.id !== first", arg=first
        )
    all_saved(page)
    return decided


def _keep_best(page: Page, queue: str) -> int:
    """Keep the best of each cluster of a queue; give how many pictures were decided."""
    go(page, f"clusters/{queue}")
    decided = 0
    for _ in range(CLUSTERS):
        members = page.locator(".members .member")
        number = members.count()
        if not number:
            break
        before = page.locator(".members").inner_text()
        page.keyboard.press("b")
        page.wait_for_function(
            "before => (document.querySelector('.members')?.innerText ?? '') !== before", arg=before
        )
        decided += number
    all_saved(page)
    return decided


def _publish(page: Page) -> int:
    page.click(".menu summary")
    page.get_by_text("Publish…").click()
    page.locator("dialog .primary").click()
    expect(page.locator(".published")).to_be_visible(timeout=180_000)
    said = page.locator(".published").inner_text()
    say(f"  {said.splitlines()[0]}")
    return int(said.split(":")[1].split(" items")[0].replace(",", "").replace("\u202f", ""))


# ---- After it. -----------------------------------------------------------------------------------


def _kept(config: Path, reviewed: _Reviewed, published: int) -> Row:
    root = config.parent / "catalog"
    said = _said(root)
    text = config.read_text("utf-8")
    rules = "blurred = { min_sharpness = 0.7 }\ncut_off = { max_edges = 1 }"
    others = {
        "nothing changed": text,
        "other thresholds": text.replace("[rules]\n", f"[rules]\n{rules}\n"),
        "another recipe": text + "\n[recipe]\nwidth = 192\nheight = 256\nfit = 'crop'\n",
    }
    held: dict[str, int] = {}
    for what, changed in others.items():
        say(f"  judging again: {what}")
        config.write_text(changed, encoding="utf-8")
        nonesuch("rebuild", "-c", str(config))
        held[what] = _holding(root, said)
    members = _members(root)
    wrong = len(members & {item for item, verdict in said.items() if verdict == "rejected"})
    accepted = {item for item, verdict in said.items() if verdict == "accepted"}
    return Row(
        f"review in the browser: {reviewed.singly} singly, {reviewed.in_pages} in pages, "
        f"{reviewed.in_clusters} in clusters",
        f"{len(said):,} items decided; version of {published:,}: "
        f"{len(members & accepted):,} of {len(accepted):,} accepted in it, {wrong} rejected",
        "; ".join(f"{what}: {number:,} hold" for what, number in held.items()),
        reach="all hold",
        met=set(held.values()) == {len(said)} and wrong == 0 and accepted <= members,
        numbers={"said": len(said), **held},
    )


def _said(root: Path) -> dict[str, str]:
    database = open_database(f"sqlite:///{root}/review.sqlite")
    with database.reading() as connection:
        rows = list(exchange.rows_of(connection, whole_history=False))
    database.close()
    return {row["item"]: row["verdict"] for row in rows if row["verdict"] != "undecided"}


def _holding(root: Path, said: dict[str, str]) -> int:
    rows = Catalog(root).table("verdicts").read(["item_id", "verdict", "decided_by"])
    verdicts = dict(zip(rows["item_id"].to_pylist(), rows["verdict"].to_pylist(), strict=True))
    return sum(verdicts.get(item) == verdict for item, verdict in said.items())


def _members(root: Path) -> set[str]:
    """Give the items of the version that was published."""
    catalog = Catalog(root)
    folder = catalog.root.join("versions", str(load_version(catalog, None).version))
    return set(pq.read_table(f"{folder}/members.parquet", columns=["item_id"])[0].to_pylist())


def _latency(reviewed: _Reviewed) -> list[Row]:
    p95, floor = (float(np.percentile(ms, 95)) for ms in (reviewed.latencies, reviewed.floor))
    median = float(np.median(reviewed.latencies))
    numbers: dict[str, Any] = {"p95": p95, "median": median, "floor": floor}
    return [
        Row(
            "review: key to next picture in Chromium, p95",
            f"{p95:.1f} ms of {len(reviewed.latencies)}, median {median:.1f} ms",
            f"a page of one number {floor:.1f} ms",
            f"{p95 / floor:.1f}×",
            f"under {REACH_MS:.0f} ms",
            p95 < REACH_MS,
            numbers,
        )
    ]
