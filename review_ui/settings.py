"""The `[review]` section of the configuration."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

# Keys of the page itself; a tag cannot have them. docs/review.md lists what they do.
TAKEN_KEYS = frozenset("abcdefghiklnoprstuvxyz0123456789?+-= /")


class ReviewConfig(BaseModel):
    """How the review page is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="address to listen at")
    port: int = Field(8484, ge=0, le=65535, description="0 takes a free one")
    database: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL of the decisions (postgresql://… for teams); "
        "the default is review.sqlite in the root",
    )
    token: SecretStr | None = Field(
        None, description="reviewers log in with it; needs `admin_token` too"
    )
    admin_token: SecretStr | None = Field(
        None,
        description="who logs in with it may also publish, train and import; "
        "needed beyond this machine",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="names under which the page is reached, besides localhost and `host`"
    )
    behind_proxy: bool = Field(
        False,
        description="believe a proxy in the private network about who asks, and how",
    )
    lease_seconds: int = Field(
        300, ge=10, le=86_400, description="how long items shown to one reviewer are kept for them"
    )
    tag_keys: dict[str, str] = Field(
        default_factory=dict, description='keys that set a tag, e.g. { m = "mirrored" }'
    )

    @field_validator("tag_keys")
    @classmethod
    def _keys_are_free(cls, keys: dict[str, str]) -> dict[str, str]:
        for key, tag in keys.items():
            if len(key) != 1 or key.lower() in TAKEN_KEYS:
                free = " ".join(c for c in "jmqw" if c not in TAKEN_KEYS)
                raise ValueError(
                    f"`tag_keys` must be single keys that the page does not use, got {key!r}; "
                    f"free are {free} and , . ; ' [ ]"
                )
            if not tag.strip() or len(tag) > 64 or "\n" in tag:
                raise ValueError(f"a tag must be 1 to 64 characters on one line, got {tag!r}")
        return keys

    @model_validator(mode="after")
    def _tokens_are_long_and_differ(self) -> ReviewConfig:
        for name in ("token", "admin_token"):
            token = getattr(self, name)
            if token is not None and len(token.get_secret_value()) < 16:
                raise ValueError(
                    f"`{name}` must have at least 16 characters; "
                    "`nonesuch review --new-token` makes one"
                )
        if self.token is not None and self.admin_token is None:
            raise ValueError("`token` needs `admin_token` too, or nobody could publish")
        if self.token is not None and self.token == self.admin_token:
            raise ValueError("`token` and `admin_token` must differ")
        return self

    def at(self, folder: Path) -> ReviewConfig:
        """Give the same with the path of an SQLite database relative to `folder`."""
        url = "" if self.database is None else self.database.get_secret_value()
        head, slashes, path = url.partition(":///")
        if not head.startswith("sqlite") or not slashes or not path or path.startswith("/"):
            return self
        there = SecretStr(f"{head}:///{(folder / path).as_posix()}")
        return self.model_copy(update={"database": there})

    @property
    def is_local(self) -> bool:
        """True where the page is open to this machine only."""
        if self.behind_proxy:
            return False
        return all(is_of_this_machine(name) for name in (self.host, *self.allowed_hosts))


def is_of_this_machine(name: str) -> bool:
    """Tell whether a host is reached from this machine only, by its name or address."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
