"""One way to write each URL; what no crawl may follow is refused."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curation.ingest.web.urls import MAX_CHARS, canonical

# Pieces that URLs of all kinds, good and bad, are made of.
STARTS = ["http:", "HTTPS:", "//", "/", "\\", "shop.example", "bücher.example", "[::1]", "[", "]"]
SIGNS = [
    ":80",
    ":0",
    "@",
    "..",
    ".",
    "?",
    "&",
    "=",
    "#",
    "+",
    ";",
    "{",
    "'",
    "|",
    "^",
    " ",
    "\t",
    "\n",
]
ESCAPES = [
    "%2e",
    "%zz",
    "%41",
    "%",
    "utm_source=x",
    "width=3",
    "q=é",
    "ß",
    "。",
    "\ud800",
    "\x00",
    "a",
]
PIECES = st.sampled_from([*STARTS, *SIGNS, *ESCAPES])
ANY_URL = st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=60)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Shop.Example/A", "http://shop.example/A"),
        ("https://shop.example", "https://shop.example/"),
        ("https://shop.example.:443/", "https://shop.example/"),
        ("http://shop.example:443/", "http://shop.example:443/"),
        ("https://shop.example/a#top", "https://shop.example/a"),
        ("https://shop.example/a?#top", "https://shop.example/a"),
        ("  https://shop.example/a\n", "https://shop.example/a"),
        ("https://shop.example/a\nb", "https://shop.example/ab"),
        ("https:\\\\shop.example\\a", "https://shop.example/a"),
        ("https://shop.example/a?b=\\", "https://shop.example/a?b=%5C"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://[2001:DB8:0:0::1]:8080/", "https://[2001:db8::1]:8080/"),
        ("https://shop.example/a b/ü", "https://shop.example/a%20b/%C3%BC"),
        ("https://shop.example/%7ea%2fb%c3", "https://shop.example/~a%2Fb%C3"),
        ("https://shop.example/100%/%zz", "https://shop.example/100%25/%25zz"),
        ("https://shop.example/a?x=1;2&y[]=a+b&z", "https://shop.example/a?x=1;2&y[]=a+b&z"),
        ("https://shop.example/a?b&&c&", "https://shop.example/a?b&c"),
        ("https://shop.example/a//b/", "https://shop.example/a//b/"),
    ],
)
def test_one_way_to_write_it(url: str, expected: str) -> None:
    assert canonical(url) == expected


@pytest.mark.parametrize(
    "path", ["/open/../private/x", "/open/%2e%2E/private/x", "/./private/./x", "/../../private/x"]
)
def test_nothing_goes_around_robots_by_dot_segments(path: str) -> None:
    assert canonical(f"https://shop.example{path}") == "https://shop.example/private/x"


def test_a_last_dot_segment_keeps_its_slash() -> None:
    assert canonical("https://shop.example/a/b/..") == "https://shop.example/a/"
    assert canonical("https://shop.example/..") == "https://shop.example/"


ADVERTISERS = [
    "utm_source=x",
    "UTM_Campaign=x",
    "utm%5Fsource=x",
    "gclid=1",
    "fbclid=1",
    "msclkid=1",
]
SENDERS = ["mc_cid=1", "mc_eid=1", "_pos=1", "_sid=a", "_ss=r", "pr_rec_id=1", "srsltid=A", "_gl=1"]


@pytest.mark.parametrize("parameter", [*ADVERTISERS, *SENDERS])
def test_tracking_is_taken_out(parameter: str) -> None:
    for query in (f"?a=1&{parameter}", f"?{parameter}&a=1"):
        assert canonical(f"https://shop.example/p{query}") == "https://shop.example/p?a=1"
    assert canonical(f"https://shop.example/p?{parameter}") == "https://shop.example/p"


@pytest.mark.parametrize("parameter", ["variant=1", "v=2", "id=3", "page=4", "src=a", "utm=5"])
def test_what_may_tell_pages_apart_stays(parameter: str) -> None:
    url = f"https://shop.example/p?{parameter}"
    assert canonical(url) == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://shop.example/", "must begin with"),
        ("file:///etc/passwd", "must begin with"),
        ("javascript:alert(1)", "must begin with"),
        ("data:image/png;base64,AA==", "must begin with"),
        ("//shop.example/", "must begin with"),
        ("/a.jpg", "must begin with"),
        ("", "must begin with"),
        ("http:///a", "must name a host"),
        ("http://:80/", "must name a host"),
        ("http://user@shop.example/", "user name"),
        ("http://user:word@shop.example/", "user name"),
        ("http://shop.example:0/", "port"),
        ("http://shop.example:65536/", "[Pp]ort"),
        ("http://shop.example:a/", "[Pp]ort"),
        ("http://sh op.example/", "valid host"),
        ("http://%73hop.example/", "valid host"),
        ("http://shop..example/", "valid host"),
        ("http://-/", "valid host"),
        ("http://[fe80::1%25eth0]/", "brackets"),
        ("http://[fe80::1%eth0]/", "brackets|IPv6"),
        ("http://[::1/", "IPv6"),
        ("http://[v1.a]/", "brackets"),
        ("http://[shop.example]/", "brackets|IPv"),
        ("http://a[::1]/", "brackets|IPv6"),
        ("http://[::1]a/", "brackets|IPv6"),
        ("http://[1::2::3]/", "::"),
        (f"http://{'a' * 300}/", "253"),
        (f"http://{'ü' * 300}/", "253"),
        ("http://" + "ü" * 200 + "/", "label"),
        ("http://shop.example/" + "a" * MAX_CHARS, "2000 characters"),
        ("http://shop.example/" + "ü" * 500, "escaped"),
    ],
)
def test_what_is_no_web_address_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        canonical(url)


@given(ANY_URL)
@example("http://a/%2541")
@example("http://a/%%34%31")
@example("http://a/?%75tm_source=1&%25")
@example("http://a/.%2e/%2e./x")
@example("http://a.:80./")
@example("http://a/b/.c/..")
@example("http://a-/-b")
def test_it_is_idempotent_and_safe(url: str) -> None:
    try:
        once = canonical(url)
    except ValueError:
        return
    assert canonical(once) == once
    assert once.isascii() and once.isprintable() and " " not in once and len(once) <= MAX_CHARS
    assert canonical(once + "#") == once, "the short way round gives what the long one does"
    parts = urlsplit(once)
    assert parts.scheme in ("http", "https")
    assert parts.hostname and parts.path.startswith("/")
    assert not parts.fragment and "@" not in parts.netloc
    assert not {".", ".."} & set(parts.path.split("/"))
