"""Previews are what Pillow would show, encoded by us."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from curation.errors import DecodeError
from curation.preview import LONGEST_SIDE, preview, previews
from curation.recipe import Limits


def png(width: int, height: int, comment: bytes = b"") -> bytes:
    ramp = np.linspace(0, 255, width, dtype=np.uint8)[None, :, None]
    picture = Image.fromarray(np.broadcast_to(ramp, (height, width, 3)).copy())
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue() + comment


def test_it_shows_the_same_pixels_as_the_file() -> None:
    shown = Image.open(io.BytesIO(preview(png(64, 48), Limits())))
    assert (shown.format, shown.size) == ("JPEG", (64, 48))
    expected = np.asarray(Image.open(io.BytesIO(png(64, 48)))).astype(int)
    assert np.abs(np.asarray(shown).astype(int) - expected).max() <= 6


def test_no_byte_that_came_is_passed_on() -> None:
    assert b"<script>" not in preview(png(64, 48, b"<script>alert(1)</script>"), Limits())


def test_what_no_screen_shows_is_shrunk_with_its_proportions() -> None:
    shown = Image.open(io.BytesIO(preview(png(LONGEST_SIDE * 2, 1_000), Limits())))
    assert shown.size == (LONGEST_SIDE, 500)


def test_a_smaller_one_can_be_asked_for() -> None:
    [small] = previews([(png(640, 480), Limits(), 160)])
    assert isinstance(small, bytes)
    assert Image.open(io.BytesIO(small)).size == (160, 120)


def test_what_is_no_picture_is_refused_and_the_others_are_shown() -> None:
    with pytest.raises(DecodeError, match="HTML"):
        preview(b"<html>", Limits())
    good, bad = previews([(png(8, 8), Limits(), 4), (b"<html>", Limits(), 4)])
    assert isinstance(good, bytes)
    assert isinstance(bad, str)
    assert "HTML" in bad
