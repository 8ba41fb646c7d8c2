"""Folders of phantoms: layout, truth, reproducibility, refusal to overwrite; the command line around them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_hc.errors import DatasetError
from fetal_hc_cli import make_phantoms
from hc18.dataset.annotation import fit_annotation
from hc18.dataset.folder import check_folder, read_training_set
from hc18.dataset.pixel_size_table import read_pixel_sizes
from hc18.geometry.ellipse import Ellipse
from hc18.phantoms.folder import SMALL_IMAGE_HW, PhantomCase, draw_annotation, write_phantom_folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PhantomCase]]:
    root = tmp_path_factory.mktemp("phantoms") / "hc18"
    return root, write_phantom_folder(root, 12, 3, seed=5, image_hw=SMALL_IMAGE_HW, second_share=0.4)


def files_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_folder_passes_the_check_of_hc18_folders(written: tuple[Path, list[PhantomCase]]) -> None:
    assert [str(problem) for problem in check_folder(written[0])] == []


def test_tables_have_the_headers_of_hc18(written: tuple[Path, list[PhantomCase]]) -> None:
    root = written[0]
    train = (root / "training_set_pixel_size_and_HC.csv").read_text(encoding="utf-8").splitlines()
    test = (root / "test_set_pixel_size.csv").read_text(encoding="utf-8").splitlines()
    assert (train[0], test[0]) == ("filename,pixel size(mm),head circumference (mm)", "filename,pixel size(mm)")
    assert (len(train), len(test)) == (13, 4)


def test_annotations_give_ellipse_and_circumference_back(written: tuple[Path, list[PhantomCase]]) -> None:
    root, cases = written
    truth = {case.filename: case.spec for case in cases if case.folder == "training_set"}
    for case in read_training_set(root):
        spec = truth[case.filename]
        assert case.hc_mm == pytest.approx(spec.hc_mm, abs=0.006)
        assert case.fitted_hc_mm == pytest.approx(spec.hc_mm, rel=1e-3)
        assert case.ellipse_px.box_xyxy() == pytest.approx(spec.ellipse.box_xyxy(), abs=0.1)


def test_test_images_have_pixel_sizes_and_no_annotation(written: tuple[Path, list[PhantomCase]]) -> None:
    root, cases = written
    rows = read_pixel_sizes(root / "test_set_pixel_size.csv")
    expected = [(case.filename, case.spec.pixel_size_mm) for case in cases if case.folder == "test_set"]
    assert [(row.filename, row.pixel_size_mm) for row in rows] == expected
    assert sorted(path.name for path in (root / "test_set").iterdir()) == sorted(name for name, _ in expected)


def test_images_are_eight_bit_grey(written: tuple[Path, list[PhantomCase]]) -> None:
    for path in sorted(written[0].rglob("*.png")):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", (160, 112))


def test_second_images_of_an_examination_show_a_head_of_like_size(written: tuple[Path, list[PhantomCase]]) -> None:
    specs = {case.filename: case.spec for case in written[1] if case.folder == "training_set"}
    seconds = [name for name in specs if name.endswith("_2HC.png")]
    assert seconds
    for name in seconds:
        first = specs[name.replace("_2HC", "_HC")]
        assert specs[name].hc_mm == pytest.approx(first.hc_mm, rel=0.06)
        assert specs[name].ellipse != first.ellipse


def test_truth_table_holds_every_image_at_full_precision(written: tuple[Path, list[PhantomCase]]) -> None:
    root, cases = written
    with (root / "phantom_truth.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(cases) == 15
    for row, case in zip(rows, cases, strict=True):
        assert (row["filename"], row["set"]) == (case.filename, case.folder)
        names = ("center_x", "center_y", "semi_axis_a", "semi_axis_b")
        ellipse = Ellipse(*(float(row[f"{name}_px"]) for name in names), float(row["angle_rad"]))
        assert ellipse == case.spec.ellipse


def test_same_seed_gives_the_same_bytes(written: tuple[Path, list[PhantomCase]], tmp_path: Path) -> None:
    write_phantom_folder(tmp_path / "again", 12, 3, seed=5, image_hw=SMALL_IMAGE_HW, second_share=0.4)
    assert files_of(tmp_path / "again") == files_of(written[0])


def test_other_seed_gives_other_heads(tmp_path: Path) -> None:
    first = write_phantom_folder(tmp_path / "a", 1, 0, seed=1, image_hw=SMALL_IMAGE_HW)
    second = write_phantom_folder(tmp_path / "b", 1, 0, seed=2, image_hw=SMALL_IMAGE_HW)
    assert first[0].spec.ellipse != second[0].spec.ellipse


def test_outline_is_two_and_a_half_pixels_wide_around_the_ellipse() -> None:
    ellipse = Ellipse(90.4, 60.7, 60.0, 40.0, 0.4)
    picture = draw_annotation(ellipse, (130, 190))
    assert set(np.unique(picture)) == {0, 255}
    assert (picture > 0).sum() / ellipse.circumference() == pytest.approx(2.5, rel=0.02)
    fitted = fit_annotation(picture).ellipse
    assert fitted is not None
    assert fitted.box_xyxy() == pytest.approx(ellipse.box_xyxy(), abs=0.05)


def test_existing_phantoms_are_kept_without_permission(tmp_path: Path) -> None:
    write_phantom_folder(tmp_path, 1, 0, seed=1, image_hw=SMALL_IMAGE_HW)
    before = files_of(tmp_path)
    with pytest.raises(DatasetError, match="already holds phantoms"):
        write_phantom_folder(tmp_path, 1, 0, seed=2, image_hw=SMALL_IMAGE_HW)
    assert files_of(tmp_path) == before


def test_overwriting_leaves_nothing_of_the_old_phantoms(tmp_path: Path) -> None:
    write_phantom_folder(tmp_path / "a", 5, 2, seed=1, image_hw=SMALL_IMAGE_HW)
    write_phantom_folder(tmp_path / "a", 2, 0, seed=2, image_hw=SMALL_IMAGE_HW, overwrite=True)
    write_phantom_folder(tmp_path / "b", 2, 0, seed=2, image_hw=SMALL_IMAGE_HW)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_folder_of_anything_else_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "training_set").mkdir()
    (tmp_path / "training_set" / "000_HC.png").write_bytes(b"a patient's image")
    with pytest.raises(DatasetError, match=r"holds no phantom_truth\.csv.*choose another path"):
        write_phantom_folder(tmp_path, 1, 0, seed=1, overwrite=True)
    assert (tmp_path / "training_set" / "000_HC.png").read_bytes() == b"a patient's image"


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(DatasetError, match="is a file"):
        write_phantom_folder(tmp_path / "file", 1, 0, seed=1)


def test_negative_count_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"-1 training and 2 test phantoms.*>= 0"):
        write_phantom_folder(tmp_path / "x", -1, 2, seed=1)


def test_command_line_writes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--output", str(tmp_path / "p"), "--count", "2", "--test-count", "1", "--seed", "3", "--size", "small"]
    assert make_phantoms.main(arguments) == 0
    assert "3 phantoms" in capsys.readouterr().out
    assert len(list((tmp_path / "p" / "training_set").glob("*HC.png"))) == 2


def test_command_line_reports_bad_input_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.txt").write_text("x", encoding="utf-8")
    assert make_phantoms.main(["--output", str(tmp_path), "--count", "1"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
