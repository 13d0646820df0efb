"""Words and numbers as people read them: names of measures, reasons in a line, safe file names."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from curation.scorers import Scorer
from data_catalog.schema import Reason


@dataclass(frozen=True, slots=True)
class Measure:
    """How a measured column is called and printed."""

    title: str
    unit: str = ""
    whole: bool = False  # values are whole numbers


MEASURES: Final[Mapping[str, Measure]] = {
    "shorter_side": Measure("shorter side", "px", whole=True),
    "width": Measure("width", "px", whole=True),
    "height": Measure("height", "px", whole=True),
    "aspect": Measure("longer over shorter side"),
    "file_bytes": Measure("file size", "B", whole=True),
    "upscale": Measure("enlargement", "×"),
    "frames": Measure("frames", whole=True),
    "colours": Measure("colours", whole=True),
    "chroma": Measure("chroma"),
    "blankness": Measure("blankness"),
    "entropy": Measure("entropy"),
    "sharpness": Measure("sharpness"),
    "border_uniformity": Measure("border uniformity"),
    "background_complexity": Measure("background complexity"),
    "centre_offset": Measure("distance from the centre"),
    "fill": Measure("share filled by the subject"),
    "edges_touched": Measure("edges touched", whole=True),
    "pattern": Measure("pattern likelihood"),
    "distance": Measure("distance from the keeper"),
    "colourway_rank": Measure("rank among the colourways", whole=True),
    "colourway_number": Measure("number among the colourways", whole=True),
    **{scorer.score: Measure(scorer.called) for scorer in Scorer},
    **{scorer.place: Measure(f"place by {scorer.called}") for scorer in Scorer},
}

# Measures that are shown even where no rule names them.
OVERVIEW: Final = (
    "shorter_side",
    "aspect",
    "file_bytes",
    "upscale",
    "colours",
    "chroma",
    "blankness",
    "entropy",
    "sharpness",
    "border_uniformity",
    "background_complexity",
    "fill",
    "centre_offset",
    "edges_touched",
    "pattern",
)

MEANINGS: Final[Mapping[Reason, str]] = {
    Reason.EMPTY_FILE: "The file has no bytes.",
    Reason.UNREADABLE: "The operating system or the archive refused to give the bytes.",
    Reason.LINK_OUTSIDE: "A link that leaves the source folder is not followed.",
    Reason.UNSAFE_NAME: "An archive member that names a path outside the archive.",
    Reason.NESTED_ARCHIVE: "An archive inside an archive is not opened.",
    Reason.ARCHIVE_BOMB: "It unpacks to far more than its size allows.",
    Reason.FILE_TOO_LARGE: "The file has more bytes than the limit.",
    Reason.NOT_AN_IMAGE: "No picture format that is known, whatever the name says.",
    Reason.CORRUPT: "A picture, but cut short or damaged.",
    Reason.TOO_MANY_PIXELS: "The header promises more pixels than the limit.",
    Reason.CRASHED_WORKER: "Decoding it ended the process that tried.",
    Reason.TIMED_OUT: "Decoding it did not end in time.",
    Reason.NOTHING_DETECTED: "The detector found no subject in it.",
    Reason.NOT_FOUND: "The server has nothing at this URL any more.",
    Reason.HTTP_ERROR: "The server refused it.",
    Reason.SERVER_ERROR: "The server failed each time.",
    Reason.RATE_LIMITED: "The server asked to come back later.",
    Reason.DNS_FAILURE: "The host's name is not known.",
    Reason.CONNECTION_FAILED: "The connection was refused or broken off.",
    Reason.TLS_FAILURE: "The server's certificate does not hold.",
    Reason.FETCH_TIMED_OUT: "The answer did not come in time.",
    Reason.CUT_SHORT: "The answer ended before its stated length.",
    Reason.ROBOTS_DENIED: "The site's robots.txt forbids it.",
    Reason.OPTED_OUT: "Its site asks not to be used for training.",
    Reason.ADDRESS_REFUSED: "The host is at an address that is not public.",
    Reason.URL_REFUSED: "No URL that is ever followed.",
    Reason.REDIRECT_REFUSED: "It led on too often, or to where it must not.",
    Reason.FORGOTTEN: "Taken down on request; it does not come back.",
    Reason.PIXEL_DUPLICATE: "The same pixels in other bytes.",
    Reason.NEAR_DUPLICATE: "The same picture: re-encoded, resized, cropped or framed.",
    Reason.MIRRORED_COPY: "The same picture, flipped left to right.",
    Reason.COLOURWAY: "One silhouette in more colours than the cap allows.",
    Reason.DECIDED: "A person said so.",
}

_LONGEST = 160


def title(reason: Reason) -> str:
    """Name a reason as a heading: `too_small` becomes "Too small"."""
    return str(reason.value).replace("_", " ").capitalize().replace(" d ", " D ")


def measure(column: str) -> Measure:
    """Look up how a column is called; unknown ones are called by their name."""
    return MEASURES.get(column, Measure(clean(column).replace("_", " ")))


def clean(text: str, longest: int = _LONGEST) -> str:
    r"""Make text from outside fit to be shown on one line.

    Control characters and those that reorder text are written as escapes (`\u202e`), so that a name
    cannot pretend to be another; what is too long loses its middle, since names differ at the ends.
    """
    if len(text) > longest:
        half = longest // 2
        text = f"{text[: half - 1]}…{text[-half:]}"
    return "".join(_visible(c) for c in text)


def _visible(character: str) -> str:
    # Cc controls, Cf reordering and zero-width marks, Cs lone surrogates, Zl and Zp line ends.
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character


def byte_size(count: float) -> str:
    """Write a number of bytes: "812 B", "48 kB", "3.1 MB"."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.5 or unit == "TB":
            break
    return f"{count:.1f} {unit}" if count < 9.95 else f"{count:,.0f} {unit}"


def number(value: float, column: str = "", *, unit: bool = True) -> str:
    """Write a measured value with its unit, to three significant digits."""
    about = measure(column)
    if about.unit == "B":
        return byte_size(value)
    if about.whole or (value.is_integer() and 1000 <= abs(value) < 1e15):
        text = f"{value:,.0f}"
    elif abs(value) >= 1000:
        text = f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3g}"
    else:
        text = f"{value:.3g}"
    text = text.replace("-", "−")
    if not unit or not about.unit:
        return text
    return f"{text}{about.unit}" if about.unit == "×" else f"{text} {about.unit}"


def percent(share: float) -> str:
    """Write a share of 0 to 1 so that little is not nothing: "0.03%", "4.1%", "62%"."""
    value = 100 * share
    if value == 0 or 9.95 <= value <= 99 or value >= 100:
        return f"{value:.0f}%"
    if value > 99:
        return f"{min(value, 99.9):.1f}%"
    return f"{value:.1f}%" if value >= 0.1 else "under 0.1%"
