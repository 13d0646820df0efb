"""The spiders: what a crawl asks for, and what it makes of the answers."""

from __future__ import annotations

from typing import Any

from curation.ingest.web.settings import ShopConfig, WaybackConfig
from curation.ingest.web.spiders.base import WebSpider


def spider_for(config: Any) -> type[WebSpider]:
    """Choose the spider of a source."""
    match config:
        case ShopConfig():
            from curation.ingest.web.spiders.shop import ShopSpider

            return ShopSpider
        case WaybackConfig():
            from curation.ingest.web.spiders.wayback import WaybackSpider

            return WaybackSpider
    from curation.ingest.web.spiders.urls import UrlsSpider

    return UrlsSpider
