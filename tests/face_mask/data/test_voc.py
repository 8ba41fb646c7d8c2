"""Reading of PASCAL VOC folders."""

from pathlib import Path

import pytest
from PIL import Image

from face_mask.data.voc import clip_voc_box, parse_voc, read_voc
from fetal_hc.errors import DatasetError
from tests.synthetic_face_mask import VOC_BOX, write_photo, write_xml

BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>
<annotation><filename>&lol2;</filename></annotation>"""


def test_boxes_count_pixels_from_one_and_include_both_ends(voc_root: Path) -> None:
    reading = read_voc(voc_root)
    assert [photo.file_name for photo in reading.photos] == [f"p{index}.jpg" for index in range(6)]
    assert reading.photos[0].labels[0].box_xyxy == (10.0, 5.0, 40.0, 45.0)
    assert reading.photos[0].image_hw == (60, 80)
    assert reading.problems == ()


def test_boxes_get_no_masks(voc_root: Path) -> None:
    labels = [label for photo in read_voc(voc_root).photos for label in photo.labels]
    assert len(labels) == 6
    assert all(label.mask_rle is None for label in labels)


@pytest.mark.parametrize(
    ("box", "expected"),
    [((1, 1, 80, 60), (0, 0, 80, 60)), ((70, 50, 81, 61), (69, 49, 80, 60)), ((-5, 0, 10, 10), (0, 0, 10, 10))],
)
def test_box_is_clipped_to_the_photo(box: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert clip_voc_box(box, (60, 80)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("box", "kind", "n_labels", "value"),
    [
        ((60, 6, 81, 45), "box_clipped", 1, "xmax 81"),
        ((40, 6, 11, 45), "inverted_box", 0, "xmin 40"),
        ((90, 6, 95, 45), "box_outside", 0, "xmin 90"),
        (("", 6, 40, 45), "missing_field", 0, "<xmin> is ''"),
        (("nan", 6, 40, 45), "missing_field", 0, "<xmin> is 'nan'"),
    ],
)
def test_faulty_box_is_reported_with_file_and_value(
    voc_root: Path, box: tuple[float, ...], kind: str, n_labels: int, value: str
) -> None:
    write_xml(voc_root / "annotations" / "p0.xml", "p0.jpg", [("with_mask", box)])
    reading = read_voc(voc_root)
    (problem,) = reading.problems
    assert problem.kind == kind
    assert "annotations/p0.xml" in str(problem)
    assert value in str(problem)
    assert len(reading.photos[0].labels) == n_labels


def test_size_that_differs_from_the_photo_leaves_it_out(voc_root: Path) -> None:
    write_xml(voc_root / "annotations" / "p0.xml", "p0.jpg", [("with_mask", VOC_BOX)], hw=(61, 80))
    reading = read_voc(voc_root)
    assert len(reading.photos) == 5
    assert str(reading.problems[0]).startswith("annotations/p0.xml: <size> is 80 x 61, but p0.jpg has 80 x 60 px")


def test_missing_photo_annotation_and_second_annotation_are_reported(voc_root: Path) -> None:
    (voc_root / "images" / "p0.jpg").unlink()
    (voc_root / "annotations" / "p1.xml").unlink()
    write_xml(voc_root / "annotations" / "p9.xml", "p2.jpg", [("with_mask", VOC_BOX)])
    reading = read_voc(voc_root)
    assert [problem.kind for problem in reading.problems] == ["missing_image", "duplicate_name", "missing_annotation"]
    assert [photo.file_name for photo in reading.photos] == ["p2.jpg", "p3.jpg", "p4.jpg", "p5.jpg"]
    assert reading.n_found == 6


def test_truncated_photo_is_reported(voc_root: Path) -> None:
    photo = voc_root / "images" / "p0.jpg"
    photo.write_bytes(photo.read_bytes()[:700])
    (problem,) = read_voc(voc_root).problems
    assert (problem.kind, problem.file) == ("unreadable_image", "images/p0.jpg")


@pytest.mark.parametrize("content", [BOMB, b"<annotation>", b"\x00\x01", b""])
def test_unsafe_or_broken_xml_is_refused(content: bytes) -> None:
    annotation, (problem,) = parse_voc(content, "x.xml")
    assert annotation is None
    assert problem.kind == "bad_xml"


@pytest.mark.parametrize("file_name", ["", "../p0.jpg", "C:\\photos\\p0.jpg"])
def test_file_name_must_be_bare(tmp_path: Path, file_name: str) -> None:
    write_xml(tmp_path / "a.xml", file_name, [])
    annotation, (problem,) = parse_voc((tmp_path / "a.xml").read_bytes(), "a.xml")
    assert annotation is None
    assert f"<filename> is '{file_name}'" in str(problem)


def test_stray_text_between_elements_is_harmless(voc_root: Path) -> None:
    path = voc_root / "annotations" / "p0.xml"
    path.write_text(path.read_text(encoding="utf-8").replace("<object>", "stray<object>"), encoding="utf-8")
    assert read_voc(voc_root).problems == ()


def test_size_follows_the_orientation_tag(tmp_path: Path) -> None:
    write_photo(tmp_path / "t.png", 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(tmp_path / "t.png").save(tmp_path / "images.jpg", exif=exif)
    (tmp_path / "t.png").unlink()
    write_xml(tmp_path / "t.xml", "images.jpg", [("with_mask", (1, 1, 60, 80))], hw=(80, 60))
    (photo,) = read_voc(tmp_path).photos
    assert photo.image_hw == (80, 60)


def test_folder_without_annotations_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no \.xml file"):
        read_voc(tmp_path)


def test_real_folder_reads_with_clipped_boxes_only(real_data_root: Path) -> None:
    root = real_data_root / "face_mask_detection"
    if not root.is_dir():
        pytest.skip("no face_mask_detection/ among the real data")
    reading = read_voc(root)
    assert len(reading.photos) == reading.n_found
    assert {problem.kind for problem in reading.problems} == {"box_clipped"}
