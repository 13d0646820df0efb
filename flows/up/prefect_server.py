"""Runs Prefect's server on a socket that is open already: `python -m flows.up.prefect_server FD`.

Whoever keeps the socket open lets requests wait while the server starts or is started again:
to those who ask, it is slow then, and not gone.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import Final

from flows import environment

# Of requests under way when the server stops. Pages and runners hold websockets open for ever.
_LAST_SECONDS: Final = 3


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGINT or SIGTERM."""
    environment.prepare()
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings().server
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(final=True),
            log_level=settings.logging_level.lower(),
            timeout_keep_alive=settings.api.keepalive_timeout,
            ws_ping_interval=settings.api.websocket_ping_interval,
            ws_ping_timeout=settings.api.websocket_ping_timeout,
            timeout_graceful_shutdown=_LAST_SECONDS,
        )
    )
    with socket.socket(fileno=int(arguments[0])) as listening:
        server.run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1:])
