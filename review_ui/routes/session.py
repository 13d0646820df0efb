"""Logging in and out."""

from __future__ import annotations

import math
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from review_ui.errors import AccessError, WrongTokenError
from review_ui.house import House
from review_ui.routes.common import PROBLEMS, HouseDep, SessionDep
from review_ui.schemas import LoginIn, Problem, SessionOut
from review_ui.security import cookie_of
from review_ui.sessions import COOKIE, LIFETIME, Session

router = APIRouter(prefix="/api/session", tags=["session"], responses=PROBLEMS)


@router.get("", response_model=SessionOut)
def show(house: HouseDep, session: SessionDep) -> dict[str, Any]:
    """Tell who is logged in, and how the page is set up."""
    return _described(house, session)


@router.post("", response_model=SessionOut, responses={429: {"model": Problem}})
def log_in(body: LoginIn, request: Request, response: Response, house: HouseDep) -> dict[str, Any]:
    """Change a name, and a token where one is needed, for a cookie."""
    address = request.client.host if request.client else ""
    wait = house.sessions.tries.wait(address)
    if wait > 0:
        seconds = math.ceil(wait)
        raise HTTPException(
            429,
            {"error": "too_many_tries", "message": f"too many tries; wait {seconds} s"},
            {"Retry-After": str(seconds)},
        )
    try:
        secret, session = house.sessions.open(body.name, body.token)
    except WrongTokenError as error:
        house.sessions.tries.fail(address)
        raise HTTPException(401, {"error": "wrong_token", "message": str(error)}) from error
    except AccessError as error:
        raise HTTPException(422, {"error": "wrong_name", "message": str(error)}) from error
    response.set_cookie(
        COOKIE,
        secret,
        max_age=LIFETIME,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return _described(house, session)


@router.delete("", status_code=204)
def log_out(request: Request, house: HouseDep, _session: SessionDep) -> Response:
    """Forget the session."""
    house.sessions.close(cookie_of(request.headers))
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _described(house: House, session: Session) -> dict[str, Any]:
    return {
        "name": session.name,
        "role": session.role,
        "csrf": session.csrf,
        "login_needed": house.sessions.needs_token,
        "dataset": house.name,
        "tag_keys": house.config.tag_keys,
        "lease_seconds": house.config.lease_seconds,
    }
