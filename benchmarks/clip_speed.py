"""Frames per second of the whole measurement on a DICOM clip: is it real time?

    python -m benchmarks.clip_speed [--model FILE] [--frames 120] [--clip FILE.dcm]

Without --clip it writes a clip of 800x540 phantoms first. One process decodes a frame, finds the head, refines its
outline and fits the ellipse, then takes the next frame. It prints frames per second of wall time, which other work on
the machine lowers, and of processor time, which it hardly does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage

from fetal_hc.errors import ConfigError
from fetal_hc.io.images import read_image
from fetal_hc.model.preprocess import to_grey
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.measurement.frames import open_frames
from hc18.measurement.head_model import HeadModel, bundled_model_path, load_model
from hc18.measurement.pipeline import measure_frame
from hc18.phantoms.folder import write_phantom_folder

_N_PHANTOMS = 20
_WARM_UP_FRAMES = 3


def write_clip(path: Path, frames: NDArray[np.uint8], pixel_size_mm: float | None = None) -> None:
    """Writes a multi-frame DICOM file, 8-bit grey, uncompressed.

    Args:
        path: file to write.
        frames: (N, H, W).
        pixel_size_mm: of an ultrasound region that covers the whole frame; no region if None.
    """
    clip = Dataset()
    clip.file_meta = FileMetaDataset()
    clip.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    clip.SOPClassUID, clip.SOPInstanceUID, clip.Modality = UltrasoundMultiFrameImageStorage, "1.2.3", "US"
    clip.NumberOfFrames, clip.Rows, clip.Columns = frames.shape
    clip.SamplesPerPixel, clip.PhotometricInterpretation, clip.PixelRepresentation = 1, "MONOCHROME2", 0
    clip.BitsAllocated = clip.BitsStored = 8
    clip.HighBit, clip.PixelData = 7, frames.tobytes()
    if pixel_size_mm is not None:
        region = Dataset()
        region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0  # 2D, tissue
        region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
        region.RegionLocationMaxX1, region.RegionLocationMaxY1 = clip.Columns - 1, clip.Rows - 1
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # centimetres
        region.PhysicalDeltaX = region.PhysicalDeltaY = pixel_size_mm / 10.0
        clip.SequenceOfUltrasoundRegions = [region]
    clip.save_as(path, enforce_file_format=True)


def _phantom_frames(n_frames: int) -> NDArray[np.uint8]:
    """Phantoms of heads in turn, (N, H, W)."""
    with tempfile.TemporaryDirectory() as folder:
        cases = write_phantom_folder(Path(folder), min(_N_PHANTOMS, n_frames), 0, 0)
        pictures = [to_grey(read_image(Path(folder) / case.folder / case.filename)) for case in cases]
    same = [picture for picture in pictures if picture.shape == pictures[0].shape]
    return np.stack([same[index % len(same)] for index in range(n_frames)]).astype(np.uint8)


def time_frames(model: HeadModel, clip: Path) -> tuple[int, int, float, float]:
    """Frames timed, those with a head, and seconds of wall and of processor time for them.

    The first `_WARM_UP_FRAMES` are measured before the clock starts.

    Raises:
        ConfigError: if the clip is too short.
    """
    frames = open_frames(clip.read_bytes(), clip.name)
    if frames.n_frames <= _WARM_UP_FRAMES:
        raise ConfigError(f"{clip}: has {frames.n_frames} frames; expected more than {_WARM_UP_FRAMES}; give a clip")
    n_heads, started = 0, (0.0, 0.0)
    for index in range(frames.n_frames):
        if index == _WARM_UP_FRAMES:
            n_heads, started = 0, (time.perf_counter(), time.process_time())
        measured = measure_frame(model, frames.frame_rgb(index)).measurement
        n_heads += measured.ellipse_px is not None
    wall, processor = time.perf_counter() - started[0], time.process_time() - started[1]
    return frames.n_frames - _WARM_UP_FRAMES, n_heads, wall, processor


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE", help="default: the shipped model")
    parser.add_argument("--clip", type=Path, metavar="FILE", help="DICOM file with several frames (default: phantoms)")
    parser.add_argument("--frames", type=int, default=120, metavar="N", help="of the phantoms (default: %(default)s)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    model = load_model(options.model or bundled_model_path())
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or Path(folder) / "clip.dcm"
        if options.clip is None:
            write_clip(clip, _phantom_frames(options.frames))
        n_frames, n_heads, wall, processor = time_frames(model, clip)
    print(
        f"{n_frames} frames, a head in {n_heads}: {n_frames / wall:.1f} frames per second; "
        f"{1000 * processor / n_frames:.1f} ms of processor time per frame, {n_frames / processor:.1f} frames per "
        "second of one core"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
