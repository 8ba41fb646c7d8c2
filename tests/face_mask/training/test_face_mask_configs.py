"""Each kind of face-mask configuration as it is, for one iteration on a few small photos."""

import json
from pathlib import Path

import pytest
import torch

from fetal_hc.engine.config import load_config
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.face_mask.toy_faces import CONFIGS, write_faces, write_manifest_dataset

TASKS = {"ImageClassifier": "classification", "TwoHeadDetector": "box", "SemanticSegmenter": "mask"}
# One of each network trains here. The others of report 1 differ in what test_printed_reports.py compares, those in
# `transfer` in their first weights.
NOT_TRAINED = {"scratch_2", "scratch_3", "scratch_5", "scratch_7", "mobilenet_v2_2", "mobilenet_v2_3", "mobilenet_v2_4"}
NOT_TRAINED |= {"mobilenet_v2_5", "xception_1", "xception_2", "xception_3", "xception_4", "two_head_frozen_best"}
NOT_TRAINED |= {"mask_rcnn_shipped_last"}  # mask_rcnn_shipped with other weights, data and rates
NOT_TRAINED |= {"classifier_random", "two_head_random", "unet_random", "classifier_finetuned"}
TRAININGS = [
    path
    for path in sorted(CONFIGS.rglob("*.yaml"))
    if path.stem not in NOT_TRAINED
    and not path.stem.startswith("Base")  # what others begin with
    and not load_config(ARCHITECTURES, path).TEST.ENSEMBLE
]


@pytest.mark.parametrize("config_file", TRAININGS, ids=[path.stem for path in TRAININGS])
def test_config_trains_and_is_scored(tmp_path: Path, config_file: Path) -> None:
    torch.set_num_threads(1)
    cfg = load_config(ARCHITECTURES, config_file)
    architecture = cfg.MODEL.META_ARCHITECTURE
    datasets = ["faces_train", "faces_val"]
    if architecture == "ImageClassifier":
        write_manifest_dataset(tmp_path)
        datasets = ["photos_train", "photos_val"]
    else:
        for name in datasets:
            is_binary = architecture == "TwoHeadDetector" and cfg.MODEL.NUM_CLASSES == 2
            write_faces(tmp_path, name, count=2, n_classes=2 if is_binary else 3)
    overrides = ["DATASETS.ROOT", str(tmp_path), "OUTPUT_DIR", str(tmp_path / "output")]
    overrides += ["DATASETS.TRAIN", str(datasets[:1]), "DATASETS.TEST", str(datasets[1:])]
    overrides += ["SOLVER.MAX_ITER", "1", "SOLVER.IMS_PER_BATCH", "2", "SOLVER.WARMUP_ITERS", "0"]
    overrides += [
        "MODEL.WEIGHTS",
        "",
        "TEST.EVAL_PERIOD",
        "0",
        "SOLVER.EARLY_STOPPING.PATIENCE",
        "0",
        "SOLVER.PLATEAU.PATIENCE",
        "0",
    ]
    if architecture == "GeneralizedRCNN":
        overrides += ["TEST.BEST_METRIC", "bbox/AP50"]
    assert start_job(JobOptions(ARCHITECTURES, config_file, tuple(overrides))) == 0
    results = json.loads((tmp_path / "output" / "results.json").read_text())
    assert TASKS.get(architecture, "bbox") in results
