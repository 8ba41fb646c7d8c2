"""Reading and checking HC18 folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_hc.errors import DatasetError
from hc18.dataset.folder import TRAINING_TABLE, check_folder, read_training_set, scan_training_set
from hc18.dataset.labelled_image import examination_of
from hc18.dataset.pixel_size_table import read_pixel_sizes
from hc18.geometry.ellipse import Ellipse
from tests.synthetic_hc18 import (
    ELLIPSES,
    IMAGE_HW,
    PIXEL_SIZE_MM,
    annotation_path,
    draw_disc,
    draw_ring,
    hc_mm,
    replace_in_table,
    save_png,
    training_table,
    write_hc18_folder,
    write_image,
)

HEAD = "000_HC.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_hc18_folder(tmp_path / "hc18")


def kinds(root: Path) -> list[tuple[str, bool]]:
    return [(problem.kind, problem.fatal) for problem in check_folder(root)]


def test_sound_folder_has_no_problem(root: Path) -> None:
    assert check_folder(root) == []


def test_cases_hold_what_the_table_and_the_annotation_say(root: Path) -> None:
    cases = read_training_set(root)
    assert [case.filename for case in cases] == list(ELLIPSES)
    for case in cases:
        expected = ELLIPSES[case.filename]
        assert case.image_hw == IMAGE_HW
        assert case.pixel_size_mm == PIXEL_SIZE_MM
        assert case.hc_mm == pytest.approx(hc_mm(expected), abs=0.005)
        assert case.fitted_hc_mm == pytest.approx(hc_mm(expected), abs=0.1)
        assert case.ellipse_px.center_x == pytest.approx(expected.center_x, abs=0.05)


@pytest.mark.parametrize(
    ("filename", "examination"), [("010_HC.png", "010"), ("010_2HC.png", "010"), ("7.png", "7"), ("a_b_c.png", "a")]
)
def test_examination_is_the_prefix(filename: str, examination: str) -> None:
    assert examination_of(filename) == examination


def test_subset_reads_only_the_names_asked_for(root: Path) -> None:
    annotation_path(root, "003_HC.png").unlink()
    assert [case.filename for case in read_training_set(root, names=[HEAD])] == [HEAD]


def test_subset_with_an_unknown_name_is_refused(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"'999_HC.png': has no row in .*training_set_pixel_size_and_HC.csv"):
        read_training_set(root, names=[HEAD, "999_HC.png"])


def test_all_fatal_problems_are_raised_at_once(root: Path) -> None:
    (root / "training_set" / HEAD).unlink()
    annotation_path(root, "001_HC.png").write_bytes(b"text, not a picture")
    replace_in_table(training_table(root), "002_HC.png,0.5", "002_HC.png,nan")
    with pytest.raises(DatasetError) as caught:
        read_training_set(root)
    assert len(caught.value.problems) == 3
    for part in (HEAD, "001_HC_Annotation.png", "row 5, 'pixel size(mm)': 'nan'"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", [HEAD, "000_HC_Annotation.png"])
def test_missing_file_is_fatal(root: Path, name: str) -> None:
    (root / "training_set" / name).unlink()
    assert kinds(root) == [("missing_file", True)]


def test_missing_test_image_is_found(root: Path) -> None:
    (root / "test_set" / "000_HC.png").unlink()
    assert kinds(root) == [("missing_file", True)]


def test_folder_without_test_set_is_sound(root: Path) -> None:
    (root / "test_set" / "000_HC.png").unlink()
    (root / "test_set").rmdir()
    (root / "test_set_pixel_size.csv").unlink()
    assert check_folder(root) == []


@pytest.mark.parametrize("name", ["training_set/extra.png", "training_set/notes.txt", "test_set/Thumbs.db"])
def test_extra_file_is_a_warning(root: Path, name: str) -> None:
    (root / name).write_bytes(b"")
    assert kinds(root) == [("extra_file", False)]


def test_hidden_files_do_not_count(root: Path) -> None:
    (root / "training_set" / ".DS_Store").write_bytes(b"")
    assert check_folder(root) == []


@pytest.mark.parametrize("name", [HEAD, "000_HC_Annotation.png"])
@pytest.mark.parametrize("content", ["truncated", "text", "empty", "damaged"])
def test_unreadable_picture_is_fatal(root: Path, name: str, content: str) -> None:
    path = root / "training_set" / name
    data = path.read_bytes()
    middle = len(data) // 2
    damaged = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
    path.write_bytes({"truncated": data[:middle], "text": b"hello\n" * 50, "empty": b"", "damaged": damaged}[content])
    problems = check_folder(root)
    assert [(problem.kind, problem.fatal) for problem in problems] == [("unreadable_image", True)]
    assert problems[0].message.startswith(f"{path}: cannot be read")


def test_size_mismatch_names_both_sizes(root: Path) -> None:
    write_image(root / "training_set" / HEAD, np.random.default_rng(0), (100, 90))
    with pytest.raises(DatasetError, match=r"000_HC_Annotation.png: is 160 x 120 px, its image 90 x 100"):
        read_training_set(root)


def test_blank_annotation_is_fatal(root: Path) -> None:
    save_png(annotation_path(root, HEAD), np.zeros(IMAGE_HW, dtype=np.uint8))
    assert kinds(root) == [("no_ellipse", True)]


def test_filled_disc_is_used_with_a_warning(root: Path) -> None:
    save_png(annotation_path(root, HEAD), draw_disc(ELLIPSES[HEAD]))
    assert kinds(root) == [("filled_disc", False)]
    assert read_training_set(root)[0].fitted_hc_mm == pytest.approx(hc_mm(ELLIPSES[HEAD]), abs=0.2)


def test_unclosed_outline_is_used_with_a_warning(root: Path) -> None:
    picture = draw_ring(ELLIPSES[HEAD])
    picture[:60, 80] = 0
    save_png(annotation_path(root, HEAD), picture)
    assert kinds(root) == [("unclosed_outline", False)]
    assert read_training_set(root)[0].fitted_hc_mm == pytest.approx(hc_mm(ELLIPSES[HEAD]), abs=0.1)


def test_annotation_of_another_head_is_noticed(root: Path) -> None:
    save_png(annotation_path(root, HEAD), draw_ring(Ellipse(80.3, 60.2, 52.0, 40.0, 0.3)))
    problems = check_folder(root)
    assert [(problem.kind, problem.fatal) for problem in problems] == [("hc_mismatch", False)]
    assert f"the table says {hc_mm(ELLIPSES[HEAD]):.2f} mm" in problems[0].message


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "LA", "I;16"])
def test_annotation_may_have_any_mode(root: Path, mode: str) -> None:
    ring = draw_ring(ELLIPSES[HEAD])
    deep = mode == "I;16"
    picture = Image.fromarray(ring.astype(np.uint16) * 257) if deep else Image.fromarray(ring).convert(mode)
    picture.save(annotation_path(root, HEAD))
    assert check_folder(root) == []


@pytest.mark.parametrize("folder", ["training_set", "test_set"])
def test_missing_folder_is_one_problem(root: Path, folder: str) -> None:
    (root / folder).rename(root / "elsewhere")
    assert kinds(root) == [("missing_folder", True)]


def test_root_that_is_no_hc18_folder_names_table_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        read_training_set(tmp_path)
    table, folder = caught.value.problems
    assert table.startswith(f"{tmp_path / 'training_set_pixel_size_and_HC.csv'}: does not exist")
    assert folder.startswith(f"{tmp_path / 'training_set'}: does not exist")


def test_real_outlines_reproduce_the_table(real_hc18_root: Path) -> None:
    """A sample; benchmarks/convert_speed.py reads all of them."""
    unclosed = {"186_HC.png", "346_HC.png", "628_2HC.png", "787_HC.png"}
    names = [row.filename for row in read_pixel_sizes(real_hc18_root / TRAINING_TABLE)]
    sample = {*names[::60], *unclosed} & set(names)
    training_set = scan_training_set(real_hc18_root, names=sample)
    assert len(training_set.cases) == len(sample)
    assert max(abs(case.fitted_hc_mm - case.hc_mm) for case in training_set.cases) <= 0.05
    assert {case.filename for case in training_set.cases if not case.annotation.is_closed} == unclosed & sample
    assert len(training_set.problems) == len(unclosed & sample)
