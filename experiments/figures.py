"""Keep the figures that README, model card and docs quote in one file, docs/figures.json.

    python -m experiments.figures                       # check that every page quotes the file; exit code 1 if not
    python -m experiments.figures --write               # put the file's figures into the pages
    python -m experiments.figures --measure HC18_DIR    # compute the figures of accuracy and intervals, then --write
    python -m experiments.figures --set KEY=TEXT ... --command "COMMAND"   # keep what another command printed

A page marks a figure as `<!--=KEY-->TEXT<!--/-->`. The file holds the text of each key and the command that printed it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fetal_hc.errors import ConfigError, raise_problems
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc_cli import check_together, new_parser, reports_bad_input
from hc18.dataset.convert import TRAIN_FILE, VAL_FILE, convert_hc18
from hc18.evaluation.evaluate import evaluate_labelled
from hc18.evaluation.score_summary import GroupSummary, Statistics
from hc18.measurement.details import read_details
from hc18.uncertainty.labelled_measurements import read_common_features, read_labelled_measurements
from hc18.uncertainty.transfer import validate_reference_run
from hc18.uncertainty.validation import ValidationReport, report_validation, validate_intervals

ROOT = Path(__file__).resolve().parents[1]
FIGURES_FILE = "docs/figures.json"
PAGES = ("README.md", "hc18/shipped/*.md", "docs/*.md")
CALIBRATION = "experiments/calibration"
MEASURE = "python -m experiments.figures --measure HC18"
_MARK = re.compile(r"<!--=(?P<key>[\w.]+)-->(?P<text>.*?)<!--/-->")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as pages quote it.

    Attributes:
        text: the number with the digits that are shown, without its unit.
        command: what printed it.
    """

    text: str
    command: str


def read_figures(root: Path = ROOT) -> dict[str, Figure]:
    """The figures by key.

    Raises:
        ConfigError: if the file cannot be read or has another form.
    """
    path = root / FIGURES_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: Figure(str(value["text"]), str(value["command"])) for key, value in content.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); expected figures with text and command") from error


def write_figures(figures: Mapping[str, Figure], root: Path = ROOT) -> None:
    """Writes the figures, sorted by key."""
    content = {key: {"text": figures[key].text, "command": figures[key].command} for key in sorted(figures)}
    write_text_atomic(root / FIGURES_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def find_pages(root: Path = ROOT) -> list[Path]:
    """The pages that may quote figures."""
    return [page for pattern in PAGES for page in sorted(root.glob(pattern))]


def render(text: str, figures: Mapping[str, Figure], where: str) -> str:
    """A page with the text of every marked figure replaced by the file's.

    Raises:
        ConfigError: listing every key that the file does not have.
    """
    unknown = sorted({found["key"] for found in _MARK.finditer(text)} - set(figures))
    if unknown:
        problems = [f"{where}: quotes '{key}'; expected a key of {FIGURES_FILE}" for key in unknown]
        raise_problems(ConfigError, problems, "pages quote figures that do not exist")
    return _MARK.sub(lambda found: f"<!--={found['key']}-->{figures[found['key']].text}<!--/-->", text)


def find_outdated(root: Path = ROOT) -> list[str]:
    """A sentence for each figure that a page quotes with another text than the file.

    Raises:
        ConfigError: if the file cannot be read, or a page quotes a figure that does not exist.
    """
    figures = read_figures(root)
    outdated = []
    for page in find_pages(root):
        text, name = page.read_text(encoding="utf-8"), page.relative_to(root).as_posix()
        render(text, figures, name)
        outdated += [
            f"{name}: quotes {found['key']} as {found['text']}; {FIGURES_FILE} has {figures[found['key']].text}"
            for found in _MARK.finditer(text)
            if found["text"] != figures[found["key"]].text
        ]
    return outdated


def measure_figures(hc18: Path, root: Path = ROOT) -> dict[str, Figure]:
    """Accuracy and intervals from the out-of-fold measurements in the repository and the references of an HC18 folder.

    Raises:
        FetalHCError: if the folder or a file of measurements cannot be used.
    """
    folder = root / CALIBRATION
    texts: dict[str, str] = {}
    with TemporaryDirectory() as temporary:
        convert_hc18(hc18, temporary)
        train, val = Path(temporary) / TRAIN_FILE, Path(temporary) / VAL_FILE
        for name, file, subset in (
            ("folds", "folds.csv", None),
            ("folds_detection", "folds_detection_stage.csv", None),
            ("reference_run", "reference_run.csv", val),
        ):
            rows = read_details(folder / file)
            found = {row.file_name: row.ellipse_mm for row in rows if row.ellipse_mm is not None}
            evaluation = evaluate_labelled(found, folder / file, hc18, subset=subset, progress=True)
            texts |= _accuracy(name, evaluation.overall)
            for trimester, group in evaluation.trimesters.items():
                texts |= _accuracy(f"{name}.{trimester}", group)
        of_folds = [item for part in (train, val) for item in read_labelled_measurements(folder / "folds.csv", part)[0]]
        of_reference, _ = read_labelled_measurements(folder / "reference_run.csv", val)
        unlabelled = [folder / f"{name}_unlabelled.csv" for name in ("folds", "reference_run")]
        folds_features, reference_features = read_common_features(*unlabelled)
        texts |= _intervals("folds", report_validation(validate_intervals(of_folds)))
        validated = validate_reference_run(of_folds, of_reference, reference_features, folds_features)
        texts |= _intervals("reference_run", report_validation(validated))
    return {key: Figure(text, MEASURE) for key, text in texts.items()}


def _accuracy(name: str, group: GroupSummary) -> dict[str, str]:
    """The figures of one group of images under `name`."""
    texts = {f"{name}.images": str(group.n_scored + group.n_failed), f"{name}.failed": str(group.n_failed)}
    for key, statistics, factor, sign in (
        ("df_mm", group.difference_mm, 1.0, "+"),
        ("adf_mm", group.absolute_difference_mm, 1.0, ""),
        ("dsc_percent", group.dice, 100.0, ""),
        ("hd_mm", group.hausdorff_mm, 1.0, ""),
    ):
        if statistics is not None:
            texts |= _statistics(f"{name}.{key}", statistics, factor, sign)
    return texts


def _statistics(name: str, statistics: Statistics, factor: float, sign: str) -> dict[str, str]:
    """Mean, SD, median, 95th percentile and largest value with two decimals."""
    values = {
        "mean": statistics.mean,
        "sd": statistics.sd,
        "median": statistics.median,
        "p95": statistics.p95,
        "max": statistics.max,
    }
    return {
        f"{name}.{key}": f"{factor * value:{sign if key != 'sd' else ''}.2f}"
        for key, value in values.items()
        if value is not None
    }


def _intervals(name: str, report: ValidationReport) -> dict[str, str]:
    """Coverage, width and what the review mark catches, under `name`."""
    texts = {
        f"{name}.flag.n_large": str(report.n_large),
        f"{name}.flag.caught_percent": f"{100 * report.sensitivity:.0f}",
        f"{name}.flag.attainable_percent": f"{100 * report.attainable:.0f}",
        f"{name}.flag.false_percent": f"{100 * report.false_review:.0f}",
        f"{name}.flag.adf_unmarked_mm": f"{report.adf_kept_mm:.2f}",
    }
    for group, (n_images, share, width_mm) in report.groups.items():
        texts[f"{name}.interval.{group}.images"] = str(n_images)
        texts[f"{name}.interval.{group}.inside_percent"] = f"{100 * share:.1f}"
        texts[f"{name}.interval.{group}.width_mm"] = f"{width_mm:.1f}"
    return texts


def write_pages(root: Path = ROOT) -> list[str]:
    """Puts the file's figures into the pages; returns the names of the pages that changed.

    Raises:
        ConfigError: if the file cannot be read, or a page quotes a figure that does not exist.
    """
    figures, changed = read_figures(root), []
    for page in find_pages(root):
        text = page.read_text(encoding="utf-8")
        rendered = render(text, figures, page.relative_to(root).as_posix())
        if rendered != text:
            write_text_atomic(page, rendered)
            changed.append(page.relative_to(root).as_posix())
    return changed


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--write", action="store_true", help="put the file's figures into the pages")
    parser.add_argument("--measure", type=Path, metavar="HC18_DIR", help="compute accuracy and intervals first")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=TEXT", help="figures that another command printed")
    parser.add_argument("--command", metavar="COMMAND", help="with --set: the command")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    options = parser.parse_args(argv)
    check_together(parser, options, "set", "command")
    new = _given(options.set, options.command)
    if options.measure is not None:
        new |= measure_figures(options.measure)
    if new:
        write_figures({**read_figures(), **new})
    if new or options.write:
        for page in write_pages():
            print(f"{page}: changed")
    outdated = find_outdated()
    for sentence in outdated:
        print(sentence)
    print(f"{len(outdated)} outdated figures in {len(find_pages())} pages")
    return 1 if outdated else 0


def _given(pairs: Iterable[str], command: str | None) -> dict[str, Figure]:
    """The figures of the command line.

    Raises:
        ConfigError: if one is not KEY=TEXT.
    """
    figures = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not re.fullmatch(r"[\w.]+", key) or not text:
            raise ConfigError(f"--set '{pair}': expected KEY=TEXT, a key of letters, digits, '_' and '.'")
        figures[key] = Figure(text, command or "")
    return figures


if __name__ == "__main__":
    sys.exit(main())
