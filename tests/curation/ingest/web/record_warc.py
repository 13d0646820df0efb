"""Visits addresses and writes a WARC; run by the Python of pywb's environment, which has warcio.

Standard input: {"warc": path, "visits": [{"fetch", "url", "date", "again"}, …]}.
"""

from __future__ import annotations

import http.client
import io
import json
import sys
from typing import Any
from urllib.parse import urlsplit

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter


def fetch(url: str) -> tuple[str, list[tuple[str, str]], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return f"{response.status} {response.reason}", response.getheaders(), body


def main() -> None:
    job: dict[str, Any] = json.load(sys.stdin)
    originals: dict[str, tuple[str, str]] = {}  # by digest: the visit that stored the bytes
    with open(job["warc"], "wb") as file:  # noqa: PTH123
        writer = WARCWriter(file, gzip=True)
        for visit in job["visits"]:
            status, headers, body = fetch(visit["fetch"])
            record = writer.create_warc_record(
                visit["url"],
                "response",
                payload=io.BytesIO(body),
                http_headers=StatusAndHeaders(status, headers, protocol="HTTP/1.1"),
                warc_headers_dict={"WARC-Date": visit["date"]},
            )
            digest = record.rec_headers.get_header("WARC-Payload-Digest")
            if visit["again"]:
                url, date = originals[digest]
                record = writer.create_revisit_record(
                    visit["url"],
                    digest,
                    url,
                    date,
                    http_headers=StatusAndHeaders(status, headers, protocol="HTTP/1.1"),
                    warc_headers_dict={"WARC-Date": visit["date"]},
                )
            originals.setdefault(digest, (visit["url"], visit["date"]))
            writer.write_record(record)


main()
