"""What every request must pass, and what every answer carries; before any route is looked at.

- The Host header must be one that the page is known by, or a foreign name could be pointed here
  (DNS rebinding).
- A request that changes something must come from the page itself: same origin, a type that no form
  can send, CSRF token.
- It must come from somebody who is logged in, and an import from an admin, before a byte of its
  body is read.
- Bodies end at a limit, whatever their headers promise.
- Answers forbid scripts, styles and pictures from elsewhere, framing, and guessing of types.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from review_ui.errors import StoreBusyError, StoreError
from review_ui.sessions import COOKIE, Session, Sessions, csrf_of

MAX_BODY: Final = 1 << 20
# Parsed, a file of decisions takes some thirty times its size.
MAX_IMPORT: Final = 16 << 20
# Anybody may send one: a name and a token.
MAX_LOGIN: Final = 4 << 10
# A photograph from a phone or a camera.
MAX_UPLOAD: Final = 24 << 20
UPLOADS: Final = "/api/explore/projections/"
IMPORT_PATH: Final = "/api/decisions/import"
LOGIN_PATH: Final = "/api/session"
_LIMITS: Final = {IMPORT_PATH: MAX_IMPORT, LOGIN_PATH: MAX_LOGIN}

POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
# A report is one file with all its styles and pictures in it; it has no script.
REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'none'; sandbox"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
# A name, or an address in brackets; then perhaps a port.
_HOST: Final = re.compile(r"([^:\[\]]*|\[[^\[\]]*\])(?::\d*)?")
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# Status, code and message.
Refusal = tuple[int, str, str]
OUR_MISTAKE: Final[Refusal] = (
    500,
    "internal",
    "the server made a mistake; what it writes to its terminal says which",
)


class Guard:
    """ASGI middleware around the whole application, its answers to unforeseen errors included.

    Parameters
    ----------
    hosts
        Names that the page is reached by, without ports; as `configured_name` gives them.
    behind_proxy
        Believe a proxy on this machine or in the private network about who asks, and how.
    """

    def __init__(
        self, app: ASGIApp, hosts: Collection[str], sessions: Sessions, *, behind_proxy: bool
    ) -> None:
        self._app, self._sessions = app, sessions
        self._hosts = frozenset(hosts)
        self._behind_proxy = behind_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with a limited body and a guarded answer."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        guarded = _with_headers(send)
        try:
            refusal = self._refusal(scope, headers) or await self._stranger(scope, headers)
        except StoreError as error:
            code = "store_busy" if isinstance(error, StoreBusyError) else "store"
            refusal = 503, code, str(error)
        except Exception:
            await _refuse(guarded, *OUR_MISTAKE)
            raise
        if refusal is not None:
            await _refuse(guarded, *refusal)
            return
        if self._behind_proxy:
            scope = _as_forwarded(scope, headers)
        await self._app(scope, _Limited(receive, _limit(scope)), guarded)

    async def _stranger(self, scope: Scope, headers: Headers) -> Refusal | None:
        """Refuse changes by who is not logged in, or may not make them."""
        if scope["method"] in _SAFE or _is_login(scope):
            return None
        secret = cookie_of(headers)
        # Nearly always known: a thread is asked for only where the store must be.
        found: Session | None = self._sessions.known(secret) or await run_in_threadpool(
            self._sessions.find, secret
        )
        if found is None:
            return 401, "login_needed", "log in first: /login"
        if scope["path"] == IMPORT_PATH and found.role != "admin":
            return 403, "admins_only", "only who has the admin token may do this"
        return None

    def _refusal(self, scope: Scope, headers: Headers) -> Refusal | None:
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or host_name(host) not in self._hosts:
            return (
                400,
                "host_refused",
                f"the page is not known as {host[:80]!r}; add the name to `review.allowed_hosts`",
            )
        if scope["method"] in _SAFE:
            return None
        limit = _limit(scope)
        if _length(headers) > limit:
            return _too_large(limit)
        if not _same_origin(headers, host):
            return 403, "cross_site", "the request does not come from the page itself"
        wanted = "application/octet-stream" if _is_upload(scope) else "application/json"
        if _type(headers) != wanted and _length(headers) != 0:
            return 415, "wrong_type", f"the body must be {wanted}"
        if not _is_login(scope) and not _has_csrf_token(headers):
            return 403, "csrf", "the CSRF token is missing or wrong; load the page again"
        return None


def host_name(host: str) -> str:
    """Take the port off a Host header; give the name as it is compared, "" where there is none."""
    found = _HOST.fullmatch(host)
    return _one_way(found[1]) if found else ""


def configured_name(name: str) -> str:
    """As `host_name`, of the configuration: there, IPv6 addresses need no brackets."""
    is_bare = name.count(":") > 1 and not name.startswith("[")
    return _one_way(name) if is_bare else host_name(name)


def _one_way(name: str) -> str:
    """Write a name or an address as it is compared: addresses have many spellings."""
    plain = name.strip("[]")
    try:
        return str(ipaddress.ip_address(plain))
    except ValueError:
        return plain.rstrip(".").lower()


def _as_forwarded(scope: Scope, headers: Headers) -> Scope:
    """Take client and scheme from what a proxy says, where it is near; others are not believed.

    A proxy adds who asked it at the end; what stands before may be made up.
    """
    if not _is_near(scope.get("client")):
        return scope
    said = {**scope}
    client = ",".join(headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    if client:
        said["client"] = (client, 0)
    scheme = ",".join(headers.getlist("x-forwarded-proto")).rpartition(",")[2].strip().lower()
    if scheme in ("http", "https"):
        said["scheme"] = scheme
    return said


def _is_near(client: tuple[str, int] | None) -> bool:
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_private


def cookie_of(headers: Headers) -> str | None:
    """Give what our cookie holds; it is plain, as all that we ever put into it."""
    pairs = (pair.partition("=") for pair in headers.get("cookie", "").split(";"))
    return next((value.strip() for name, _, value in pairs if name.strip() == COOKIE), None)


def _same_origin(headers: Headers, host: str) -> bool:
    """Tell whether our own page sent it; browsers do not let a page forge these headers."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    try:
        return urlsplit(headers.get("origin", "")).netloc.lower() == host.lower()
    except ValueError:  # no URL
        return False


def _has_csrf_token(headers: Headers) -> bool:
    secret = cookie_of(headers)
    given = headers.get("x-csrf-token", "")
    return secret is not None and hmac.compare_digest(csrf_of(secret).encode(), given.encode())


def _type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _length(headers: Headers) -> int:
    """Give the stated length of the body; -1 where there is none, or a wrong one."""
    if "transfer-encoding" in headers:
        return -1
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 20 else -1


def _limit(scope: Scope) -> int:
    if _is_upload(scope):
        return MAX_UPLOAD
    return _LIMITS.get(scope["path"], MAX_BODY)


def _is_upload(scope: Scope) -> bool:
    return scope["method"] == "POST" and str(scope["path"]).startswith(UPLOADS)


def _is_login(scope: Scope) -> bool:
    return bool(scope["path"] == LOGIN_PATH and scope["method"] == "POST")


def _too_large(limit: int) -> Refusal:
    remedy = "make it smaller" if limit == MAX_UPLOAD else "send it in parts"
    return 413, "too_large", f"the body must have at most {limit:,} bytes; {remedy}"


class _Limited:
    """Gives the body until it is too long."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._received = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._limit:
                status, error, text = _too_large(self._limit)
                detail = {"error": error, "message": text}
                # What is left of a refused body is not read.
                raise HTTPException(status, detail, {"Connection": "close"})
        return message


def _with_headers(send: Send) -> Callable[[Message], Any]:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if "server" in headers:
                del headers["server"]
        await send(message)

    return guarded


async def _refuse(send: Callable[[Message], Any], status: int, error: str, message: str) -> None:
    body = json.dumps({"error": error, "message": message}).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                # What is left of a refused body is not read.
                (b"connection", b"close"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
