"""Images of a folder joined with the rows of a pixel-size table."""

from pathlib import Path

import pytest

from fetal_hc.batch.jobs import ImageTask, TaskPlan, plan_jobs
from fetal_hc.errors import DatasetError

HEADER = "filename,pixel size(mm)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image folder with two images, an annotation, a hidden file, a note and a subfolder."""
    images = tmp_path / "images"
    (images / "deep.png").mkdir(parents=True)
    for name in ("b.png", "a.PNG", "a_Annotation.png", "._a.png", "note.txt"):
        (images / name).write_bytes(b"x")
    return images


def _plan(folder: Path, table: str) -> TaskPlan:
    path = folder.parent / "sizes.csv"
    path.write_text(table)
    return plan_jobs(folder, path)


def test_jobs_of_the_table_come_first_in_its_order(folder: Path) -> None:
    (folder / "c.png").write_bytes(b"x")
    plan = _plan(folder, HEADER + "b.png,0.2\na.PNG,0.1\n")
    assert [job.file_name for job in plan.jobs] == ["b.png", "a.PNG", "c.png"]
    assert [job.index for job in plan.jobs] == [0, 1, 2]
    assert plan.jobs[0] == ImageTask("b.png", str(folder / "b.png"), (0.2, 0.2), "csv", "")


def test_image_without_row_has_no_pixel_size_and_says_where_to_add_it(folder: Path) -> None:
    job = _plan(folder, HEADER + "b.png,0.2\n").jobs[1]
    assert (job.file_name, job.pixel_size_xy_mm, job.pixel_size_source) == ("a.PNG", None, "file")
    assert "sizes.csv: has no row for this image" in job.note


def test_row_without_image_names_row_and_folder(folder: Path) -> None:
    job = _plan(folder, HEADER + "gone.png,0.2\nb.png,0.2\n").jobs[0]
    assert job.path is None
    assert f"sizes.csv, row 2: names a file that is not in {folder}" in job.note


def test_folder_of_the_name_of_an_image_is_no_image(folder: Path) -> None:
    assert _plan(folder, HEADER + "deep.png,0.2\n").jobs[0].path is None


def test_other_files_are_ignored_and_counted(folder: Path) -> None:
    assert _plan(folder, HEADER + "b.png,0.2\n").n_ignored == 3  # annotation, hidden file, note


def test_file_that_the_table_names_is_an_image_whatever_its_suffix(folder: Path) -> None:
    plan = _plan(folder, HEADER + "note.txt,0.2\n")
    assert plan.jobs[0].path == str(folder / "note.txt")
    assert plan.n_ignored == 2


@pytest.mark.parametrize("value", ["", "0", "-0.1", "nan", "inf", "0,12", '"0,12"', "x"])
def test_unusable_pixel_size_costs_only_its_own_image_the_millimetres(folder: Path, value: str) -> None:
    plan = _plan(folder, HEADER + f"b.png,{value}\na.PNG,0.1\n")
    assert [job.pixel_size_xy_mm for job in plan.jobs] == [None, (0.1, 0.1)]
    assert "sizes.csv, row 2" in plan.jobs[0].note
    assert "sizes.csv, row 2" in plan.table_problems[0]


def test_reason_is_that_of_the_own_row_only(folder: Path) -> None:
    rows = "".join(f"x{n}.png,0.1\n" for n in range(18))
    plan = _plan(folder, HEADER + "b.png,bad\n" + rows + "a.PNG,worse\n")
    assert "'bad'" in plan.jobs[0].note
    assert "'worse'" not in plan.jobs[0].note


def test_wrong_reference_circumference_is_no_problem_here(folder: Path) -> None:
    table = "filename,pixel size(mm),head circumference (mm)\nb.png,0.2,oops\na.PNG,0.1,\n"
    plan = _plan(folder, table)
    assert plan.table_problems == ()
    assert plan.jobs[0].pixel_size_xy_mm == (0.2, 0.2)


def test_duplicate_rows_are_reported_and_measured_once(folder: Path) -> None:
    plan = _plan(folder, HEADER + "b.png,0.2\nb.png,0.3\na.PNG,0.1\n")
    assert [job.file_name for job in plan.jobs] == ["b.png", "a.PNG"]
    assert "row 3" in plan.table_problems[0]


def test_path_instead_of_a_name_is_reported_and_not_opened(folder: Path) -> None:
    plan = _plan(folder, HEADER + "../secret.png,0.2\nb.png,0.2\n")
    assert "../secret.png" not in [job.file_name for job in plan.jobs]
    assert "'../secret.png' is not a file name" in plan.table_problems[0]


def test_byte_order_mark_crlf_spaces_and_extra_columns_are_accepted(folder: Path) -> None:
    plan = _plan(folder, "\ufefffilename , pixel size(mm),note\r\n b.png , 0.2 ,x\r\na.PNG,0.1,\r\n")
    assert [(job.file_name, job.pixel_size_xy_mm) for job in plan.jobs] == [
        ("b.png", (0.2, 0.2)),
        ("a.PNG", (0.1, 0.1)),
    ]
    assert plan.table_problems == ()


@pytest.mark.parametrize(("table", "message"), [("", "is empty"), ("a,b\n1,2\n", "no column 'filename'")])
def test_table_without_usable_rows_is_an_error(folder: Path, table: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _plan(folder, table)


def test_missing_table_is_an_error(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv: does not exist"):
        plan_jobs(folder, folder / "none.csv")


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="holds no image"):
        _plan(tmp_path / "images", HEADER + "a.png,0.1\n")


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="images: cannot be read"):
        _plan(tmp_path / "images", HEADER + "a.png,0.1\n")
