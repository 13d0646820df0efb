"""Tables of URLs, fetched from a real server."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest

from curation.errors import SourceError
from curation.recipe import Limits
from tests.curation.ingest.web.conftest import Crawls
from tests.curation.ingest.web.site import Answer, Asked, Site, picture

# What stays a failure however often it is tried within one run.
HOPELESS = {
    "/gone.jpg": (Answer(status=404), "not_found"),
    "/forbidden.jpg": (Answer(status=403), "http_error"),
    "/broken.jpg": (Answer(status=500), "server_error"),
    "/page.jpg": (Answer(b" <!doctype html><p>sold out"), "not_an_image"),
    "/drawing.jpg": (Answer(b"<svg/>"), "not_an_image"),
    "/empty.jpg": (Answer(b""), "empty_file"),
    "/half.jpg": (Answer(picture(1), broken=True), "cut_short"),
    "/large.jpg": (Answer(b"\xff\xd8" + bytes(200_000)), "file_too_large"),
    "/noai.jpg": (Answer(picture(2), headers={"X-Robots-Tag": "noimageai"}), "opted_out"),
    "/noai2.jpg": (
        Answer(picture(3), headers={"X-Robots-Tag": "noindex, nonesuch: NoAI"}),
        "opted_out",
    ),
    "/private/a.jpg": (Answer(picture(4)), "robots_denied"),
    "/loop.jpg": (Answer(status=302, headers={"Location": "/loop.jpg"}), "redirect_refused"),
    "/to-file.jpg": (
        Answer(status=302, headers={"Location": "file:///etc/passwd"}),
        "redirect_refused",
    ),
    "/to-private.jpg": (
        Answer(status=302, headers={"Location": "/private/b.jpg"}),
        "robots_denied",
    ),
}
FINE = {
    "/a.jpg": Answer(picture(10)),
    "/b.jpg": Answer(picture(11), headers={"Content-Type": "text/html"}),
    "/moved.jpg": Answer(status=301, headers={"Location": "/c.jpg"}),
    "/c.jpg": Answer(picture(12)),
    "/other-robot.jpg": Answer(picture(13), headers={"X-Robots-Tag": "otherbot: noai"}),
}


@pytest.fixture
def full(site: Site) -> Site:
    site.answers = {
        "/robots.txt": b"User-agent: *\nDisallow: /private/\n",
        **{path: answer for path, (answer, _) in HOPELESS.items()},
        **FINE,
    }
    return site


def test_every_url_ends_with_its_picture_or_its_error(full: Site, crawls: Crawls) -> None:
    urls = [full.url + path for path in (*HOPELESS, *FINE)]
    refused = ["ftp://127.0.0.1/x.jpg", "http://", "file:///etc/passwd", "https://a:b@x.org/c.jpg"]
    limits = Limits(max_bytes=100_000)
    counts = crawls.urls(*urls, *refused, limits=limits)
    expected = {full.url + path: reason for path, (_, reason) in HOPELESS.items()}
    expected |= dict.fromkeys(refused, "url_refused")
    assert crawls.failures() == expected
    assert counts.seen == len(urls) + len(refused)
    assert counts.new + counts.repeated == len(FINE)
    assert "/private/b.jpg" not in full.paths() and "/private/a.jpg" not in full.paths()
    stored = {row["locator"] for row in crawls.rows() if row["image_id"]}
    assert stored == {full.url + path for path in FINE}


def test_what_was_fetched_is_not_fetched_again(full: Site, crawls: Crawls) -> None:
    urls = [full.url + path for path in FINE]
    crawls.urls(*urls)
    asked = list(full.paths())
    counts = crawls.urls(*urls)
    assert (counts.new, counts.known, counts.seen) == (0, len(urls), len(urls))
    assert full.paths() == asked


def test_passing_failures_are_tried_again_and_others_are_not(full: Site, crawls: Crawls) -> None:
    paths = ("/a.jpg", "/gone.jpg", "/broken.jpg")
    urls = [full.url + path for path in paths]
    crawls.urls(*urls, retries=1)
    assert [full.times[path] for path in paths] == [1, 1, 2]
    full.answers["/broken.jpg"] = picture(20)
    full.answers["/gone.jpg"] = picture(21)
    crawls.urls(*urls, retries=1)
    assert [full.times[path] for path in paths] == [1, 1, 3]
    assert crawls.failures() == {full.url + "/gone.jpg": "not_found"}
    crawls.urls(*urls, retry="all")
    assert crawls.failures() == {}


def test_a_failure_that_heals_is_no_failure(site: Site, crawls: Crawls) -> None:
    def heals(asked: Asked) -> Answer:
        return Answer(picture(1)) if asked.number == 3 else Answer(status=500)

    site.answers["/a.jpg"] = heals
    assert crawls.urls(site.url + "/a.jpg", retries=2).new == 1


@pytest.mark.parametrize("how", ["seconds", "date"])
def test_retry_after_is_waited_for(site: Site, crawls: Crawls, how: str) -> None:
    moments: list[float] = []

    def busy(asked: Asked) -> Answer:
        moments.append(time.time())
        text = "2" if how == "seconds" else formatdate(time.time() + 3, usegmt=True)
        limited = Answer(status=429, headers={"Retry-After": text})
        return limited if asked.number == 1 else Answer(picture(1))

    site.answers["/a.jpg"] = busy
    assert crawls.urls(site.url + "/a.jpg").new == 1
    # A date has whole seconds, so that less than the three may be left of it.
    assert moments[1] - moments[0] >= 1.9


def test_a_host_that_asks_for_longer_is_left_alone(site: Site, crawls: Crawls) -> None:
    limited = Answer(status=429, headers={"Retry-After": "1000"})
    site.answers = {f"/{i}.jpg": limited for i in range(30)} | {"/ok.jpg": picture(1)}
    crawls.urls(site.url + "/ok.jpg", *(f"{site.url}/{i}.jpg" for i in range(30)), per_host=1)
    assert set(crawls.failures().values()) == {"rate_limited"}
    assert len(crawls.failures()) == 30
    assert len(site.paths()) < 10


def test_a_host_that_fails_in_a_row_is_left_alone(site: Site, crawls: Crawls) -> None:
    site.answers = {"/ok.jpg": picture(1)}
    dead = [f"http://127.0.0.1:1/{i}.jpg" for i in range(50)]
    crawls.urls(site.url + "/ok.jpg", *dead, respect_robots=False, retries=0, max_failures=5)
    rows = [row for row in crawls.rows() if row["failure"]]
    assert {row["failure"] for row in rows} == {"connection_failed"} and len(rows) == 50
    assert sum("in a row" in row["detail"] for row in rows) >= 40


def test_robots_of_a_failing_server_forbid_all(site: Site, crawls: Crawls) -> None:
    site.answers = {"/robots.txt": Answer(status=503), "/a.jpg": picture(1)}
    with pytest.raises(SourceError, match="robots_denied"):
        crawls.urls(site.url + "/a.jpg", retries=0)
    assert "/a.jpg" not in site.paths()
    assert crawls.urls(site.url + "/a.jpg", respect_robots=False).new == 1


def test_switches_let_through_what_was_refused(full: Site, crawls: Crawls) -> None:
    urls = [full.url + path for path in ("/noai.jpg", "/private/a.jpg", "/a.jpg")]
    assert len(crawls.urls(*urls).failed) == 2
    counts = crawls.urls(*urls, respect_noai=False, respect_robots=False)
    assert (counts.new, counts.known, counts.failed) == (2, 1, {})


def test_sites_see_who_asks(full: Site, crawls: Crawls) -> None:
    crawls.urls(full.url + "/a.jpg")
    agents = {asked.headers["User-Agent"] for asked in full.asked}
    assert len(agents) == 1 and "test@example.org" in agents.pop()


def test_a_crawl_without_contact_is_refused(crawls: Crawls) -> None:
    with pytest.raises(ValueError, match="`contact` is missing: whoever runs a site"):
        crawls.config(kind="urls", path="x.csv", contact="")


def test_budgets_end_a_crawl_and_the_next_goes_on(site: Site, crawls: Crawls) -> None:
    site.answers = {f"/{i}.png": picture(i) for i in range(30)}
    urls = [f"{site.url}/{i}.png" for i in range(30)]
    for done in (12, 24, 30):
        crawls.urls(*urls, max_images=12)
        assert len(crawls.rows()) == done
    size = len(picture(0))
    crawls = Crawls(crawls.folder / "other")
    crawls.folder.mkdir()
    crawls.urls(*urls, max_bytes=10 * size, concurrency=2)
    assert 10 <= len(crawls.rows()) <= 15


def test_columns_are_carried(site: Site, crawls: Crawls) -> None:
    site.answers = {"/a.png": picture(1), "/b.png": picture(2)}
    file = crawls.folder / "list.jsonl"
    rows = [
        {"link": f"{site.url}/a.png", "label": "shoe", "score": 5, "tags": ["x"], "note": "n"},
        {"link": f"{site.url}/b.png", "label": "hat", "score": 1, "tags": ["y"], "note": "m"},
        {"link": f"{site.url}/a.png", "label": "again"},
        {"label": "nothing"},
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    keys = {"kind": "urls", "path": str(file), "url_column": "link", "columns": ["score"]}
    counts = crawls.run(**keys, where={"score": {"min": 2}})
    assert (counts.new, counts.filtered) == (1, 3)
    (row,) = crawls.rows()
    assert (row["label"], row["tags"], json.loads(row["fields"])) == ("shoe", ["x"], {"score": 5})
    counts = crawls.run(**keys)
    assert (counts.new, counts.known, counts.filtered) == (1, 1, 1)
    assert list(crawls.failures().values()) == ["unreadable"]
    # A changed label is noted without a request.
    asked = len(site.asked)
    file.write_text(json.dumps({**rows[0], "label": "boot"}) + "\n")
    crawls.run(**keys)
    assert len(site.asked) == asked
    assert crawls.rows()[-1]["label"] == "boot" and crawls.rows()[-1]["image_id"]


def test_a_dump_of_metadata_is_chosen_from_by_tags_and_rating(site: Site, crawls: Crawls) -> None:
    site.answers = {f"/{i}.png": picture(i) for i in range(4)}
    posts = [
        {"file_url": f"{site.url}/0.png", "tags": "hat shoe", "rating": "s", "score": 20},
        {"file_url": f"{site.url}/1.png", "tags": "hat comic", "rating": "s", "score": 20},
        {"file_url": f"{site.url}/2.png", "tags": "hat shoe", "rating": "e", "score": 20},
        {"file_url": f"{site.url}/3.png", "tags": "hat shoe", "rating": "s", "score": 2},
    ]
    file = crawls.folder / "posts.jsonl"
    file.write_text("\n".join(json.dumps(post) for post in posts))
    crawls.run(
        kind="metadata",
        path=str(file),
        url_column="file_url",
        include_tags=["hat"],
        exclude_tags=["comic"],
        where={"rating": ["s", "q"], "score": {"min": 10}},
    )
    assert site.paths() == ["/0.png"]


def test_a_table_that_gives_nothing_is_an_error_with_a_diagnosis(
    site: Site, crawls: Crawls
) -> None:
    with pytest.raises(SourceError, match=r"(?s)no picture at all.*2 pictures failed: not_found"):
        crawls.urls(site.url + "/a.jpg", site.url + "/b.jpg")
    with pytest.raises(SourceError, match="the table has 0 rows"):
        crawls.urls()
    with pytest.raises(SourceError, match="has no column `link`"):
        crawls.urls(site.url + "/a.jpg", url_column="link")
    with pytest.raises(SourceError, match="matches no file"):
        crawls.run(kind="urls", path=str(crawls.folder / "none.csv"))


def test_resets_are_recorded_and_the_rest_goes_on(site: Site, crawls: Crawls) -> None:
    site.answers = {f"/{i}.png": picture(i) for i in range(20)}

    def dies(asked: Asked) -> Answer:
        raise ConnectionResetError

    site.answers["/7.png"] = dies
    counts = crawls.urls(*(f"{site.url}/{i}.png" for i in range(20)), retries=1)
    assert counts.new == 19
    assert crawls.failures() == {f"{site.url}/7.png": "connection_failed"}
    # Twisted asks once more where a connection that was kept open broke before any answer.
    assert 2 <= site.times["/7.png"] <= 4
