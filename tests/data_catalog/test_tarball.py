from __future__ import annotations

import tarfile

from hypothesis import given
from hypothesis import strategies as st

from data_catalog.tarball import header

NAMES = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=300
)


@given(
    NAMES | st.text("ab/.-_#", min_size=1, max_size=120),
    st.integers(0, 1 << 20) | st.integers(8**11 - 2, 8**11 + 2),
)
def test_same_bytes_as_tarfile(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    assert header(name, size) == info.tobuf(tarfile.PAX_FORMAT)
