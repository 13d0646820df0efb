"""Originals: rendered once, few at a time, and not again and again where that fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from review_ui import pictures
from review_ui.errors import NotFoundError
from tests.review_ui.feeds import blurred, item_id
from tests.review_ui.site import Site

ASKED = 60


def test_the_page_answers_while_originals_never_end(open_site: Callable[..., Site]) -> None:
    site = open_site([blurred(n, 0.4) for n in range(ASKED)])
    go_on, at_work, refused = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    def render(data: bytes) -> bytes:
        at_work.release()
        go_on.wait(60)
        return b"\xff\xd8\xff" + data[:10]

    def ask(name: int) -> int:
        answer = client.get(f"/images/{item_id(name)}/original")
        if answer.status == 503:
            assert answer.json["error"] == "busy"
            assert int(answer.headers["retry-after"]) > 0
            refused.release()
        return answer.status

    site.pipeline.renders = render
    client = site.client("ann")
    with ThreadPoolExecutor(ASKED) as threads:
        try:
            answers = threads.map(ask, range(ASKED))
            # Four are under way, as many wait as may, and the others are sent away.
            for _ in range(4):
                assert at_work.acquire(timeout=20)
            for _ in range(ASKED - 4 - 24):
                assert refused.acquire(timeout=20)
            assert client.get("/api/queues").status == 200
            assert client.get(f"/images/{item_id(0)}/thumb").status == 200
            assert not at_work.acquire(blocking=False)
        finally:
            go_on.set()
        assert sorted(answers) == [200] * 28 + [503] * (ASKED - 28)


def test_an_original_is_rendered_once(open_site: Callable[..., Site]) -> None:
    site = open_site([blurred(n, 0.4) for n in range(2)])
    rendered: list[bytes] = []

    def render(data: bytes) -> bytes:
        rendered.append(data)
        return b"\xff\xd8\xff"

    site.pipeline.renders = render
    client = site.client("ann")
    for _ in range(3):
        assert client.get(f"/images/{item_id(0)}/original").status == 200
    assert len(rendered) == 1


def test_an_original_that_cannot_be_shown_is_not_tried_again_and_again(
    open_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = open_site([blurred(n, 0.4) for n in range(2)])
    tried: list[bytes] = []

    def render(data: bytes) -> bytes:
        tried.append(data)
        raise NotFoundError("the original cannot be shown: timed_out")

    site.pipeline.renders = render
    client = site.client("ann")
    for _ in range(3):
        answer = client.get(f"/images/{item_id(0)}/original")
        assert answer.status == 404
        assert "cannot be shown" in answer.json["message"]
    assert len(tried) == 1
    assert client.get(f"/images/{item_id(0)}/standard").status == 200
    # For a while: what took too long may work another time.
    monkeypatch.setattr(pictures, "_FAILED_HOLDS", 0.0)
    assert client.get(f"/images/{item_id(1)}/original").status == 404
    assert client.get(f"/images/{item_id(1)}/original").status == 404
    assert len(tried) == 3
