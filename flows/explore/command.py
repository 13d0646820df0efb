"""What `nonesuch explore` does: serves the explorer."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

from flows.decisions import store_url
from flows.explore.studio import ModelStudio
from flows.review.command import greeting
from flows.settings import DatasetConfig
from review_ui.explore.app import create_explorer
from review_ui.explore.desk import open_explore_desk
from review_ui.serve import check_access, known_hosts, serve_app
from review_ui.store.database import open_database
from training.distributed import pick_device


def serve(
    config: DatasetConfig, device: str, say: Callable[[str, str], None], *, in_private: bool
) -> None:
    """Serve the explorer until it is told to stop.

    Parameters
    ----------
    config
        `review` says where it listens, and who may log in.
    device
        See `training.distributed.pick_device`.
    say
        Told where the page is: its address, and the words for people.
    in_private
        Whether what is said is seen by who started it and by nobody else: then the link logs in.
    """
    check_access(config.review)
    studio = ModelStudio(config, pick_device(device))
    database = open_database(store_url(config))
    desk = open_explore_desk(config.dataset.name, config.review, database, studio)
    for number in (signal.SIGINT, signal.SIGTERM):  # as for the review page
        signal.signal(number, signal.SIG_IGN)
    with contextlib.closing(desk):
        app = create_explorer(desk, known_hosts(config.review))
        serve_app(app, config.review, lambda at: say(at, greeting(config, at, in_private)))
