"""fetal-hc measure-unseen and calibrate-checks, on drawn heads and a model that finds bright objects."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fetal_hc.io.coco import write_coco
from fetal_hc.io.records import CocoAnnotation, CocoCategory, CocoDataset, CocoImage
from fetal_hc_cli.training.calibrate import main as calibrate
from fetal_hc_cli.training.calibrate_checks import main
from fetal_hc_cli.training.measure_unseen import main as measure_unseen
from hc18.measurement.details import read_details
from hc18.measurement.head_model import load_model
from hc18.training.bundle_parts import read_head_bundle
from tests.synthetic_heads import write_head_folder
from tests.synthetic_model import write_bright_object_model

N_IMAGES = 24


def write_dataset(folder: Path, name: str, seed: int, *, noise: int = 0) -> Path:
    """A COCO file of drawn heads; with `noise`, every pixel of the head of which is changed."""
    heads = write_head_folder(folder / name, N_IMAGES, seed=seed)
    images, annotations = [], []
    for index, (file_name, ellipse) in enumerate(sorted(heads.ellipses_px.items()), 1):
        if noise:
            picture = Image.open(heads.images / file_name)
            picture.point(lambda value: max(value - noise, 0) if value > noise else value).save(
                heads.images / file_name
            )
        facts = {"hc_mm": heads.hc_mm(file_name), "pixel_size_mm": heads.pixel_sizes_mm[file_name]}
        renamed = f"{name}{file_name}"
        (heads.images / file_name).rename(heads.images / renamed)
        images.append(CocoImage(index, renamed, 112, 160, {"examination": f"{name}{index}", **facts}))
        axes = {key: getattr(ellipse, key) for key in ellipse.__dataclass_fields__}
        annotations.append(CocoAnnotation(index, index, 1, (0, 0, 1, 1), 1.0, None, extra={"ellipse_px": axes}))
    path = folder / f"{name}.json"
    info = {"image_root": f"{name}/images"}
    write_coco(path, CocoDataset(tuple(images), tuple(annotations), (CocoCategory(1, "head"),), info))
    return path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model, and the tables and datasets of three kinds of images."""
    folder = tmp_path_factory.mktemp("checks")
    model = write_bright_object_model(folder / "model.onnx")
    files = {
        name: write_dataset(folder, name, seed, noise=40 * seed) for seed, name in enumerate(("home", "away", "other"))
    }
    output = folder / "unseen"
    names = [str(path) for path in files.values()]
    assert measure_unseen(["--model", str(model), "--datasets", *names, "--output", str(output), "--workers", "1"]) == 0
    return {"model": model, "tables": output, **files}


def options(measured: dict[str, Path]) -> list[str]:
    table = measured["tables"]
    return [
        *("--home", str(table / "home.csv"), str(measured["home"])),
        *("--away", str(table / "away.csv"), str(measured["away"])),
        *("--no-head", str(table / "other.csv"), str(measured["other"])),
    ]


def test_every_image_of_a_dataset_is_measured_in_the_folds_order(measured: dict[str, Path]) -> None:
    rows = read_details(measured["tables"] / "home.csv")
    assert [row.file_name for row in rows] == [f"home{index:03d}_HC.png" for index in range(N_IMAGES)]
    assert all(row.hc_mm is not None for row in rows)


def test_tables_that_exist_are_kept(measured: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", "missing.onnx", "--datasets", str(measured["home"]), "--output", str(measured["tables"])]
    assert measure_unseen(arguments) == 0
    assert "home.csv: kept" in capsys.readouterr().out


def test_model_carries_the_checks_and_the_rows_their_scores(
    measured: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "checked.zip"
    files = [
        "--rows",
        str(tmp_path / "rows"),
        "--model",
        str(measured["model"]),
        "--output",
        str(output),
        "--leave-out",
    ]
    assert main([*options(measured), *files]) == 0
    checks = load_model(output).checks
    assert checks is not None
    assert 0.0 <= checks.refuse_below <= checks.flag_below <= 1.0
    rows = read_details(tmp_path / "rows" / "away.csv")
    assert all(row.quality.plane_score is not None and row.quality.unfamiliarity is not None for row in rows)
    printed = capsys.readouterr().out
    assert f"home (home): {N_IMAGES} images" in printed
    assert f"without images: of its {N_IMAGES} images {N_IMAGES} have an outline" in printed
    assert "nothing is left" in printed


def test_intervals_of_other_hospitals_need_a_model_with_checks(
    measured: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    table = measured["tables"]
    fold = ["--out-of-fold", str(table / "home.csv"), str(measured["home"])]
    away = ["--away", str(table / "away.csv"), str(measured["away"])]
    assert calibrate([*fold, *away, "--model", str(measured["model"]), "--output", "x.zip"]) == 2


def test_missing_dataset_and_equal_tables_are_named(
    measured: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    table = str(measured["tables"] / "home.csv")
    home = ["--home", table, str(measured["home"])]
    assert main([*home, "--away", table, "--no-head", table, str(measured["home"])]) == 2
    assert "has no dataset" in capsys.readouterr().err
    assert main([*home, "--away", table, str(measured["home"]), "--no-head", table, str(measured["home"])]) == 2
    assert "expected different names" in capsys.readouterr().err


def test_new_checks_leave_out_intervals_that_rest_on_others(measured: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "checked.zip"
    assert main([*options(measured), "--model", str(measured["model"]), "--output", str(output)]) == 0
    bundle = read_head_bundle(output)
    intervals = {
        "intercept": 0.0, "weights": {"log_hc": 1.0}, "interval_factor": 2.0, "coverage": 0.9, "review_above_mm": 3.0,
        "n_images": 100,
    }  # fmt: skip
    plain = bundle.replace(sections={"image_checks": None, "intervals": intervals})
    shifted = bundle.replace(sections={"image_checks": {**bundle.sections["image_checks"], "flag_below": 0.99}})
    shifted = shifted.replace(sections={"intervals": {**intervals, "unfamiliar_above": 0.5, "unfamiliar_factor": 4.0}})
    for name, model, is_kept in (("plain", plain, True), ("shifted", shifted, False)):
        model.write(tmp_path / f"{name}.zip")
        assert main([*options(measured), "--model", str(tmp_path / f"{name}.zip"), "--output", str(output)]) == 0
        assert ("intervals" in read_head_bundle(output).sections) == is_kept
