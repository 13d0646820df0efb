"""Who is there: tokens are changed for a cookie, and what the cookie says is looked up here.

The cookie holds a random secret; the store keeps its SHA-256 only. Whoever cannot read the cookie
cannot make the CSRF token, which is derived from it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection, delete, insert, select

from review_ui.errors import AccessError, WrongTokenError
from review_ui.settings import ReviewConfig
from review_ui.store import clock
from review_ui.store.database import Database
from review_ui.store.models import session
from review_ui.store.writer import Writer

Role = Literal["reviewer", "admin"]

COOKIE: Final = "nonesuch_review"
LIFETIME: Final = 30 * 24 * 3600  # seconds
_LONGEST: Final = 100
_KEPT: Final = 1_000
_NAME: Final = re.compile(r"[^\W_][\w .@'-]{0,39}")


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in."""

    name: str
    role: Role
    csrf: str


class Tries:
    """Limits failed logins: `most` in `seconds` from one address, ten times that from all.

    Addresses are forgotten in order when there are many, so that they cannot fill the memory.
    """

    def __init__(self, most: int = 5, seconds: float = 60.0) -> None:
        self._most, self._seconds = most, seconds
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, address: str) -> float:
        """Give the seconds until the next try is let through; 0 for now."""
        with self._lock:
            return max(self._wait(address, self._most), self._wait("", 10 * self._most))

    def _wait(self, address: str, most: int) -> float:
        now = time.monotonic()
        failed = self._failed.get(address, deque())
        while failed and now - failed[0] >= self._seconds:
            failed.popleft()
        return self._seconds - (now - failed[0]) if len(failed) >= most else 0.0

    def fail(self, address: str) -> None:
        """Count a failed try."""
        with self._lock:
            for key in (address, ""):
                self._failed.setdefault(key, deque()).append(time.monotonic())
                self._failed.move_to_end(key)
            while len(self._failed) > _KEPT:
                self._failed.popitem(last=False)


class Sessions:
    """Logs people in and out, and knows them again."""

    def __init__(self, database: Database, writer: Writer, config: ReviewConfig) -> None:
        self._database, self._writer = database, writer
        self._tokens: dict[Role, str] = {}
        if config.admin_token is not None:
            self._tokens["admin"] = config.admin_token.get_secret_value()
        if config.token is not None:
            self._tokens["reviewer"] = config.token.get_secret_value()
        self.tries = Tries()
        self._cache: OrderedDict[str, tuple[Session, int]] = OrderedDict()
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._online: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def needs_token(self) -> bool:
        """True where a token must be given; without one, whoever reaches the page is admin."""
        return bool(self._tokens)

    def open(self, name: str, token: str | None) -> tuple[str, Session]:
        """Log in; give what the cookie is to hold, and the session.

        Raises
        ------
        WrongTokenError
            If the token is wrong.
        AccessError
            If the name cannot be one.
        """
        name = " ".join(name.split())
        if not _NAME.fullmatch(name):
            raise AccessError(
                "`name` must be 1 to 40 letters, digits, spaces or . @ ' - _, and begin with a "
                "letter or a digit"
            )
        role = self._role(token or "")
        if role is None:
            raise WrongTokenError("the token is wrong; ask whoever started the page for the link")
        secret = secrets.token_urlsafe(32)
        row = {
            "digest": _digest(secret),
            "name": name,
            "role": role,
            "token": self._mark(role),
            "expires_at": clock.now() + LIFETIME * clock.SECOND,
        }

        def work(connection: Connection) -> None:
            connection.execute(delete(session).where(session.c.expires_at < clock.now()))
            connection.execute(insert(session).values(row))

        self._writer.write(work).result()
        return secret, Session(name, role, csrf_of(secret))

    def find(self, secret: str | None) -> Session | None:
        """Give the session of a cookie; None where it is unknown, expired, or its token changed."""
        if not secret or len(secret) > _LONGEST:
            return None
        return self.known(secret) or self._look_up(secret)

    def known(self, secret: str | None) -> Session | None:
        """Give the session of a cookie that was seen before; the store is not asked."""
        if not secret or len(secret) > _LONGEST:
            return None
        with self._lock:
            found, expires = self._cache.get(_digest(secret), (None, 0))
            if found is None or expires < clock.now():
                return None
            self._online[found.name] = time.monotonic()
        return found

    def close(self, secret: str | None) -> None:
        """Log out."""
        if not secret:
            return
        digest = _digest(secret)
        with self._lock:
            # Also for whoever looks it up at this moment.
            self._closed[digest] = None
            while len(self._closed) > _KEPT:
                self._closed.popitem(last=False)
            self._cache.pop(digest, None)
        self._writer.write(
            lambda connection: connection.execute(delete(session).where(session.c.digest == digest))
        ).result()

    def online(self, within: float = 60.0) -> list[tuple[str, float]]:
        """Give who was seen lately, with the seconds since."""
        now = time.monotonic()
        with self._lock:
            seen = [(name, now - at) for name, at in self._online.items() if now - at <= within]
        return sorted(seen)

    def _look_up(self, secret: str) -> Session | None:
        digest = _digest(secret)
        with self._database.reading() as connection:
            row = connection.execute(select(session).where(session.c.digest == digest)).first()
        # A token that was changed, or taken away, ends the sessions that were opened with it.
        if row is None or row.token != self._mark(row.role):
            return None
        found = Session(row.name, row.role, csrf_of(secret))
        with self._lock:
            if digest in self._closed:
                return None
            self._cache[digest] = found, int(row.expires_at)
            while len(self._cache) > _KEPT:
                self._cache.popitem(last=False)
        return self.known(secret)

    def _role(self, token: str) -> Role | None:
        """Tell what a token is good for; takes as long for wrong ones as for right ones."""
        if not self._tokens:
            return "admin"
        found: Role | None = None
        for role, expected in self._tokens.items():
            same = hmac.compare_digest(_digest(token), _digest(expected))
            found = role if same and found is None else found
        return found

    def _mark(self, role: str) -> str:
        token = next((token for name, token in self._tokens.items() if name == role), "")
        return _digest(f"token of {role}: {token}")


def csrf_of(secret: str) -> str:
    """Derive the CSRF token from the secret in the cookie."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
