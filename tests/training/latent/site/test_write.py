from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.review_ui.browser import BrowserMissingError, Windows, launched
from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.draws import Truncation
from training.latent.sampler import Sampler
from training.latent.site import SiteWish, write_site
from training.models import load_snapshot


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=16)


@contextlib.contextmanager
def browser() -> Iterator[Windows]:
    try:
        with launched() as chromium:
            windows = Windows(chromium)
            yield windows
            windows.close()
    except BrowserMissingError as error:
        pytest.skip(str(error))


def test_it_is_looked_at_without_a_server(sampler: Sampler, tmp_path: Path) -> None:
    wish = SiteWish("<b>boots</b>", 300, seed=5, truncation=Truncation(0.7))
    written = write_site(sampler, wish, tmp_path)
    assert written.files == 300
    with browser() as windows:
        page = windows.open((tmp_path / "index.html").as_uri())
        assert page.title() == "These <b>boots</b> do not exist"
        tiles = page.locator("#grid a")
        assert tiles.first.get_attribute("href") == "#5"
        page.wait_for_function(
            "scrollTo(0, document.body.scrollHeight)"
            " || document.querySelectorAll('#grid a').length === 300"
        )
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_function("document.querySelector('#grid img').naturalWidth > 0")
        tiles.first.click()
        page.wait_for_function("document.querySelector('#large').naturalWidth > 0")
        page.keyboard.press("ArrowLeft")  # round to the last
        page.wait_for_function("document.querySelector('#name').textContent === 'seed 304'")
        page.keyboard.press("Escape")
        assert not page.locator("#viewer").is_visible()
        page.set_viewport_size({"width": 360, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.goto((tmp_path / "random.html").as_uri())
        seen = set()
        for _ in range(8):
            page.keyboard.press("Space")
            seen.add(page.locator("#one").get_attribute("src"))
        assert len(seen) > 1
        page.wait_for_function("document.querySelector('#one').naturalWidth > 0")
        assert windows.problems == []


def test_it_asks_nobody_else_and_goes_on(sampler: Sampler, tmp_path: Path) -> None:
    wish = SiteWish("boots", 6)
    write_site(sampler, wish, tmp_path)
    for path in tmp_path.glob("*.*"):
        assert not re.search(r"(?:https?:)?//\w", path.read_text(encoding="utf-8")), path.name
    (tmp_path / "index.html").unlink()
    (tmp_path / "pictures" / "seed00000003.jpg").unlink()
    again = write_site(sampler, wish, tmp_path)
    assert (again.made, again.there) == (1, 5)
    assert (tmp_path / "index.html").exists()


def test_pictures_of_none_are_refused(sampler: Sampler, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="`count` must be from 1"):
        write_site(sampler, SiteWish("boots", 0), tmp_path)
