"""What can go wrong in review.

ReviewError
├── StoreError           the database refused; says why and what to do
│   ├── StoreBusyError   somebody else writes, or the server is away: try again
│   └── DiskFullError    there is no room for another decision
├── BusyError            too much of it is under way: try again
├── NotFoundError        no such item, cluster or queue
├── WrongInputError      cannot be done as asked; says what can
├── ExchangeError        a file of decisions that cannot be read
└── AccessError          an address, a name or a role that does not fit
    └── WrongTokenError  a token that opens nothing
"""

from __future__ import annotations


class ReviewError(Exception):
    """Base of the errors of this package; the message names rule, value and remedy."""


class StoreError(ReviewError):
    """The database refused."""


class StoreBusyError(StoreError):
    """The database is locked, or not to be reached; trying again may help."""


class DiskFullError(StoreError):
    """The disk of the database is full; nothing was written."""


class BusyError(ReviewError):
    """As much of this is under way as the server does at a time; trying again helps."""


class NotFoundError(ReviewError):
    """There is no such item, cluster or queue, no such run or snapshot."""


class WrongInputError(ReviewError):
    """What was asked for cannot be done like this; the message says how it can."""


class ExchangeError(ReviewError):
    """A file of decisions is not what it should be."""


class AccessError(ReviewError):
    """Who asks may not, or the server must not be opened like this."""


class WrongTokenError(AccessError):
    """The token is none of those that open the page."""
