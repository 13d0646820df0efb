"""That the tests' browser sees what a page should not do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Error

from tests.review_ui.browser import Windows, axe, launched

Serve = Callable[[str], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve one page on loopback; gives its address."""
    body = b""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def begin(content: str) -> str:
        nonlocal body
        body = (
            '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>A page</title>'
            f"<main><h1>A page</h1>{content}</main>"
        ).encode()
        return f"http://127.0.0.1:{server.server_port}/"

    yield begin
    server.shutdown()
    server.server_close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Windows]:
    """Windows whose problems the test looks at itself."""
    windows = Windows(browser)
    yield windows
    windows.close()


def test_a_good_page_has_no_problems(windows: Windows, serve: Serve) -> None:
    page = windows.open(serve("<p>Words.</p>"))
    assert page.title() == "A page"
    assert axe(page) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("<script>throw Error('broken')</script>", "error: broken"),
        ("<script>console.error('wrong')</script>", "console: wrong"),
        ("<img alt='' src='/none.png'>", "console: Failed to load resource"),
        (
            "<script>fetch('http://elsewhere.example/').catch(() => {})</script>",
            "a request left the host: http://elsewhere.example/",
        ),
        (
            "<script>new WebSocket('ws://elsewhere.example/').onerror = () => {}</script>",
            "a request left the host: ws://elsewhere.example/",
        ),
    ],
)
def test_what_a_page_should_not_do_is_seen(
    watched: Windows, serve: Serve, content: str, problem: str
) -> None:
    watched.open(serve(content)).wait_for_timeout(200)
    watched.close()
    assert any(said.startswith(problem) for said in watched.problems), watched.problems


def test_what_is_expected_is_no_problem(windows: Windows, serve: Serve) -> None:
    windows.expected.append("as planned")
    windows.open(serve("<script>console.error('wrong, as planned')</script>"))


def test_a_fault_of_access_is_found(windows: Windows, serve: Serve) -> None:
    page = windows.open(serve("<button></button><p style='color: #ddd'>Hard to read</p>"))
    found = axe(page)
    assert any("button-name" in fault for fault in found)
    assert any("color-contrast" in fault for fault in found)


def test_a_window_can_be_cut_off(windows: Windows, serve: Serve) -> None:
    page = windows.open(serve(""))
    asks = "() => fetch('/').then(() => true, () => false)"
    with windows.offline(page):
        assert page.evaluate(asks) is False
        assert page.evaluate("navigator.onLine") is False
    assert page.evaluate(asks) is True


def test_windows_share_no_cookies(windows: Windows, serve: Serve) -> None:
    address = serve("")
    one, other = windows.open(address), windows.open(address)
    one.evaluate("document.cookie = 'name=ann'")
    assert (one.evaluate("document.cookie"), other.evaluate("document.cookie")) == ("name=ann", "")


def test_no_other_host_is_reached(watched: Windows, serve: Serve) -> None:
    page = watched.open(serve(""))
    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://example.com/")


def test_event_loops_work_again_when_the_browser_is_gone() -> None:
    """Else tests that run one would fail in whatever process a browser was before them."""

    def visit() -> None:
        with launched() as browser:
            browser.new_page().close()
        asyncio.run(asyncio.sleep(0))

    # The windows of the tests above hold the loop of this thread.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(visit).result(60)
