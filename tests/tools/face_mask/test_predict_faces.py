"""`face-mask predict` on photos, folders and a video."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from face_mask.data.color_mask import WORN_CLASSES
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.images import read_image
from fetal_hc_cli.predict_faces import main
from tests.synthetic_model import head_spec, write_bright_object_model

HW = (96, 128)


def photo(column: int | None) -> np.ndarray:
    """A dark picture with a bright face at a column, or without one."""
    pixels = np.zeros((*HW, 3), dtype=np.uint8)
    if column is not None:
        pixels[20:60, column : column + 32] = 250
    return pixels


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that finds the bright face."""
    return write_bright_object_model(tmp_path / "model.onnx", head_spec(*HW, class_names=tuple(WORN_CLASSES)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An unlabelled folder: two photos with a face, one without, one damaged, a text file."""
    root = tmp_path / "photos"
    root.mkdir()
    for name, column in (("a.png", 10), ("b.jpg", 60), ("empty.bmp", None)):
        Image.fromarray(photo(column)).save(root / name)
    (root / "damaged.jpg").write_bytes((root / "b.jpg").read_bytes()[:200])
    (root / "notes.txt").write_text("no photo")
    return root


def run(model: Path, output: Path, *arguments: str) -> int:
    return main([*arguments, "--model", str(model), "--output", str(output)])


def read_rows(output: Path) -> list[dict[str, str]]:
    with (output / "faces.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_photo_gets_a_row(model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, tmp_path / "out", str(folder)) == 1
    rows = {row["file_name"]: row for row in read_rows(tmp_path / "out")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "a.png": "ok",
        "b.jpg": "ok",
        "damaged.jpg": "unreadable",
        "empty.bmp": "no_face",
    }
    assert (rows["a.png"]["class"], rows["a.png"]["x0_px"], rows["a.png"]["y1_px"]) == ("with_mask", "10.0", "60.0")
    assert int(rows["a.png"]["mask_px"]) == pytest.approx(32 * 40, rel=0.1)
    assert "cannot be decoded" in rows["damaged.jpg"]["reason"]
    printed = capsys.readouterr()
    assert "3 photos: 2 with_mask; 1 could not be read" in printed.out
    assert "Not a medical device" in printed.out
    assert "damaged.jpg: unreadable" in printed.err


def test_coco_file_can_be_read_and_leads_to_the_photos(model: Path, folder: Path, tmp_path: Path) -> None:
    run(model, tmp_path / "out", str(folder))
    path = tmp_path / "out" / "faces.json"
    dataset = read_coco(path)
    assert [image.file_name for image in dataset.images] == ["a.png", "b.jpg", "empty.bmp"]
    assert all(resolve_image_path(path, dataset, image).is_file() for image in dataset.images)
    assert dataset.annotations[0].extra["score"] == pytest.approx(0.9)
    assert dataset.annotations[0].segmentation is not None
    assert "Research use only" in json.loads(path.read_text(encoding="utf-8"))["info"]["description"]


def test_pictures_show_the_face_in_the_colour_of_its_class(model: Path, folder: Path, tmp_path: Path) -> None:
    run(model, tmp_path / "out", str(folder))
    pictures = tmp_path / "out" / "pictures"
    assert sorted(path.name for path in pictures.iterdir()) == ["a.png", "b.jpg", "empty.bmp.jpg"]
    drawn = read_image(pictures / "a.png")
    assert drawn.shape == (*HW, 3)
    assert tuple(drawn[40, 25]) == pytest.approx((138, 189, 218), abs=8)  # white tinted with blue


def test_results_are_replaced_only_if_asked(model: Path, folder: Path, tmp_path: Path) -> None:
    arguments = (str(folder / "a.png"), "--no-pictures")
    assert run(model, tmp_path / "out", *arguments) == 0
    assert run(model, tmp_path / "out", *arguments) == 2
    assert run(model, tmp_path / "out", *arguments, "--overwrite") == 0
    assert not (tmp_path / "out" / "pictures").exists()


def test_photos_of_one_name_are_told_apart(model: Path, tmp_path: Path) -> None:
    for place, column in (("one", 10), ("two", 60)):
        (tmp_path / place).mkdir()
        Image.fromarray(photo(column)).save(tmp_path / place / "a.png")
    assert run(model, tmp_path / "out", str(tmp_path / "one"), str(tmp_path / "two")) == 0
    assert [(row["file_name"], row["x0_px"]) for row in read_rows(tmp_path / "out")] == [
        ("one/a.png", "10.0"),
        ("two/a.png", "60.0"),
    ]
    assert (tmp_path / "out" / "pictures" / "two" / "a.png").is_file()


def write_video(path: Path, n_frames: int = 6) -> Path:
    """A face that moves to the right by 10 px per frame, 5 frames per second; none in the first."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (HW[1], HW[0]))
    for number in range(n_frames):
        writer.write(photo(10 * number if number else None))
    writer.release()
    return path


def test_video_gives_rows_per_frame_and_an_annotated_video(model: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4")
    assert run(model, tmp_path / "out", str(video)) == 0
    rows = read_rows(tmp_path / "out")
    assert [(row["frame"], row["time_s"], row["status"]) for row in rows[:2]] == [
        ("0", "0.000", "no_face"),
        ("1", "0.200", "ok"),
    ]
    assert float(rows[4]["x0_px"]) == pytest.approx(40, abs=2)
    capture = cv2.VideoCapture(str(tmp_path / "out" / "pictures" / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(5.0)


def test_frames_can_be_skipped(model: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4")
    assert run(model, tmp_path / "out", str(video), "--every", "2", "--max-frames", "2", "--no-pictures") == 0
    assert [row["frame"] for row in read_rows(tmp_path / "out")] == ["0", "2"]


def test_damaged_video_gets_a_row(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert run(model, tmp_path / "out", str(tmp_path / "bad.mp4"), str(tmp_path / "gone.avi")) == 1
    assert [row["status"] for row in read_rows(tmp_path / "out")] == ["unreadable", "missing_file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: cannot be read"),
        (["97"], "camera 97: cannot be opened"),
        (["0", "1"], "give a camera alone"),
        (["x.png", "--min-score", "2"], "expected a number from 0 to 1"),
        (["x.png", "--every", "0"], "--every is 0; expected 1 or more"),
    ],
)
def test_bad_input_is_one_message(
    model: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model, tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "faces.csv").exists()


def test_photos_of_a_pattern_are_named_by_their_folders(model: Path, folder: Path, tmp_path: Path) -> None:
    assert run(model, tmp_path / "out", str(tmp_path / "*" / "a.png"), "--no-pictures") == 0
    path = tmp_path / "out" / "faces.json"
    dataset = read_coco(path)
    assert [image.file_name for image in dataset.images] == ["photos/a.png"]
    assert resolve_image_path(path, dataset, dataset.images[0]).is_file()
