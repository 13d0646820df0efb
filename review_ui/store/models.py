"""Tables of the decision store.

`decision_event` is the truth; `item_state` is what follows from it. All tables with a column
`build` are a projection of the catalog, and can be made again at any time.

Times are microseconds since 1970 in UTC: both databases keep them whole and in order. Lists of
short texts (tags, reasons) are one text, each between line ends, so that both can search them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts rows by themselves only in a column of this very type.
_SERIAL: Final = BigInteger().with_variant(Integer, "sqlite")

decision_event = Table(
    "decision_event",
    metadata,
    Column("seq", _SERIAL, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),  # made by who decides
    Column("batch", String(36), nullable=False),  # decided by one stroke
    Column("item_id", Text, nullable=False),
    # The whole state of the item from then on.
    Column("verdict", String(10), nullable=False),  # accepted, rejected, undecided
    Column("reasons", Text, nullable=False, default=""),
    Column("tags", Text, nullable=False, default=""),
    Column("note", Text, nullable=False, default=""),
    Column("reviewer", Text, nullable=False),
    Column("origin", String(8), nullable=False),  # page, import, catalog
    Column("base", String(36)),  # uuid of the event that held before
    Column("undoes", String(36)),
    Column("client_ms", Integer),  # from shown to decided
    Column("decided_at", BigInteger, nullable=False),
    Index(None, "item_id", "seq"),
    Index(None, "reviewer", "seq"),
    Index(None, "batch"),
    sqlite_autoincrement=True,
)

item_state = Table(
    "item_state",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("head", String(36), nullable=False),  # uuid of the event that holds
    Column("verdict", String(10), nullable=False),
    Column("reasons", Text, nullable=False, default=""),
    Column("tags", Text, nullable=False, default=""),
    Column("note", Text, nullable=False, default=""),
    Column("reviewer", Text, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("pixels", Text),  # copies with the very same pixels follow
    Index(None, "pixels"),
)

tag = Table(
    "tag",
    metadata,
    Column("value", Text, primary_key=True),
    Column("uses", Integer, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("reviewer", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
    Index(None, "until"),
)

session = Table(
    "session",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of what the cookie holds
    Column("name", Text, nullable=False),
    Column("role", String(8), nullable=False),
    Column("token", String(64), nullable=False),  # digest of the token it was opened with
    Column("expires_at", BigInteger, nullable=False),
)

build = Table(
    "build",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("build_id", Text, nullable=False),
    Column("built_at", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),  # reading, current, failed
    Column("size", Integer, nullable=False, default=0),
    Column("total", Integer, nullable=False, default=0),
    Column("queues", Text, nullable=False),  # JSON of the rules
    Column("message", Text, nullable=False, default=""),
    Column("progressed_at", BigInteger, nullable=False),  # while it is read: when rows last came
    sqlite_autoincrement=True,
)

review_item = Table(
    "review_item",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("build", Integer, nullable=False),
    Column("item_id", Text, nullable=False),
    Column("image_id", Text, nullable=False),
    Column("rule", String(10), nullable=False),  # verdict by the rules alone
    Column("standing", String(10), nullable=False),  # open, accepted, rejected
    Column("decided", Boolean, nullable=False),  # by a person, here or on a copy
    Column("follows", Text),  # the copy that was decided
    Column("evidence", Text, nullable=False),  # JSON
    Column("title", Text),
    Column("source", Text),
    Column("label", Text),
    Column("brand", Text),
    Column("given_tags", Text, nullable=False, default=""),
    Column("locator", Text),
    Column("page", Text),
    Column("observed_at", BigInteger),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("file_bytes", BigInteger, nullable=False),
    Column("ratio", Float, nullable=False),  # width / height of the standardized picture
    Column("score", Float),
    Column("pixels", Text),
    Column("phash", BigInteger),
    Column("duplicate", Text),
    Column("relation", Text),
    Column("distance", Float),
    Column("colourway", Text),
    Column("colourway_rank", Integer),
    Column("recipe", Text, nullable=False),
    Column("raw_pack", Text, nullable=False),
    Column("raw_offset", BigInteger, nullable=False),
    Column("raw_length", BigInteger, nullable=False),
    Column("pack", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("thumb_offset", BigInteger, nullable=False),
    Column("thumb_length", BigInteger, nullable=False),
    Column("standard_hash", Text, nullable=False),
    Index(None, "build", "item_id", unique=True),
    Index(None, "build", "standing", "id"),
)
for _name in ("pixels", "duplicate", "colourway"):
    Index(
        None,
        review_item.c.build,
        review_item.c[_name],
        sqlite_where=review_item.c[_name].is_not(None),
        postgresql_where=review_item.c[_name].is_not(None),
    )

queue_entry = Table(
    "queue_entry",
    metadata,
    Column("item", BigInteger, primary_key=True, autoincrement=False),  # review_item.id
    Column("reason", String(32), primary_key=True),
    Column("build", Integer, nullable=False),
    Column("standing", String(10), nullable=False),
    Column("badness", Float, nullable=False),  # the measured value, turned so that more is worse
    Index(None, "build", "reason", "standing", "badness", "item"),
    sqlite_with_rowid=False,
)

cluster = Table(
    "cluster",
    metadata,
    Column("build", Integer, primary_key=True, autoincrement=False),
    Column("reason", String(32), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("badness", Float, nullable=False),
    Column("settled", Boolean, nullable=False),
    Index(None, "build", "reason", "settled", "badness", "key"),
    sqlite_with_rowid=False,
)

# Kept up to date with every decision: counting a million items anew takes too long for a page that
# asks every few seconds.
queue_count = Table(
    "queue_count",
    metadata,
    Column("build", Integer, primary_key=True, autoincrement=False),
    Column("reason", String(32), primary_key=True),  # or all
    Column("open", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("unsettled", Integer, nullable=False),  # clusters
    Column("settled", Integer, nullable=False),
    Column("low", Float),  # of badness
    Column("high", Float),
    sqlite_with_rowid=False,
)

facet = Table(
    "facet",
    metadata,
    Column("build", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(8), primary_key=True),  # source, label, brand, tag, first, last
    Column("value", Text, primary_key=True),
    Column("size", Integer, nullable=False),
    sqlite_with_rowid=False,
)

PROJECTION: Final = (review_item, queue_entry, cluster, queue_count, facet)


def pack_list(values: Iterable[str]) -> str:
    r"""Write a list of texts as one: ``["a", "b"]`` becomes ``"\na\nb\n"``, and none ``""``."""
    text = "\n".join(values)
    return f"\n{text}\n" if text else ""


def unpack_list(text: str) -> list[str]:
    """Read what `pack_list` wrote."""
    return text[1:-1].split("\n") if text else []
