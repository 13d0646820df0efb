"""Picture every view of the review page: `python -m benchmarks.screenshots [--docs]`.

The pictures in it are drawn (`nonesuch demo`), so that they may be shown to anybody.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from benchmarks.common import REPOSITORY, SCRATCH, fresh, say
from benchmarks.review_pages import all_saved, browser, entered, go, nonesuch, press, served
from flows import environment

FOLDER: Final = SCRATCH / "screenshots"
DOCS: Final = REPOSITORY / "docs" / "images"
PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 360, "height": 740},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
KIMG: Final = "1"  # thousand images to train on
# With ticks, snapshots and figures as close as those of a long training look.
CLOSE: Final = (
    "run.tick_kimg=0.1",
    "run.snapshot_ticks=2",
    'run.metrics=["fd_own"]',
)
# Those that the documents show.
SHOWN: Final = {
    "single": "review-single",
    "grid": "review-grid",
    "clusters": "review-clusters",
    "models": "review-models",
}


def main() -> int:
    """Draw a set, serve it, picture it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screenshots", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="also replace those of the documents")
    options = parser.parse_args()
    environment.prepare()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()
    home = fresh("screenshots-demo")
    say("drawing a set, judging it, training on it")
    nonesuch("demo", str(home), "--kimg", KIMG)
    _train_on(home)
    _take_back(home)
    with browser() as chromium, served(home / "nonesuch.toml") as address:
        taken = _all(chromium, address)
    for name in taken:
        print(FOLDER / f"{name}.png")
    if options.docs:
        for name, other in SHOWN.items():
            _reduced(FOLDER / f"{name}.png", DOCS / f"{other}.png")
    return 0


def _train_on(home: Path) -> None:
    """Train once more, so that curves have a course."""
    told = [part for setting in CLOSE for part in ("--set", setting)]
    config = ("--config", str(home / "nonesuch.toml"))
    nonesuch("train", "--run", "v1-tiny-again", "--kimg", KIMG, *told, *config)


def _take_back(home: Path) -> None:
    """Take back what the demo has decided: there shall be something to do."""
    config, decided = ("--config", str(home / "nonesuch.toml")), home / "decided.csv"
    nonesuch("review", "--export", str(decided), *config)
    with decided.open(newline="") as file:
        items = [row["item"] for row in csv.DictReader(file)]
    decided.write_text("\n".join(["item,verdict", *(f"{item},undecided" for item in items), ""]))
    nonesuch("review", "--import", str(decided), "--reviewer", "demo", *config)


def _all(chromium: Browser, address: str) -> list[str]:
    taken: list[str] = []

    def take(page: Page, name: str) -> None:
        page.wait_for_timeout(500)
        page.screenshot(path=FOLDER / f"{name}.png")
        taken.append(name)

    login = chromium.new_page(viewport={"width": 1440, "height": 900})
    login.goto(f"{address}login")
    take(login, "login")
    _wide(entered(chromium, address, "anna", "single/cut_off"), take)
    dark = entered(chromium, address, "anna", "single/busy_background", color_scheme="dark")
    take(dark, "single-dark")
    go(dark, "grid/cut_off")
    take(dark, "grid-dark")
    go(dark, "models")
    _curves(dark)
    take(dark, "models-dark")
    _second_opinion(entered(chromium, address, "boris", "single/pattern"), take)
    phone = entered(chromium, address, "chen", "single/off_centre", **PHONE)
    take(phone, "single-360")
    go(phone, "grid/cut_off")
    take(phone, "grid-360")
    go(phone, "clusters/near_duplicate")
    take(phone, "clusters-360")
    go(phone, "models")
    take(phone, "models-360")
    phone.locator(".run").first.scroll_into_view_if_needed()
    _curves(phone)
    take(phone, "trainings-360")
    go(phone, "clusters/near_duplicate")
    phone.get_by_role("button", name="Queues").tap()
    take(phone, "queues-360")
    return taken


def _wide(page: Page, take: Callable[[Page, str], None]) -> None:
    """Go through the views as a reviewer does, and decide some."""
    press(page, ["a", "r", "a"])
    take(page, "single")
    press(page, ["o"])
    take(page, "single-beside")
    press(page, ["o", "+", "+", "ArrowRight"])
    take(page, "single-zoomed")
    press(page, ["Escape"])
    for key, name in (("t", "tags"), ("n", "note"), ("c", "compare"), ("i", "explain")):
        press(page, [key])
        take(page, name)
        press(page, ["Escape"])
    go(page, "grid/all")
    press(page, ["ArrowRight", " ", *["ArrowRight"] * 5, "Shift+ArrowRight", "ArrowDown", " "])
    take(page, "grid")
    go(page, "clusters/near_duplicate")
    take(page, "clusters")
    press(page, ["d"])
    take(page, "clusters-difference")
    press(page, ["d", "b", "l"])
    go(page, "clusters/colourway")
    take(page, "colourways")
    go(page, "single/pattern")
    press(page, ["r", "r", "a"])
    all_saved(page)
    for key, name in (("h", "history"), ("f", "filters"), ("?", "help")):
        press(page, [key])
        take(page, name)
        press(page, ["Escape"])
    go(page, "grid/all?standing=accepted")
    take(page, "second-look")


def _loop(page: Page, take: Callable[[Page, str], None]) -> None:
    """Look at the loop: its steps, the samples of a training, what a start asks."""
    go(page, "models")
    _curves(page)
    take(page, "models")
    press(page, ["e"])
    expect(page.locator(".sheet img.picture")).to_be_visible(timeout=60_000)
    take(page, "samples")
    press(page, ["Escape", "t"])
    expect(page.locator(".start .buttons, .start .problem")).to_be_visible(timeout=60_000)
    take(page, "train")
    press(page, ["Escape"])


def _curves(page: Page) -> None:
    """Wait until the first training has all of its pictures."""
    expect(page.locator(".run .curve").first).to_be_visible(timeout=60_000)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.run-grid img')].every((image) => image.complete)"
    )


def _second_opinion(page: Page, take: Callable[[Page, str], None]) -> None:
    """Decide again what another decided, look at the agreement, publish."""
    go(page, "single/pattern?standing=rejected")
    press(page, ["a"])
    page.wait_for_timeout(300)
    press(page, ["n"])
    page.keyboard.type("soft on purpose")
    page.get_by_role("button", name=re.compile("Save|Keep|Done")).first.click()
    all_saved(page)
    for entry, name in (
        ("Statistics", "statistics"),
        ("Download and import", "exchange"),
        ("Publish…", "publish"),
    ):
        page.click(".menu summary")
        page.get_by_text(entry).click()
        take(page, name)
        if name != "publish":
            press(page, ["Escape"])
    page.locator("dialog .primary").click()
    take(page, "publishing")
    expect(page.locator(".published")).to_be_visible(timeout=300_000)
    take(page, "published")
    press(page, ["Escape"])
    _loop(page, take)
    page.goto(f"{page.url.split('#')[0]}api")
    take(page, "api")


def _reduced(source: Path, target: Path) -> None:
    """Write a picture with 256 colours: of drawn pages nothing is missed, and it is a third."""
    with Image.open(source) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    target.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    sys.exit(main())
