"""Square samples: geometry of images, boxes and masks together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from face_mask.training.square_mapper import move_box, union_mask
from fetal_hc.engine.architecture import Mapper
from fetal_hc.engine.config import CfgNode, get_default_config
from fetal_hc.engine.data.geometry import rotation, scaling, translation
from fetal_hc.errors import DatasetError
from fetal_hc.io.masks import mask_to_rle
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.architectures import architecture_of

HW = (40, 80)
BOX = [20.0, 10.0, 24.0, 16.0]


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    """A dark photo with a bright rectangle, which is its face and its mask."""
    mask = np.zeros(HW, dtype=bool)
    mask[10:26, 20:44] = True
    path = tmp_path / "face.png"
    Image.fromarray(np.where(mask, 200, 10).astype(np.uint8)).convert("RGB").save(path)
    annotation = {"bbox": BOX, "category_id": 1, "segmentation": mask_to_rle(mask), "iscrowd": 0}
    return {"file_name": str(path), "image_id": 1, "height": HW[0], "width": HW[1], "annotations": [annotation]}


def config(task: str, **aug: Any) -> CfgNode:
    cfg = get_default_config(ARCHITECTURES)
    cfg.MODEL.META_ARCHITECTURE = task
    cfg.INPUT.SQUARE.SIZE = 64
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.INPUT.FORMAT = "RGB"
    for key, value in aug.items():
        cfg.INPUT.AUG[key] = value
    return cfg


def mapper_of(cfg: CfgNode, is_train: bool) -> Mapper:
    return architecture_of(cfg).mapper(cfg, is_train)


def box_of_bright(image: np.ndarray, level: float) -> np.ndarray:
    rows, columns = np.nonzero(image > level)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], dtype=float)


@pytest.mark.parametrize("keep_aspect", [False, True])
@pytest.mark.parametrize("flip", ["none", "horizontal"])
def test_box_mask_and_image_agree(record: dict[str, Any], keep_aspect: bool, flip: str) -> None:
    motion = {"SCALE_RANGE": [0.8, 1.2], "TRANSLATE_FRAC": 0.1}
    for seed in range(4):
        samples = {}
        for task in ("TwoHeadDetector", "SemanticSegmenter"):
            cfg = config(task, **motion)
            cfg.INPUT.SQUARE.KEEP_ASPECT, cfg.INPUT.RANDOM_FLIP = keep_aspect, flip
            samples[task] = mapper_of(cfg, is_train=True)(record, (seed,))
        box = samples["TwoHeadDetector"]["box_xyxy"].numpy()
        shown = box_of_bright(samples["TwoHeadDetector"]["image"][0].numpy(), 105)
        covered = box_of_bright(samples["SemanticSegmenter"]["mask"].numpy(), 0.5)
        np.testing.assert_allclose(shown, box, atol=1.1)
        np.testing.assert_allclose(covered, box, atol=1.1)


def test_affine_leads_back_to_the_original_pixels(record: dict[str, Any]) -> None:
    cfg = config("TwoHeadDetector", TRANSLATE_FRAC=0.1)
    cfg.INPUT.SQUARE.KEEP_ASPECT = True
    sample = mapper_of(cfg, is_train=True)(record, (2,))
    back = np.linalg.inv(sample["affine_to_input"])
    corners = sample["box_xyxy"].numpy().reshape(2, 2) @ back[:2, :2].T + back[:2, 2]
    np.testing.assert_allclose(corners.ravel(), [20, 10, 44, 26], atol=1e-4)


def test_face_is_never_pushed_out(record: dict[str, Any]) -> None:
    mapper = mapper_of(config("TwoHeadDetector", TRANSLATE_FRAC=0.9), is_train=True)
    for seed in range(20):
        box = mapper(record, (seed,))["box_xyxy"].numpy()
        assert (box[2:] - box[:2]).prod() >= 0.69 * (24 / 80 * 64) * (16 / 40 * 64)


def test_class_of_a_photo_needs_neither_box_nor_size(record: dict[str, Any]) -> None:
    bare = {"file_name": record["file_name"], "image_id": 1, "annotations": [{"category_id": 1, "iscrowd": 0}]}
    sample = mapper_of(config("ImageClassifier", ROTATION_DEG=10.0), is_train=True)(bare, (1,))
    assert sample["class_id"] == 1
    assert tuple(sample["image"].shape) == (3, 64, 64)


def test_cached_image_is_read_once(record: dict[str, Any]) -> None:
    cfg = config("SemanticSegmenter")
    cfg.DATALOADER.CACHE_IMAGES = True
    mapper = mapper_of(cfg, is_train=True)
    first = mapper(record, (1,))
    Path(record["file_name"]).unlink()
    again = mapper(record, (1,))
    assert (first["image"] == again["image"]).all()
    assert (first["mask"] == again["mask"]).all()


def test_same_seed_gives_the_same_sample(record: dict[str, Any]) -> None:
    aug = {"ROTATION_DEG": 20.0, "SATURATION_RANGE": [0.5, 1.5], "HUE_DEG": 20.0, "CONTRAST_RANGE": [0.5, 1.5]}
    mapper = mapper_of(config("ImageClassifier", **aug), is_train=True)
    one, same, other = (mapper(record, seed)["image"] for seed in ((1, 2), (1, 2), (1, 3)))
    assert (one == same).all()
    assert not (one == other).all()


def test_evaluation_sample_has_no_targets_and_no_augmentation(record: dict[str, Any]) -> None:
    mapper = mapper_of(config("TwoHeadDetector", ROTATION_DEG=30.0), is_train=False)
    sample = mapper(record, (1,))
    assert sample.keys() >= {"image", "affine_to_input", "height", "width"}
    assert not {"class_id", "box_xyxy", "annotations"} & sample.keys()
    np.testing.assert_allclose(sample["affine_to_input"], np.diag([0.8, 1.6, 1.0]))


def test_image_of_another_size_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match=r"image is 40 x 80 px .* but its record says 41 x 80"):
        mapper_of(config("TwoHeadDetector"), is_train=False)({**record, "height": 41})


def test_box_under_flip_and_scale_is_the_moved_box() -> None:
    matrix = translation(100.0, 3.0) @ scaling(-2.0, 0.5)
    np.testing.assert_allclose(move_box(BOX, matrix), [100 - 88, 8.0, 100 - 40, 16.0])


def test_box_under_rotation_hugs_the_ellipse() -> None:
    np.testing.assert_allclose(move_box([-2.0, -1.0, 4.0, 2.0], rotation(np.pi / 2)), [-1, -2, 1, 2], atol=1e-12)
    turned = move_box([-2.0, -2.0, 4.0, 4.0], rotation(0.7))
    np.testing.assert_allclose(turned, [-2, -2, 2, 2], atol=1e-12)


def test_union_holds_polygons_and_run_lengths(record: dict[str, Any]) -> None:
    polygon = {"category_id": 0, "segmentation": [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0]]}
    union = union_mask({**record, "annotations": [*record["annotations"], polygon, {"category_id": 2}]})
    assert union.sum() == 16 * 24 + 16
