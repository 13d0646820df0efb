"""Rows of the store as the API gives them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from sqlalchemy import Row

from review_ui.store import clock
from review_ui.store.deciding import Result
from review_ui.store.models import unpack_list
from review_ui.store.queues import ClusterRows


def item(row: Row[Any]) -> dict[str, Any]:
    """Give a row of `queues.item_rows` as `schemas.ItemOut`."""
    held = row.leased_until is not None and row.leased_until > clock.now()
    pictures = picture_urls(row.item_id, row.standard_hash)
    return {
        "id": row.item_id,
        "image_id": row.image_id,
        "head": row.head,
        "verdict": row.verdict if row.verdict in ("accepted", "rejected") else None,
        "standing": row.standing,
        "rule": row.rule,
        "reasons": unpack_list(row.reasons or ""),
        "tags": unpack_list(row.tags or ""),
        "note": row.note or "",
        "reviewer": row.reviewer,
        "decided_at": clock.to_text(row.decided_at),
        "follows": row.follows,
        "why": [_finite(found) for found in json.loads(row.evidence)],
        "title": row.title,
        "source": row.source,
        "label": row.label,
        "brand": row.brand,
        "given_tags": unpack_list(row.given_tags),
        "locator": row.locator,
        "page": _link(row.page) or _link(row.locator),
        "observed_at": clock.to_text(row.observed_at),
        "width": row.width,
        "height": row.height,
        "bytes": row.file_bytes,
        "score": row.score,
        "ratio": row.ratio,
        **pictures,
        "duplicate": row.duplicate,
        "relation": row.relation,
        "distance": row.distance,
        "colourway": row.colourway,
        "leased_by": row.leased_by if held else None,
    }


def picture_urls(item_id: str, standard_hash: str) -> dict[str, str]:
    """Give the addresses of the pictures of an item; they change when the picture does."""
    place = f"/images/{quote(item_id, safe='')}"
    return {
        "thumb": f"{place}/thumb?v={standard_hash[:16]}",
        "standard": f"{place}/standard?v={standard_hash[:16]}",
        "original": f"{place}/original?v={item_id[:16]}",
    }


def _link(url: str | None) -> str | None:
    """Pass on what may be followed: a page on the web, never a script."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def _finite(found: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what JSON cannot say."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in found.items()
    }


def cluster(found: ClusterRows) -> dict[str, Any]:
    """Give a cluster as `schemas.ClusterOut`."""
    items = [item(row) for row in found.rows]
    return {
        "key": found.key,
        "kind": found.kind,
        "size": found.size,
        "value": found.badness,
        "settled": found.settled,
        "best": items[0]["id"] if items else found.key,
        "items": items,
        "more": max(0, found.size - len(items)),
    }


def event(row: Row[Any], thumb: str | None) -> dict[str, Any]:
    """Give a row of `history.events` as `schemas.EventOut`."""
    return {
        "seq": row.seq,
        "uuid": row.uuid,
        "batch": row.batch,
        "item": row.item_id,
        "thumb": thumb,
        "verdict": row.verdict,
        "reasons": unpack_list(row.reasons),
        "tags": unpack_list(row.tags),
        "note": row.note,
        "reviewer": row.reviewer,
        "origin": row.origin,
        "decided_at": clock.to_text(row.decided_at),
        "undoes": row.undoes,
        "undone": bool(row.undone),
        "before": {
            "head": row.base,
            "verdict": row.before_verdict or "undecided",
            "reasons": unpack_list(row.before_reasons or ""),
            "tags": unpack_list(row.before_tags or ""),
            "note": row.before_note or "",
        },
        "ms": row.client_ms,
    }


def outcome(result: Result) -> dict[str, Any]:
    """Give what became of a decision as `schemas.OutcomeOut`."""
    state = result.state
    return {
        "uuid": result.uuid,
        "outcome": result.outcome.value,
        "state": {
            "item": state.item,
            "head": state.head,
            "verdict": state.verdict,
            "reasons": list(state.reasons),
            "tags": list(state.tags),
            "note": state.note,
            "reviewer": state.reviewer,
            "decided_at": clock.to_text(state.decided_at),
        },
    }
