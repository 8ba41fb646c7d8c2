"""A smoke version of every family of face-mask configurations: whole trainings on tiny data, and what they write."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.config import load_config
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.face_mask.toy_faces import CONFIGS, write_config, write_faces, write_manifest_dataset

pytestmark = pytest.mark.slow
TINY_CNN = {"NAME": "scratch_cnn", "CHANNELS": [4, 8], "NORM": "BN"}
FACES = {"TRAIN": ["faces"], "TEST": ["faces"]}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def run(config_file: Path, *overrides: str, **options: Any) -> dict[str, Any]:
    assert start_job(JobOptions(ARCHITECTURES, config_file, overrides, **options)) == 0
    results: dict[str, Any] = json.loads(
        (Path(load_config(ARCHITECTURES, config_file, overrides).OUTPUT_DIR) / "results.json").read_text()
    )
    return results


def two_head(folder: Path, **head: Any) -> Path:
    write_faces(folder)
    model = {"IMAGE_BACKBONE": TINY_CNN, "DENSE": {"UNITS": [8], "DROPOUT": 0.1}, "TWO_HEAD": head}
    return write_config(
        folder, "Base-TwoHead.yaml", {"MODEL": model, "INPUT": {"SQUARE": {"SIZE": 32}}, "DATASETS": FACES}
    )


def test_every_config_is_valid() -> None:
    names = {load_config(ARCHITECTURES, path).MODEL.META_ARCHITECTURE for path in CONFIGS.rglob("*.yaml")}
    assert names == {"ImageClassifier", "TwoHeadDetector", "SemanticSegmenter", "GeneralizedRCNN"}


@pytest.mark.parametrize("name", ["scratch_cnn", "mobilenet_v2", "resnet18"])
def test_classifier_trains_on_a_manifest(tmp_path: Path, name: str) -> None:
    changes = {
        "MODEL": {"IMAGE_BACKBONE": {**TINY_CNN, "NAME": name, "FREEZE_STAGES": 1}},
        "INPUT": {"SQUARE": {"SIZE": 32, "KEEP_ASPECT": True}},
        "DATASETS": {"TRAIN": ["photos_train"], "TEST": ["photos_val"]},
    }
    results = run(write_config(write_manifest_dataset(tmp_path), "Base-Classifier.yaml", changes))
    assert {"accuracy", "precision", "recall", "F1", "ROC_AUC"} <= results["classification"].keys()
    with (tmp_path / "output" / "confusion_classification_photos_val.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(int(row[name]) for row in rows for name in ("with_mask", "without_mask")) == 4


@pytest.mark.parametrize(
    "head",
    [
        {"FEATURES": "average", "HEADS": "shared", "NORMALIZED_BOXES": False, "BOX_LOSS": "mse"},
        {"FEATURES": "flatten", "HEADS": "separate_dropout", "BOX_LOSS": "smooth_l1"},
        {"FEATURES": "flatten", "REDUCE_CHANNELS": 4, "HEADS": "separate", "BOX_FORM": "center", "BOX_LOSS": "iou"},
        {"FEATURES": "attention", "BOX_FORM": "center", "BOX_ACTIVATION": "sigmoid", "BOX_LOSS": "ciou"},
    ],
)
def test_two_heads_train_on_single_faces(tmp_path: Path, head: dict[str, Any]) -> None:
    results = run(two_head(tmp_path, **head))
    assert set(results) == {"classification", "box"}
    assert 0.0 <= results["box"]["mean_IoU"] <= 100.0
    assert len((tmp_path / "output" / "box_faces.csv").read_text().splitlines()) == 7


def test_two_heads_learn_where_the_face_is(tmp_path: Path) -> None:
    head = {"FEATURES": "attention", "BOX_FORM": "center", "BOX_ACTIVATION": "sigmoid", "BOX_LOSS": "giou"}
    overrides = (
        "SOLVER.MAX_ITER",
        "150",
        "SOLVER.IMS_PER_BATCH",
        "6",
        "SOLVER.BASE_LR",
        "0.01",
        "TEST.EVAL_PERIOD",
        "0",
    )
    overrides += ("INPUT.RANDOM_FLIP", "none", "MODEL.DENSE.DROPOUT", "0.0")
    results = run(two_head(tmp_path, **head), *overrides)
    assert results["box"]["mean_IoU"] > 60.0
    assert results["classification"]["accuracy"] == 100.0


@pytest.mark.parametrize(
    "network",
    [
        {"NAME": "attention_unet", "CHANNELS": [4, 8, 16]},
        {"NAME": "residual_unet", "CHANNELS": [4, 8, 16]},
        {"NAME": "mobilenet_v2_unet", "FREEZE_ENCODER": True, "DICE_WEIGHT": 0.0},
    ],
)
def test_segmenters_train_on_mask_pixels(tmp_path: Path, network: dict[str, Any]) -> None:
    write_faces(tmp_path)
    changes = {"MODEL": {"SEGMENTER": network}, "INPUT": {"SQUARE": {"SIZE": 32}}, "DATASETS": FACES}
    results = run(write_config(tmp_path, "Base-Segmenter.yaml", changes))
    assert {"IoU", "Dice", "pixel_accuracy", "IoU_sd"} <= results["mask"].keys()
    assert results["mask"]["n_images"] == 6


def test_mask_rcnn_trains_on_boxes_and_masks_together(tmp_path: Path) -> None:
    write_faces(tmp_path, "boxes", faces=2, with_masks=False)
    write_faces(tmp_path, "masks")
    changes = {
        "MODEL": {
            "RESNETS": {"DEPTH": 50, "STEM_OUT_CHANNELS": 8, "WIDTH_PER_GROUP": 4, "RES2_OUT_CHANNELS": 16},
            "FPN": {"OUT_CHANNELS": 8},
            "RPN": {"POST_NMS_TOPK_TRAIN": 20, "POST_NMS_TOPK_TEST": 5},
            "ROI_HEADS": {"BATCH_SIZE_PER_IMAGE": 8},
            "ROI_BOX_HEAD": {"FC_DIM": 16, "POOLER_RESOLUTION": 3},
            "ROI_MASK_HEAD": {"NUM_CONV": 1, "CONV_DIM": 8, "POOLER_RESOLUTION": 7},
        },
        "INPUT": {"MIN_SIZE_TRAIN": [64], "MAX_SIZE_TRAIN": 96, "MIN_SIZE_TEST": 64, "MAX_SIZE_TEST": 96},
        "DATASETS": {"TRAIN": ["boxes", "masks"], "TEST": ["boxes", "masks"]},
        "TEST": {"BEST_METRIC": "boxes/bbox/AP50"},
    }
    results = run(write_config(tmp_path, "mask_rcnn_faces.yaml", changes))
    assert "AP50-with_mask" in results["boxes"]["bbox"]
    assert set(results["boxes"]) == {"bbox", "mask"}, "boxes without pixels have no mask AP"
    assert set(results["masks"]) == {"bbox", "mask"}, "some faces of this set have no pixels either"


def test_ensemble_averages_finished_trainings(tmp_path: Path) -> None:
    config_file = two_head(tmp_path, FEATURES="average")
    folders = [str(tmp_path / f"member{seed}") for seed in (1, 2)]
    for seed, folder in enumerate(folders):
        run(config_file, "OUTPUT_DIR", folder, "SEED", str(seed))
    overrides = ("OUTPUT_DIR", str(tmp_path / "ensemble"), "TEST.ENSEMBLE", str(folders))
    results = run(config_file, *overrides, eval_only=True)
    assert set(results) == {"classification", "box"}
    with pytest.raises(ConfigError, match=r"TEST\.ENSEMBLE names finished trainings to average; add --eval-only"):
        start_job(JobOptions(ARCHITECTURES, config_file, overrides))


def test_ensemble_of_one_scores_like_its_member(tmp_path: Path) -> None:
    config_file = two_head(tmp_path, FEATURES="average")
    run(config_file)
    best = ("MODEL.WEIGHTS", str(tmp_path / "output" / "model_best.pth"), "OUTPUT_DIR", str(tmp_path / "alone"))
    overrides = ("OUTPUT_DIR", str(tmp_path / "ensemble"), "TEST.ENSEMBLE", str([str(tmp_path / "output")]))
    assert run(config_file, *overrides, eval_only=True) == run(config_file, *best, eval_only=True)


def test_validation_losses_choose_the_best_checkpoint(tmp_path: Path) -> None:
    overrides = ("TEST.LOSSES", "True", "TEST.BEST_METRIC", "loss/total_loss", "TEST.BEST_MODE", "min")
    results = run(two_head(tmp_path, FEATURES="average"), *overrides)
    assert results["loss"]["total_loss"] == pytest.approx(results["loss"]["loss_cls"] + results["loss"]["loss_box"])
    assert json.loads((tmp_path / "output" / "best.json").read_text())["metric"] == "loss/total_loss"


def test_checkpoint_says_what_it_started_from(tmp_path: Path) -> None:
    config_file = two_head(tmp_path, FEATURES="average")
    run(config_file, "SOLVER.MAX_ITER", "1")
    final = tmp_path / "output" / "model_final.pth"
    assert checkpoint.read_checkpoint(final)["initial_weights"] == "random"
    run(config_file, "SOLVER.MAX_ITER", "1", "MODEL.WEIGHTS", str(final), "OUTPUT_DIR", str(tmp_path / "second"))
    assert checkpoint.read_checkpoint(tmp_path / "second" / "model_final.pth")["initial_weights"] == str(final)
    assert "training starts from random weights" in (tmp_path / "output" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("overrides", "kind", "message"),
    [
        (("MODEL.NUM_CLASSES", "2"), ConfigError, r"MODEL\.NUM_CLASSES is 2, but .* has 3 categories"),
        (("TEST.EVALUATORS", "['coco']"), ConfigError, r"\['coco'\] cannot score TwoHeadDetector"),
        (("MODEL.CLASS_WEIGHTS", "[1.0]"), ConfigError, r"CLASS_WEIGHTS: \[1\.0\] must hold 3 positive numbers"),
        (("SOLVER.EARLY_STOPPING.PATIENCE", "2", "TEST.EVAL_PERIOD", "0"), ConfigError, "waits for evaluations"),
        (("MODEL.TWO_HEAD.BOX_ACTIVATION", "sigmoid", "MODEL.TWO_HEAD.NORMALIZED_BOXES", "False"), ConfigError, "px"),
        (("MODEL.TWO_HEAD.FEATURES", "attention"), ConfigError, "FEATURES attention finds a centre"),
        (("MODEL.TWO_HEAD.CLASS_ACTIVATION", "sigmoid"), ConfigError, "a sigmoid tells 2 classes apart, not 3"),
        (("MODEL.TWO_HEAD.BOX_HEAD.DROPOUT", "1.0"), ConfigError, r"BOX_HEAD\.DROPOUT: 1\.0 must be in"),
        (("TEST.BEST_METRIC", "loss/total_loss"), ConfigError, "'loss/total_loss' will not be evaluated"),
        (("INPUT.AUG.SATURATION_RANGE", "[2, 1]"), ConfigError, r"SATURATION_RANGE: \[2, 1\] is not \[low, high\]"),
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, overrides: tuple[str, ...], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        start_job(JobOptions(ARCHITECTURES, two_head(tmp_path, FEATURES="average"), overrides))


def test_photos_with_several_faces_do_not_suit_two_heads(tmp_path: Path) -> None:
    config_file = two_head(tmp_path, FEATURES="average")
    write_faces(tmp_path, faces=2)
    with pytest.raises(DatasetError, match=r"2 objects; expected one; convert with --single-face"):
        start_job(JobOptions(ARCHITECTURES, config_file))


def test_boxes_without_pixels_do_not_suit_a_segmenter(tmp_path: Path) -> None:
    write_faces(tmp_path, with_masks=False)
    config_file = write_config(tmp_path, "Base-Segmenter.yaml", {"DATASETS": FACES})
    with pytest.raises(DatasetError, match="an object without mask pixels"):
        start_job(JobOptions(ARCHITECTURES, config_file))
