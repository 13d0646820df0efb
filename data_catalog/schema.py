"""What the catalog stores: table schemas, and the two enums that are stored for good.

Delta Lake has no unsigned integers and no fixed-size binary, so hashes of 64 bits are stored as
`int64` (the same bits) and longer ones as `binary`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import pyarrow as pa


class Verdict(StrEnum):
    """What becomes of an item. The four are exhaustive and exclude each other."""

    ACCEPTED = "accepted"
    FLAGGED = "flagged"
    REJECTED = "rejected"
    FAILED = "failed"


class Reason(StrEnum):
    """Why an item was failed, rejected or flagged. Values are stored: never rename one."""

    # There is no picture to judge.
    EMPTY_FILE = "empty_file"  # zero bytes
    UNREADABLE = "unreadable"  # the operating system or the archive refused to give the bytes
    LINK_OUTSIDE = "link_outside"  # a symbolic link that leaves the source folder
    UNSAFE_NAME = "unsafe_name"  # an archive member that names a path outside the archive
    NESTED_ARCHIVE = "nested_archive"  # an archive inside an archive is not opened
    ARCHIVE_BOMB = "archive_bomb"  # unpacks to far more than its size allows
    FILE_TOO_LARGE = "file_too_large"  # more bytes than `limits.max_bytes`
    NOT_AN_IMAGE = "not_an_image"  # no known picture format, e.g. HTML saved as .jpg, SVG
    CORRUPT = "corrupt"  # a picture format, but truncated or damaged
    TOO_MANY_PIXELS = "too_many_pixels"  # the header promises more than `limits.max_pixels`
    CRASHED_WORKER = "crashed_worker"  # decoding it killed the process
    TIMED_OUT = "timed_out"  # decoding it did not end within `limits.seconds`
    NOTHING_DETECTED = "nothing_detected"  # the cascade detector found no subject
    FORGOTTEN = "forgotten"  # taken down by `nonesuch forget`

    # A URL gave no picture.
    NOT_FOUND = "not_found"  # 404 or 410
    HTTP_ERROR = "http_error"  # another status that is no success, e.g. 403
    SERVER_ERROR = "server_error"  # 5xx, after retries
    RATE_LIMITED = "rate_limited"  # 429, or Retry-After for longer than `max_retry_after`
    DNS_FAILURE = "dns_failure"  # the host's name is not known
    CONNECTION_FAILED = "connection_failed"  # refused, reset, broken off
    TLS_FAILURE = "tls_failure"  # the certificate does not hold
    FETCH_TIMED_OUT = "fetch_timed_out"  # no whole answer within `timeout`
    CUT_SHORT = "cut_short"  # the body ended before its stated length
    ROBOTS_DENIED = "robots_denied"  # robots.txt forbids it
    OPTED_OUT = "opted_out"  # its server asks not to be used for training: noai, noimageai
    ADDRESS_REFUSED = "address_refused"  # the host is at an address that is not public
    URL_REFUSED = "url_refused"  # no URL, or one that is never followed: file://, ftp://, …
    REDIRECT_REFUSED = "redirect_refused"  # too many, to another scheme, from https to http

    # Rules on measurements of one image.
    TOO_SMALL = "too_small"  # a side is shorter than `min_side`
    TOO_FEW_BYTES = "too_few_bytes"  # the file is smaller than `min_bytes`
    UPSCALED = "upscaled"  # would be enlarged by more than `max_upscale`
    ODD_ASPECT = "odd_aspect"  # longer side over shorter side above `max_aspect`
    ANIMATED = "animated"  # more than `max_frames` frames
    MONOCHROME = (
        "monochrome"  # fewer unique colours than `min_colours`, or chroma below `min_chroma`
    )
    BLANK = "blank"  # one colour covers more than `max_blankness`
    PATTERN = "pattern"  # zoomed-in fabric or texture: no subject, repeats everywhere
    BUSY_BACKGROUND = "busy_background"  # background more complex than `max_complexity`
    OFF_CENTRE = "off_centre"  # the subject's box is off the middle by more than `max_offset`
    CUT_OFF = "cut_off"  # the subject touches more than `max_edges` edges
    TINY_SUBJECT = "tiny_subject"  # the subject fills less than `min_fill`
    BLURRED = "blurred"  # sharpness below `min_sharpness`

    # Rules on what else is in the set.
    PIXEL_DUPLICATE = "pixel_duplicate"  # same pixels, other bytes
    NEAR_DUPLICATE = "near_duplicate"  # same picture, re-encoded, resized, cropped, bordered
    MIRRORED_COPY = "mirrored_copy"  # same picture, flipped left to right
    COLOURWAY = "colourway"  # same silhouette in other colours, over the cap

    # Place among the others by a score.
    UNLIKE_OTHERS = "unlike_others"  # hardly like anything else: `density_percentile` is low
    LOW_D_SCORE = "low_d_score"  # among the lowest: `d_percentile` below `min_percentile`
    HIGH_D_SCORE = "high_d_score"  # among the highest: `d_percentile` above `max_percentile`

    # A person said so.
    DECIDED = "decided"


FAILURES: Final = frozenset(
    {
        Reason.EMPTY_FILE,
        Reason.UNREADABLE,
        Reason.LINK_OUTSIDE,
        Reason.UNSAFE_NAME,
        Reason.NESTED_ARCHIVE,
        Reason.ARCHIVE_BOMB,
        Reason.FILE_TOO_LARGE,
        Reason.NOT_AN_IMAGE,
        Reason.CORRUPT,
        Reason.TOO_MANY_PIXELS,
        Reason.CRASHED_WORKER,
        Reason.TIMED_OUT,
        Reason.NOTHING_DETECTED,
        Reason.NOT_FOUND,
        Reason.HTTP_ERROR,
        Reason.SERVER_ERROR,
        Reason.RATE_LIMITED,
        Reason.DNS_FAILURE,
        Reason.CONNECTION_FAILED,
        Reason.TLS_FAILURE,
        Reason.FETCH_TIMED_OUT,
        Reason.CUT_SHORT,
        Reason.ROBOTS_DENIED,
        Reason.OPTED_OUT,
        Reason.ADDRESS_REFUSED,
        Reason.URL_REFUSED,
        Reason.REDIRECT_REFUSED,
    }
)

# Failures that another limit may mend.
OF_LIMITS: Final = frozenset({Reason.TOO_MANY_PIXELS, Reason.CRASHED_WORKER, Reason.TIMED_OUT})

_UTC: Final = pa.timestamp("us", tz="UTC")

OBSERVATIONS: Final = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),  # name of the [[sources]] entry
        pa.field("locator", pa.string(), nullable=False),  # path, archive member or URL
        pa.field("revision", pa.string()),  # changes when the content may have: size-mtime, ETag
        pa.field("fields", pa.string()),  # metadata that came with it, a JSON object
        pa.field("label", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("image_id", pa.string()),  # null where no bytes could be had
        pa.field("failure", pa.string()),  # Reason, where no bytes could be had
        pa.field("detail", pa.string()),  # the error in words
        pa.field("observed_at", _UTC, nullable=False),
    ]
)

PAGES: Final = pa.schema(
    [
        # What crawls fetched besides pictures; the latest row of a URL counts.
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),  # empty: the crawl as a whole
        pa.field(
            "kind", pa.string(), nullable=False
        ),  # page, robots, sitemap, feed, listing or crawl
        pa.field("crawl", pa.string(), nullable=False),  # id of the crawl; begins with its time
        pa.field("etag", pa.string()),
        pa.field("last_modified", pa.string()),
        pa.field("found", pa.string()),  # JSON: what was read off it, so that a 304 suffices
        pa.field("failure", pa.string()),  # Reason, where it could not be had
        pa.field("detail", pa.string()),
        pa.field("fetched_at", _UTC, nullable=False),
    ]
)

IMAGES: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),  # SHA-256 of the bytes, hex
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("pack", pa.string(), nullable=False),  # file name below <root>/raw/
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
    ]
)

FEATURES: Final = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),  # image_id, or image_id#x,y,w,h
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("failure", pa.string()),  # Reason; where set, all below but `detail` may be null
        pa.field("detail", pa.string()),
        pa.field("limits", pa.string()),  # those it ran into; it is tried again under others
        # The file as it came.
        pa.field("format", pa.string()),  # JPEG, PNG, WEBP, …
        pa.field("mode", pa.string()),  # Pillow's mode of the file: RGB, L, P, CMYK, …
        pa.field("orientation", pa.int32()),  # EXIF, 1 to 8
        pa.field("frames", pa.int32()),
        pa.field("file_bytes", pa.int64()),
        pa.field("width", pa.int32()),  # of the item, upright, px
        pa.field("height", pa.int32()),
        pa.field("upscale", pa.float32()),  # standardized px per original px, above 1 = enlarged
        # Measures; ranges in curation/measures.py.
        pa.field("colours", pa.int32()),
        pa.field("chroma", pa.float32()),
        pa.field("blankness", pa.float32()),
        pa.field("entropy", pa.float32()),
        pa.field("sharpness", pa.float32()),
        pa.field("border_red", pa.int32()),
        pa.field("border_green", pa.int32()),
        pa.field("border_blue", pa.int32()),
        pa.field("border_uniformity", pa.float32()),
        pa.field("background_complexity", pa.float32()),
        pa.field("subject_left", pa.float32()),  # box of the subject, shares of width and height
        pa.field("subject_top", pa.float32()),
        pa.field("subject_right", pa.float32()),
        pa.field("subject_bottom", pa.float32()),
        pa.field("centre_offset", pa.float32()),
        pa.field("fill", pa.float32()),
        pa.field("edges_touched", pa.int32()),
        pa.field("pattern", pa.float32()),
        # Fingerprints; curation/fingerprints.py.
        pa.field("pixel_hash", pa.binary()),
        pa.field("phash", pa.int64()),
        pa.field("phash_mirrored", pa.int64()),
        pa.field("phash256", pa.binary()),
        pa.field("phash_variants", pa.binary()),  # K × 8 bytes
        pa.field("colour_signature", pa.binary()),
        pa.field("silhouette", pa.binary()),
        # Where the standardized image is, below <root>/standard/<recipe>/.
        pa.field("pack", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("thumb_offset", pa.int64()),  # a small JPEG in the same pack
        pa.field("thumb_length", pa.int64()),
        pa.field("standard_hash", pa.string()),  # BLAKE3 of the standardized bytes, hex
    ]
)

PAIRS: Final = pa.schema(
    [
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("search", pa.string(), nullable=False),  # by which rules it was proposed
        pa.field("item_a", pa.string(), nullable=False),  # item_a < item_b
        pa.field("item_b", pa.string(), nullable=False),
        pa.field("relation", pa.string(), nullable=False),  # curation.registration.Relation
        pa.field("distance", pa.float32(), nullable=False),  # 0 = the same picture
    ]
)

SEARCHES: Final = pa.schema(
    [
        # All pairs among the items of one search are in `pairs`, as far as they were proposed.
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("search", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
    ]
)

GROUPS: Final = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("duplicate_of", pa.string()),  # the keeper; null for keepers and single items
        pa.field("relation", pa.string()),  # Reason: how it relates to the keeper
        pa.field("distance", pa.float32()),
        pa.field("silhouette_cluster", pa.string()),  # item_id that names the colourway cluster
        pa.field("colourway_rank", pa.int32()),  # 0 for the first kept of its cluster
    ]
)

VERDICTS: Final = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("image_id", pa.string()),  # null where no bytes could be had
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("decided_by", pa.string(), nullable=False),  # "rules" or the reviewer's name
        # Places by score among what no other rule rejects, 0 to 100; null without a score.
        pa.field("density_percentile", pa.float32()),
        pa.field("d_percentile", pa.float32()),
    ]
)

DECISIONS: Final = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field(
            "verdict", pa.string(), nullable=False
        ),  # accepted, rejected; "undecided" takes back
        pa.field("note", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("reviewer", pa.string(), nullable=False),
        pa.field("decided_at", _UTC, nullable=False),
        pa.field("reasons", pa.list_(pa.string())),  # why, by the names of rules
        pa.field("event", pa.string()),  # uuid in the review store; null: by the command line
    ]
)

SCORES: Final = pa.schema(
    [
        # Of several rows of an item, recipe and model the latest counts.
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        # Of a network: logit, over shuffles and snapshots. Of density: minus the mean distance to
        # the nearest of a sample of the set.
        pa.field("mean", pa.float32(), nullable=False),
        pa.field("standard_error", pa.float32()),
        pa.field("percentile", pa.float32()),  # among all that the model has scored, 0 to 100
        pa.field("fold", pa.int32()),  # the judge that has not seen the item; null: it is one judge
        pa.field("recipe", pa.string()),  # null: from before it was kept; such rows are not used
        pa.field("scored_at", _UTC),
    ]
)

MODELS: Final = pa.schema(
    [
        # Trained networks that can judge pictures; the row registered last is the current model.
        pa.field("model", pa.string(), nullable=False),  # run or k-fold name @ newest snapshot
        pa.field("runs", pa.list_(pa.string()), nullable=False),  # folders below models/
        pa.field("snapshots", pa.list_(pa.string()), nullable=False),  # a run: newest first, "a,b"
        pa.field("version", pa.int64()),  # published version it was trained on
        pa.field("version_hash", pa.string()),
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),  # px
        pa.field("width", pa.int32(), nullable=False),
        pa.field("kimg", pa.float64(), nullable=False),  # thousand images trained on
        pa.field("registered_at", _UTC, nullable=False),  # each later than the one before
    ]
)

TOMBSTONES: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("why", pa.string()),
        pa.field("forgotten_at", _UTC, nullable=False),
    ]
)

BUILDS: Final = pa.schema(
    [
        pa.field("build", pa.string(), nullable=False),  # hash of all that decides the outcome
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("summary", pa.string(), nullable=False),  # JSON: the counts
        pa.field("config", pa.string(), nullable=False),  # JSON: the resolved config
        pa.field("inverted", pa.bool_(), nullable=False),
        pa.field("built_at", _UTC, nullable=False),
    ]
)

VERSIONS: Final = pa.schema(
    [
        pa.field("version", pa.int64(), nullable=False),
        pa.field("hash", pa.string(), nullable=False),
        pa.field("parent", pa.int64()),
        pa.field("split", pa.string()),  # null: the whole set
        pa.field("build", pa.string(), nullable=False),
        pa.field("items", pa.int64(), nullable=False),
        pa.field("shards", pa.int64(), nullable=False),
        pa.field("manifest", pa.string(), nullable=False),  # JSON
        pa.field("published_at", _UTC, nullable=False),
    ]
)

TABLES: Final[dict[str, pa.Schema]] = {
    "observations": OBSERVATIONS,
    "pages": PAGES,
    "images": IMAGES,
    "features": FEATURES,
    "pairs": PAIRS,
    "searches": SEARCHES,
    "groups": GROUPS,
    "verdicts": VERDICTS,
    "scores": SCORES,
    "models": MODELS,
    "decisions": DECISIONS,
    "tombstones": TOMBSTONES,
    "builds": BUILDS,
    "versions": VERSIONS,
}
