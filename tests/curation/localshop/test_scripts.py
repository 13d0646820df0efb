from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable

import pytest

from curation.localshop.faults import Fault, Planted, plan_faults
from curation.localshop.plan import Product
from curation.localshop.replies import HTML, Answer, Delivery, Reply
from curation.localshop.scripts import AfterWait, InTurn, Script, scripts

FAULTS = plan_faults(Fault, seed=1, outside=["link.jpg"])
PLANTED = {planted.fault: planted for planted in FAULTS.planted}


def render(product: Product) -> str:
    return f"<html><head></head>{product.handle}</html>"


def made(answer: Answer) -> Reply:
    return answer if isinstance(answer, Reply) else answer()


@pytest.fixture
def ask() -> Callable[[str], Reply]:
    """Ask at a path, of fresh scripts."""
    found: dict[str, Script] = scripts(FAULTS, render)
    return lambda path: made(found[path]())


Ask = Callable[[str], Reply]


def whole(reply: Reply, planted: Planted) -> bool:
    return reply.status == 200 and reply.body == planted.data


def test_answers_in_turn() -> None:
    first, last = Reply(status=500), Reply()
    turns = InTurn(first, last)
    assert [turns() for _ in range(3)] == [first, last, last]


def test_the_busy_do_not_answer_before_the_wait_is_over() -> None:
    waits = AfterWait(3600, Reply(b"here"))
    first = made(waits())
    assert first.status == 429 and first.headers == {"Retry-After": "3600"}
    assert made(waits()).status == 429


def test_the_busy_answer_once_it_is_over() -> None:
    waits = AfterWait(1, Reply(b"here"))
    waits()
    time.sleep(1.05)
    assert made(waits()).body == b"here" == made(waits()).body


def test_pictures_that_heal(ask: Ask) -> None:
    planted = PLANTED[Fault.HEALS]
    assert [ask(planted.image).status for _ in range(4)] == [500, 500, 200, 200]
    assert whole(ask(planted.image), planted)
    assert ask(planted.image).etag


@pytest.mark.parametrize(("fault", "status"), [(Fault.MISSING, 404), (Fault.BROKEN, 500)])
def test_pictures_that_never_heal(ask: Ask, fault: Fault, status: int) -> None:
    assert {ask(PLANTED[fault].image).status for _ in range(6)} == {status}


@pytest.mark.parametrize(
    ("fault", "delivery"),
    [
        (Fault.SLOW, Delivery.SLOW),
        (Fault.STALLED, Delivery.STALLED),
        (Fault.TRUNCATED, Delivery.TRUNCATED),
        (Fault.RESET, Delivery.RESET),
        (Fault.ENDLESS, Delivery.ENDLESS),
    ],
)
def test_odd_deliveries(ask: Ask, fault: Fault, delivery: Delivery) -> None:
    reply = ask(PLANTED[fault].image)
    assert whole(reply, PLANTED[fault]) and reply.delivery is delivery


def test_wrong_types(ask: Ask) -> None:
    mistyped, page = ask(PLANTED[Fault.MISTYPED].image), ask(PLANTED[Fault.WEB_PAGE].image)
    assert mistyped.type == HTML and mistyped.body.startswith(b"\xff\xd8\xff")
    assert page.type == "image/jpeg" and page.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("fault", [Fault.MOVED, Fault.TO_PRIVATE])
def test_pictures_that_have_moved(ask: Ask, fault: Fault) -> None:
    planted = PLANTED[fault]
    reply = ask(planted.image)
    assert reply.status == 302 and reply.headers == {"Location": planted.aside}
    assert whole(ask(planted.aside), planted)


def test_a_loop(ask: Ask) -> None:
    planted = PLANTED[Fault.LOOP]
    assert ask(planted.image).headers == {"Location": planted.aside}
    assert ask(planted.aside).headers == {"Location": planted.image}


def test_redirects_out_of_the_web(ask: Ask) -> None:
    file, metadata = PLANTED[Fault.TO_FILE].image, PLANTED[Fault.TO_METADATA].image
    assert ask(file).headers == ask("/media/link.jpg").headers
    assert ask(file).headers == {"Location": "file:///etc/passwd"}
    assert ask(metadata).headers == {"Location": "http://169.254.169.254/latest/meta-data/"}


def test_a_picture_that_opts_out(ask: Ask) -> None:
    assert ask(PLANTED[Fault.OPTED_OUT].image).headers == {"X-Robots-Tag": "noimageai"}


def test_more_headers_than_anyone_needs(ask: Ask) -> None:
    assert len(ask(PLANTED[Fault.HEADERS].image).lines()) > 400_000


def test_bombs_are_small_and_unpack_to_a_gigabyte(ask: Ask) -> None:
    picture = ask(PLANTED[Fault.BOMB].image)
    assert picture.headers == {"Content-Encoding": "gzip"}
    assert ask("/sitemaps/bomb.xml.gz").body == picture.body
    assert len(picture.body) < 1_100_000
    member, count = picture.body[: len(picture.body) // 64], 64
    assert picture.body == member * count
    assert len(gzip.decompress(member)) * count == 1 << 30
    # A reader of one member at a time gets on to the next.
    unpack = zlib.decompressobj(wbits=31)
    unpack.decompress(picture.body)
    assert unpack.unused_data.startswith(b"\x1f\x8b")


def test_sitemaps_with_entities(ask: Ask) -> None:
    assert b'<!ENTITY file SYSTEM "file:///etc/passwd">' in ask("/sitemaps/entities.xml").body


def test_pages_that_move_heal_and_are_missing(ask: Ask) -> None:
    moved = ask(PLANTED[Fault.PAGE_MOVED].product.path)
    assert moved.status == 301
    assert ask(moved.headers["Location"]).status == 200
    heals = PLANTED[Fault.PAGE_HEALS].product.path
    assert [ask(heals).status for _ in range(3)] == [500, 500, 200]
    assert ask("/products/discontinued").status == 404


def test_broken_markup_is_added_to_the_page(ask: Ask) -> None:
    body = ask(PLANTED[Fault.BAD_MARKUP].product.path).body
    assert b'"image": ["</script>' in body and body.endswith(b"</html>")


def test_what_only_a_nofollow_page_leads_to_is_there(ask: Ask) -> None:
    assert ask(PLANTED[Fault.NOFOLLOW].product.links[0]).status == 200


def test_without_faults_there_is_nothing_to_say() -> None:
    assert scripts(plan_faults((), seed=1), render) == {}
