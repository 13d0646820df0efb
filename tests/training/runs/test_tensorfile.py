from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from training.errors import SnapshotError
from training.runs import tensorfile

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def bits(tensor: Tensor) -> tuple[torch.dtype, torch.Size, list[int]]:
    plain = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.reshape(-1))
    return tensor.dtype, tensor.shape, plain.view(torch.uint8).tolist()


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any bit pattern, NaN included, in any shape and layout."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    count = torch.Size(shape).numel()
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    width = torch.empty(0, dtype=dtype).element_size()
    raw = torch.randint(0, 256, (count * width,), generator=generator, dtype=torch.uint8)
    tensor = raw.view(dtype).reshape(shape)
    layout = draw(st.sampled_from(["plain", "turned", "channels_last", "slice", "expanded"]))
    if layout == "turned":
        return tensor.permute(tuple(reversed(range(tensor.dim()))))
    if layout == "channels_last" and tensor.dim() == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    if layout == "slice" and tensor.dim():
        return tensor[..., ::2]
    if layout == "expanded":
        return tensor.unsqueeze(0).expand(3, *tensor.shape)
    return tensor


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=6), tensors(), max_size=4))
def test_every_bit_comes_back(content: dict[str, Tensor]) -> None:
    content.pop("__metadata__", None)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        facts = tensorfile.write(path, content)
        assert facts.bytes == path.stat().st_size == tensorfile.size_of(content)
        assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        tensorfile.verify(path, facts)
        back = tensorfile.read(path)
        assert {n: bits(t) for n, t in back.items()} == {n: bits(t) for n, t in content.items()}


def test_the_library_reads_the_same(tmp_path: Path) -> None:
    channels_last = torch.randn(4, 3, 5, 6).to(memory_format=torch.channels_last)
    content = {"odd": torch.arange(3, dtype=torch.uint8), "image": channels_last}
    tensorfile.write(tmp_path / "a", content)
    loaded = load_file(tmp_path / "a")
    assert all(torch.equal(loaded[name], content[name]) for name in content)


def test_tensors_that_share_memory_are_saved_each(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    tensorfile.write(tmp_path / "a", {"whole": whole, "again": whole, "part": whole[2:4]})
    back = tensorfile.read(tmp_path / "a")
    back["whole"].zero_()
    assert back["again"].tolist() == [0, 1, 2, 3, 4, 5]
    assert back["part"].tolist() == [2, 3]


def test_one_number_of_any_stride_is_saved(tmp_path: Path) -> None:
    tensorfile.write(tmp_path / "a", {"x": torch.arange(2.0)[1::2], "y": torch.arange(4.0)[3]})
    back = tensorfile.read(tmp_path / "a")
    assert (back["x"].tolist(), back["y"].item()) == ([1.0], 3.0)


def test_parameters_are_saved_as_they_are(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 3)
    tensorfile.write(tmp_path / "a", dict(layer.named_parameters()))
    back = tensorfile.read(tmp_path / "a")
    assert torch.equal(back["weight"], layer.weight)
    assert not back["weight"].requires_grad


def test_what_is_read_outlives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    tensorfile.write(path, {"x": torch.ones(10_000)})
    tensor = tensorfile.read(path)["x"]
    path.write_bytes(b"\0" * path.stat().st_size)
    assert tensor.sum() == 10_000


def test_a_type_that_the_format_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"tensor z must be of one of F64.*complex64"):
        tensorfile.write(tmp_path / "a", {"z": torch.zeros(2, dtype=torch.complex64)})


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"not tensors at all")
    with pytest.raises(SnapshotError, match="a is no safetensors file"):
        tensorfile.read(tmp_path / "a")
