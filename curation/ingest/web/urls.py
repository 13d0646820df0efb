"""URLs made comparable."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import quote, unquote_plus, urlsplit

MAX_CHARS: Final = 2000

_CONTROLS_AND_SPACE: Final = "".join(map(chr, range(33)))
_BREAKS: Final = str.maketrans("", "", "\t\r\n")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*"
)
# Most URLs of a page are as they should be; telling that is several times faster than splitting.
_PLAIN_CHARS: Final = 253
_PLAIN: Final = re.compile(
    rf"https?://(?:{_HOST.pattern})(?:/(?!\.)[A-Za-z0-9\-._~:@!$&'()*+,;=]*+)++"
)
_BRACKETED: Final = re.compile(r"\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\](?::\d*)?")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# An escape, or a character that has to be one.
_TO_NORMALIZE_IN_PATH: Final = re.compile(r"%([0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~/:@!$&'()*+,;=]")
_TO_NORMALIZE_IN_QUERY: Final = re.compile(
    r"%([0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~/:@!$&'()*+,;=?\[\]]"
)

# Added by advertisers, newsletters and searches; they tell who came, never what is shown.
_TRACKING: Final = re.compile(
    r"""
    (?: utm | mtm | pk | piwik | hsa | vero | oly ) _ .*
    | [gdfyt]clid | gclsrc | [gw]braid | msclkid | twclid | ttclid | li_fat_id | rdt_cid | sccid
    | fb_(?:action_ids|action_types|source|ref) | fbclid
    | mc_[ce]id | ml_subscriber(?:_hash)? | mkt_tok | igshid? | epik | srsltid
    | _ga | _gl | _gac | _ke | _kx | _openstat | __s | __hs(?:tc|sc|fp) | _hs(?:enc|mi)
    | hsctatracking | s_kwcid | s_cid | ef_id | zanpid | irclickid | irgwc | cjevent | wickedid
    | trk_(?:contact|msg|module|sid) | dm_i | nr_email_referer | rb_clickid
    | _pos | _sid | _ss | _psq | _fid | pr_(?:prod_strat|rec_id|rec_pid|ref_pid|seq)  # Shopify
    """,
    re.VERBOSE | re.IGNORECASE,
)


def canonical(url: str) -> str:
    """Write an absolute URL in the one way that is stored and compared.

    Scheme and host in lower case, international names in their ASCII form, no default port, no
    fragment, dot segments resolved, escapes in one form, tracking parameters taken out. The order
    of the parameters is kept: some servers care.

    Raises
    ------
    ValueError
        If it is not http(s), has no or no valid host, carries a user name or password, or is
        longer than 2,000 characters.
    """
    if len(url) <= _PLAIN_CHARS and _PLAIN.fullmatch(url):
        return url
    if len(url) > MAX_CHARS:
        raise ValueError(f"a URL must have at most {MAX_CHARS} characters, this one has {len(url)}")
    parts = urlsplit(_as_browsers_read(url))
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(f"a URL must begin with http:// or https://, got {_short(url)}")
    if "@" in parts.netloc:
        raise ValueError(
            "a URL must not hold a user name or password; take the part before '@' out"
        )
    if "[" in parts.netloc and not _BRACKETED.fullmatch(parts.netloc):
        raise ValueError(f"the brackets in a URL must hold an IPv6 address, got {_short(url)}")
    host = _canonical_host(parts.hostname or "", url)
    port = parts.port
    if port == 0:
        raise ValueError(f"the port of a URL must be between 1 and 65535, got {_short(url)}")
    where = host if port in (None, _DEFAULT_PORTS[scheme]) else f"{host}:{port}"
    query = _canonical_query(parts.query)
    result = f"{scheme}://{where}{_canonical_path(parts.path)}{'?' if query else ''}{query}"
    if len(result) > MAX_CHARS:
        raise ValueError(
            f"a URL must have at most {MAX_CHARS} characters, this one has {len(result)} "
            "once its characters are escaped"
        )
    return result


def _short(url: str) -> str:
    return repr(url if len(url) <= 80 else url[:77] + "...")


def _as_browsers_read(url: str) -> str:
    """Do what every browser does before it looks at a URL, so that both see the same host."""
    text = url.strip(_CONTROLS_AND_SPACE).translate(_BREAKS)
    end = min((at for mark in "?#" if (at := text.find(mark)) >= 0), default=len(text))
    return text[:end].replace("\\", "/") + text[end:]


def _canonical_host(host: str, url: str) -> str:
    if not host:
        raise ValueError(f"a URL must name a host, got {_short(url)}")
    if ":" in host:
        return f"[{ipaddress.IPv6Address(host).compressed}]"
    if len(host) > 253:
        raise ValueError(f"the host of a URL must have at most 253 characters, got {_short(url)}")
    if not host.isascii():
        host = host.encode("idna").decode().lower()
    host = host.removesuffix(".")
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise ValueError(f"a URL must name a valid host, got {_short(url)}")
    return host


def _canonical_path(path: str) -> str:
    text = _TO_NORMALIZE_IN_PATH.sub(_normalize_one, path)
    if "/." in text:
        text = _without_dot_segments(text)
    return text or "/"


def _without_dot_segments(path: str) -> str:
    # Otherwise /open/../private/ would pass the robots.txt that forbids /private/.
    parts = path.split("/")
    kept: list[str] = []
    for part in parts[1:]:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    if parts[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    kept = (
        part for part in query.split("&") if part and not _TRACKING.fullmatch(parameter_name(part))
    )
    return _TO_NORMALIZE_IN_QUERY.sub(_normalize_one, "&".join(kept))


def _normalize_one(match: re.Match[str]) -> str:
    code = match.group(1)
    if code is None:
        return quote(match.group(), safe="", errors="replace")
    character = chr(int(code, 16))
    return character if character in _UNRESERVED else f"%{code.upper()}"


def parameter_name(parameter: str) -> str:
    """Give the name of one ``name=value`` of a query, unescaped."""
    return unquote_plus(parameter.partition("=")[0])
