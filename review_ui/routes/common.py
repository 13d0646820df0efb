"""What routes depend on: the desk, and who asks."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from review_ui.desk import Desk
from review_ui.house import House
from review_ui.schemas import Problem
from review_ui.security import cookie_of
from review_ui.sessions import Session

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 409, 413, 415, 422, 503, 507)
}


async def desk_of(request: Request) -> Desk:
    """Give the desk of the application."""
    desk: Desk = request.app.state.desk
    return desk


DeskDep = Annotated[Desk, Depends(desk_of)]


async def house_of(request: Request) -> House:
    """Give what both pages have."""
    house: House = request.app.state.desk
    return house


HouseDep = Annotated[House, Depends(house_of)]


async def session_of(request: Request, house: HouseDep) -> Session:
    """Give who asks; 401 where nobody is logged in."""
    secret = cookie_of(request.headers)
    # Nearly always known: a thread is asked for only where the store must be.
    found = house.sessions.known(secret) or await run_in_threadpool(house.sessions.find, secret)
    if found is None:
        raise HTTPException(401, {"error": "login_needed", "message": "log in first: /login"})
    return found


SessionDep = Annotated[Session, Depends(session_of)]


async def admin_of(session: SessionDep) -> Session:
    """Give who asks; 403 where that is not an admin."""
    if session.role != "admin":
        raise HTTPException(
            403, {"error": "admins_only", "message": "only who has the admin token may do this"}
        )
    return session


AdminDep = Annotated[Session, Depends(admin_of)]


def build_changed() -> HTTPException:
    """Make the answer to who goes on in a build that is no longer under review: 409."""
    return HTTPException(
        409,
        {
            "error": "build_changed",
            "message": "another build is under review now; begin again with the first page",
        },
    )


def to_cursor(build: int, key: tuple[float, int] | tuple[float, str] | None) -> str | None:
    """Write the place where a page of a build ends."""
    if key is None:
        return None
    return base64.urlsafe_b64encode(json.dumps([build, *key]).encode()).decode()


def from_cursor(cursor: str | None, kind: type[int] | type[str], build: int) -> Any:
    """Read what `to_cursor` wrote; 422 where it did not, 409 where it was of another build."""
    if cursor is None:
        return None
    try:
        of, number, key = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if not _is_row(of) or abs(float(number)) > 1e300:
            raise ValueError("not a place")
        if not (_is_row(key) if kind is int else isinstance(key, str)):
            raise ValueError("no row")
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise HTTPException(
            422, {"error": "wrong_cursor", "message": "`after` must be `next` of an earlier page"}
        ) from error
    if of != build:
        raise build_changed()
    return float(number), key


def _is_row(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
