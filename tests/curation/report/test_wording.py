from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.report.wording import byte_size, clean, number, percent, title
from data_catalog.schema import Reason


@given(st.text(max_size=400) | st.text(st.characters(categories=["Cs", "Cc", "Cf"])))
def test_clean_text_is_short_encodable_and_without_hidden_characters(text: str) -> None:
    shown = clean(text)
    shown.encode("utf-8")
    assert len(shown) <= 10 * 160
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_an_override_cannot_turn_a_name_around() -> None:
    assert clean("a\u202egpj.exe\n") == "a\\u202egpj.exe\\n"


def test_a_long_name_keeps_both_ends() -> None:
    shown = clean("begin" + "x" * 10_000 + "end.jpg")
    assert shown.startswith("begin") and shown.endswith("end.jpg") and len(shown) == 160


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (4000, "4.0 kB"), (48_300, "48 kB"), (999_900, "1.0 MB")],
)
def test_byte_sizes(count: int, text: str) -> None:
    assert byte_size(count) == text


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (212.0, "shorter_side", "212 px"),
        (12_345.0, "shorter_side", "12,345 px"),
        (0.93456, "blankness", "0.935"),
        (1.5, "upscale", "1.5×"),
        (-2.0, "d_score", "−2"),
        (48_300.0, "file_bytes", "48 kB"),
        (0.5, "a_column_of_tomorrow", "0.5"),
    ],
)
def test_numbers(value: float, column: str, text: str) -> None:
    assert number(value, column) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0%"),
        (0.0003, "under 0.1%"),
        (0.041, "4.1%"),
        (0.62, "62%"),
        (0.9999, "99.9%"),
        (1, "100%"),
    ],
)
def test_little_is_not_nothing(share: float, text: str) -> None:
    assert percent(share) == text


def test_every_reason_has_a_title() -> None:
    assert title(Reason.NOT_AN_IMAGE) == "Not an image"
    assert title(Reason.LOW_D_SCORE) == "Low D score"
    assert len({title(r) for r in Reason}) == len(Reason)
