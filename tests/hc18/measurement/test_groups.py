"""Clips and examinations: which pictures count, their median, interval and the picture to look at."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from hc18.geometry.ellipse import Ellipse
from hc18.measurement.flags import Flag
from hc18.measurement.groups import (
    GroupBy,
    GroupResult,
    examination_column,
    group_name,
    intervals_apart,
    sharpness,
    summarize_group,
    summarize_groups,
    write_groups,
)
from hc18.measurement.interval_model import Interval
from hc18.measurement.rows import MeasurementRow, RowStatus
from tests.synthetic_heads import draw_head


def make_row(name: str, hc_mm: float, **values: object) -> MeasurementRow:
    interval = Interval(hc_mm - 4.0, hc_mm + 4.0, 2.0, 0.9)
    given = {"confidence": 0.9, "interval": interval, "sharpness": 1.0, **values}
    return MeasurementRow(name, RowStatus.OK, "", hc_mm=hc_mm, **given)  # type: ignore[arg-type]


def clip_of(*frames: MeasurementRow) -> GroupResult:
    return summarize_group("clip", frames, GroupBy.CLIP)


def test_clip_is_the_median_of_its_sharpest_frames() -> None:
    frames = [make_row(f"c#{k}", 100.0 + k, sharpness=float(k)) for k in range(1, 11)]
    found = clip_of(*frames)
    assert found.best_images == ("c#10", "c#9", "c#8", "c#7", "c#6")
    assert (found.hc_median_mm, found.spread_mm, found.smallest_mm, found.largest_mm) == (108.0, 4.0, 101.0, 110.0)


def test_surer_plane_goes_before_a_sharper_picture_of_a_worse_one() -> None:
    found = clip_of(make_row("c#1", 100.0, confidence=0.9), make_row("c#2", 110.0, confidence=0.4, sharpness=1.5))
    assert found.best_images[0] == "c#1"


def test_flagged_frames_count_only_if_there_are_no_others() -> None:
    flagged = make_row("c#1", 150.0, flags=(Flag.UNCERTAIN,), sharpness=9.0)
    assert clip_of(flagged, make_row("c#2", 100.0)).best_images == ("c#2",)
    assert clip_of(flagged).flags == (Flag.UNCERTAIN,)


@pytest.mark.parametrize(("hc_mm", "expected"), [((100.0, 107.0), False), ((100.0, 104.0, 109.0), True), ((), False)])
def test_pictures_whose_intervals_do_not_overlap_are_noticed(hc_mm: tuple[float, ...], expected: bool) -> None:
    assert intervals_apart(make_row(f"a{value}", value) for value in hc_mm) is expected


def test_frames_without_millimetres_are_counted_and_give_no_value() -> None:
    found = clip_of(MeasurementRow("c#1", RowStatus.NO_HEAD, "nothing detected"))
    assert found == GroupResult("clip", 1, 0)


def test_examination_narrows_the_interval_and_a_clip_does_not() -> None:
    rows = [make_row(f"010_{k}HC.png", 200.0) for k in range(4)]
    clip, examination = (summarize_group("010", rows, by) for by in GroupBy)
    assert (clip.low_mm, clip.high_mm) == (196.0, 204.0)
    assert examination.low_mm == pytest.approx(200.0 - 4.0 * (0.16 + 0.84 / 4) ** 0.5)


def test_one_measurement_without_interval_leaves_the_group_without() -> None:
    found = clip_of(make_row("c#1", 100.0), make_row("c#2", 101.0, interval=None))
    assert (found.low_mm, found.high_mm) == (None, None)


@pytest.mark.parametrize(
    ("name", "by", "expected"),
    [
        ("clip.dcm#12", GroupBy.CLIP, "clip.dcm"),
        ("patient/frame_1.png", GroupBy.CLIP, "patient"),
        ("010_2HC.png", GroupBy.EXAMINATION, "010"),
        ("010_HC.dcm#3", GroupBy.EXAMINATION, "010"),
    ],
)
def test_group_follows_from_the_name(name: str, by: GroupBy, expected: str) -> None:
    assert group_name(name, by) == expected


def test_manifest_states_the_examination(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,id,examination\na.png,one,P1\nb.png,,P1\nc.png,three,\n", encoding="utf-8")
    name_of = examination_column(str(manifest), GroupBy.EXAMINATION)
    assert name_of is not None
    assert [name_of(name) for name in ("one", "b.png", "one#2", "three_x.png")] == ["P1", "P1", "P1", "three"]


def test_manifest_without_the_column_leaves_it_to_the_names(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path\n010_HC.png\n", encoding="utf-8")
    assert examination_column(str(manifest), GroupBy.EXAMINATION) is None


def test_blur_and_noise_make_a_picture_less_sharp_and_gain_does_not() -> None:
    ellipse = Ellipse.from_axes(150.0, 100.0, 110.0, 75.0, 0.3)
    picture = (60 + draw_head(ellipse, (200, 300)) // 2).astype(np.uint8)
    rng = np.random.default_rng(0)
    noisy = np.clip(picture + rng.normal(0.0, 30.0, picture.shape), 0, 255).astype(np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(picture, (9, 9), 0), np.uint8)
    darker = (0.6 * picture).astype(np.uint8)
    of_picture = sharpness(picture, ellipse)
    assert sharpness(noisy, ellipse) < of_picture
    assert sharpness(blurred, ellipse) < 0.9 * of_picture
    assert sharpness(darker, ellipse) == pytest.approx(of_picture, rel=0.1)


def test_noise_alone_is_not_sharp() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300), dtype=np.uint8)
    ellipse = Ellipse.from_axes(150.0, 100.0, 110.0, 75.0, 0.3)
    assert sharpness(noise, ellipse) < 0.2 * sharpness(draw_head(ellipse, (200, 300)), ellipse)


def test_ellipse_outside_the_picture_has_no_sharpness() -> None:
    assert sharpness(np.zeros((50, 50), np.uint8), Ellipse.from_axes(500.0, 500.0, 20.0, 10.0, 0.0)) == 0.0


def test_table_has_a_row_per_group_in_their_order(tmp_path: Path) -> None:
    rows = [make_row("b.dcm#1", 100.0), make_row("a.dcm#1", 90.0), make_row("b.dcm#2", 104.0)]
    assert write_groups(summarize_groups(rows, GroupBy.CLIP), tmp_path / "groups.csv") == 2
    with (tmp_path / "groups.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [(line["group"], line["hc_median_mm"], line["n_images"]) for line in lines] == [
        ("b.dcm", "102.0000", "2"),
        ("a.dcm", "90.0000", "1"),
    ]
