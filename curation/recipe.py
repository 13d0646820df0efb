"""The recipe: how every picture of a dataset is brought to one size, shape and format."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

# Part of every recipe's id: raise it when the pixels, the measures or the fingerprints change,
# so that stored features of older code are computed anew instead of being mixed with new ones.
FEATURES_REVISION = 1


class Detector(BaseModel):
    """Crops around what a cascade detector finds; one image may give several items."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cascade: str = Field(
        description="name of one of OpenCV's cascade files, or a path to one",
    )
    scale_factor: float = Field(1.1, gt=1.0, description="step of the image pyramid")
    min_neighbors: int = Field(5, ge=0, description="detections that must agree")
    min_size: int = Field(250, ge=1, description="px, smallest side of a detection")
    margin: float = Field(0.3, ge=0, description="kept around the box, as a share of its size")
    margin_top: float | None = Field(
        None, ge=0, description="kept above the box; the default is twice `margin`: tops of heads"
    )
    max_items: int = Field(8, ge=1, description="most items cut from one image, largest first")


class Recipe(BaseModel):
    """How to standardize. Two recipes with one `id` give the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(384, ge=8, le=8192, description="px of every standardized image")
    height: int = Field(512, ge=8, le=8192, description="px of every standardized image")
    fit: Literal["pad", "crop", "top_crop", "subject"] = Field(
        "pad",
        description="pad: whole picture on a background; crop: fill the frame around the middle; "
        "top_crop: fill the frame, keep the top; subject: find the subject on a plain background, "
        "centre it and scale it to `subject_share`",
    )
    background: Literal["auto"] | tuple[int, int, int] = Field(
        "auto",
        description='what padding is filled with: "auto" (estimated from the border) or [r, g, b]',
    )
    subject_share: float = Field(
        0.8, gt=0.05, le=1.0, description="of the frame, taken by the subject's longer extent"
    )
    max_upscale: float = Field(
        2.0, ge=1.0, description="enlarge no further than this; the rest is padding"
    )
    invert: Literal["auto", "always", "never"] = Field(
        "auto", description="train on 255 - x; decided once for the whole set"
    )
    format: Literal["jpeg", "png", "webp"] = Field("jpeg", description="jpeg is stored 4:4:4")
    quality: int = Field(95, ge=1, le=100, description="of jpeg and webp; png is lossless")
    detector: Detector | None = Field(None, description="cut items out by a cascade detector")

    @property
    def id(self) -> str:
        """Name of the folder under `standard/`: changes when any pixel might.

        `invert` is left out: it is applied when images are loaded, never to stored ones.
        """
        text = self.model_dump_json(exclude={"invert"})
        digest = hashlib.sha256(f"{FEATURES_REVISION}{text}".encode()).hexdigest()
        return f"{self.width}x{self.height}-{digest[:12]}"


class Limits(BaseModel):
    """How much one picture may cost. Scraped content is hostile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(64 << 20, ge=1, description="of one file")
    max_pixels: int = Field(
        100_000_000, ge=1, le=178_956_970, description="width × height, by the header"
    )
    seconds: float = Field(30.0, gt=0, description="for one picture, before its worker is killed")
    max_archive_bytes: int = Field(1 << 40, ge=1, description="unpacked, of one archive")
    max_archive_ratio: float = Field(200.0, gt=1, description="unpacked over packed, of one member")

    @property
    def key(self) -> str:
        """The limits that one picture is processed under, as text to compare."""
        return f"{self.max_pixels} px, {self.seconds:g} s"
