"""Which ws of a picture decide what: from its shape, by the low ones, to its colours."""

from __future__ import annotations

import itertools

from training.errors import SetupError


def layer_groups(num_ws: int) -> dict[str, tuple[int, int]]:
    """Give which ws are coarse, middle and fine: about a third of the resolutions each.

    A group ends with the last convolution of its last resolution; the w of the highest picture
    layer is with the last group. Small models have fewer groups.

    Returns
    -------
    dict
        First and one-past-last w by name, `all` first.
    """
    levels = num_ws // 2
    low = max(round(levels / 3), 1)
    high = max(round(2 * levels / 3), low + 1)
    starts = [0, *(2 * level - 1 for level in (low, high) if level < levels), num_ws]
    names = ("coarse", "middle", "fine")
    return {"all": (0, num_ws)} | dict(zip(names, itertools.pairwise(starts), strict=False))


def find_layers(name: str, num_ws: int) -> tuple[int, int]:
    """Read a group's name, or ws like `2-5`, the last one included.

    Raises
    ------
    SetupError
        If it is neither.
    """
    groups = layer_groups(num_ws)
    if name in groups:
        return groups[name]
    first, _, last = name.partition("-")
    if first.isdecimal() and last.isdecimal() and int(first) <= int(last) < num_ws:
        return int(first), int(last) + 1
    raise SetupError(
        f"layers must be one of {', '.join(groups)}, or ws like 0-{num_ws - 1}, got {name!r}"
    )
