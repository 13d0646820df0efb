from __future__ import annotations

import gzip
import json
import urllib.request
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ingest.web.cdx import (
    MOST_CAPTURES,
    REVISIT,
    Capture,
    CdxError,
    Listing,
    Wanted,
    Window,
    parse_response,
    replay_url,
)
from tests.curation.ingest.web.archive import Archive, Visit, record, serving
from tests.curation.ingest.web.cdx_server import FIELDS, CdxServer, Held, Index, query_of
from tests.curation.ingest.web.site import Answer, serve

ROW = [
    "example,shop)/a.jpg", "20120102030405", "http://shop.example:80/a.jpg", "image/jpeg", "200",
    "5DA5MCYUI64NCBHEQUDPDEDJL5H7ENSG", "3428",
]  # fmt: skip
CAPTURE = Capture(ROW[0], ROW[1], ROW[2], "image/jpeg", 200, ROW[5], 3428)


def _arrays(*rows: object) -> bytes:
    return json.dumps([FIELDS, *rows]).encode()


def _line(**changes: object) -> bytes:
    names = ("urlkey", "timestamp", "url", "mime", "status", "digest", "length")
    return json.dumps({**dict(zip(names, ROW, strict=True)), **changes}).encode() + b"\n"


# ---- Answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        _arrays(ROW),
        json.dumps([ROW]).encode(),
        _line(filename="x.warc.gz", source="shop"),
        _line(status=200, length=3428),
        b'example,shop)/a.jpg 20120102030405 {"url": "http://shop.example:80/a.jpg", "mime": '
        b'"image/jpeg", "status": "200", "digest": "sha1:5DA5MCYUI64NCBHEQUDPDEDJL5H7ENSG", '
        b'"length": "3428"}\n',
        " ".join(ROW).encode() + b"\n",
        " ".join([*ROW[:6], "-", "-", ROW[6], "335", "x.warc.gz"]).encode(),
    ],
    ids=["arrays", "unnamed", "lines", "numbers", "cdxj", "text", "text11"],
)
def test_every_dialect_says_the_same(body: bytes) -> None:
    answer = parse_response(body)
    assert answer.captures == (CAPTURE,)
    assert (answer.rows, answer.bad, answer.resume_key) == (1, 0, None)


def test_resume_keys() -> None:
    key = "example%2Cshop%29%2Fa.jpg+20120102030406"
    for body in (
        _arrays(ROW, [], [key]),
        (" ".join(ROW) + "\n   \n" + key + "\n").encode(),
    ):
        answer = parse_response(body)
        assert (answer.captures, answer.resume_key) == ((CAPTURE,), key)


@pytest.mark.parametrize("body", [b"", b"\n", b"[]", b"[]\n", json.dumps([FIELDS]).encode()])
def test_nothing_found(body: bytes) -> None:
    assert parse_response(body).rows == 0


def test_what_pywb_found_instead_is_nothing_found() -> None:
    assert parse_response(_line(is_fuzzy="1")).captures == ()


def test_fields_in_another_order_and_further_ones() -> None:
    names = [*FIELDS[::-1], "dupecount"]
    body = json.dumps([names, [*ROW[::-1], "0"]]).encode()
    assert parse_response(body).captures == (CAPTURE,)


def test_what_the_archive_does_not_say_is_unknown() -> None:
    (capture,) = parse_response(_line(status="-", length="-", digest="-", mime=None)).captures
    assert (capture.status, capture.length, capture.digest, capture.mime) == (None, None, None, "")
    (capture,) = parse_response(_line(mime="Image/JPEG; charset=x")).captures
    assert capture.mime == "image/jpeg"


@pytest.mark.parametrize(
    "row",
    [
        [*ROW[:2], "dns:shop.example", *ROW[3:]],
        [*ROW[:2], "ftp://shop.example/a.jpg", *ROW[3:]],
        [*ROW[:2], "http:///a.jpg", *ROW[3:]],
        [*ROW[:2], "http://[::1/a.jpg", *ROW[3:]],
        [*ROW[:2], "http://shop.example/\na.jpg", *ROW[3:]],
        [*ROW[:2], "http://shop.example/" + "a" * 2000, *ROW[3:]],
        [ROW[0], "20120230030405", *ROW[2:]],
        [ROW[0], "2012", *ROW[2:]],
        [ROW[0], "00010101000000", *ROW[2:]],
        [ROW[0], "２０１２０１０２０３０４０５", *ROW[2:]],
        ROW[:5],
        [[], {}, None, 1, 2, 3, 4],
        {"urlkey": "x"},
        None,
    ],
)
def test_rows_that_name_nothing_to_fetch_are_counted(row: object) -> None:
    answer = parse_response(_arrays(ROW, row))
    assert (answer.captures, answer.rows, answer.bad) == ((CAPTURE,), 2, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Blocked Site Error</html>",
        b"org.archive.wayback.exception.RobotAccessControlException: Blocked By Robots",
        _arrays(ROW, ROW)[:-20],
        b"[" * 100_000,
        b'{"message": "Internal Error"}',
        b'{"a": ' * 100_000,
        b"[" + b"1" * 10_000 + b"]",
        b"\xff\xfe[\x00]\x00",
        b'[["timestamp"], ["20120102030405", "x"]]',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_other_answers_are_errors(body: bytes) -> None:
    with pytest.raises(CdxError, match="the archive answered with"):
        parse_response(body)


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda t: ('[["timestamp"],' + t).encode())
)
def test_no_answer_does_anything_else(body: bytes) -> None:
    try:
        answer = parse_response(body)
    except CdxError:
        return
    assert answer.rows == len(answer.captures) + answer.bad


# ---- What is wanted --------------------------------------------------------------------------


def _capture(**changes: object) -> Capture:
    names = ("urlkey", "timestamp", "original", "mime", "status", "digest", "length")
    values = dict(zip(names, (*ROW[:3], "image/jpeg", 200, ROW[5], 3428), strict=True))
    return Capture(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("capture", "taken"),
    [
        (_capture(), True),
        (_capture(mime="image/svg+xml"), False),
        (_capture(mime="ximage/jpeg"), False),
        (_capture(mime="image/jpegx"), False),
        (_capture(status=404), False),
        (_capture(status=301), False),
        (_capture(status=None), False),
        (_capture(length=999), False),
        (_capture(length=1000), True),
        (_capture(length=None), True),
        (_capture(timestamp="20091231235959"), False),
        (_capture(timestamp="20100101000000"), True),
        (_capture(timestamp="20120531235959"), True),
        (_capture(timestamp="20120601000000"), False),
        # A revisit stores no bytes, so its length says nothing.
        (_capture(mime=REVISIT, status=None, length=300), True),
        (_capture(mime=REVISIT, status=200, length=300), True),
        (_capture(mime=REVISIT, status=404), False),
        (_capture(mime=REVISIT, status=None, original="http://shop.example/A.JPEG?x=1"), True),
        (_capture(mime=REVISIT, status=None, original="http://shop.example/index.html"), False),
        (_capture(mime=REVISIT, status=None, original="http://shop.example/a.gif"), False),
    ],
)
def test_wanted(capture: Capture, taken: bool) -> None:
    wanted = Wanted(("image/jpeg", "image/x-*"), 1000, first="2010", last="201205")
    assert wanted.takes(capture) is taken


def test_wanted_by_pattern() -> None:
    assert Wanted(("image/*",)).takes(_capture(mime="image/svg+xml"))
    assert not Wanted(("image.jpeg",)).takes(_capture())


def test_replay_url() -> None:
    made = replay_url(
        "http://a.example/web/", "20120102030405", "http://shop.example:80/a b/ü.jpg?v=1&w=%20#x"
    )
    assert made == (
        "http://a.example/web/20120102030405id_/http://shop.example:80/a%20b/%C3%BC.jpg?v=1&w=%20%23x"
    )


# ---- Listing ---------------------------------------------------------------------------------


def _list_all(listing: Listing, ask: Callable[[str], bytes]) -> list[Capture]:
    found: list[Capture] = []
    for _ in range(2000):
        if (window := listing.window) is None:
            return found
        answer = parse_response(ask(listing.query(window)))
        if listing.take(window.step(answer)):
            found += answer.captures
    raise AssertionError("the listing does not end")


def _listing(limit: int) -> Listing:
    return Listing("http://archive.example/cdx", "shop.example", "domain", limit)


def _places(captures: Iterable[Capture | Held]) -> list[tuple[str, str]]:
    return sorted((c.original, c.timestamp) for c in captures)


def _of_the_shop(held: Iterable[Held]) -> list[Held]:
    return [h for h in held if h.urlkey.startswith(("example,shop)", "example,shop,"))]


NAMES = st.sampled_from(["/", "/a", "/a%20b.jpg", "/ü.jpg", "/a+b", "/b?c=%c3%bc", "/z"])
HOSTS = st.sampled_from(["shop.example", "img.shop.example", "other.example", "shop.exampl"])
SECONDS = st.integers(0, 40).map(lambda n: f"201202290000{n:02}"[:14])
TIMES = st.sampled_from(["20111231235959", "20120101000000", "20200101000000"]) | SECONDS
HELD = st.sets(st.builds(lambda h, n, t: (f"http://{h}{n}", t), HOSTS, NAMES, TIMES), max_size=40)


@given(HELD, st.integers(1, 12), st.sampled_from([1, 2]))
def test_resume_keys_lead_to_every_capture(
    places: set[tuple[str, str]], limit: int, decodes: int
) -> None:
    held = [Held(time, url) for url, time in places]
    index = Index(held, decodes=decodes)
    found = _list_all(_listing(limit), lambda url: index.search(query_of(url)))
    assert _places(found) == _places(_of_the_shop(held))


@given(HELD, st.integers(1, 12))
def test_without_resume_keys_every_capture_is_found_too(
    places: set[tuple[str, str]], limit: int
) -> None:
    held = [Held(time, url) for url, time in places]
    assert _places(_list_all(_listing(limit), Keyless(held))) == _places(held)


class Keyless:
    """Answers as pywb does."""

    def __init__(self, held: Iterable[Held], most: int = 10**9) -> None:
        self.rows = sorted((h.row for h in held), key=lambda row: (row[0], row[1]))
        self.most = most
        self.limits: list[int] = []

    def __call__(self, url: str) -> bytes:
        query = query_of(url)
        first, last = query.get("from", ""), query.get("to", "9")
        self.limits.append(int(query["limit"]))
        rows = [row for row in self.rows if first <= row[1] <= last]
        rows = rows[: min(self.limits[-1], self.most)]
        return "\n".join(json.dumps(dict(zip(FIELDS, row, strict=True))) for row in rows).encode()


def _many(count: int, time: Callable[[int], str]) -> list[Held]:
    return [Held(time(n), f"http://shop.example/{n:04}.jpg") for n in range(count)]


def test_a_limit_of_the_servers_own_is_noticed() -> None:
    held = _many(950, lambda n: f"2012010100{n // 60:02}{n % 60:02}")
    assert _places(_list_all(_listing(5000), Keyless(held, most=100))) == _places(held)


def test_one_crowded_second() -> None:
    held = _many(70, lambda _: "20120101000000")
    server = Keyless([*held, Held("20120101000001", "http://shop.example/")])
    assert len(_list_all(_listing(10), server)) == 71
    assert max(server.limits) == 80  # it is the only thing that more is asked for


def test_a_server_that_cannot_be_listed_is_told_apart() -> None:
    held = _many(30, lambda n: f"201201010000{n:02}")
    with pytest.raises(CdxError, match="none between"):
        _list_all(_listing(10), lambda url: Keyless(held)(url.replace("from", "begin")))
    with pytest.raises(CdxError, match="of one second, 20120101000000; narrow `url`"):
        Window(MOST_CAPTURES, "20120101000000", "20120101000000").parts("20120101000000")


def test_a_server_that_does_not_resume_is_told_apart() -> None:
    same = _arrays(ROW, [], ["same"])
    with pytest.raises(CdxError, match="does not go on where it stopped, at 'same'"):
        _list_all(_listing(1), lambda _: same)
    later = iter(range(10, 60))
    with pytest.raises(CdxError, match="'same' twice in a row"):
        _list_all(
            _listing(1),
            lambda _: _arrays([*ROW[:1], f"201201020304{next(later)}", *ROW[2:]], [], ["same"]),
        )


def test_nothing_is_left_to_the_server_that_it_would_count() -> None:
    """It reads so many lines for one answer, and a filter does not make it read more."""
    held = _many(300, lambda n: f"20{10 + n // 100}0101000000")
    index = Index(held, most_lines=50)
    asked: list[dict[str, str]] = []

    def ask(url: str) -> bytes:
        asked.append(query_of(url))
        return index.search(asked[-1])

    assert _places(_list_all(_listing(40), ask)) == _places(held)
    assert json.loads(index.search({**asked[0], "from": "2012"})) == []  # although it has some
    for query in asked:
        assert not {"filter", "collapse", "from", "to", "fl"} & query.keys()


def test_too_large_an_answer_is_asked_for_in_smaller_ones() -> None:
    index = Index(_many(60, lambda _: "20120101000000"))
    listing = _listing(40)
    assert listing.shrink() and listing.shrink()
    found = _list_all(listing, lambda url: index.search(query_of(url)))
    assert len(found) == 60
    least = _listing(1)
    assert not least.shrink()


def test_a_question_mark_in_the_address_of_the_search() -> None:
    listing = Listing("http://archive.example/cdx?key=a", "http://shop.example/?a=1&b", "exact", 5)
    window = listing.window
    assert window is not None
    assert listing.query(window) == (
        "http://archive.example/cdx?key=a&url=http%3A%2F%2Fshop.example%2F%3Fa%3D1%26b"
        "&matchType=exact&output=json&limit=5&showResumeKey=true"
    )


# ---- Real servers ----------------------------------------------------------------------------


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        body: bytes = response.read()
        packed = response.headers.get("Content-Encoding") == "gzip"
    return gzip.decompress(body) if packed else body


@pytest.fixture(scope="module")
def pywb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive of a little shop, visited several times."""
    folder = tmp_path_factory.mktemp("pywb")
    shop = "http://shop.example"
    with serve() as site:

        def visit(path: str, date: str, host: str = shop, *, again: bool = False) -> Visit:
            return Visit(site.url + path, host + path, date, again)

        def answer(body: bytes, kind: str = "image/jpeg") -> Answer:
            return Answer(body, headers={"Content-Type": kind})

        site.answers = {
            "/": answer(b"<html>a shop</html>", "text/html; charset=utf-8"),
            "/a.jpg": answer(b"a" * 3000),
            "/b.jpg?v=1": answer(b"b" * 5000),
            "/c%20%C3%BC.png": answer(b"c" * 100, "image/png"),
            "/moved.jpg": Answer(status=301, headers={"Location": f"{shop}/a.jpg"}),
        }
        visits = [
            visit("/", "2012-01-01T00:00:00Z"),
            visit("/a.jpg", "2012-01-01T00:00:01Z"),
            visit("/a.jpg", "2013-06-01T12:00:00Z", again=True),
            visit("/a.jpg", "2014-06-01T12:00:00Z", "http://img.shop.example"),
            visit("/b.jpg?v=1", "2012-01-01T00:00:01Z"),
            visit("/c%20%C3%BC.png", "2012-02-29T23:59:59Z"),
            visit("/moved.jpg", "2012-03-01T00:00:00Z"),
            visit("/gone.jpg", "2012-03-01T00:00:00Z"),
            visit("/a.jpg", "2012-03-01T00:00:00Z", "http://other.example"),
        ]
        record(folder / "shop.warc.gz", visits)
    with serving(folder / "shop.warc.gz", folder / "root") as archive:
        yield archive


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pywb_is_listed_to_the_end(pywb: Archive, limit: int) -> None:
    found = _list_all(Listing(pywb.cdx_url, "shop.example", "domain", limit), _fetch)
    assert _places(found) == [
        ("http://img.shop.example/a.jpg", "20140601120000"),
        ("http://shop.example/", "20120101000000"),
        ("http://shop.example/a.jpg", "20120101000001"),
        ("http://shop.example/a.jpg", "20130601120000"),
        ("http://shop.example/b.jpg?v=1", "20120101000001"),
        ("http://shop.example/c%20%C3%BC.png", "20120229235959"),
        ("http://shop.example/gone.jpg", "20120301000000"),
        ("http://shop.example/moved.jpg", "20120301000000"),
    ]
    by_place = {(c.original, c.timestamp): c for c in found}
    first = by_place["http://shop.example/a.jpg", "20120101000001"]
    again = by_place["http://shop.example/a.jpg", "20130601120000"]
    assert (first.mime, first.status) == ("image/jpeg", 200)
    assert (again.mime, again.digest) == (REVISIT, first.digest)
    assert len([c for c in found if Wanted(("image/*",), first="2012").takes(c)]) == 5


@pytest.mark.parametrize(
    ("url", "match", "count"),
    [
        ("shop.example", "host", 7),
        ("http://shop.example/a", "prefix", 2),
        ("http://shop.example/b.jpg?v=1", "exact", 1),
        ("http://shop.example/none", "exact", 0),
        ("none.example", "domain", 0),
    ],
)
def test_pywb_finds_by_every_match(pywb: Archive, url: str, match: str, count: int) -> None:
    assert len(_list_all(Listing(pywb.cdx_url, url, match, 100), _fetch)) == count


def test_pywb_replays_bytes_as_they_came(pywb: Archive) -> None:
    found = _list_all(Listing(pywb.cdx_url, "shop.example", "domain", 100), _fetch)
    bodies = {
        (c.original, c.timestamp): _fetch(replay_url(pywb.replay_url, c.timestamp, c.original))
        for c in found
        if c.status in (None, 200)
    }
    assert len(bodies) == 6
    assert bodies["http://shop.example/", "20120101000000"] == b"<html>a shop</html>"
    assert bodies["http://shop.example/a.jpg", "20130601120000"] == b"a" * 3000
    assert bodies["http://shop.example/b.jpg?v=1", "20120101000001"] == b"b" * 5000
    assert bodies["http://shop.example/c%20%C3%BC.png", "20120229235959"] == b"c" * 100


@pytest.mark.parametrize("decodes", [1, 2])
def test_the_other_dialect_over_http(decodes: int) -> None:
    held = _many(25, lambda n: f"201201010000{n:02}")
    with CdxServer(Index(held, decodes=decodes)) as server:
        found = _list_all(Listing(server.cdx_url, "shop.example", "domain", 4), _fetch)
        assert _places(found) == _places(held)
        assert len(server.asked) == (7 if decodes == 2 else 8)
        first = found[0]
        assert _fetch(replay_url(server.replay_url, first.timestamp, first.original)) == b""
