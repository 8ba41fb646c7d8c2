"""Whole conversions: COCO files, manifests, crops, reports."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from face_mask.data.classes import ClassMap
from face_mask.data.convert import ConversionOptions, convert_face_mask
from face_mask.data.outputs import read_manifest
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.images import read_image
from tests.synthetic_face_mask import VOC_BOX, write_photo, write_xml

HALF = ConversionOptions(val_fraction=0.5, n_overlays=0)


def test_coco_files_hold_every_photo_once_and_lead_to_it(voc_root: Path, tmp_path: Path) -> None:
    report = convert_face_mask("voc", voc_root, tmp_path / "out", HALF)
    parts = [tmp_path / "out" / f"face_mask_voc_{part}.json" for part in ("train", "val")]
    datasets = [read_coco(path) for path in parts]
    assert sorted(image.file_name for data in datasets for image in data.images) == [f"p{i}.jpg" for i in range(6)]
    assert report.n_photos == {"train": sum(1 for _ in datasets[0].images), "val": sum(1 for _ in datasets[1].images)}
    assert all(resolve_image_path(parts[0], datasets[0], image).is_file() for image in datasets[0].images)
    assert [category.name for category in datasets[0].categories] == [
        "with_mask",
        "without_mask",
        "mask_weared_incorrect",
    ]
    annotation = datasets[0].annotations[0]
    assert annotation.bbox_xywh == (10.0, 5.0, 30.0, 40.0)
    assert annotation.area == 1200.0
    assert annotation.segmentation is None


def test_masks_become_run_lengths_and_give_the_area(colour_root: Path, tmp_path: Path) -> None:
    convert_face_mask("color-mask", colour_root, tmp_path, HALF)
    annotation = read_coco(tmp_path / "face_mask_color_mask_train.json").annotations[0]
    assert isinstance(annotation.segmentation, dict)
    assert annotation.area == 20 * 40
    assert annotation.bbox_xywh == (10.0, 5.0, 40.0, 40.0)


def test_voc_and_colour_masks_share_their_categories(voc_root: Path, colour_root: Path, tmp_path: Path) -> None:
    convert_face_mask("voc", voc_root, tmp_path, HALF)
    convert_face_mask("color-mask", colour_root, tmp_path, HALF)
    first, second = (read_coco(tmp_path / f"face_mask_{name}_train.json") for name in ("voc", "color_mask"))
    assert first.categories == second.categories


def test_same_options_give_the_same_bytes(isic_root: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        convert_face_mask("isic", isic_root, tmp_path / folder, ConversionOptions(val_fraction=0.5))
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 4
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_class_folders_become_a_manifest(folders_root: Path, tmp_path: Path) -> None:
    convert_face_mask("folders", folders_root, tmp_path / "out", ConversionOptions(val_fraction=0.2, n_overlays=0))
    rows = read_manifest(tmp_path / "out" / "face_mask_folders.csv")
    assert len(rows) == 10
    assert {(row.class_index, row.class_name) for row in rows} == {(0, "with_mask"), (1, "without_mask")}
    assert sum(row.split == "val" for row in rows) == 2
    assert all(row.path.is_file() for row in rows)


def test_broken_manifest_lists_its_rows(folders_root: Path, tmp_path: Path) -> None:
    convert_face_mask("folders", folders_root, tmp_path, HALF)
    path = tmp_path / "face_mask_folders.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",val,", ",other,", 1), encoding="utf-8")
    with pytest.raises(DatasetError, match="split 'other'"):
        read_manifest(path)


def test_classes_are_merged_and_left_out_by_the_map(voc_root: Path, tmp_path: Path) -> None:
    write_xml(voc_root / "annotations" / "p0.xml", "p0.jpg", [("mask_weared_incorrect", VOC_BOX), ("helmet", VOC_BOX)])
    class_map = ClassMap.from_options(["with_mask=worn", "mask_weared_incorrect=worn", "without_mask="])
    options = ConversionOptions(val_fraction=0.5, class_map=class_map, n_overlays=0)
    report = convert_face_mask("voc", voc_root, tmp_path, options)
    assert sum(labels["worn"] for labels in report.n_labels.values()) == 4
    assert report.n_excluded_labels == {"without_mask": 2}
    assert "class 'helmet'" in str(report.problems[0])


@pytest.mark.parametrize("options", [["a"], ["a=b", "a=c"], ["=b"], ["a="]])
def test_faulty_class_map_is_an_error(options: list[str]) -> None:
    with pytest.raises(ConfigError, match="class map"):
        ClassMap.from_options(options)


def test_strict_lists_all_problems_and_writes_nothing(voc_root: Path, tmp_path: Path) -> None:
    (voc_root / "images" / "p0.jpg").unlink()
    (voc_root / "annotations" / "p1.xml").write_text("<a", encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        convert_face_mask("voc", voc_root, tmp_path / "out", ConversionOptions(strict=True))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "annotations/p0.xml",
        "annotations/p1.xml",
        "images/p1.jpg",
    ]
    assert not (tmp_path / "out").exists()


def test_report_names_what_was_dropped(voc_root: Path, tmp_path: Path) -> None:
    (voc_root / "images" / "p0.jpg").unlink()
    convert_face_mask("voc", voc_root, tmp_path, HALF)
    report = json.loads((tmp_path / "face_mask_voc_report.json").read_text(encoding="utf-8"))
    assert report["n_problems"] == {"missing_image": 1}
    assert report["problems"][0]["file"] == "annotations/p0.xml"
    assert (report["n_found"], report["n_used"]) == (6, 5)


def test_nothing_left_is_an_error(voc_root: Path, tmp_path: Path) -> None:
    shutil.rmtree(voc_root / "images")
    (voc_root / "images").mkdir()
    with pytest.raises(DatasetError, match="no usable label is left"):
        convert_face_mask("voc", voc_root, tmp_path)


@pytest.mark.parametrize(
    "options",
    [ConversionOptions(val_fraction=1.5), ConversionOptions(n_overlays=-1), ConversionOptions(min_crop_area_px=0)],
)
def test_option_out_of_range_is_an_error(voc_root: Path, tmp_path: Path, options: ConversionOptions) -> None:
    with pytest.raises(ConfigError):
        convert_face_mask("voc", voc_root, tmp_path, options)


def test_crops_double_the_rare_class_in_training_only(voc_root: Path, tmp_path: Path) -> None:
    for index in range(6, 10):
        write_photo(voc_root / "images" / f"p{index}.jpg", index)
        write_xml(voc_root / "annotations" / f"p{index}.xml", f"p{index}.jpg", [("with_mask", VOC_BOX)])
    options = ConversionOptions(val_fraction=0.3, single_face=True, n_overlays=0)
    report = convert_face_mask("voc", voc_root, tmp_path, options)
    assert report.n_labels["train"]["without_mask"] == 4
    assert report.n_labels["val"]["without_mask"] == 1
    path = tmp_path / "face_mask_voc_train.json"
    dataset = read_coco(path)
    images = {image.file_name: image for image in dataset.images}
    boxes = {annotation.image_id: annotation.bbox_xywh for annotation in dataset.annotations}
    flip = next(image for name, image in images.items() if name.endswith("_flip.jpg"))
    plain = images[flip.file_name.replace("_flip", "")]
    assert boxes[plain.id] == (10.0, 5.0, 30.0, 40.0)
    assert boxes[flip.id] == (40.0, 5.0, 30.0, 40.0)
    pixels = [read_image(resolve_image_path(path, dataset, image)).astype(int) for image in (plain, flip)]
    assert np.abs(pixels[0][:, ::-1] - pixels[1]).mean() < 4


def test_crops_of_the_rare_class_are_mirrored_in_all_parts_if_asked(voc_root: Path, tmp_path: Path) -> None:
    for index in range(6, 10):
        write_photo(voc_root / "images" / f"p{index}.jpg", index)
        write_xml(voc_root / "annotations" / f"p{index}.xml", f"p{index}.jpg", [("with_mask", VOC_BOX)])
    options = ConversionOptions(val_fraction=0.3, single_face=True, mirrors_all_parts=True, n_overlays=0)
    report = convert_face_mask("voc", voc_root, tmp_path, options)
    assert [report.n_labels[part]["without_mask"] for part in ("train", "val")] == [4, 2]


def test_parts_have_their_shares_of_the_crops_not_of_all_faces(voc_root: Path, tmp_path: Path) -> None:
    """A crowd whose faces are too close for a crop of their own does not count for the validation part."""
    for index in range(6, 14):
        write_photo(voc_root / "images" / f"p{index}.jpg", index)
        boxes = [VOC_BOX] if index < 10 else [(2 + 6 * k, 2, 6 + 6 * k, 90) for k in range(12)]
        write_xml(voc_root / "annotations" / f"p{index}.xml", f"p{index}.jpg", [("with_mask", box) for box in boxes])
    options = ConversionOptions(val_fraction=0.3, single_face=True, min_crop_area_px=2000, n_overlays=0)
    report = convert_face_mask("voc", voc_root, tmp_path, options)
    n_with_mask = sum(report.n_labels[part]["with_mask"] for part in ("train", "val"))
    assert report.n_labels["val"]["with_mask"] == pytest.approx(0.3 * n_with_mask, abs=1)


def test_crops_of_class_folders_are_refused(folders_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="need boxes"):
        convert_face_mask("folders", folders_root, tmp_path, ConversionOptions(single_face=True))


def test_sheet_shows_labels_in_class_colours(mfsd_root: Path, tmp_path: Path) -> None:
    report = convert_face_mask("mfsd", mfsd_root, tmp_path, ConversionOptions(val_fraction=0.5, n_overlays=4))
    assert "face_mask_mfsd_overlays.png" in report.files
    sheet = read_image(tmp_path / "face_mask_mfsd_overlays.png")
    assert sheet.shape == (32 + 320, 4 * 320, 3)
    assert (sheet == (0x00, 0x72, 0xB2)).all(axis=2).any()
    assert (sheet == (0xD5, 0x5E, 0x00)).all(axis=2).any()


def test_test_part_is_a_file_of_its_own(voc_root: Path, tmp_path: Path) -> None:
    thirds = ConversionOptions(val_fraction=0.34, test_fraction=0.34, n_overlays=0)
    report = convert_face_mask("voc", voc_root, tmp_path, thirds)
    assert report.n_photos == {"train": 2, "val": 2, "test": 2}
    names = [
        {image.file_name for image in read_coco(tmp_path / f"face_mask_voc_{part}.json").images}
        for part in report.n_photos
    ]
    assert set.union(*names) == {f"p{index}.jpg" for index in range(6)}


def test_folder_that_is_all_test(folders_root: Path, voc_root: Path, tmp_path: Path) -> None:
    options = ConversionOptions(test_fraction=1.0, n_overlays=0)
    report = convert_face_mask("voc", voc_root, tmp_path, options)
    assert report.files == ("face_mask_voc_test.json", "face_mask_voc_report.json")
    convert_face_mask("folders", folders_root, tmp_path, options)
    assert {row.split for row in read_manifest(tmp_path / "face_mask_folders.csv")} == {"test"}


def test_crops_of_a_folder_that_is_all_test_are_not_mirrored(voc_root: Path, tmp_path: Path) -> None:
    options = ConversionOptions(test_fraction=1.0, single_face=True, n_overlays=0)
    assert convert_face_mask("voc", voc_root, tmp_path, options).n_photos == {"test": 6}
