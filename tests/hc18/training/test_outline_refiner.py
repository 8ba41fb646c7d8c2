"""The outline refiner from training to the exported model that carries it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fetal_hc.engine.architecture import ExportOptions, ExportReport, build_model
from fetal_hc.engine.config import load_config
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc.errors import DatasetError, ModelError
from fetal_hc.io.images import read_image
from fetal_hc.model.preprocess import to_grey
from fetal_hc_cli.training.architectures import ARCHITECTURES
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.head_model import load_model
from hc18.measurement.polar_band import N_ANGLES, N_CHANNELS, N_RADII, fit_radii
from hc18.measurement.refiner import OutlineRefiner as ExportedRefiner
from hc18.training.architectures import OUTLINE_REFINER
from hc18.training.bundle_parts import attach_refiner, read_head_bundle
from hc18.training.outline_refiner import OutlineRefiner
from hc18.training.refiner_export import export_refiner
from tests.hc18.toy_bands import write_bands_config
from tests.synthetic_model import write_bright_object_model


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Configuration and output of one training, only to be read."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("refiner")
    config_file = write_bands_config(root / "data", root / "output")
    assert start_job(JobOptions(ARCHITECTURES, config_file, ("SOLVER.MAX_ITER", "150"))) == 0
    return config_file, root / "output"


@pytest.fixture(scope="module")
def exported(trained: tuple[Path, Path]) -> tuple[Path, ExportReport]:
    """The ONNX file of that training."""
    config_file, output_dir = trained
    target = output_dir / "refiner.onnx"
    cfg = load_config(ARCHITECTURES, config_file)
    return target, export_refiner(cfg, output_dir / "model_final.pth", target, ExportOptions())


@pytest.fixture
def network(trained: tuple[Path, Path]) -> OutlineRefiner:
    model = build_model(load_config(ARCHITECTURES, trained[0]), OUTLINE_REFINER)
    assert isinstance(model, OutlineRefiner)
    model.load_state_dict(torch.load(trained[1] / "model_final.pth", weights_only=False)["model"])
    return model.eval()


def test_training_moves_outlines_to_the_skull(trained: tuple[Path, Path]) -> None:
    """The rough outlines are 4 % too long; phantoms are easy enough to learn that in seconds."""
    results = json.loads((trained[1] / "results.json").read_text())["hc"]
    references = [image["hc_mm"] for image in json.loads((trained[0].parent / "heads.json").read_text())["images"]]
    assert results["n_scored"] == 6
    assert results["ADF_mean"] < 0.5 * 0.04 * float(np.mean(references))


def test_a_head_that_was_missed_stays_missed(trained: tuple[Path, Path], tmp_path: Path) -> None:
    config_file = write_bands_config(tmp_path / "data", tmp_path / "output", missed=2)
    weights = ("MODEL.WEIGHTS", str(trained[1] / "model_final.pth"))
    assert start_job(JobOptions(ARCHITECTURES, config_file, weights, eval_only=True)) == 0
    results = json.loads((tmp_path / "output" / "results.json").read_text())["hc"]
    assert (results["n_scored"], results["n_failed"]) == (4, 2)


def test_the_fit_inside_the_network_is_the_one_that_serves(network: OutlineRefiner) -> None:
    rng = np.random.default_rng(0)
    radii, weights = rng.uniform(0.9, 1.1, (3, N_ANGLES)), rng.uniform(0.1, 1.0, (3, N_ANGLES))
    found = network.fit(torch.tensor(radii).float(), torch.tensor(weights).float()).numpy()
    expected = [fit_radii(*pair) for pair in zip(radii, weights, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_turning_a_band_turns_the_answer(network: OutlineRefiner) -> None:
    """Angles go around in a circle: there is no first one. Whole strides of the coarsest resolution are exact."""
    band = torch.rand(1, N_CHANNELS, N_RADII, N_ANGLES)
    with torch.no_grad():
        logits, weights = network.read_band(band)
        turned_logits, turned_weights = network.read_band(band.roll(32, dims=3))
    torch.testing.assert_close(turned_logits, logits.roll(32, dims=2), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(turned_weights, weights.roll(32, dims=1), atol=1e-4, rtol=1e-4)


def test_exported_network_refines_as_the_eager_one(exported: tuple[Path, ExportReport]) -> None:
    target, report = exported
    assert report.size_bytes == target.stat().st_size
    assert set(report.differences) == {"radii", "weights"}
    assert str(Path.cwd()) not in target.read_bytes().decode("latin-1")


def test_a_model_carries_its_refiner(
    trained: tuple[Path, Path], exported: tuple[Path, ExportReport], tmp_path: Path
) -> None:
    config_file, refiner, whole = trained[0], exported[0], tmp_path / "whole.zip"
    plain = write_bright_object_model(tmp_path / "plain.onnx")
    assert load_model(plain).refiner is None
    attach_refiner(read_head_bundle(plain), refiner).write(whole)
    carried = load_model(whole)
    assert carried.refiner is not None
    coco = json.loads((config_file.parent / "heads.json").read_text())
    start = Ellipse(**coco["annotations"][0]["ellipse_px"])
    image = to_grey(read_image(config_file.parent / "001_HC.png"))
    direct = ExportedRefiner(refiner.read_bytes(), "refiner").refine(image, start)
    assert direct is not None
    assert carried.refiner.refine(image, start) == direct
    with pytest.raises(ModelError, match="an outline refiner has"):
        attach_refiner(read_head_bundle(plain), plain)
    with pytest.raises(ModelError, match="another origin"):
        read_head_bundle(refiner)


def test_refiner_in_8_bits_refines_nearly_the_same(
    trained: tuple[Path, Path], exported: tuple[Path, ExportReport], tmp_path: Path
) -> None:
    config_file, refiner = trained[0], exported[0]
    coco = config_file.parent / "heads.json"
    plain = read_head_bundle(write_bright_object_model(tmp_path / "plain.onnx"))
    image = to_grey(read_image(config_file.parent / "001_HC.png"))
    start = Ellipse(**json.loads(coco.read_text())["annotations"][0]["ellipse_px"])
    found = []
    for name, dataset in (("float", None), ("int8", coco)):
        attach_refiner(plain, refiner, n_bands=1, coco=dataset).write(tmp_path / f"{name}.zip")
        refine = load_model(tmp_path / f"{name}.zip").refiner
        assert refine is not None
        ellipse = refine.refine(image, start)
        assert ellipse is not None
        found.append(ellipse.circumference())
    assert 0.0 < abs(found[1] / found[0] - 1.0) < 0.01
    assert (tmp_path / "int8.zip").stat().st_size < (tmp_path / "float.zip").stat().st_size


def test_a_dataset_without_ellipses_is_refused(trained: tuple[Path, Path], tmp_path: Path) -> None:
    config_file = write_bands_config(tmp_path / "data", tmp_path / "output")
    path = tmp_path / "data" / "heads.json"
    content = json.loads(path.read_text())
    del content["annotations"][1]["ellipse_px"]
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"002_HC\.png: not one head with its ellipse"):
        start_job(JobOptions(ARCHITECTURES, config_file))
