"""Scores of predicted against reference ellipses: DF, ADF, DSC and HD, overall and per trimester.

A case without a prediction is counted as failed and never enters a mean.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fetal_hc.errors import DatasetError, raise_problems
from fetal_hc.io.coco import read_coco
from hc18.dataset.folder import TRAINING_TABLE, read_training_set
from hc18.dataset.pixel_size_table import read_pixel_sizes
from hc18.dataset.submission import read_submission
from hc18.evaluation.metrics import dice, hausdorff, hc_error
from hc18.evaluation.score_summary import (
    SECOND_TRIMESTER_HC_MM,
    THIRD_TRIMESTER_HC_MM,
    TRIMESTERS,
    GroupSummary,
    ScoredImage,
    summarise,
    summary_table,
)
from hc18.geometry.ellipse import Ellipse

_N_WORST = 5


@dataclass(frozen=True, slots=True)
class ReferenceCase:
    """What a prediction is compared with: file name, ellipse in mm, head circumference of the table in mm."""

    filename: str
    ellipse_mm: Ellipse
    hc_mm: float


@dataclass(frozen=True, slots=True)
class HcEvaluation:
    """All scores: each image, all images together, each trimester.

    Attributes:
        cases: one score per reference, in their order.
        overall: all images.
        trimesters: by name; see `score_summary.trimester_of`.
        n_ignored: predictions of labelled images outside the evaluated subset.
    """

    cases: tuple[ScoredImage, ...]
    overall: GroupSummary
    trimesters: Mapping[str, GroupSummary]
    n_ignored: int = 0

    @property
    def failed(self) -> tuple[str, ...]:
        """File names without a prediction."""
        return tuple(case.filename for case in self.cases if case.difference_mm is None)

    def worst(self, count: int = _N_WORST) -> tuple[ScoredImage, ...]:
        """The scored cases with the largest |DF|, largest first."""
        scored = [case for case in self.cases if case.difference_mm is not None]
        return tuple(sorted(scored, key=lambda case: -abs(case.difference_mm or 0.0))[:count])

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dicts, lists and numbers; lengths in mm, dice 0 to 1."""
        return {
            "trimester_hc_limits_mm": [SECOND_TRIMESTER_HC_MM, THIRD_TRIMESTER_HC_MM],
            "n_ignored": self.n_ignored,
            "overall": asdict(self.overall),
            "trimesters": {name: asdict(group) for name, group in self.trimesters.items()},
            "failed": list(self.failed),
            "cases": [{**asdict(case), "trimester": case.trimester} for case in self.cases],
        }

    def to_table(self) -> str:
        """The summary as text for a terminal."""
        lines = [
            summary_table({"all": self.overall, **self.trimesters}),
            "",
            "DF = predicted - reference HC, ADF = |DF|, DSC = overlap, HD = Hausdorff distance. Trimester by "
            f"reference HC: first < {SECOND_TRIMESTER_HC_MM} mm, third > {THIRD_TRIMESTER_HC_MM} mm.",
        ]
        lines += [
            f"largest |DF|: {case.filename} {case.difference_mm:+.2f} mm (reference {case.hc_mm:.1f} mm)"
            for case in self.worst()
        ]
        if self.failed:
            lines.append(f"failed, no prediction: {', '.join(self.failed)}")
        if self.n_ignored:
            lines.append(f"not part of the evaluated subset and left out: {self.n_ignored} rows")
        return "\n".join(lines)


def score_case(reference: ReferenceCase, predicted_mm: Ellipse | None) -> ScoredImage:
    """Scores of one image; without a prediction it is a failure.

    Args:
        reference: what to compare with.
        predicted_mm: ellipse in mm, in the same frame, or None.
    """
    if predicted_mm is None:
        return ScoredImage(reference.filename, reference.hc_mm)
    return ScoredImage(
        reference.filename,
        reference.hc_mm,
        predicted_mm.circumference(),
        hc_error(predicted_mm, reference.hc_mm),
        dice(predicted_mm, reference.ellipse_mm),
        hausdorff(predicted_mm, reference.ellipse_mm),
    )


def evaluate(predictions_mm: Mapping[str, Ellipse | None], references: Sequence[ReferenceCase]) -> HcEvaluation:
    """All scores of predictions against references.

    Args:
        predictions_mm: ellipse in mm of each file name; None or no entry is a failure.
        references: every image that had to be measured.

    Raises:
        DatasetError: if there is no reference, or a prediction belongs to no reference.
    """
    unknown = sorted(set(predictions_mm) - {reference.filename for reference in references})
    if unknown:
        raise_problems(
            DatasetError,
            [f"'{name}' has no reference; expected only labelled images; remove its row" for name in unknown],
            "predictions cannot be evaluated",
        )
    if not references:
        raise DatasetError("no reference case; expected at least one labelled image to evaluate")
    return collect_scores([score_case(reference, predictions_mm.get(reference.filename)) for reference in references])


def collect_scores(cases: Sequence[ScoredImage]) -> HcEvaluation:
    """Scores of single images with their summaries, overall and per trimester."""
    trimesters = {name: summarise([case for case in cases if case.trimester == name]) for name in TRIMESTERS}
    return HcEvaluation(tuple(cases), summarise(cases), trimesters)


def read_references(
    root: str | os.PathLike[str], *, names: Collection[str] | None = None, progress: bool = False
) -> list[ReferenceCase]:
    """References of an HC18 folder: ellipses fitted to the annotations, circumferences of the table.

    Args:
        root: HC18 folder.
        names: only these file names; all labelled images when None.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: lists every problem that forbids using the data.
    """
    return [
        ReferenceCase(case.filename, case.ellipse_px.to_mm(case.pixel_size_mm, case.pixel_size_mm), case.hc_mm)
        for case in read_training_set(root, names=names, progress=progress)
    ]


def evaluate_submission(
    submission: str | os.PathLike[str],
    root: str | os.PathLike[str],
    *,
    subset: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> HcEvaluation:
    """All scores of a submission CSV in the challenge's format; see `evaluate_labelled`.

    Raises:
        DatasetError: if the submission, the folder or the subset is invalid, or a row names no labelled image.
    """
    return evaluate_labelled(read_submission(submission), submission, root, subset=subset, progress=progress)


def evaluate_labelled(
    predictions_mm: Mapping[str, Ellipse],
    source: str | os.PathLike[str],
    root: str | os.PathLike[str],
    *,
    subset: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> HcEvaluation:
    """All scores of predictions against the labelled images of an HC18 folder.

    Args:
        predictions_mm: ellipse in mm of each file name.
        source: file they were read from, for messages.
        root: HC18 folder.
        subset: COCO JSON; only the images it names are evaluated. Rows of other labelled images are left out and
            counted in `n_ignored`; all labelled images are evaluated when None.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: if the folder or the subset is invalid, or a prediction names no labelled image.
    """
    labelled = {row.filename for row in read_pixel_sizes(Path(root) / TRAINING_TABLE, require_hc=True)}
    unknown = [name for name in predictions_mm if name not in labelled]
    if unknown:
        raise_problems(
            DatasetError,
            [f"{source}: '{name}' is not a labelled image of {root}; remove its row" for name in unknown],
            f"{source} cannot be evaluated",
        )
    names = None if subset is None else {Path(image.file_name).name for image in read_coco(subset).images}
    references = read_references(root, names=names, progress=progress)
    chosen = {reference.filename for reference in references}
    evaluation = evaluate({name: ellipse for name, ellipse in predictions_mm.items() if name in chosen}, references)
    return replace(evaluation, n_ignored=len(predictions_mm.keys() - chosen))
