"""Everything hostile and broken at once, through the whole job: each ends with its reason."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.synthetic.drawing import encode
from data_catalog.shards import read_samples
from data_catalog.storage import Root
from data_catalog.versions import verify
from tests.flows.world import World, product

pytestmark = pytest.mark.xdist_group("prefect")

UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

GOOD = ("accepted", ())


def failed(reason: str) -> tuple[str, tuple[str, ...]]:
    return "failed", (reason,)


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def jpeg(seed: int) -> bytes:
    return encode(product(seed), ".jpg", 92)


def bomb(side: int) -> bytes:
    """A PNG of a hundred bytes that promises side × side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(
            ">I", zlib.crc32(kind + body)
        )  # fmt: skip

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def without_adobe_marker(data: bytes) -> bytes:
    out, position = bytearray(data[:2]), 2
    while data[position + 1] != 0xDA:
        length = int.from_bytes(data[position + 2 : position + 4], "big") + 2
        if data[position + 1] != 0xEE:
            out += data[position : position + length]
        position += length
    return bytes(out) + data[position:]


def write_files(folder: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Write the folder; give the expected (verdict, reasons) by locator."""
    expected: dict[str, tuple[str, tuple[str, ...]]] = {}

    def put(name: str, data: bytes, verdict: tuple[str, tuple[str, ...]]) -> None:
        (folder / name).write_bytes(data)
        expected[name] = verdict

    def picture(seed: int) -> Image.Image:
        return Image.fromarray(product(seed))

    put("zero.jpg", b"", failed("empty_file"))
    put("truncated.jpg", jpeg(1)[:-900], failed("corrupt"))
    put("end_put_back.jpg", jpeg(1)[:2000] + b"\xff\xd9", failed("corrupt"))
    put("jpeg.png", jpeg(2), GOOD)
    put("no_ending", jpeg(3), GOOD)
    put("page.jpg", b"<!DOCTYPE html><html>404</html>", failed("not_an_image"))
    put("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', failed("not_an_image"))
    put("words.txt", b"not a picture at all", failed("not_an_image"))
    deep = np.asarray(picture(4).convert("L")).astype(np.uint16) * 257
    put("deep.png", saved(Image.fromarray(deep), "PNG"), ("rejected", ("monochrome",)))
    cmyk = saved(picture(5).convert("CMYK"), "JPEG", quality=92)
    put("cmyk_adobe.jpg", cmyk, GOOD)
    inks = 255 - np.asarray(picture(6).convert("CMYK"))  # Pillow's writer inverts them again
    plain = saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=92)
    put("cmyk_plain.jpg", without_adobe_marker(plain), GOOD)
    put(
        "palette.png",
        saved(picture(7).quantize(200), "PNG", transparency=0),
        ("rejected", ("monochrome",)),  # fewer than 257 colours
    )
    alpha = picture(8).convert("RGBA")
    alpha.putalpha(Image.new("L", alpha.size, 200))
    put("alpha.png", saved(alpha, "PNG"), GOOD)
    frames = [picture(seed) for seed in (9, 10, 11)]
    put(
        "moving.gif",
        saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        ("rejected", ("animated", "monochrome")),
    )
    put(
        "moving.webp",
        saved(frames[1], "WEBP", save_all=True, append_images=frames[2:], lossless=True),
        ("flagged", ("animated",)),
    )
    put("odd_profile.jpg", saved(picture(12), "JPEG", icc_profile=b"no profile"), GOOD)
    put(
        "dot.png",
        saved(Image.new("RGB", (1, 1), "teal"), "PNG"),
        ("rejected", ("too_small", "too_few_bytes", "upscaled", "monochrome", "blank")),
    )
    put(
        "wire.png",
        saved(Image.new("RGB", (30_000, 1), "teal"), "PNG"),
        ("rejected", ("too_small", "odd_aspect", "monochrome", "blank")),
    )
    put("bomb.png", bomb(40_000), failed("too_many_pixels"))
    put("small_bomb.png", bomb(10_001), failed("too_many_pixels"))
    put("heavy.bmp", saved(Image.new("RGB", (700, 700)), "BMP"), failed("file_too_large"))
    put("new\nline.jpg", jpeg(13), GOOD)
    expected[r"new\x0aline.jpg"] = expected.pop("new\nline.jpg")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(jpeg(14))
    expected[r"caf\xe9.jpg"] = GOOD
    put("a.b.c.jpg", jpeg(15), GOOD)
    put("a.b.d.jpg", jpeg(16), GOOD)
    (folder / "out.jpg").symlink_to("/etc/hostname")
    (folder / "out_folder").symlink_to("/etc")
    (folder / "dangling.jpg").symlink_to("nothing.jpg")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe.jpg")
    expected |= {name: failed("link_outside") for name in ("out.jpg", "out_folder")}
    expected |= {name: failed("unreadable") for name in ("dangling.jpg", "loop", "pipe.jpg")}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = picture(17)
        if orientation in UNDO:
            turned = turned.transpose(UNDO[orientation])
        put(f"turned-{orientation}.png", saved(turned, "PNG", exif=exif), GOOD)
    return expected


def write_archives(folder: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    folder.mkdir()
    with zipfile.ZipFile(folder / "slip.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escaped.jpg", jpeg(20))
        archive.writestr("/absolute.jpg", jpeg(21))
        archive.writestr("good.jpg", jpeg(22))
        archive.writestr("inner.zip", _zip_of({"x.jpg": jpeg(23)}))
        archive.writestr("zeros.jpg", bytes(12 << 20))
    with tarfile.open(folder / "links.tar", "w") as tar:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
        info = tarfile.TarInfo("fine.jpg")
        data = jpeg(24)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    whole = _zip_of({"first.jpg": jpeg(25), "second.jpg": jpeg(26)})
    (folder / "cut.zip").write_bytes(whole[: len(whole) - 100])
    (folder / "words.zip").write_bytes(b"no archive at all")
    return {
        "slip.zip!/../../escaped.jpg": failed("unsafe_name"),
        "slip.zip!//absolute.jpg": failed("unsafe_name"),
        "slip.zip!/good.jpg": GOOD,
        "slip.zip!/inner.zip": failed("nested_archive"),
        "slip.zip!/zeros.jpg": failed("archive_bomb"),
        "links.tar!/link.jpg": failed("link_outside"),
        "links.tar!/fine.jpg": GOOD,
        "cut.zip!/first.jpg": GOOD,
        "cut.zip!/second.jpg": GOOD,
        "cut.zip": failed("unreadable"),
        "words.zip": failed("unreadable"),
    }


def _zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_everything_ends_with_its_reason_and_the_run_goes_on(world: World) -> None:
    expected = write_files(world.images)
    expected |= write_archives(world.folder / "archives")
    world.raw |= {
        "sources": [
            {"kind": "folder", "path": "images"},
            {"kind": "archive", "path": "archives/*"},
        ],
        "limits": {"max_bytes": 1_000_000},
    }
    summary = world.rebuild()

    found = world.verdicts()
    # All eight orientations are one picture: one of them stays, the others are its copies.
    turned = [found[f"turned-{orientation}.png"] for orientation in range(1, 9)]
    assert sorted(turned) == [GOOD] + 7 * [("rejected", ("pixel_duplicate",))]
    for orientation, verdict in enumerate(turned, 1):
        expected[f"turned-{orientation}.png"] = verdict
    assert found == expected
    assert summary.seen == summary.items == len(expected)
    reasons = [reason for _, several in expected.values() for reason in several]
    assert summary.reasons == {reason: reasons.count(reason) for reason in sorted(set(reasons))}

    # Every failure says what happened; the report shows every item that is not accepted.
    rows = [*world.table("observations").to_pylist(), *world.table("features").to_pylist()]
    assert all(row["detail"] for row in rows if row["failure"])
    page = (world.folder / "catalog" / "report.html").read_text()
    for locator in ("drawing.svg", "slip.zip!/zeros.jpg", "moving.webp", "dot.png"):
        assert locator in page

    # Again: nothing is tried anew that failed for good.
    again = world.rebuild()
    assert (again.new, again.standardized, again.build) == (0, 0, summary.build)

    # What is good is published whole, each under a key of its own.
    version = world.publish()
    assert version.items == summary.accepted
    assert verify(version.path) == []
    shards = Root(version.path).child("shards")
    samples = list(read_samples(shards, [(name, None) for name in shards.ls()]))
    assert len({sample.key for sample in samples}) == summary.accepted
    # And nothing outside was read or written.
    assert not (world.folder / "escaped.jpg").exists()
    assert not Path("/absolute.jpg").exists()
