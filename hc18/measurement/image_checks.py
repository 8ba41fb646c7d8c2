"""Whether an image is ultrasound, shows a plane in which the head is measured, and is like the images known.

Before a network looks at it, an image with many coloured pixels is refused as a photograph. Afterwards two linear
classifiers weigh the evidence of `hc18.measurement.evidence`; a bundle holds them in the section `image_checks`. The
first tells transverse planes of the head from everything else. The second tells images of the hospital whose references
are exact from images of others. `hc18.training.image_check_fit` makes both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import ModelError
from fetal_hc.model.bundle import check_section
from hc18.measurement.evidence import ORIGIN_EVIDENCE, PLANE_EVIDENCE, find_evidence
from hc18.measurement.flags import Flag, Status, in_order
from hc18.measurement.outline import HeadOutline

IMAGE_CHECKS = "image_checks"  # section of a bundle
_SECTION = IMAGE_CHECKS
# Share of coloured pixels. Colour Doppler, markers and menus of ultrasound images reach 0.17 (pydicom's test files);
# nine of ten photographs have more than 0.25.
MAX_COLOURED_SHARE = 0.25
# Distance of red - green or blue - green from what the tint of the image has at this brightness, in grey levels.
COLOUR_TOLERANCE = 20
_TINT_FITS = 3
_STRIDE_PX = 3  # every third row and column is enough for a share


@dataclass(frozen=True, slots=True)
class LinearScore:
    """A probability whose log-odds are linear in named numbers.

    Attributes:
        intercept: log-odds where all numbers are 0.
        weights: growth of the log-odds per unit, by name.
    """

    intercept: float
    weights: Mapping[str, float]

    def probability(self, evidence: Mapping[str, float]) -> float:
        """The probability, 0 to 1, for numbers that contain all of `weights`."""
        return 1.0 / (1.0 + math.exp(-min(max(self.log_odds(evidence), -50.0), 50.0)))

    def log_odds(self, evidence: Mapping[str, float]) -> float:
        """Logarithm of probability over its complement."""
        return self.intercept + sum(weight * evidence[name] for name, weight in self.weights.items())

    def rescaled(self, slope: float, offset: float) -> LinearScore:
        """The score whose log-odds are `slope` times these plus `offset`."""
        weights = {name: slope * weight for name, weight in self.weights.items()}
        return LinearScore(slope * self.intercept + offset, weights)


@dataclass(frozen=True, slots=True)
class ImageChecks:
    """Both classifiers with their limits.

    Attributes:
        plane: probability that an outline lies in a plane in which the head is measured.
        refuse_below: plane score below which no head is measured.
        flag_below: plane score below which a measurement is flagged.
        midline_below: contrast of the midline below which a flagged measurement says that there is none.
        origin: probability that an image comes from elsewhere.
        unfamiliar_above: that probability above which the image counts as unfamiliar.
    """

    plane: LinearScore
    refuse_below: float
    flag_below: float
    midline_below: float
    origin: LinearScore
    unfamiliar_above: float

    def apply(self, outline: HeadOutline, image_grey: NDArray[np.uint8]) -> HeadOutline:
        """The outline with plane score, unfamiliarity and their flags; without ellipse if the plane is refused.

        Args:
            outline: of `find_outline`; one without an ellipse stays as it is.
            image_grey: uint8 (H, W), the image it was found in.
        """
        if outline.ellipse_px is None or outline.score is None:
            return outline
        evidence = find_evidence(image_grey, outline.ellipse_px, outline.score, outline.quality)
        return self.judge(outline, evidence)

    def judge(self, outline: HeadOutline, evidence: Mapping[str, float]) -> HeadOutline:
        """What `apply` gives, from evidence that is known already."""
        plane_score, unfamiliarity = self.plane.probability(evidence), self.origin.probability(evidence)
        quality = replace(outline.quality, plane_score=plane_score, unfamiliarity=unfamiliarity)
        if plane_score < self.refuse_below:
            reason = (
                f"not a transverse plane of the head: plane score {plane_score:.2g}, at least {self.refuse_below:.2g}"
            )
            return HeadOutline(failure=Status.NO_HEAD, reason=reason, score=outline.score, quality=quality)
        is_doubtful = plane_score < self.flag_below
        raised = {
            Flag.NOT_HEAD_PLANE: is_doubtful,
            Flag.NO_MIDLINE: is_doubtful and evidence["midline"] < self.midline_below,
            Flag.UNFAMILIAR_IMAGE: unfamiliarity > self.unfamiliar_above,
        }
        flags = in_order({*outline.flags, *(flag for flag, is_raised in raised.items() if is_raised)})
        return replace(outline, quality=quality, flags=flags)

    def to_section(self) -> dict[str, Any]:
        """The section `image_checks` of a model bundle."""
        section: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            is_score = isinstance(value, LinearScore)
            section[item.name] = {"intercept": value.intercept, "weights": dict(value.weights)} if is_score else value
        return section

    @classmethod
    def from_section(cls, section: Mapping[str, Any], source: str) -> ImageChecks:
        """The checks that `to_section` gave.

        Args:
            section: `image_checks` of a bundle.
            source: name of the file, for messages.

        Raises:
            ModelError: naming the field that is missing or wrong.
        """
        check_section(_SECTION, section, cls, source)
        try:
            scores = {name: _to_score(section[name]) for name in ("plane", "origin")}
            limits = {name: float(section[name]) for name in section if name not in scores}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{source}: model.json: {_SECTION}: {type(error).__name__}: {error}") from error
        unknown = sorted(
            {name for score in scores.values() for name in score.weights} - {*PLANE_EVIDENCE, *ORIGIN_EVIDENCE}
        )
        numbers = [
            *limits.values(),
            *(n for score in scores.values() for n in (score.intercept, *score.weights.values())),
        ]
        if unknown or not all(map(math.isfinite, numbers)):
            raise ModelError(f"{source}: model.json: {_SECTION}: unknown evidence {unknown} or numbers not finite")
        return cls(plane=scores["plane"], origin=scores["origin"], **limits)


def _to_score(values: Mapping[str, Any]) -> LinearScore:
    return LinearScore(float(values["intercept"]), {str(name): float(w) for name, w in values["weights"].items()})


def coloured_share(image_rgb: NDArray[np.uint8]) -> float:
    """Share, 0 to 1, of the pixels whose colour is not that of the image's grey scale.

    The grey scale may be tinted, as many scanners offer: then red - green and blue - green are parabolas of the
    brightness through 0.

    Args:
        image_rgb: uint8 (H, W, 3).
    """
    sample = image_rgb[::_STRIDE_PX, ::_STRIDE_PX]
    if np.array_equal(sample[..., 0], sample[..., 1]) and np.array_equal(sample[..., 1], sample[..., 2]):
        return 0.0
    pixels = sample.reshape(-1, 3).astype(np.float32)
    hues = pixels[:, ::2] - pixels[:, 1:2]
    brightness = pixels.mean(axis=1) / 255.0
    basis = np.stack([brightness, brightness**2], axis=1)
    is_coloured = np.zeros(len(hues), dtype=np.bool_)
    # Least squares, then again without the pixels far off, which are no part of the grey scale.
    for _ in range(_TINT_FITS):
        tint = basis @ np.linalg.lstsq(basis[~is_coloured], hues[~is_coloured], rcond=None)[0]
        is_coloured = (np.abs(hues - tint) > COLOUR_TOLERANCE).any(axis=1)
    return float(is_coloured.mean())


def rejection_reason(image_rgb: NDArray[np.uint8]) -> str:
    """Why the image cannot be a B-mode ultrasound image; empty if it can.

    Args:
        image_rgb: uint8 (H, W, 3).
    """
    share = coloured_share(image_rgb)
    if share <= MAX_COLOURED_SHARE:
        return ""
    return (
        f"{share:.0%} of the pixels are coloured, at most {MAX_COLOURED_SHARE:.0%} in an ultrasound image; "
        "is this a photograph?"
    )
