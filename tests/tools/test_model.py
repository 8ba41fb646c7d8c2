"""fetal-hc model: what a model file holds, and bundles from older files."""

import base64
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from fetal_hc.model.bundle import DETECTOR, REFINER, ModelBundle
from fetal_hc_cli.model import main
from hc18.measurement.head_model import bundled_model_path, load_model
from hc18.measurement.image_checks import IMAGE_CHECKS
from tests.synthetic_model import write_bright_object_model


@pytest.fixture(scope="module")
def old_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model as one ONNX file with its parts in the metadata, as earlier releases wrote it."""
    bundle = ModelBundle.read(bundled_model_path())
    proto = onnx.load_model_from_string(bundle.networks[DETECTOR])
    metadata = {item.key: item.value for item in proto.metadata_props}
    metadata["fetal_hc.trust"] = json.dumps(dict(bundle.sections["intervals"]))
    metadata["fetal_hc.outline_refiner"] = base64.b64encode(bundle.networks[REFINER]).decode()
    onnx.helper.set_model_props(proto, metadata)
    path = tmp_path_factory.mktemp("old") / "hc18.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_info_prints_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(bundled_model_path())]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["version"]) == ("hc18", "1.1.0")
    assert shown["intervals"]["n_images"] == shown["training"]["n_images"] == 801
    assert set(shown["bytes"]) == {"detector.onnx", "refiner.onnx"}


def test_info_prints_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(bundled_model_path()), "--config"]) == 0
    assert "META_ARCHITECTURE: GeneralizedRCNN" in capsys.readouterr().out


def test_info_refuses_what_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.zip").write_bytes(b"PK\x03\x04 and nothing else")
    assert main(["info", str(tmp_path / "m.zip")]) == 2
    assert "damaged model bundle" in capsys.readouterr().err


def test_old_file_measures_as_it_is(old_file: Path) -> None:
    image = np.full((540, 800, 3), 90, np.uint8)
    old, new = load_model(old_file), load_model()
    assert old.intervals == new.intervals
    assert old.refiner is not None
    for one, other in zip(old.predict(image), new.predict(image), strict=True):
        np.testing.assert_array_equal(one.box_xyxy, other.box_xyxy)


def test_converted_file_is_the_shipped_one_but_for_its_image_checks(old_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.zip"
    shipped = ModelBundle.read(bundled_model_path())
    (tmp_path / "training.json").write_text(json.dumps(dict(shipped.sections["training"])))
    identity = ["--name", "hc18", "--model-version", "1.1.0", "--training", str(tmp_path / "training.json")]
    assert main(["convert", str(old_file), str(output), *identity]) == 0
    shipped.replace(sections={IMAGE_CHECKS: None}).write(tmp_path / "expected.zip")
    assert output.read_bytes() == (tmp_path / "expected.zip").read_bytes()
    assert main(["convert", str(old_file), str(output)]) == 2  # exists


@pytest.mark.parametrize("text", ["{", "[]"])
def test_summary_that_is_no_object_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "training.json").write_text(text)
    model = write_bright_object_model(tmp_path / "m.onnx")
    arguments = ["convert", str(model), str(tmp_path / "m.zip"), "--training", str(tmp_path / "training.json")]
    assert main(arguments) == 2
    assert "training.json" in capsys.readouterr().err
    assert not (tmp_path / "m.zip").exists()
