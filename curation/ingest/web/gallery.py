"""The pictures that a product's page shows: which they are, and at what sizes it offers each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from curation.ingest.web.sizes import best_of_srcset

_MAXPICTURES: Final = 500
_ICON_PIXELS: Final = 40
_MAX_NAMES: Final = 400

PICTURE: Final = re.compile(r"\.(?:jpe?g|png|webp|avif|gif|bmp|tiff?|jfif|heic)(?:[?#]|$)", re.I)
# Attributes that name a larger picture, for a lens or a lightbox.
_ZOOM: Final = re.compile(
    r"data-(?!.*(?:width|height|size$|index|alt|title|caption|id$))"
    r".*(?:zoom|large|hi-?res|high-?res|full|magnif|lightbox|photoswipe|pswp-src|mfp-src|big)",
)
_LAZY: Final = ("data-src", "data-lazy-src", "data-lazy", "data-original", "data-image", "src")
_SRCSETS: Final = ("data-srcset", "data-lazy-srcset", "srcset")
_GALLERY: Final = re.compile(
    r"gallery|carousel|fotorama|easyzoom|cloud-?zoom|photoswipe|lightbox"
    r"|product[-_]*(?:\w{1,20}[-_]+)?(?:image|photo|media|picture|img|thumb|slide)"
    r"|(?:main|primary|zoom|big|large|detail)[-_]*(?:image|photo|picture|img)",
    re.I,
)
_ELSEWHERE: Final = re.compile(
    r"related|recommend|up-?sell|cross-?sell|recently|similar|also[-_]?(?:like|bought|viewed)"
    r"|you[-_]?may|complete[-_]the|(?<!p)review|rating|comment|testimonial|instagram|ugc|blog"
    r"|newsletter|logo|payment|badge|swatch|product[-_]+(?:card|tile|grid|list|recs)"
    r"|(?:site|page|main|global)[-_]?(?:header|footer|nav)|mega[-_]?menu|mini[-_]?cart|breadcrumb",
    re.I,
)
_NEVER: Final = frozenset({"header", "footer", "nav", "aside"})
_WHOLE_PAGE: Final = frozenset({"html", "body", "main", "head"})


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture of a page. All its addresses are those of the same picture, as written.

    Attributes
    ----------
    zoom : tuple of str
        What a click or a lens shows: the larger ones.
    widest : str or None
        The widest one that a ``srcset`` offers.
    plain : tuple of str
        What is shown otherwise.
    in_gallery : bool
        Whether the page's structure says that it is one of the product's own.
    """

    zoom: tuple[str, ...]
    widest: str | None
    plain: tuple[str, ...]
    in_gallery: bool


def shown_pictures(root: Any) -> list[Shown]:
    """Go through the pictures of a parsed page in its order."""
    places = _Places()
    found: list[Shown] = []
    for element in root.iter("img"):
        if len(found) == _MAXPICTURES:
            break
        shown = _read(element, places)
        if shown is not None:
            found.append(shown)
    return found


def _read(image: Any, places: _Places) -> Shown | None:
    link = _enclosing_link(image)
    zoom = list(_zooms(image))
    if link is not None:
        zoom += _zooms(link)
        if PICTURE.search(href := link.get("href", "")):
            zoom.append(href)
    sets = [image, *_sources(image)]
    widest = _widest(sets)
    plain = tuple(v for name in _LAZY if (v := image.get(name)) and _is_address(v))
    if not zoom and widest is None and (not plain or _is_icon(image)):
        return None
    place = places.of(image)
    in_gallery = place is True or (place is None and bool(zoom))
    return Shown(tuple(map(_filled, zoom)), widest, tuple(map(_filled, plain)), in_gallery)


def _is_address(value: str) -> bool:
    text = value.strip()
    return 0 < len(text) <= 2000 and not text.startswith(("data:", "{", "[", "<", "#"))


def _filled(address: str) -> str:
    """Fill the gap that some shop themes leave for a script to put the width in."""
    return address.replace("{width}", "2048")


def _is_icon(image: Any) -> bool:
    sizes = (image.get("width", ""), image.get("height", ""))
    return any(text.isdecimal() and int(text[:6]) <= _ICON_PIXELS for text in sizes)


def _enclosing_link(image: Any) -> Any:
    element = image.getparent()
    for _ in range(5):
        if element is None or element.tag == "a":
            return element
        element = element.getparent()
    return None


def _zooms(element: Any) -> Iterator[str]:
    for name, value in element.items():
        if _ZOOM.match(name) and _is_address(value):
            address = value.strip()
            if "/" in address and " " not in address:  # not just a switch or a caption
                yield address


def _sources(image: Any) -> list[Any]:
    """Give the other sources of the `<picture>` that an image is in."""
    # To libxml2 <source> is no void element: each holds the next one, and the last the image.
    found: list[Any] = []
    element = image.getparent()
    while element is not None and element.tag == "source":
        found.append(element)
        element = element.getparent()
    if element is not None and element.tag == "picture":
        found += (child for child in element if child.tag == "source")
    return found


def _widest(elements: list[Any]) -> str | None:
    texts = [e.get(name) for e in elements for name in _SRCSETS]
    return best_of_srcset(", ".join(_filled(t) for t in texts if t))


class _Places:
    """Tells by the names of the elements around a picture whether it is in the gallery."""

    def __init__(self) -> None:
        self._known: dict[Any, bool | None] = {}

    def of(self, element: Any) -> bool | None:
        """Give True within the gallery, False in what surely is none, None when nothing tells."""
        path: list[Any] = []
        while element is not None and element not in self._known:
            path.append(element)
            element = element.getparent()
        place = None if element is None else self._known[element]
        for inner in reversed(path):
            # What lies in "related products" is none of this one's, whatever its own name.
            place = False if place is False else _own_place(inner, place)
            self._known[inner] = place
        return place


def _own_place(element: Any, around: bool | None) -> bool | None:
    tag = element.tag
    if not isinstance(tag, str) or tag in _WHOLE_PAGE:
        return around
    if tag in _NEVER:
        return False
    names = f"{tag} {element.get('class', '')} {element.get('id', '')}"[:_MAX_NAMES]
    if _ELSEWHERE.search(names):
        return False
    return True if _GALLERY.search(names) else around
