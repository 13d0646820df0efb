"""Small objects that only one of several writers can write: conditional puts of S3.

The store compares and writes in one step (`If-None-Match`, `If-Match`), so that of any number of
writers one wins and the others are told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

from data_catalog.storage import Root, naming

_REFUSED: Final = (409, 412)  # Conflict, Precondition Failed
_NOTE: Final = "note"


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it is.

    Attributes
    ----------
    note : mapping
        What was put; empty where somebody else wrote it.
    tag : str
        Names this state of it.
    age : float
        Seconds since it was written, by the clock of the store.
    """

    note: Mapping[str, Any]
    tag: str
    age: float


def supported(root: Root) -> bool:
    """Tell whether a root is of a kind that has conditional puts."""
    protocol = root.fs.protocol
    return "s3" in ((protocol,) if isinstance(protocol, str) else protocol)


def look(root: Root, path: str) -> Found | None:
    """Give an object; None where there is none.

    Raises
    ------
    StorageError
        If the store refuses, or cannot be reached.
    """
    bucket, key, _ = root.fs.split_path(root.join(path))
    with naming(root.join(path)):
        try:
            head = root.fs.call_s3("head_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            return None
    now = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
    age = (now - head["LastModified"]).total_seconds()
    return Found(_read(head["Metadata"].get(_NOTE, "")), head["ETag"], age)


def put(root: Root, path: str, note: Mapping[str, Any], tag: str | None) -> str | None:
    """Write an object if it is as `tag` says, or is not there where `tag` is None.

    Returns
    -------
    str or None
        Its new tag; None if somebody else was first, and nothing was written.

    Raises
    ------
    StorageError
        As those of `look`.
    """
    bucket, key, _ = root.fs.split_path(root.join(path))
    condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
    text = json.dumps(note)
    with naming(root.join(path)):
        try:
            # The same in the head, so that one request gives note, tag and age of one state.
            answer = root.fs.call_s3(
                "put_object",
                Bucket=bucket,
                Key=key,
                Body=text.encode(),
                Metadata={_NOTE: text},
                **condition,
            )
        except OSError as error:
            if _status(error) in _REFUSED:
                return None
            raise
    return str(answer["ETag"])


def _read(text: str) -> Mapping[str, Any]:
    try:
        note = json.loads(text)
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _status(error: OSError) -> int | None:
    """Give the HTTP status that an error stands for."""
    answer: Any = getattr(error.__cause__, "response", None) or {}
    status: int | None = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status
