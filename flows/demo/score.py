"""Holds what became of the demo's pictures against the plan: what was planted, what was caught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pydantic import BaseModel

from curation.ingest.selection import current, unread_id
from curation.synthetic.defects import PlantedImage
from data_catalog.schema import Reason, Verdict
from flows.catalog import open_catalog
from flows.settings import ConfigError, DatasetConfig

COPIES = frozenset({Reason.PIXEL_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.MIRRORED_COPY})
SAME_BYTES = "same_bytes"


class DemoRow(BaseModel):
    """One kind of defect: planted, caught, missed; and sound pictures taken for it."""

    defect: str
    planted: int
    caught: int
    missed: int
    false_alarms: int


Verdicts = Mapping[str, tuple[str, frozenset[str]]]
Reasons = Callable[[str], frozenset[str]]
"""Gives those of a file by its name."""


def outcome(config: DatasetConfig) -> tuple[dict[str, str], Verdicts]:
    """Give item by file name, and (verdict, reasons) by item.

    Raises
    ------
    ConfigError
        If the sources are not those of the demo any more.
    """
    catalog = open_catalog(config)
    observations = catalog.table("observations").read()
    verdicts = catalog.table("verdicts").read()
    items = {
        file_name(row["locator"]): row["image_id"] or unread_id(row["source"], row["locator"])
        for row in observations.select(["source", "locator", "image_id"]).to_pylist()
    }
    offered = current(observations, config.sources).num_rows
    if offered != verdicts.num_rows:
        raise _not_the_demo(f"{offered} are offered and {verdicts.num_rows} judged")
    return items, _by_item(verdicts)


def file_name(url: str) -> str:
    """Give the name of the file that a picture's address ends with."""
    return unquote(urlsplit(url).path).rpartition("/")[2]


def _not_the_demo(why: str) -> ConfigError:
    return ConfigError(
        f"the demo must offer the pictures that it plants, and all of them: {why}; undo what was "
        "changed in its configuration, or start it in another folder: `nonesuch demo FOLDER`"
    )


def _by_item(verdicts: pa.Table) -> Verdicts:
    return {
        row["item_id"]: (row["verdict"], frozenset(row["reasons"]))
        for row in verdicts.select(["item_id", "verdict", "reasons"]).to_pylist()
    }


def score(
    planted: Sequence[PlantedImage],
    items: Mapping[str, str],
    verdicts: Verdicts,
    config: DatasetConfig,
) -> tuple[list[DemoRow], int, int]:
    """Count what was caught.

    A copy is caught if it or its original is marked as one: either may be the one that is kept.
    Of a family of colourways those above the cap are expected to be caught. A false alarm is a
    sound picture, neither planted nor the original of a copy, that carries the reason.

    Returns
    -------
    rows : list of DemoRow
    sound : int
        Sound pictures.
    accepted : int
        Those of them that were accepted.

    Raises
    ------
    ConfigError
        If what was planted has not come in.
    """
    missing = [i.file_name for i in planted if items.get(i.file_name) not in verdicts]
    if missing:
        raise _not_the_demo(f"{len(missing)} have not come in, the first is {missing[0]}")

    def reasons(name: str) -> frozenset[str]:
        return verdicts[items[name]][1]

    originals = {image.of for image in planted if image.of is not None}
    sound = [
        image.file_name
        for image in planted
        if image.defect is None and image.of is None and image.file_name not in originals
    ]
    alarms = Counter(reason for name in sound for reason in reasons(name))
    rows = []
    defects = [(image, _met(image.defect)) for image in planted if image.defect is not None]
    for kind in dict.fromkeys(kind for _, kind in defects):
        those = [image for image, defect in defects if defect is kind]
        if kind is Reason.COLOURWAY:
            expected, caught = _colourways(those, reasons, config)
        else:
            expected, caught = len(those), sum(_caught(image, kind, reasons) for image in those)
        rows.append(
            DemoRow(
                defect=kind.value,
                planted=expected,
                caught=caught,
                missed=expected - caught,
                false_alarms=alarms[kind.value],
            )
        )
    rows.append(_same_bytes(planted, items))
    good = sum(verdicts[items[name]][0] == Verdict.ACCEPTED.value for name in sound)
    return rows, len(sound), good


def _met(defect: Reason) -> Reason:
    """Give what a crawl calls a defect: a link out of the folder is a redirect out of the web."""
    return Reason.REDIRECT_REFUSED if defect is Reason.LINK_OUTSIDE else defect


def _caught(image: PlantedImage, kind: Reason, reasons: Reasons) -> bool:
    names = [image.file_name, *([image.of] if kind in COPIES and image.of else [])]
    return any(kind.value in reasons(name) for name in names)


def _colourways(
    those: Iterable[PlantedImage], reasons: Reasons, config: DatasetConfig
) -> tuple[int, int]:
    families: dict[str | None, list[str]] = {}
    for image in those:
        families.setdefault(image.of, []).append(image.file_name)
    cap = config.rules.colourway.max_per_silhouette
    expected = sum(max(0, len(names) - cap) for names in families.values())
    caught = sum(
        min(
            max(0, len(names) - cap),
            sum(Reason.COLOURWAY.value in reasons(name) for name in names),
        )
        for names in families.values()
    )
    return expected, caught


def _same_bytes(planted: Sequence[PlantedImage], items: Mapping[str, str]) -> DemoRow:
    """Count the copies of files that became one item with their original."""
    copies = [image for image in planted if image.defect is None and image.of is not None]
    caught = sum(items[image.file_name] == items[str(image.of)] for image in copies)
    return DemoRow(
        defect=SAME_BYTES,
        planted=len(copies),
        caught=caught,
        missed=len(copies) - caught,
        false_alarms=0,
    )
