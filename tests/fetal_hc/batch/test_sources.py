"""Folders, patterns and manifests as one stream of tasks; what is wrong with a row is named, no other is lost."""

import os
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from fetal_hc.batch.sources import ImageSource
from fetal_hc.batch.tasks import ImageTask
from fetal_hc.errors import ConfigError, DatasetError
from hc18.measurement.pixel_size_rules import UNUSABLE, TablePixelSize, open_source


def _manifest(folder: Path, text: str, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _tasks(source: ImageSource[TablePixelSize]) -> list[ImageTask[TablePixelSize]]:
    tasks = list(source.tasks())
    assert [task.index for task in tasks] == list(range(source.n_tasks))
    return tasks


def test_rows_of_a_manifest_in_their_order(tmp_path: Path) -> None:
    text = "id,path,pixel_size_mm\nsecond,b/2.png,0.2\nfirst,/data/1.png,0.1\n,c.dcm,\n"
    tasks = _tasks(open_source(manifest=_manifest(tmp_path, text)))
    assert [task.file_name for task in tasks] == ["second", "first", "c.dcm"]
    assert [task.path for task in tasks] == [str(tmp_path / "b/2.png"), "/data/1.png", str(tmp_path / "c.dcm")]
    assert [task.facts for task in tasks] == [TablePixelSize((0.2, 0.2)), TablePixelSize((0.1, 0.1)), None]
    assert "row 4: has no pixel size and the image file has none either" in tasks[2].note


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("path,pixel_size_x_mm,pixel_size_y_mm", "a.png,0.2,0.3", (0.2, 0.3)),
        ("path,pixel_size_mm,pixel_size_x_mm,pixel_size_y_mm", "a.png,0.1,,0.3", (0.1, 0.3)),
        ("filename,pixel size(mm)", "a.png,0.25", (0.25, 0.25)),
        ("PATH, Pixel size mm ,note", " a.png , 0.25 ,x", (0.25, 0.25)),
        ("path,pixel_size_mm", "a.png,DICOM", None),
        ("path", "a.png", None),
    ],
)
def test_spellings_of_the_pixel_size(
    tmp_path: Path, header: str, row: str, expected: tuple[float, float] | None
) -> None:
    (task,) = _tasks(open_source(manifest=_manifest(tmp_path, f"\ufeff{header}\r\n{row}\r\n")))
    assert task.facts == (None if expected is None else TablePixelSize(expected))


@pytest.mark.parametrize("value", ["0", "-0.1", "nan", "inf", '"0,12"', "x", "1_0", "1e-300", "0.009", "2.01", "1e9"])
def test_unusable_pixel_size_costs_only_its_own_row_the_millimetres(tmp_path: Path, value: str) -> None:
    source = open_source(manifest=_manifest(tmp_path, f"path,pixel_size_mm\na.png,{value}\nb.png,0.1\n"))
    tasks = _tasks(source)
    assert [task.facts for task in tasks] == [UNUSABLE, TablePixelSize((0.1, 0.1))]
    assert "m.csv, row 2, 'pixel_size_mm'" in source.problems.first[0]
    assert tasks[0].note == source.problems.first[0]


def test_rows_that_name_nothing_or_a_known_image_are_reported_and_the_others_measured(tmp_path: Path) -> None:
    text = "path,id\na.png,1\nb.png,1\n,2\nc.png,3#2\nd.png\nb.png,4\n\ne.png,5\n"
    source = open_source(manifest=_manifest(tmp_path, text))
    assert [(task.file_name, Path(str(task.path)).name) for task in _tasks(source)] == [
        ("1", "a.png"),
        ("4", "b.png"),
        ("5", "e.png"),
    ]
    reasons = ["row 3, 'id': '1' already stands in row 2", "row 4, 'path': is empty", "row 5, 'id': '3#2' ends like"]
    reasons.append("row 6: has 1 fields, the header 2")
    assert source.problems.count == 4
    for problem, reason in zip(source.problems.first, reasons, strict=True):
        assert reason in problem


def test_same_image_may_stand_under_two_ids(tmp_path: Path) -> None:
    source = open_source(manifest=_manifest(tmp_path, "path,id\na.png,1\na.png,2\n"))
    assert (source.n_tasks, source.problems.count) == (2, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column 'path'"),
        ("id,pixel_size_mm\n1,0.2\n", "no column 'path' among"),
        ("path;id\na.png;1\n", "save it with commas"),
        ("path,pixel_size_x_mm\na.png,0.1\n", "no column 'pixel_size_y_mm'"),
        ("path,id\n", "names no image"),
        ("path,id\n,1\n", "names no image that can be measured: .*'path': is empty"),
        ('path,id\n"a.png,1\n', "cannot be read"),
    ],
)
def test_manifest_that_cannot_be_used(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        open_source(manifest=_manifest(tmp_path, text))


def test_manifest_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.csv: cannot be read"):
        open_source(manifest=tmp_path / "gone.csv")
    (tmp_path / "m.csv").write_bytes(b"path\n\xff\xfe.png\n")
    with pytest.raises(DatasetError, match=r"m\.csv: cannot be read"):
        open_source(manifest=tmp_path / "m.csv")
    (tmp_path / "m.parquet").write_bytes(b"no parquet")
    with pytest.raises(DatasetError, match=r"m\.parquet: cannot be read"):
        open_source(manifest=tmp_path / "m.parquet")


def test_parquet_manifest_gives_the_same_tasks(tmp_path: Path) -> None:
    columns = {"path": ["a.png", "b.dcm", "c.png"], "id": ["x", "y", "z"], "pixel_size_mm": [0.1 + 0.2, None, 0.2]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "m.parquet")
    text = "path,id,pixel_size_mm\na.png,x,0.30000000000000004\nb.dcm,y,\nc.png,z,0.2\n"
    csv_tasks = _tasks(open_source(manifest=_manifest(tmp_path, text)))
    parquet_tasks = _tasks(open_source(tmp_path / "m.parquet"))
    assert [(task.file_name, task.path, task.facts) for task in parquet_tasks] == [
        (task.file_name, task.path, task.facts) for task in csv_tasks
    ]


def test_parquet_manifest_without_pyarrow_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.parquet").write_bytes(b"x")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"a Parquet manifest needs the library pyarrow.*fetal-hc\[scale\]"):
        open_source(tmp_path / "m.parquet")


def test_paths_of_a_manifest_may_start_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    manifest = _manifest(tmp_path, "path\na.png\ns3x.png\n")
    assert _tasks(open_source(tmp_path / "images", manifest=manifest))[0].path == str(tmp_path / "images/a.png")
    assert _tasks(open_source("memory://bucket/set", manifest=manifest))[0].path == "memory://bucket/set/a.png"
    with pytest.raises(DatasetError, match="none: is not a folder"):
        open_source(tmp_path / "none", manifest=manifest)


def test_url_of_a_kind_that_is_not_allowed_is_refused_at_once(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "path\na.png\nhttp://169.254.169.254/b.png\n")
    with pytest.raises(ConfigError, match=r"m\.csv, row 3: 'http://169\.254\.169\.254/b\.png' cannot be used"):
        open_source(manifest=manifest)


def test_manifest_and_pixel_size_table_contradict_each_other(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "path\na.png\n")
    with pytest.raises(ConfigError, match="leave out --pixel-sizes"):
        open_source(manifest, tmp_path / "sizes.csv")
    with pytest.raises(ConfigError, match="nothing to measure"):
        open_source()


def test_manifest_that_changes_while_it_is_used_is_noticed(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "path\na.png\n")
    source = open_source(manifest)
    manifest.write_text("path\nb.png\nc.png\n")
    with pytest.raises(DatasetError, match="was changed while it was used"):
        source.tasks()


def test_identity_tells_manifests_and_folders_apart(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "path\na.png\n")
    before = open_source(manifest).identity
    assert open_source(manifest).identity == before
    manifest.write_text("path\nb.png\n")
    assert open_source(manifest).identity != before
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").write_bytes(b"x")
    one = open_source(tmp_path / "images").identity
    (tmp_path / "images/b.png").write_bytes(b"x")
    assert open_source(tmp_path / "images").identity != one


def test_memory_does_not_grow_with_the_manifest(tmp_path: Path) -> None:
    peaks = []
    for n_rows in (2_000, 20_000):
        rows = "".join(f"folder/{row:08d}_image.png,{row:08d},0.2\n" for row in range(n_rows))
        manifest = _manifest(tmp_path, "path,id,pixel_size_mm\n" + rows)
        tracemalloc.start()
        assert sum(1 for _ in open_source(manifest).tasks()) == n_rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000


def test_pattern_names_images_below_its_fixed_part(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/deep/2.png", "b/note.txt", "b/3_Annotation.png", "b/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    source = open_source(f"{tmp_path}/**/*.*")
    assert [task.file_name for task in _tasks(source)] == ["a/1.png", "b/4.jpg", "b/deep/2.png"]
    assert source.n_ignored == 2
    (task,) = _tasks(open_source(f"{tmp_path}/b/*.jpg"))
    assert (task.file_name, task.path, task.facts) == ("4.jpg", str(tmp_path / "b/4.jpg"), None)
    assert "add --pixel-sizes" in task.note
    (task,) = _tasks(open_source(tmp_path / "b/4.jpg"))
    assert task.file_name == "4.jpg"
    with pytest.raises(DatasetError, match="matches no file"):
        open_source(f"{tmp_path}/*.dcm")


def test_pattern_is_joined_with_a_table_of_pixel_sizes(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    sizes = _manifest(tmp_path, "filename,pixel size(mm)\n1.png,0.2\n", "sizes.csv")
    (task,) = _tasks(open_source(f"{tmp_path}/*.png", sizes))
    assert task.facts == TablePixelSize((0.2, 0.2))


def test_dicom_files_are_found_by_suffix_or_first_bytes(tmp_path: Path) -> None:
    dicom = bytes(128) + b"DICM" + bytes(8)
    for name, content in (("a.dcm", b""), ("IM0001", dicom), ("1.2.840.1", dicom), ("LICENSE", b"text"), ("v1.2", b"")):
        (tmp_path / name).write_bytes(content)
    assert [task.file_name for task in _tasks(open_source(tmp_path))] == ["1.2.840.1", "IM0001", "a.dcm"]


def test_zero_byte_in_a_path_costs_only_its_own_row(tmp_path: Path) -> None:
    source = open_source(manifest=_manifest(tmp_path, "path,id\na\0.png,1\nb.png,2\n"))
    assert [task.file_name for task in _tasks(source)] == ["2"]
    assert "row 2, 'path': has a zero byte" in source.problems.first[0]


def test_links_that_lead_nowhere_pipes_and_odd_names_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(b"x")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    expected = sorted(["caf\udce9.png", "good.png", "gone.png", "loop.png", "pipe.png"])
    for images in (str(tmp_path), f"{tmp_path}/*.png", f"{tmp_path}/**/*.png"):
        source = open_source(images)
        assert [task.file_name for task in _tasks(source)] == expected
        assert source.n_ignored >= 1  # the folder
    (tmp_path / "sizes.csv").write_text("filename,pixel size(mm)\nfolder.png,0.2\ngood.png,0.2\n")
    assert _tasks(open_source(tmp_path, tmp_path / "sizes.csv"))[0].path == str(tmp_path / "folder.png")


def test_links_to_other_folders_are_followed_by_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/a.png").write_bytes(b"x")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/link").symlink_to(tmp_path / "archive")
    (tmp_path / "set/.hidden").mkdir()
    (tmp_path / "set/.hidden/b.png").write_bytes(b"x")
    assert [task.file_name for task in _tasks(open_source(f"{tmp_path}/set/**"))] == ["link/a.png"]
