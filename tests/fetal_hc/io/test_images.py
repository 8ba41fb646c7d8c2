"""Reading images of every mode; refusing what is none."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fetal_hc.errors import DatasetError, ImageError
from fetal_hc.io import images
from fetal_hc.io.images import find_images, read_image

GREY = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
COLOR = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encode(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def repeated(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("pixels", [GREY, COLOR], ids=["grey", "colour"])
def test_lossless_formats_keep_every_pixel(file_format: str, pixels: np.ndarray) -> None:
    image = read_image(encode(Image.fromarray(pixels), file_format))
    assert image.dtype == np.uint8
    assert np.array_equal(image, pixels if pixels.ndim == 3 else repeated(pixels))


def test_jpeg_is_read() -> None:
    flat = np.full((16, 16, 3), (200, 100, 50), dtype=np.uint8)
    assert read_image(encode(Image.fromarray(flat), "JPEG", quality=95)) == pytest.approx(flat, abs=6)


def test_transparency_is_dropped() -> None:
    alpha = np.full((6, 9, 1), 7, dtype=np.uint8)
    assert np.array_equal(read_image(encode(Image.fromarray(np.concatenate([COLOR, alpha], axis=2)))), COLOR)
    grey_alpha = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha[:, :, 0])])
    assert np.array_equal(read_image(encode(grey_alpha)), repeated(GREY))


@pytest.mark.parametrize("options", [{}, {"transparency": bytes(range(256))}, {"transparency": 0}])
def test_palette_is_resolved(options: dict[str, object]) -> None:
    palette = Image.fromarray(GREY, "L").convert("P")
    palette.putpalette([value for index in range(256) for value in (index, 255 - index, 0)])
    expected = np.stack([GREY, 255 - GREY, np.zeros_like(GREY)], axis=2)
    assert np.array_equal(read_image(encode(palette, **options)), expected)


def test_black_and_white_becomes_0_and_255() -> None:
    assert set(np.unique(read_image(encode(Image.fromarray(GREY > 128))))) == {0, 255}


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_by_their_own_range(file_format: str) -> None:
    deep = (GREY.astype(np.uint16) - GREY.min()) * 16 + 1000
    read = read_image(encode(Image.fromarray(deep), file_format))
    expected = (deep - deep.min()) / (deep.max() - deep.min()) * 255
    assert read[:, :, 1] == pytest.approx(expected, abs=0.51)
    assert (read.min(), read.max()) == (0, 255)


def test_flat_sixteen_bit_image_is_black() -> None:
    assert not read_image(encode(Image.fromarray(np.full((4, 4), 4000, dtype=np.uint16)))).any()


def test_not_finite_grey_is_refused() -> None:
    with pytest.raises(ImageError, match="not finite"):
        read_image(encode(Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)), "TIFF"))


def test_one_pixel_is_an_image() -> None:
    assert read_image(encode(Image.fromarray(GREY[:1, :1]))).shape == (1, 1, 3)


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_orientation_is_applied_once(file_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(encode(Image.fromarray(COLOR), file_format, exif=exif)).shape == (9, 6, 3)


def test_first_bytes_decide_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encode(Image.fromarray(GREY)))
    assert np.array_equal(read_image(path), repeated(GREY))


def test_text_named_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("no image")
    with pytest.raises(ImageError, match=r"notes\.png: starts with b'no image' and is not a PNG"):
        read_image(path)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"BM"])
def test_bare_beginnings_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="image data"):
        read_image(data)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "BMP"])
def test_truncated_images_are_refused(tmp_path: Path, file_format: str) -> None:
    data = encode(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), file_format)
    path = tmp_path / "cut.png"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"cut\.png: cannot be decoded"):
        read_image(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png: cannot be read"):
        read_image(tmp_path / "gone.png")


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds one row of zeros."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(width + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_huge_image_is_refused_before_decoding() -> None:
    with pytest.raises(ImageError, match="20000 x 20000 pixels; expected at most 25,000,000"):
        read_image(png_header(20_000, 20_000))


def test_limit_can_be_set_and_leaves_pillows_own_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError, match="at most 53"):
        read_image(encode(Image.fromarray(GREY)), max_pixels=53)
    assert read_image(encode(Image.fromarray(GREY)), max_pixels=54).shape == (6, 9, 3)
    assert before == Image.MAX_IMAGE_PIXELS


def _names(folder: Path, **options: Any) -> list[str]:
    return [path.name for path in find_images(folder, **options)]


def test_images_of_a_folder_are_found_by_suffix_in_any_case_and_sorted(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "c.tiff", "d.dcm", "note.txt", ".e.png", "IM0001", "1.2.840"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    assert _names(tmp_path) == ["a.PNG", "b.png", "c.tiff"]
    assert _names(tmp_path, is_dicom=lambda path: path.endswith("IM0001")) == [
        "IM0001", "a.PNG", "b.png", "c.tiff", "d.dcm",
    ]  # fmt: skip


def test_links_that_lead_nowhere_and_pipes_named_like_images_are_found(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    assert _names(tmp_path, is_dicom=lambda _path: True) == ["gone.png", "loop.png", "pipe.png"]


def test_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none: cannot be listed"):
        find_images(tmp_path / "none")


def test_large_deep_grey_is_stretched_in_parts_as_in_one_piece() -> None:
    deep = np.random.default_rng(2).integers(0, 65536, (1500, 1501), dtype=np.uint16)
    low, high = float(deep.min()), float(deep.max())
    whole = np.rint((deep.astype(np.float64) - low) * (255.0 / (high - low)))
    assert np.array_equal(read_image(encode(Image.fromarray(deep), "TIFF"))[:, :, 0], whole)


def test_damaged_exif_is_read_without_a_warning() -> None:
    data = encode(Image.fromarray(COLOR), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01")
    assert read_image(data).shape == COLOR.shape


def test_path_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        read_image("a\0b.png")


def test_file_larger_than_any_picture_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as stream:
        stream.truncate(images.MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="expected at most 268,435,456"):
        read_image(tmp_path / "a.png")
