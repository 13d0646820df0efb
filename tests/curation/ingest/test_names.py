from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ingest.names import escape, glob_matcher, picture_stem, stem, unescape, unsafe

ANY_TEXT = st.text(st.characters())  # surrogates and controls too


@given(ANY_TEXT)
def test_escape_round_trips_any_text(name: str) -> None:
    assert unescape(escape(name)) == name


@given(st.binary())
def test_escape_round_trips_any_bytes(raw: bytes) -> None:
    escaped = escape(os.fsdecode(raw))
    assert os.fsencode(unescape(escaped)) == raw
    escaped.encode("utf-8")
    assert "\n" not in escaped and len(escaped.splitlines()) <= 1


@given(ANY_TEXT, ANY_TEXT)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("plain name.v2.jpg", "plain name.v2.jpg"),
        ("été.jpg", "été.jpg"),
        ("a\nb", r"a\x0ab"),
        ("a\\b", r"a\\b"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("x\u202egpj.exe", r"x\u202egpj.exe"),
    ],
)
def test_escaped_names_read_well(name: str, escaped: str) -> None:
    assert escape(name) == escaped


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", r"a\b", "C:/x", "c:x", "", "a\0b", ".."]
)
def test_unsafe_names(name: str) -> None:
    assert unsafe(name)


@pytest.mark.parametrize("name", ["a/b.jpg", "a..b/c...jpg", "x" * 5000, "ab:c", "./a"])
def test_safe_names(name: str) -> None:
    assert unsafe(name) is None


def test_stems() -> None:
    assert stem("a/b.c.jpg") == "b.c"
    assert stem("noending") == "noending"
    assert picture_stem("shoe.v2") == "shoe.v2"
    assert picture_stem("a/shoe.v2.JPG") == "shoe.v2"


@pytest.mark.parametrize(
    ("include", "exclude", "path", "wanted"),
    [
        (["*.jpg"], [], "a/b/c.JPG", True),
        (["*.jpg"], [], "c.png", False),
        (["shoes/*"], [], "shoes/a.jpg", True),
        (["shoes/*"], [], "shoes/red/a.jpg", False),
        (["shoes/**"], [], "shoes/red/a.jpg", True),
        (["**/red/*.jpg"], [], "red/a.jpg", True),
        ([], ["*thumb*"], "a/x_thumb.jpg", False),
        ([], ["*thumb*"], "thumb/x.jpg", True),
        (["*.[jp][!p]g"], [], "a.jpg", False),
        (["*.[jp]?g"], [], "a.png", True),
    ],
)
def test_globs(include: list[str], exclude: list[str], path: str, wanted: bool) -> None:
    matcher = glob_matcher(include, exclude)
    assert matcher is not None
    assert matcher(path) is wanted


def test_bad_glob_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[z-a\]"):
        glob_matcher(["[z-a]"], [])
