from __future__ import annotations

import pyarrow as pa

from curation.inversion import decide


def borders(*levels: tuple[int, float]) -> pa.Table:
    return pa.table(
        {
            "border_red": [level for level, _ in levels],
            "border_green": [level for level, _ in levels],
            "border_blue": [level for level, _ in levels],
            "border_uniformity": [uniformity for _, uniformity in levels],
        }
    )


def test_auto_inverts_when_most_borders_are_white_and_uniform() -> None:
    white, busy_white, dark = (250, 0.9), (250, 0.2), (20, 0.9)
    assert decide(borders(white, white, dark), "auto").inverted
    assert not decide(borders(white, dark), "auto").inverted
    assert not decide(borders(busy_white, busy_white, busy_white), "auto").inverted


def test_always_and_never_are_obeyed_and_the_figures_still_given() -> None:
    dark = borders((5, 1.0), (5, 1.0), (255, 1.0), (128, 1.0))
    decision = decide(dark, "always")
    assert decision.inverted
    assert (decision.items, decision.white_share, decision.dark_share) == (4, 0.25, 0.5)
    assert not decide(borders((255, 1.0)), "never").inverted


def test_an_empty_set_is_not_inverted() -> None:
    assert not decide(borders(), "auto").inverted
