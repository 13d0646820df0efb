"""The crawl: a process of its own, `python -m curation.ingest.web.child JOB FD`.

A crawl digests hostile content and its event loop cannot be begun twice; so it lives apart, has no
hand on the catalog, and ends when the process that started it does.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
import traceback
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from scrapy.crawler import AsyncCrawlerProcess

from curation.ingest.web import guard
from curation.ingest.web.addresses import AllowList
from curation.ingest.web.job import Job
from curation.ingest.web.settings import PRODUCT, WebSettings
from curation.recipe import Limits


def scrapy_settings(web: WebSettings, limits: Limits) -> dict[str, Any]:
    """Translate our settings into Scrapy's; what is not needed is off."""
    here = "curation.ingest.web"
    theirs = "scrapy.downloadermiddlewares"
    return {
        "BOT_NAME": PRODUCT.lower(),
        "USER_AGENT": web.agent,
        "ROBOTSTXT_OBEY": True,
        "ROBOTSTXT_USER_AGENT": PRODUCT,
        "AUTOTHROTTLE_ENABLED": web.autothrottle,
        "AUTOTHROTTLE_START_DELAY": web.delay,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": float(web.per_host),
        "DOWNLOADER": f"{here}.downloader.PoliteDownloader",
        "DOWNLOAD_DELAY": web.delay,
        "DOWNLOAD_DELAY_JITTER": 0.0,
        "CONCURRENT_REQUESTS": web.concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": web.per_host,
        "CONCURRENT_ITEMS": 1,
        "DOWNLOAD_TIMEOUT": web.timeout,
        "DOWNLOAD_MAXSIZE": max(limits.max_bytes, web.max_sitemap_bytes),
        "DOWNLOAD_WARNSIZE": 0,
        "RETRY_TIMES": web.retries,
        "RETRY_EXCEPTIONS": [],
        "NONESUCH_MAX_RETRY_AFTER": web.max_retry_after,
        "NONESUCH_MAX_FAILURES": web.max_failures,
        "REDIRECT_MAX_TIMES": web.max_redirects,
        "DOWNLOADER_MIDDLEWARES_BASE": {},
        "DOWNLOADER_MIDDLEWARES": {
            **({f"{here}.middlewares.Robots": 100} if web.respect_robots else {}),
            f"{theirs}.downloadtimeout.DownloadTimeoutMiddleware": 350,
            f"{theirs}.useragent.UserAgentMiddleware": 500,
            f"{here}.middlewares.Retry": 550,
            **guard.MIDDLEWARES,
        },
        "SPIDER_MIDDLEWARES_BASE": {},
        "EXTENSIONS_BASE": {},
        "EXTENSIONS": {"scrapy.extensions.throttle.AutoThrottle": 0},
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
        "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.DownloaderAwarePriorityQueue",
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
        "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",
        "LOG_ENABLED": False,
        **guard.SETTINGS,
    }


class _NoPandas(MetaPathFinder):
    """Says that pandas is not installed: Arrow would import it, half a second for nothing."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Refuse one import."""
        if name == "pandas":
            raise ImportError("a crawl does without pandas")


def main(job_file: str, descriptor: str) -> None:
    """Run one crawl and tell what it brings to the other end of the socket `descriptor`."""
    # Ctrl-C goes to the whole group; the other end closing is what ends a crawl.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable()  # nobody reads what is logged: what matters is told
    # What a request leaves behind is mostly freed without the collector.
    gc.set_threshold(20_000)
    sys.meta_path.insert(0, _NoPandas())
    end = socket.socket(fileno=int(descriptor))
    job = Job.read(Path(job_file))
    from curation.ingest.sources import SourceConfig
    from curation.ingest.web.spiders import spider_for

    config: Any = TypeAdapter(SourceConfig).validate_python(job.source)
    process = AsyncCrawlerProcess(scrapy_settings(config, job.limits))
    from twisted.internet import reactor
    from twisted.internet.task import LoopingCall

    guard.install(reactor, AllowList.parse(config.allow_hosts))
    crawl = process.crawl(spider_for(config), job=job, config=config, end=end)
    crawl.add_done_callback(_say_why)
    # Twisted forgets cancelled timeouts, of which every request leaves two, only when a timer runs
    # out. Without this one that would be after a minute.
    LoopingCall(int).start(1.0)
    gc.freeze()
    process.start(install_signal_handlers=False)


def _say_why(crawl: asyncio.Future[None]) -> None:
    """Print what a crawl failed with as a whole: the other side tells it on."""
    if (error := crawl.exception()) is not None:
        traceback.print_exception(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
