from __future__ import annotations

from email.utils import formatdate

import pytest

from curation.localshop.replies import Reply, error, page, redirect

NOW = 1_700_000_000
PAGE = page("<p>Hello</p>", NOW)


@pytest.mark.parametrize("tag", [PAGE.etag, f"W/{PAGE.etag}", f'"other", {PAGE.etag}', "*"])
def test_a_page_that_the_client_has_is_unchanged(tag: str) -> None:
    assert PAGE.unchanged({"if-none-match": tag})


@pytest.mark.parametrize("tag", ["", '"other"', PAGE.etag.strip('"')])
def test_another_tag_means_another_page(tag: str) -> None:
    assert not PAGE.unchanged({"if-none-match": tag})


def test_the_tag_counts_more_than_the_time() -> None:
    later = formatdate(NOW + 60, usegmt=True)
    assert not PAGE.unchanged({"if-none-match": '"other"', "if-modified-since": later})


@pytest.mark.parametrize(("seconds", "same"), [(-1, False), (0, True), (60, True)])
def test_the_time_decides_where_there_is_no_tag(seconds: int, same: bool) -> None:
    since = formatdate(NOW + seconds, usegmt=True)
    assert PAGE.unchanged({"if-modified-since": since}) is same
    assert not page("<p>Hello</p>").unchanged({"if-modified-since": since})


def test_nonsense_is_no_time() -> None:
    assert not PAGE.unchanged({"if-modified-since": "yesterday"})


def test_only_success_can_be_unchanged() -> None:
    assert not Reply(status=404, etag='"a"').unchanged({"if-none-match": '"a"'})


def test_one_content_one_tag() -> None:
    assert page("a").etag == page(b"a").etag != page("b").etag


def test_heads() -> None:
    assert PAGE.lines().splitlines() == [
        "HTTP/1.1 200 OK",
        "Content-Type: text/html; charset=utf-8",
        f"ETag: {PAGE.etag}",
        "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT",
    ]
    assert "HTTP/1.1 429 Too Many Requests\r\n" in error(429, Retry_After="1").lines()
    assert error(429, Retry_After="1").lines().endswith("Retry-After: 1\r\n")
    assert redirect("/there", 301).lines().startswith("HTTP/1.1 301 Moved Permanently\r\n")
    assert redirect("/there").headers == {"Location": "/there"}
