"""Images of a folder joined with the rows of a pixel-size table."""

from pathlib import Path

import pytest

from fetal_hc.batch.sources import ImageSource
from fetal_hc.batch.tasks import ImageTask
from fetal_hc.errors import DatasetError
from hc18.measurement.pixel_size_rules import UNUSABLE, TablePixelSize, open_source

HEADER = "filename,pixel size(mm)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image folder with two images, an annotation, a hidden file, a note and a subfolder."""
    images = tmp_path / "images"
    (images / "deep.png").mkdir(parents=True)
    for name in ("b.png", "a.PNG", "a_Annotation.png", "._a.png", "note.txt"):
        (images / name).write_bytes(b"x")
    return images


def _plan(folder: Path, table: str) -> ImageSource[TablePixelSize]:
    path = folder.parent / "sizes.csv"
    path.write_text(table)
    return open_source(folder, path)


def _tasks(folder: Path, table: str) -> list[ImageTask[TablePixelSize]]:
    return list(_plan(folder, table).tasks())


def test_images_of_the_table_come_first_in_its_order(folder: Path) -> None:
    (folder / "c.png").write_bytes(b"x")
    tasks = _tasks(folder, HEADER + "b.png,0.2\na.PNG,0.1\n")
    assert [task.file_name for task in tasks] == ["b.png", "a.PNG", "c.png"]
    assert [task.index for task in tasks] == [0, 1, 2]
    assert tasks[0] == ImageTask(0, "b.png", str(folder / "b.png"), TablePixelSize((0.2, 0.2)), "")


def test_image_without_row_has_no_pixel_size_and_says_where_to_add_it(folder: Path) -> None:
    task = _tasks(folder, HEADER + "b.png,0.2\n")[1]
    assert (task.file_name, task.facts) == ("a.PNG", None)
    assert "sizes.csv: has no row for this image" in task.note


def test_row_without_image_names_row_and_folder(folder: Path) -> None:
    task = _tasks(folder, HEADER + "gone.png,0.2\nb.png,0.2\n")[0]
    assert task.path is None
    assert f"sizes.csv, row 2: names a file that is not in {folder}" in task.note


def test_other_files_are_ignored_and_counted(folder: Path) -> None:
    assert _plan(folder, HEADER + "b.png,0.2\n").n_ignored == 4  # annotation, hidden file, note, folder


def test_file_that_the_table_names_is_an_image_whatever_its_suffix(folder: Path) -> None:
    plan = _plan(folder, HEADER + "note.txt,0.2\n")
    assert next(plan.tasks()).path == str(folder / "note.txt")
    assert plan.n_ignored == 3


@pytest.mark.parametrize(
    "value", ["", "0", "-0.1", "nan", "inf", "0,12", '"0,12"', "x", "1e-300", "0.009", "2.01", "1e9"]
)
def test_unusable_pixel_size_costs_only_its_own_image_the_millimetres(folder: Path, value: str) -> None:
    plan = _plan(folder, HEADER + f"b.png,{value}\na.PNG,0.1\n")
    tasks = list(plan.tasks())
    assert [task.facts for task in tasks] == [UNUSABLE, TablePixelSize((0.1, 0.1))]
    assert "sizes.csv, row 2" in tasks[0].note
    assert "sizes.csv, row 2" in plan.problems.first[0]


def test_reason_is_that_of_the_own_row_only(folder: Path) -> None:
    rows = "".join(f"x{n}.png,0.1\n" for n in range(18))
    task = _tasks(folder, HEADER + "b.png,bad\n" + rows + "a.PNG,worse\n")[0]
    assert "'bad'" in task.note
    assert "'worse'" not in task.note


def test_wrong_reference_circumference_is_no_problem_here(folder: Path) -> None:
    table = "filename,pixel size(mm),head circumference (mm)\nb.png,0.2,oops\na.PNG,0.1,\n"
    plan = _plan(folder, table)
    assert plan.problems.count == 0
    assert next(plan.tasks()).facts == TablePixelSize((0.2, 0.2))


def test_duplicate_rows_are_reported_and_measured_once(folder: Path) -> None:
    plan = _plan(folder, HEADER + "b.png,0.2\nb.png,0.3\na.PNG,0.1\n")
    assert [task.file_name for task in plan.tasks()] == ["b.png", "a.PNG"]
    assert "row 3" in plan.problems.first[0]


def test_path_instead_of_a_name_is_reported_and_not_opened(folder: Path) -> None:
    plan = _plan(folder, HEADER + "../secret.png,0.2\nb.png,0.2\n")
    assert "../secret.png" not in [task.file_name for task in plan.tasks()]
    assert "'../secret.png' is not a file name" in plan.problems.first[0]


def test_byte_order_mark_crlf_spaces_and_extra_columns_are_accepted(folder: Path) -> None:
    plan = _plan(folder, "\ufefffilename , pixel size(mm),note\r\n b.png , 0.2 ,x\r\na.PNG,0.1,\r\n")
    assert [(task.file_name, task.facts) for task in plan.tasks()] == [
        ("b.png", TablePixelSize((0.2, 0.2))),
        ("a.PNG", TablePixelSize((0.1, 0.1))),
    ]
    assert plan.problems.count == 0


@pytest.mark.parametrize(("table", "message"), [("", "is empty"), ("a,b\n1,2\n", "no column 'filename'")])
def test_table_without_usable_rows_is_an_error(folder: Path, table: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _plan(folder, table)


def test_missing_table_is_an_error(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv: does not exist"):
        open_source(folder, folder / "none.csv")


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="has no image"):
        _plan(tmp_path / "images", HEADER + "a.png,0.1\n")


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="images: cannot be read"):
        _plan(tmp_path / "images", HEADER + "a.png,0.1\n")
