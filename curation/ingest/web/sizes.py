"""The sizes in which a server offers one picture: the largest, and which URLs differ in no more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from curation.ingest.web.urls import parameter_name

_SUFFIX: Final = r"(?=\.[A-Za-z]{3,4}$)"
_NAMED_SIZES: Final = {
    "pico": 16,
    "icon": 32,
    "thumb": 50,
    "thumbnail": 50,
    "small": 100,
    "compact": 160,
    "medium": 240,
    "large": 480,
    "grande": 600,
}
_IMGIX: Final = frozenset(
    {
        "w",
        "h",
        "fit",
        "crop",
        "dpr",
        "q",
        "fm",
        "auto",
        "ar",
        "max-w",
        "max-h",
        "min-w",
        "min-h",
        "fl",
        "f",
        "r",
        "cs",
        "ixlib",
        "ixid",
    }
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one kind of server writes sizes.

    Attributes
    ----------
    host, path
        What a URL must have for this to apply; None fits all.
    replace
        Patterns within the path, and what to put there.
    drop
        Parameters that make the picture smaller; without them the server gives the original.
    ask
        Parameters to put there when any of `drop` was there.
    unless
        What a query has when it must stay: a signature of all of it, or a larger size than `ask`.
    """

    host: re.Pattern[str] | None = None
    path: re.Pattern[str] | None = None
    replace: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = ()
    drop: frozenset[str] = frozenset()
    ask: str = ""
    unless: re.Pattern[str] | None = None

    def fits(self, host: str, path: str) -> bool:
        return (self.host is None or bool(self.host.fullmatch(host))) and (
            self.path is None or bool(self.path.search(path))
        )

    def apply(self, path: str, query: str) -> tuple[str, str]:
        for pattern, instead in self.replace:
            path = pattern.sub(instead, path)
        if not query or not self.drop or (self.unless is not None and self.unless.search(query)):
            return path, query
        parameters = query.split("&")
        kept = [p for p in parameters if parameter_name(p).lower() not in self.drop]
        if len(kept) == len(parameters):
            return path, query
        return path, "&".join([*kept, self.ask] if self.ask else kept)


def _full_ebay(match: re.Match[str]) -> str:
    return match.group() if int(match.group(1)) >= 1600 else "/s-l1600."


# Parts of a Cloudinary path that only scale, crop, compress or convert.
_SCALING_PART: Final = r"(?:w|h|c|g|ar|dpr|q|f|x|y|z|fl)_[^/,]+"

_RULES: Final = (
    _Rule(  # Shopify
        path=re.compile(r"^/s/files/1/|^/cdn/shop/|/cdn/shop/(?:products|files)/"),
        replace=(
            (
                re.compile(
                    rf"(?:_(?:{'|'.join(_NAMED_SIZES)}|original|master|\d{{1,4}}x\d{{0,4}}|x\d{{1,4}})"
                    r"(?:_crop_[a-z]+)?(?:@[23]x)?(?:\.progressive)?)+" + _SUFFIX
                ),
                "",
            ),
        ),
        drop=frozenset({"width", "height", "crop", "pad_color", "quality", "format"}),
    ),
    _Rule(  # WordPress
        path=re.compile(r"/wp-content/uploads/"),
        replace=((re.compile(r"(?:-\d{2,4}x\d{2,4})+" + _SUFFIX), ""),),
    ),
    _Rule(  # Jetpack's Photon in front of WordPress
        host=re.compile(r"i\d\.wp\.com"),
        drop=frozenset({"w", "h", "fit", "resize", "crop", "quality", "zoom", "lb"}),
    ),
    _Rule(  # Magento
        path=re.compile(r"/media/catalog/product/"),
        replace=(
            (
                re.compile(r"(?<=/product/)cache/(?:\d+/\w+/(?:\d*x\d*/)?)?[0-9a-f]{32}/"),
                "",
            ),
        ),
        drop=frozenset({"width", "height", "canvas", "optimize", "quality", "fit", "bg-color"}),
    ),
    _Rule(  # Amazon
        host=re.compile(r"m\.media-amazon\.com|(?:images|ecx)[a-z0-9.-]*-amazon\.com"),
        path=re.compile(r"^/images/"),
        replace=((re.compile(r"(?:\._[^/.]+_)+" + _SUFFIX), ""),),
    ),
    _Rule(  # eBay
        host=re.compile(r"(?:i|thumbs\d*)\.ebayimg\.com"),
        replace=(
            (re.compile(r"^/thumbs(?=/images/)"), ""),
            (re.compile(r"/s-l(\d{2,4})\."), _full_ebay),
        ),
    ),
    _Rule(  # Etsy
        host=re.compile(r"(?:i|img\d)\.etsystatic\.com"),
        replace=((re.compile(r"/il_\d+x(?:\d+|N)(?=\.)"), "/il_fullxfull"),),
    ),
    _Rule(  # Cloudinary; with /s--…--/ the path is signed
        host=re.compile(r"res\.cloudinary\.com"),
        path=re.compile(r"^(?!.*/s--).*/image/(?:upload|fetch)/"),
        replace=(
            (
                re.compile(
                    rf"(/image/(?:upload|fetch))(?:/{_SCALING_PART}(?:,{_SCALING_PART})*)+(?=/)"
                ),
                r"\1",
            ),
        ),
    ),
    _Rule(  # imgix and what works like it
        host=re.compile(
            r".+\.imgix\.net|images\.prismic\.io|images\.unsplash\.com|www\.datocms-assets\.com"
            r"|(?:images|downloads)\.(?:ctfassets\.net|contentful\.com)|cdn\.sanity\.io"
        ),
        drop=_IMGIX,
        unless=re.compile(r"(?:^|&)s="),
    ),
    _Rule(  # BigCommerce
        path=re.compile(r"/images/stencil/"),
        replace=((re.compile(r"(?<=/images/stencil/)(?:\d+x\d+|\d+w)(?=/)"), "original"),),
    ),
    _Rule(  # Squarespace
        host=re.compile(r"images\.squarespace-cdn\.com|static\d*\.squarespace\.com"),
        drop=frozenset({"format"}),
        ask="format=2500w",
        unless=re.compile(r"(?:^|&)format=original"),
    ),
    _Rule(  # Wix
        host=re.compile(r"static\.(?:wixstatic|parastorage)\.com"),
        path=re.compile(r"^/media/"),
        replace=((re.compile(r"(?<=[A-Za-z0-9])/v1/(?:fill|fit|crop)/.*"), ""),),
    ),
    _Rule(  # Salesforce Commerce Cloud (Demandware)
        path=re.compile(r"/dw/image/v2/"),
        drop=frozenset({"sw", "sh", "sm", "cx", "cy", "cw", "ch", "q"}),
    ),
    _Rule(  # Adobe Scene7; without a size it gives a small one
        path=re.compile(r"^/is/image/"),
        drop=frozenset({"wid", "hei", "fit", "scl", "qlt", "resmode", "op_sharpen", "op_usm"}),
        ask="wid=2000&hei=2000&fit=constrain,0",
        unless=re.compile(r"(?:^|&)(?:scl=1(?:&|$)|(?:wid|hei)=(?:[2-9]\d{3}|\d{5})\b)"),
    ),
)

_PIECES: Final = re.compile(
    r"(https?://([^/?#:@]*)(?::\d+)?)(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE
)


def largest(url: str) -> str:
    """Ask for the largest size that well-known servers of shop pictures offer for this URL.

    URLs that no rule knows come back as they are, and scheme and host are never changed.
    """
    match = _PIECES.fullmatch(url)
    if match is None:
        return url
    origin, host, path, query = match.groups(default="")
    before = None
    while before != (path, query):
        before = (path, query)
        for rule in _RULES:
            if rule.fits(host.lower(), path):
                path, query = rule.apply(path, query)
    return f"{origin}{path}{'?' if query else ''}{query}"


_ANY_SIZE: Final = re.compile(
    r"[-_](?:(\d{2,4})x(\d{0,4})|x(\d{2,4})|(\d{2,4})(?:w|px)|("
    + "|".join(_NAMED_SIZES)
    + r"))(?:@[23]x)?"
    + _SUFFIX,
    re.IGNORECASE,
)
_PRESTASHOP_SIZES: Final = {"cart": 80, "home": 250, "thickbox": 800}
_SIZE_WORDS: Final = _NAMED_SIZES | _PRESTASHOP_SIZES
# The second is PrestaShop's: /12-home_default/shoe.jpg
_SIZE_FOLDER: Final = re.compile(
    r"/(\d{2,4})x(\d{2,4})(?=/)|(?<=\d)-(cart|small|medium|home|large|thickbox)_default(?=/)"
)
_SIZE_PARAMETERS: Final = frozenset(
    {
        "width",
        "height",
        "w",
        "h",
        "wid",
        "hei",
        "sw",
        "sh",
        "imwidth",
        "imheight",
        "size",
        "sz",
        "maxwidth",
        "maxheight",
    }
)
# Change how a file is delivered, or only tell caches that it is new. Where the path names no file
# (/image?v=12) they may tell which picture it is.
_DELIVERY_PARAMETERS: Final = frozenset(
    {
        "quality",
        "q",
        "qlt",
        "fit",
        "crop",
        "mode",
        "sm",
        "fm",
        "format",
        "auto",
        "dpr",
        "v",
        "ver",
        "version",
        "ts",
        "cb",
    }
)
_FILE: Final = re.compile(r"[^/]\.[A-Za-z]{3,4}$")
_DIGITS: Final = re.compile(r"\d{1,5}")
ORIGINAL: Final = 1_000_000


def size_of(url: str) -> tuple[str, int]:
    """Tell the picture from its size, for comparison within one gallery.

    Returns
    -------
    key : str
        Equal for URLs that differ only in what commonly means size, scheme, or delivery.
    size : int
        The longer side that the URL asks for, in pixels; `ORIGINAL` when it asks for none.
    """
    match = _PIECES.fullmatch(url)
    if match is None:
        return url, ORIGINAL
    origin, _, path, query = match.groups(default="")
    sizes: list[int] = []
    is_file = _FILE.search(path) is not None

    def note(found: re.Match[str]) -> str:
        texts = [text for text in found.groups() if text]
        sizes.append(max(int(t) if t.isdigit() else _SIZE_WORDS[t.lower()] for t in texts))
        return ""

    path = _SIZE_FOLDER.sub(note, _ANY_SIZE.sub(note, path))
    kept = []
    for parameter in query.split("&"):
        name = parameter_name(parameter).lower()
        if name in _SIZE_PARAMETERS:
            digits = _DIGITS.match(parameter.partition("=")[2])
            sizes.append(int(digits.group()) if digits else 0)
        elif not (is_file and name in _DELIVERY_PARAMETERS):
            kept.append(parameter)
    host = origin.partition("//")[2].lower()
    return f"{host}{path}?{'&'.join(kept)}", max(sizes, default=ORIGINAL)


_SPACE: Final = " \t\n\r\f"
_MAX_SRCSET: Final = 20_000


def best_of_srcset(srcset: str) -> str | None:
    """Give the URL of the widest (or, with densities, densest) picture of a `srcset`.

    Written for what is found on pages: commas within URLs, none after a space, and descriptors
    that mean nothing are all taken as browsers take them.
    """
    best: tuple[tuple[int, float], str] | None = None
    for url, descriptor in _candidates(srcset[:_MAX_SRCSET]):
        rank = _rank(descriptor)
        if not url.lower().startswith("data:") and (best is None or rank > best[0]):
            best = (rank, url)
    return None if best is None else best[1]


def _candidates(srcset: str) -> Iterator[tuple[str, str]]:
    at, end = 0, len(srcset)
    while at < end:
        while at < end and srcset[at] in _SPACE + ",":
            at += 1
        start = at
        while at < end and srcset[at] not in _SPACE:
            at += 1
        url = srcset[start:at]
        if not url:
            return
        if url.endswith(","):
            yield url.rstrip(","), ""
            continue
        comma = srcset.find(",", at)
        comma = end if comma < 0 else comma
        yield url, srcset[at:comma].strip(_SPACE)
        at = comma + 1


def _rank(descriptor: str) -> tuple[int, float]:
    """Order candidates: those with a width above those with a density."""
    for part in descriptor.lower().split():
        try:
            value = float(part[:-1])
        except ValueError:
            continue
        if value > 0 and part[-1] in "wx":
            return int(part[-1] == "w"), value
    return 0, 1.0
