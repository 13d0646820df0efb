"""What every request must pass, and what every answer carries; before any route is looked at.

- The Host header must be one that the page is known by, or a foreign name could be pointed here
  (DNS rebinding).
- A request that changes something must come from the page itself: same origin, JSON, CSRF token.
- Bodies end at a limit, whatever their headers promise.
- Answers forbid scripts, styles and pictures from elsewhere, framing, and guessing of types.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Collection
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from review_ui.sessions import COOKIE, csrf_of

MAX_BODY: Final = 1 << 20
MAX_IMPORT: Final = 64 << 20
IMPORT_PATH: Final = "/api/decisions/import"
LOGIN_PATH: Final = "/api/session"

POLICY: Final = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
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
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    hosts
        Names that the page is reached by, without ports; lower case.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with a limited body and a guarded answer."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        guarded = _with_headers(send)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(guarded, *refusal)
            return
        await self._app(scope, _Limited(receive, _limit(scope)), guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str, str] | None:
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
        if _type(headers) != "application/json" and _length(headers) != 0:
            return 415, "not_json", "the body must be application/json"
        if scope["path"] != LOGIN_PATH and not _has_csrf_token(headers):
            return 403, "csrf", "the CSRF token is missing or wrong; load the page again"
        return None


def host_name(host: str) -> str:
    """Take the port off a Host header."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return name.strip("[]").rstrip(".").lower()


def cookie_of(headers: Headers) -> str | None:
    """Give what our cookie holds."""
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return jar[COOKIE].value if COOKIE in jar else None


def _same_origin(headers: Headers, host: str) -> bool:
    """Tell whether our own page sent it; browsers do not let a page forge these headers."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() == host.lower()


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
    return int(text) if text.isdecimal() else -1


def _limit(scope: Scope) -> int:
    return MAX_IMPORT if scope["path"] == IMPORT_PATH else MAX_BODY


def _too_large(limit: int) -> tuple[int, str, str]:
    return 413, "too_large", f"the body must have at most {limit:,} bytes; send it in parts"


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
