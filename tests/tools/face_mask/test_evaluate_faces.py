"""`face-mask evaluate`: predicted faces against labels."""

import json
from pathlib import Path

import pytest

from fetal_hc.io.coco import read_coco
from fetal_hc.model.model_spec import INSTANCES
from fetal_hc_cli.evaluate_faces import main
from fetal_hc_cli.predict_faces import main as predict
from tests.face_mask.toy_faces import CLASSES, write_faces
from tests.synthetic_model import head_spec, write_bright_object_model


def as_prediction(labels: Path, output: Path, score: float = 0.9) -> Path:
    """The labels as a prediction of the same photos."""
    content = json.loads(labels.read_text())
    for annotation in content["annotations"]:
        annotation["score"] = score
    content["info"] = {"image_root": "."}
    output.write_text(json.dumps(content))
    return output


def test_perfect_prediction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write_faces(tmp_path, count=6)
    assert main(["--found", str(as_prediction(labels, tmp_path / "found.json")), "--labels", str(labels)]) == 0
    printed = capsys.readouterr().out
    assert "faces.json: 6 photos" in printed
    assert "AP50 with_mask: 100.0 % (3 faces)" in printed
    assert "AP50 without_mask: 100.0 % (3 faces)" in printed
    assert "mask IoU: 100.0 % (3 photos)" in printed


def test_wrong_class_and_missing_face_cost_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write_faces(tmp_path, count=4)
    found = as_prediction(labels, tmp_path / "found.json")
    content = json.loads(found.read_text())
    content["annotations"] = [item for item in content["annotations"] if item["category_id"] == 1]
    content["annotations"][0] |= {"category_id": 3, "segmentation": None}
    found.write_text(json.dumps(content))
    assert main(["--found", str(found), "--labels", str(labels)]) == 0
    printed = capsys.readouterr().out
    assert "AP50 with_mask: 50.5 %" in printed  # one of two faces, in COCO's 101 points
    assert "AP50 without_mask: 0.0 %" in printed
    assert "mask IoU: 50.0 %" in printed


def test_prediction_of_a_dataset_covers_its_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write_faces(tmp_path / "photos", count=4)
    spec = head_spec(60, 80, class_names=CLASSES)
    assert spec.task == INSTANCES
    model = write_bright_object_model(tmp_path / "m.onnx", spec)
    output = tmp_path / "out"
    assert predict([str(labels), "--model", str(model), "--output", str(output), "--no-pictures"]) == 0
    assert len(read_coco(output / "faces.json").images) == 4
    assert main(["--found", str(output / "faces.json"), "--labels", str(labels)]) == 0
    assert "AP50 with_mask" in capsys.readouterr().out


def test_missing_photos_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write_faces(tmp_path, count=4)
    found = as_prediction(write_faces(tmp_path, "others", count=2), tmp_path / "found.json")
    assert main(["--found", str(found), "--labels", str(labels)]) == 2
    assert "faces_4.png: is labelled but not predicted" in capsys.readouterr().err
