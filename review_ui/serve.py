"""Opens the page to whoever may reach it, and to nobody else."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from review_ui.app import create_app
from review_ui.desk import Desk
from review_ui.errors import AccessError, ReviewError
from review_ui.security import configured_name
from review_ui.settings import ReviewConfig

LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# Of requests under way when the server stops; decisions among them are written.
_LAST_SECONDS: Final = 5
# A reviewer who thinks for a while need not connect again.
_IDLE_SECONDS: Final = 75


def check_access(config: ReviewConfig) -> None:
    """Refuse to open the page to others without a token.

    Raises
    ------
    AccessError
        If it can be reached from other machines, by a proxy too, and has no token.
    """
    if not config.is_local and config.admin_token is None:
        names = ", ".join(config.allowed_hosts) or "none"
        raise AccessError(
            f"`review.host` {config.host}, with `allowed_hosts` {names} and `behind_proxy` "
            f"{str(config.behind_proxy).lower()}, can be reached from other machines, so that "
            "`review.admin_token` is needed (and `review.token` for reviewers); "
            "`nonesuch review --new-token` makes them"
        )


def known_hosts(config: ReviewConfig) -> frozenset[str]:
    """Give the names by which the page may be called."""
    names = set(config.allowed_hosts)
    if config.host not in ("0.0.0.0", "::"):
        names.add(config.host)
    return LOCAL_NAMES | {configured_name(name) for name in names} - {""}


def serve(desk: Desk, ready: Callable[[str], None]) -> None:
    """Serve the review page until SIGINT or SIGTERM; see `serve_app`."""
    serve_app(create_app(desk, known_hosts(desk.config)), desk.config, ready)


def serve_app(app: ASGIApp, config: ReviewConfig, ready: Callable[[str], None]) -> None:
    """Serve a page until SIGINT or SIGTERM.

    Parameters
    ----------
    config
        Where it listens.
    ready
        Told the address, once the page can be reached there.

    Raises
    ------
    AccessError
        As `check_access`.
    ReviewError
        If the address is taken.
    """
    check_access(config)
    listening = _listen(config)
    port = listening.getsockname()[1]
    name = "localhost" if config.host in ("0.0.0.0", "::") else config.host
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            # Whether a proxy is believed is for `Guard` to say.
            proxy_headers=False,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_LAST_SECONDS,
        )
    )
    ready(f"http://{f'[{name}]' if ':' in name else name}:{port}/")
    with listening:
        server.run(sockets=[listening])


def _listen(config: ReviewConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((config.host, config.port))
        listening.listen(512)
    except OSError as error:
        raise ReviewError(
            f"{config.host} port {config.port}: {error.strerror}; name another with --port, "
            "or 0 for any that is free"
        ) from error
    return listening
