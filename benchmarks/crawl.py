"""Crawls for the benchmarks: one in a process of its own, and the web server it fetches from.

`python -m benchmarks.crawl SOURCE CATALOG` crawls the source that the JSON text `SOURCE` describes
into a new catalog, and prints what it took as a line of JSON.
"""

from __future__ import annotations

import contextlib
import getpass
import grp
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from benchmarks.common import REPOSITORY, Skipped, fresh
from curation.ingest.sources import SourceConfig, open_source
from curation.ingest.stage import ingest
from curation.recipe import Limits
from data_catalog.catalog import Catalog

CONCURRENCY: Final = 16

# As fast as the server answers; robots.txt is obeyed all the same.
AT_ONCE: Final = {
    "contact": "benchmark@example.org",
    "allow_hosts": ["127.0.0.1"],
    "delay": 0,
    "autothrottle": False,
    "concurrency": CONCURRENCY,
    "per_host": CONCURRENCY,
}


@dataclass(frozen=True, slots=True)
class Crawled:
    """What a crawl took and brought.

    Attributes
    ----------
    seconds
        From the start of the crawl's process to the last commit.
    parent, child
        Processor time of the process that stores and of the crawl's, in seconds, the start of the
        latter included.
    """

    seconds: float
    parent: float
    child: float
    seen: int
    new: int
    failed: int
    pages: int


def start(source: dict[str, Any], catalog: Path) -> subprocess.Popen[str]:
    """Begin to crawl in a process of its own."""
    text = json.dumps({**AT_ONCE, **source})
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.crawl", text, str(catalog)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str], out: str) -> Crawled:
    """Read what a crawl that has ended said.

    Raises
    ------
    RuntimeError
        If it failed.
    """
    if process.returncode:
        raise RuntimeError(f"the crawl ended with {process.returncode}; its errors are above")
    return Crawled(**json.loads(out.splitlines()[-1]))


def crawled(source: dict[str, Any], catalog: Path) -> Crawled:
    """Crawl in a process of its own, to the end."""
    process = start(source, catalog)
    out, _ = process.communicate()
    return finished(process, out)


def _main(text: str, folder: str) -> None:
    config = TypeAdapter[Any](SourceConfig).validate_python(json.loads(text))
    catalog = Catalog(Path(folder))
    began, before = time.perf_counter(), _processor()
    counts = ingest(catalog, open_source(config), Limits(), tombstones=set())
    seconds, after = time.perf_counter() - began, _processor()
    done = Crawled(
        seconds,
        after[0] - before[0],
        after[1] - before[1],
        counts.seen,
        counts.new,
        sum(counts.failed.values()),
        counts.traffic.pages if counts.traffic else 0,
    )
    print(json.dumps(asdict(done)))


def _processor() -> tuple[float, float]:
    """Seconds of processor time of this process, and of its children that have ended."""
    own, children = (
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    return own, children


# ---- The server. ---------------------------------------------------------------------------------

_CONFIG: Final = """
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  types {{ image/jpeg jpg jpeg; image/png png; }}
  client_body_temp_path {folder}/temporary;
  proxy_temp_path {folder}/temporary;
  fastcgi_temp_path {folder}/temporary;
  uwsgi_temp_path {folder}/temporary;
  scgi_temp_path {folder}/temporary;
  server {{
    listen 127.0.0.1:{port};
    location = /robots.txt {{ return 200 "User-agent: *\\nDisallow: /private/\\n"; }}
    location / {{ {answer} }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(answer: str) -> Iterator[str]:
    """Run an nginx with one worker on loopback; gives its URL.

    Parameters
    ----------
    answer
        What the configuration says of every path, e.g. ``root /folder;``.

    Raises
    ------
    Skipped
        If it is not installed.
    """
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Skipped("nginx is not installed; Debian and Ubuntu have it as `nginx-light`")
    folder = fresh("nginx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Started by root, its worker would be somebody who may not read our files.
    root = os.geteuid() == 0
    user = f"user {getpass.getuser()} {grp.getgrgid(os.getegid()).gr_name};" if root else ""
    file, log = folder / "nginx.conf", folder / "error.log"
    file.write_text(_CONFIG.format(user=user, folder=folder, port=port, answer=answer))
    server = subprocess.Popen([program, "-c", str(file), "-e", str(log)])
    try:
        _wait_for(port, server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError(f"nginx ended with {server.returncode}; see {log}")
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=1),
        ):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nginx does not listen on port {port} after 20 s; see {log}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
