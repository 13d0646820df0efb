"""Addresses to serve at: taken before anything starts, and who has them where they are taken."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Final

import psutil

from flows.up.parts import HOME

_WAITING: Final = 512  # connections that may wait to be accepted
_ANY: Final = ("0.0.0.0", "::", "")


class UpError(Exception):
    """`nonesuch up` cannot start here and now: somebody else has what it needs."""


def listen(host: str, port: int, setting: str) -> socket.socket:
    """Open a socket; whoever connects waits until somebody accepts.

    Parameters
    ----------
    port
        0 takes a free one.
    setting
        That names the port.

    Raises
    ------
    UpError
        If the address is taken, or is none of this machine; says by whom, where that is known.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        # The port of a server that has just ended is free.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_WAITING)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise UpError(
                f"port {port} of {host} is taken{_by_whom(port)}; set `{setting}` to another, or "
                "to 0 for any that is free"
            ) from error
        raise UpError(f"{host} port {port}: {os.strerror(error.errno or 0)}") from error
    return listening


def free_port(host: str, port: int, setting: str) -> int:
    """Give `port`, or a free one for 0, if it can be served at now; see `listen`."""
    with listen(host, port, setting) as listening:
        return int(listening.getsockname()[1])


def address_of(host: str, port: int) -> str:
    """Give the URL by which this machine reaches what listens there, without a slash at its end."""
    name = "127.0.0.1" if host in _ANY else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def _by_whom(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and tuple(connection.laddr)[1:] == (port,) and connection.pid is not None:
                process = psutil.Process(connection.pid)
                home = process.environ().get(HOME)
                what = f"the `nonesuch up` of {home}" if home else process.name()
                return f" by process {process.pid} ({what})"
    return ""
