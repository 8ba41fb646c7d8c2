"""The kinds of bad input that are tried: where good files come from, and who reads the damaged ones."""

import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.uid import RLELossless

from hc18.geometry.ellipse import Ellipse
from tests.faults import interruptions
from tests.faults.damage import FaultKind, damaged_bytes, damaged_text
from tests.faults.stored_kinds import STORED_KINDS
from tests.synthetic_dicom import dicom_file, encoded, region, to_bytes, ultrasound, written
from tests.synthetic_heads import draw_head, write_head_folder

ROOT = Path(__file__).resolve().parents[2]
_DICOM_FILES = (
    "OBXXXX1A_rle.dcm",
    "US1_J2KI.dcm",
    "US1_UNCR.dcm",
    "examples_ybr_color.dcm",
    "examples_palette.dcm",
    "gdcm-US-ALOKA-16.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm",
)
_MOST_FRAMES = 2


def _picked(files: tuple[bytes, ...], rng: np.random.Generator) -> bytes:
    return files[int(rng.integers(len(files)))]


@cache
def good_pictures() -> tuple[bytes, ...]:
    """Pictures of every format and of many modes."""
    grey = draw_head(Ellipse(80.0, 56.0, 40.0, 30.0, 0.4))
    rgb = np.stack([grey, grey // 2, 255 - grey], axis=2)
    deep = Image.fromarray(grey.astype(np.uint16) * 200)
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = Image.fromarray(rgb).quantize(40)
    return (
        *(encoded(picture, kind) for picture in (grey, rgb) for kind in ("PNG", "JPEG", "TIFF", "BMP")),
        *(_saved(deep, kind) for kind in ("PNG", "TIFF")),
        _saved(palette, "PNG", transparency=3),
        _saved(palette, "BMP"),
        _saved(Image.fromarray(rgb).convert("CMYK"), "JPEG", exif=exif.tobytes()),
        _saved(Image.fromarray(rgb), "JPEG", progressive=True, exif=exif.tobytes()),
        *(_saved(Image.fromarray(rgb), "TIFF", compression=way) for way in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")),
        _saved(Image.fromarray(grey.astype(np.float32)), "TIFF"),
    )


@cache
def good_dicom_files() -> tuple[bytes, ...]:
    """Real ultrasound files of every encoding, and small ones with calibrated regions, windows and tables."""
    values = np.tile(np.arange(0, 4096, 40, dtype=np.uint16), (80, 1))
    window = {"BitsStored": 12, "HighBit": 11, "WindowCenter": "2000", "WindowWidth": "3000"}
    small = (
        written(regions=[region()], PixelSpacing=["0.2", "0.2"]),
        written(np.zeros((3, 80, 100), np.uint8), regions=[region()]),
        written(values, regions=[region()], **window),
        written(np.zeros((80, 100, 3), np.uint8), BurnedInAnnotation="NO"),
    )
    compressed = ultrasound(regions=[region()])
    compressed.compress(RLELossless, generate_instance_uid=False)
    return (*small, to_bytes(compressed), *(Path(dicom_file(name)).read_bytes() for name in _DICOM_FILES))


def read_frames(data: bytes, folder: Path) -> str:
    """Measured and visible pixels, calibration and identifiers, as a batch and the review app read them."""
    from fetal_hc.errors import FetalHCError
    from hc18.dicom import is_dicom, source_reference
    from hc18.measurement.frames import open_frames

    frames = open_frames(data, "damaged")
    refusals = []
    for index in range(min(frames.n_frames, _MOST_FRAMES)):
        for read in (frames.frame_rgb, frames.visible_rgb):
            try:
                pixels = read(index)
                assert (pixels.dtype, pixels.shape[2:]) == (np.uint8, (3,))
            except FetalHCError as error:
                refusals.append(str(error))
        if frames.calibrate is not None:
            frames.calibrate(Ellipse(50.0, 40.0, 20.0, 15.0, 0.0), index)
    if is_dicom(data):
        source_reference(data)
    return "partly refused" if refusals else "read"


def read_upload(data: bytes, folder: Path) -> str:
    """The file as an upload to the review app, which never raises."""
    from fetal_hc_app.uploads import Refusal, from_upload

    item = from_upload("damaged.csv", data)
    if isinstance(item, Refusal):
        assert item.reason.strip(), "a refusal without a reason"
        return "refused"
    return "read"


def _read_with(read: Callable[[Path], object], name: str) -> Callable[[bytes, Path], str]:
    """A reader of paths as a reader of bytes."""

    def read_bytes(data: bytes, folder: Path) -> str:
        (folder / name).write_bytes(data)
        read(folder / name)
        return "read"

    return read_bytes


def read_sizes(path: Path) -> None:
    """A table of pixel sizes."""
    from hc18.dataset.pixel_size_table import read_pixel_size_table

    read_pixel_size_table(path)


def read_manifest_rows(path: Path) -> None:
    """A manifest, row by row."""
    from hc18.measurement.pixel_size_rules import read_manifest

    for row in read_manifest(str(path), str(path.parent)):
        assert row.problem or row.path


def read_submission_file(path: Path) -> None:
    """A submission table."""
    from hc18.dataset.submission import read_submission

    read_submission(path)


def read_config(path: Path) -> None:
    """A configuration of a training."""
    from fetal_hc.engine.config import load_config
    from fetal_hc_cli.training.architectures import ARCHITECTURES

    load_config(ARCHITECTURES, path)


def read_annotations(path: Path) -> None:
    """A COCO file."""
    from fetal_hc.io.coco import read_coco

    read_coco(path)


def measure_folder(data: bytes, folder: Path) -> str:
    """A folder with the damaged file between two good ones: every file has its row, and no row is there twice."""
    from hc18.measurement.batches import MeasureSettings, measure_files
    from tests.synthetic_model import head_spec, write_bright_object_model

    heads = folder / "heads"
    if not heads.exists():
        write_head_folder(heads, 2)
        write_bright_object_model(folder / "bright.onnx", head_spec(min_size=0))
    images = next(path for path in (heads / "training_set", heads / "images", heads) if list(path.glob("*.png")))
    good = sorted(path.name for path in images.glob("*.png") if path.name != "damaged.png")
    (images / "damaged.png").write_bytes(data)
    rows = list(measure_files(images, settings=MeasureSettings(model=folder / "bright.onnx", runner="serial")))
    names = [row.file_name.partition("#")[0] for row in rows]
    assert {*good, "damaged.png"} == set(names), f"rows {names} for {good} and the damaged file"
    assert len({row.file_name for row in rows}) == len(rows), "a row is there twice"
    assert all(row.status != "internal_error" for row in rows), [row.reason for row in rows]
    status = next(row.status for row in rows if row.file_name.startswith("damaged.png"))
    return "refused" if status == "unreadable" else "read"


def _table(rng: np.random.Generator) -> bytes:
    header = "filename,pixel size(mm),head circumference (mm)\n"
    return damaged_text(header + "".join(f"{n:03}_HC.png,0.{n + 1}25,{150 + n}.5\n" for n in range(8)), rng)


def _manifest(rng: np.random.Generator) -> bytes:
    rows = "".join(f"images/{n}.png,scan-{n},0.{n + 1},{'dicom' if n % 2 else ''}\n" for n in range(8))
    return damaged_text("path,id,pixel_size_x_mm,pixel_size_y_mm\n" + rows, rng)


def _submission(rng: np.random.Generator) -> bytes:
    header = "filename,center_x_mm,center_y_mm,semi_axes_a_mm,semi_axes_b_mm,angle_rad\n"
    return damaged_text(header + "".join(f"{n}.png,50.5,40.25,45.1,36.2,0.{n}\n" for n in range(8)), rng)


def _config(rng: np.random.Generator) -> bytes:
    files = sorted((ROOT / "configs").rglob("*.yaml"))
    text = files[int(rng.integers(len(files)))].read_text(encoding="utf-8")
    return damaged_text(text.replace("_BASE_: ", f"_BASE_: {ROOT}/configs/hc18/"), rng)


def _coco(rng: np.random.Generator) -> bytes:
    document = {
        "info": {"image_root": "."},
        "images": [{"id": n, "file_name": f"{n}.png", "height": 54, "width": 80} for n in range(1, 4)],
        "annotations": [
            {
                "id": n,
                "image_id": n,
                "category_id": 1,
                "bbox": [1.0, 2.0, 30.0, 20.0],
                "area": 600.0,
                "iscrowd": 0,
                "segmentation": [[1.0, 2.0, 31.0, 2.0, 31.0, 22.0]],
            }
            for n in range(1, 4)
        ],
        "categories": [{"id": 1, "name": "head"}],
    }
    return damaged_text(json.dumps(document, indent=1), rng)


def _any_upload(rng: np.random.Generator) -> bytes:
    makers = (_table, lambda r: damaged_bytes(_picked(good_pictures(), r), r), _dicom)
    return makers[int(rng.integers(len(makers)))](rng)


def _picture(rng: np.random.Generator) -> bytes:
    return damaged_bytes(_picked(good_pictures(), rng), rng)


def _dicom(rng: np.random.Generator) -> bytes:
    return damaged_bytes(_picked(good_dicom_files(), rng), rng)


def _batch_file(rng: np.random.Generator) -> bytes:
    return _picture(rng) if rng.random() < 0.5 else damaged_bytes(_picked(good_dicom_files()[:5], rng), rng)


def _random_bytes(rng: np.random.Generator) -> bytes:
    return rng.bytes(8)


def _two_browsers(data: bytes, folder: Path) -> str:
    """Imported late: a browser is not everywhere."""
    from tests.faults.browsers import two_browsers

    return two_browsers(data, folder)


KINDS = (
    FaultKind("picture", _picture, read_frames),
    FaultKind("DICOM", _dicom, read_frames),
    FaultKind("upload to the app", _any_upload, read_upload),
    FaultKind("pixel-size table", _table, _read_with(read_sizes, "sizes.csv")),
    FaultKind("manifest", _manifest, _read_with(read_manifest_rows, "manifest.csv")),
    FaultKind("submission", _submission, _read_with(read_submission_file, "submission.csv")),
    FaultKind("configuration", _config, _read_with(read_config, "config.yaml")),
    FaultKind("COCO JSON", _coco, _read_with(read_annotations, "coco.json")),
    FaultKind("file in a batch", _batch_file, measure_folder),
    *STORED_KINDS,
)
INTERRUPTION_KINDS = (
    FaultKind("killed batch", _random_bytes, interruptions.killed_batch, 50, is_input=False, share=8),
    FaultKind("two Ctrl-C", _random_bytes, interruptions.two_interrupts, 5, is_input=False),
    FaultKind("two writers of one output", _random_bytes, interruptions.two_writers_of_one_output, 20, is_input=False),
    FaultKind(
        "two writers of one review store", _random_bytes, interruptions.two_writers_of_one_store, 20, is_input=False
    ),
    FaultKind("two browsers at one case", _random_bytes, _two_browsers, 5, is_input=False),
)


def _saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    """The image as Pillow writes it."""
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()
