import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from fetal_hc.engine.structures import CoverageMasks, Detections, PolygonMasks, Targets, rasterize_polygons_within_box
from fetal_hc.io.masks import polygon_to_coverage
from hc18.geometry.ellipse import Ellipse

ELLIPSE = Ellipse.from_axes(160.37, 108.71, 84.2, 61.9, 0.5)
IMAGE_HW = (216, 320)
BOX = [73.4, 41.2, 249.1, 178.6]
FIRST = torch.zeros(1, dtype=torch.int64)


def outline() -> np.ndarray:
    return ELLIPSE.outline(720) + 0.5


def coverage_masks(is_binary: bool = False) -> CoverageMasks:
    return CoverageMasks(torch.from_numpy(polygon_to_coverage(outline(), IMAGE_HW, 16))[None], is_binary)


def crop_to_image(points_uv: np.ndarray, box: list[float], size: int) -> np.ndarray:
    """Cell centres (u, v) of a crop in pixel-centre image coordinates."""
    low, high = np.array(box[:2]), np.array(box[2:])
    return (points_uv + 0.5) / size * (high - low) + low - 0.5


def half_crossings_px(target: np.ndarray, axis: int) -> np.ndarray:
    """Distances outside the ellipse of the points where a soft crop crosses 0.5 along an axis the outline is not on."""
    size = target.shape[0]
    lines = target if axis == 0 else target.T
    row, column = np.nonzero((lines[:, :-1] >= 0.5) != (lines[:, 1:] >= 0.5))
    before, after = lines[row, column], lines[row, column + 1]
    crossing = np.stack([column + (0.5 - before) / (after - before), row], axis=1)
    points = crop_to_image(crossing if axis == 0 else crossing[:, ::-1], BOX, size)
    points -= [ELLIPSE.center_x, ELLIPSE.center_y]
    cos, sin = np.cos(ELLIPSE.angle_rad), np.sin(ELLIPSE.angle_rad)
    u, v = points @ [cos, sin], points @ [-sin, cos]
    level = np.hypot(u / ELLIPSE.semi_axis_a, v / ELLIPSE.semi_axis_b)
    gradient = np.stack([u / ELLIPSE.semi_axis_a**2, v / ELLIPSE.semi_axis_b**2], axis=1)
    normal = abs(gradient @ [[cos, sin], [-sin, cos]])
    crosses_axis = normal[:, axis] > normal[:, 1 - axis]
    return ((level - 1) * level / np.hypot(*gradient.T))[crosses_axis]


@pytest.mark.parametrize("size", [14, 28, 56])
def test_polygon_crop_is_the_coco_raster_of_the_polygon_in_box_units(size: int):
    box = torch.tensor([BOX])
    crop = PolygonMasks([[outline().ravel()]]).crop_and_resize(box, FIRST, size)[0].numpy()
    low, high = box[0, :2].numpy(), box[0, 2:].numpy()
    ratio = size / (high - low)
    polygon = ((outline() - low) * ratio).ravel()
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([polygon], size, size)))
    np.testing.assert_array_equal(crop, expected)


def test_polygon_crop_is_float_and_holds_one_row_per_box():
    masks = PolygonMasks([[np.array([0.0, 0, 4, 0, 4, 4, 0, 4])], [np.array([0.0, 0, 8, 0, 8, 8, 0, 8])]])
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 8], [0, 0, 8, 8]])
    crops = masks.crop_and_resize(boxes, torch.tensor([1, 0, 1]), 8)
    assert crops.dtype == torch.float32
    assert crops.sum(dim=(1, 2)).tolist() == [64, 16, 64]


def test_polygon_crop_joins_the_polygons_of_an_instance():
    masks = PolygonMasks([[np.array([0.0, 0, 2, 0, 2, 8, 0, 8]), np.array([4.0, 0, 8, 0, 8, 8, 4, 8])]])
    assert masks.crop_and_resize(torch.tensor([[0.0, 0, 8, 8]]), FIRST, 8).sum() == 48


def test_polygon_crop_of_an_instance_without_outline_is_zero():
    assert PolygonMasks([[]]).crop_and_resize(torch.tensor([[0.0, 0, 8, 8]]), FIRST, 8).sum() == 0


def test_polygon_crop_of_an_empty_box_stays_finite():
    crop = PolygonMasks([[outline().ravel()]]).crop_and_resize(torch.tensor([[160.0, 108, 160, 108]]), FIRST, 4)
    assert torch.isfinite(crop).all()


@pytest.mark.parametrize("size", [28, 56])
def test_soft_crop_has_the_area_of_the_ellipse(size: int):
    target = coverage_masks().crop_and_resize(torch.tensor([BOX]), FIRST, size)
    box_area = (BOX[2] - BOX[0]) * (BOX[3] - BOX[1])
    assert float(target.mean()) * box_area == pytest.approx(ELLIPSE.area(), rel=1e-3)


@pytest.mark.parametrize("size", [28, 56])
def test_soft_crop_crosses_one_half_on_the_ellipse(size: int):
    target = coverage_masks().crop_and_resize(torch.tensor([BOX]), FIRST, size)[0].numpy()
    distance_px = np.concatenate([half_crossings_px(target, axis=0), half_crossings_px(target, axis=1)])
    assert abs(distance_px.mean()) < 0.03
    # What remains is the curvature of a cell's coverage as the outline moves over it, alike on both sides.
    assert distance_px.std() < 0.05 * (BOX[2] - BOX[0]) / size


def test_soft_crop_of_a_plain_region_is_its_own_coverage():
    coverage = torch.zeros(1, 8, 8)
    coverage[0, 2:6, 2:6] = 1
    target = CoverageMasks(coverage).crop_and_resize(torch.tensor([[0.0, 0, 8, 8]]), FIRST, 8)
    torch.testing.assert_close(target, coverage)


def test_binary_coverage_crop_holds_zeros_and_ones_only():
    target = coverage_masks(is_binary=True).crop_and_resize(torch.tensor([BOX]), FIRST, 28)
    assert set(target.unique().tolist()) == {0.0, 1.0}


def test_crops_without_boxes_are_empty():
    no_boxes, no_indices = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    assert coverage_masks().crop_and_resize(no_boxes, no_indices, 28).shape == (0, 28, 28)
    assert PolygonMasks([[outline().ravel()]]).crop_and_resize(no_boxes, no_indices, 28).shape == (0, 28, 28)


def test_targets_count_their_instances_and_move_together():
    targets = Targets(torch.zeros(2, 4), torch.zeros(2).long(), coverage_masks(), torch.ones(2).bool())
    moved = targets.to("meta")
    assert len(targets) == 2
    assert {moved.boxes.device.type, moved.classes.device.type, moved.has_mask.device.type} == {"meta"}
    assert isinstance(moved.masks, CoverageMasks)
    assert moved.masks.coverage.device.type == "meta"


def test_detections_become_records_without_torch():
    detections = Detections(
        torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([0.25]), torch.tensor([3]), torch.full((1, 28, 28), 0.5)
    )
    (prediction,) = detections.to_predictions()
    assert prediction.box_xyxy.tolist() == [1, 2, 3, 4]
    assert prediction.box_xyxy.dtype == prediction.soft_mask.dtype == np.float32
    assert (prediction.score, prediction.label) == (0.25, 3)
    assert prediction.soft_mask.shape == (28, 28)


def test_detections_without_mask_head_fill_their_box():
    detections = Detections(torch.zeros(2, 4), torch.zeros(2), torch.zeros(2).long(), None)
    assert [prediction.soft_mask.tolist() for prediction in detections.to_predictions()] == [[[1.0]], [[1.0]]]


@pytest.mark.detectron2
@pytest.mark.parametrize("seed", range(20))
def test_polygon_raster_equals_detectron2(seed: int):
    from detectron2.structures.masks import rasterize_polygons_within_box as reference

    rng = np.random.default_rng(seed)
    polygons = [outline().ravel(), rng.uniform(-20, 340, 40)]
    box = np.sort(rng.uniform(0, 216, (2, 2)), axis=0).ravel().astype(np.float32)
    np.testing.assert_array_equal(
        rasterize_polygons_within_box(polygons, box, 28), reference(polygons, box, 28).numpy()
    )


@pytest.mark.parametrize("is_binary", [False, True])
def test_window_of_coverage_maps_gives_the_same_crops(is_binary: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.zeros(2, 60, 80)
    maps[0, 20:41, 30:52] = torch.rand(21, 22, generator=generator)
    maps[1, 45:60, 0:20] = torch.rand(15, 20, generator=generator)  # at two borders of the image
    corners = torch.rand(40, 2, 2, generator=generator) * torch.tensor([80.0, 60.0])
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1) + 1.0], dim=1)
    indices = torch.arange(40) % 2
    whole = CoverageMasks(maps, is_binary)
    window = whole.windowed()
    assert window.origin_xy == (0, 19)
    assert window.coverage.shape == (2, 41, 53)
    expected, found = (masks.crop_and_resize(boxes, indices, 14) for masks in (whole, window))
    if is_binary:
        assert (expected != found).float().mean() < 1e-3  # values at the threshold itself
    else:
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_only_the_window_travels_to_another_device() -> None:
    maps = torch.zeros(1, 400, 600)
    maps[0, 100:200, 250:400] = 1.0
    moved = CoverageMasks(maps).to("meta")
    assert moved.coverage.device.type == "meta"
    assert moved.coverage.shape == (1, 102, 152)
    assert moved.origin_xy == (249, 99)
    assert CoverageMasks(maps).to("cpu").coverage.shape == maps.shape


def test_window_of_empty_maps_is_a_pixel() -> None:
    window = CoverageMasks(torch.zeros(1, 30, 40)).windowed()
    assert window.coverage.shape == (1, 1, 1)
    assert not window.crop_and_resize(torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([0]), 7).any()
