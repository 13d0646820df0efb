"""What Prefect has to be told before it is imported. Whatever the user has set stays."""

from __future__ import annotations

import os
from typing import Final

_DEFAULTS: Final = {
    # Starting the local server takes 9 to 20 s the first time; its own patience ends at 20.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The command line shows progress and errors itself.
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
}


def prepare() -> None:
    """Set defaults for Prefect's environment. Call it before anything imports Prefect."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
