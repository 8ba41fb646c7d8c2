"""Puts a refiner and an interval model into the bundle of the detector they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fetal_hc.engine.checkpoints.exported_model import read_bundle, read_onnx
from fetal_hc.engine.export.quantization import quantize_network
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.images import read_image
from fetal_hc.model.bundle import INTERVALS, REFINER, ModelBundle
from fetal_hc.model.preprocess import to_grey
from fetal_hc.model.sessions import open_session
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.head_model import MEASUREMENT, REFINEMENT_SHARE
from hc18.measurement.image_checks import IMAGE_CHECKS, ImageChecks
from hc18.measurement.interval_model import IntervalModel
from hc18.measurement.outline import MIN_SCORE
from hc18.measurement.polar_band import band_input, sample_band
from hc18.measurement.refiner import INPUT_NAME, N_BANDS, REFINER_SECTION, check_refiner_signature

N_CALIBRATION_IMAGES = 60


def read_head_bundle(path: Path) -> ModelBundle:
    """A model of any format that this release measures with, ready to be changed and written as a bundle.

    Raises:
        ModelError: if it is damaged or something else.
    """
    bundle = read_bundle(path)
    if not bundle.is_single_file:
        return bundle
    sections = {**bundle.sections, MEASUREMENT: {"min_score": MIN_SCORE}}
    if REFINER in bundle.networks:
        sections[REFINER] = REFINER_SECTION
    return bundle.replace(sections=sections, is_single_file=False)


def attach_refiner(
    bundle: ModelBundle, refiner: Path, share: float = 1.0, n_bands: int = N_BANDS, coco: Path | None = None
) -> ModelBundle:
    """The model with a refiner in place of any earlier one.

    A calibration of the model as it was does not hold any more and is left out.

    Args:
        bundle: of `read_head_bundle`.
        refiner: ONNX file of `hc18.training.refiner_export`.
        share: where between the ellipses of detector (0) and refiner (1) the result lies.
        n_bands: how many bands the refiner reads one after the other.
        coco: images with outlines that give the ranges of an 8-bit refiner; without them it stays in float32.

    Raises:
        ModelError: if the file is something else.
    """
    payload = read_onnx(refiner).SerializeToString()
    check_refiner_signature(open_session(payload, str(refiner), 1), str(refiner))
    if coco is not None:
        payload = quantize_network(payload, _bands_of(coco), refiner)
    settings = {"min_score": MIN_SCORE, **bundle.sections.get(MEASUREMENT, {}), REFINEMENT_SHARE: share}
    if share == 1.0:
        del settings[REFINEMENT_SHARE]
    section = {**REFINER_SECTION, "n_bands": n_bands}
    return bundle.replace(
        networks={REFINER: payload}, sections={REFINER: section, MEASUREMENT: settings, INTERVALS: None}
    )


def _bands_of(coco: Path) -> Iterator[dict[str, Any]]:
    """Inputs of a refiner: the bands around the outlines of some images, evenly drawn.

    Raises:
        DatasetError: if the file or an image cannot be read.
    """
    dataset = read_coco(coco)
    outlines = {item.image_id: item.extra["ellipse_px"] for item in dataset.annotations if "ellipse_px" in item.extra}
    images = [image for image in dataset.images if image.id in outlines]
    for image in images[:: max(len(images) // N_CALIBRATION_IMAGES, 1)][:N_CALIBRATION_IMAGES]:
        grey = to_grey(read_image(resolve_image_path(coco, dataset, image)))
        yield {INPUT_NAME: band_input(sample_band(grey, Ellipse(**outlines[image.id])))[None]}


def add_intervals(bundle: ModelBundle, intervals: IntervalModel) -> ModelBundle:
    """The model with an interval model in place of any earlier one.

    Args:
        bundle: of `read_head_bundle`.
        intervals: calibrated on results of this model.
    """
    return bundle.replace(sections={INTERVALS: intervals.to_section()})


def add_image_checks(bundle: ModelBundle, checks: ImageChecks) -> ModelBundle:
    """The model with checks of plane and origin in place of any earlier ones.

    A calibration that rests on earlier checks does not hold any more and is left out; one that rests on none stays.

    Args:
        bundle: of `read_head_bundle`.
        checks: fitted to results of this model, or of others of its kind.
    """
    section = checks.to_section()
    intervals = bundle.sections.get(INTERVALS, {})
    is_stale = "unfamiliar_above" in intervals and bundle.sections.get(IMAGE_CHECKS) != section
    stale = {INTERVALS: None} if is_stale else {}
    return bundle.replace(sections={**stale, IMAGE_CHECKS: section})
