"""Outcomes and quality flags of a measurement, and what each flag is called in front of a reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """Outcome of measuring one image; only `OK` has millimetres, `NO_PIXEL_SIZE` has an ellipse in px."""

    OK = "ok"
    NO_HEAD = "no_head"
    FIT_FAILED = "fit_failed"
    NO_PIXEL_SIZE = "no_pixel_size"


class Flag(StrEnum):
    """What a reviewer should look at although a value exists; `FLAG_TEXTS` says it in words."""

    TOUCHES_BORDER = "touches_border"
    LOW_SCORE = "low_score"
    FALLBACK_DETECTION = "fallback_detection"
    MASK_NOT_ELLIPTICAL = "mask_not_elliptical"
    REFINEMENT_FAILED = "refinement_failed"
    STAGES_DISAGREE = "stages_disagree"
    SEVERAL_HEADS = "several_heads"
    NOT_HEAD_PLANE = "not_head_plane"
    NO_MIDLINE = "no_midline"
    UNFAMILIAR_IMAGE = "unfamiliar_image"
    PIXEL_SIZES_DISAGREE = "pixel_sizes_disagree"
    IMPLAUSIBLE_HC = "implausible_hc"
    UNCERTAIN = "uncertain"


# These follow from the pixel size (and so change with it); the others are seen in the image alone.
PIXEL_SIZE_FLAGS = frozenset({Flag.PIXEL_SIZES_DISAGREE, Flag.IMPLAUSIBLE_HC, Flag.UNCERTAIN})


@dataclass(frozen=True, slots=True)
class FlagText:
    """A flag in words.

    Attributes:
        name: two or three words for a list.
        sentence: what was seen and what to check.
    """

    name: str
    sentence: str


# docs/data_formats.md shows this table; a test compares them.
FLAG_TEXTS: Mapping[str, FlagText] = MappingProxyType(
    {
        Flag.TOUCHES_BORDER: FlagText(
            "Head cut off", "The head leaves the field of view; the ellipse is extrapolated there."
        ),
        Flag.LOW_SCORE: FlagText(
            "Low confidence", "The detector is unsure that this is a head. Check the plane and the ellipse."
        ),
        Flag.FALLBACK_DETECTION: FlagText(
            "Second choice",
            "No ellipse fits the surest detection, so the next one was measured. Check that it is the head.",
        ),
        Flag.MASK_NOT_ELLIPTICAL: FlagText(
            "Ragged outline",
            "The detected outline is not a clean ellipse. Compare the ellipse with the skull all the way round.",
        ),
        Flag.REFINEMENT_FAILED: FlagText(
            "Not refined",
            "The refinement stage found no outline, so the ellipse is the less exact one of the detection stage.",
        ),
        Flag.STAGES_DISAGREE: FlagText(
            "Outline moved far",
            "The refinement stage changed the circumference by more than 5 %. Compare the ellipse with the skull.",
        ),
        Flag.SEVERAL_HEADS: FlagText(
            "Second head?", "There is another detection elsewhere in the image. Check that the right head is measured."
        ),
        Flag.NOT_HEAD_PLANE: FlagText(
            "Wrong plane?",
            "This may not be a transverse plane of the head, in which HC is measured. Check the plane.",
        ),
        Flag.NO_MIDLINE: FlagText(
            "No midline", "No midline shows inside the ellipse. Check that the plane is the one to measure in."
        ),
        Flag.UNFAMILIAR_IMAGE: FlagText(
            "Unfamiliar image",
            "The image is unlike those with exact references, so the interval is wider. Check the outline.",
        ),
        Flag.PIXEL_SIZES_DISAGREE: FlagText(
            "Pixel sizes differ",
            "Two sources give pixel sizes that differ by more than 1 %. Check which one is right.",
        ),
        Flag.IMPLAUSIBLE_HC: FlagText(
            "Unusual size or shape", "Size or shape is unlike a fetal head. Check the pixel size and the ellipse."
        ),
        Flag.UNCERTAIN: FlagText("Uncertain", "The expected error is large. Look at the outline closely."),
    }
)
# Written by versions up to 0.1; stored reviews and details files still hold them.
_FORMER_FLAG_TEXTS: Mapping[str, FlagText] = MappingProxyType(
    {
        "fits_disagree": FlagText(
            "Ragged outline", "The outline is ragged, or two ways to find the ellipse differ (earlier version)."
        )
    }
)


def flag_text(flag: str) -> FlagText:
    """A flag in words, also one of an earlier version; an unknown one keeps its name."""
    known = FLAG_TEXTS.get(flag) or _FORMER_FLAG_TEXTS.get(flag)
    return known or FlagText(str(flag), str(flag))


def in_order(flags: frozenset[Flag] | set[Flag]) -> tuple[Flag, ...]:
    """Flags in the order of the class, which is the one of every table and record."""
    return tuple(flag for flag in Flag if flag in flags)
