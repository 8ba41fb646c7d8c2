"""A new quality figure costs one field: its column, its place in the record and its row in the docs follow or fail."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import pytest

from fetal_hc.io.columns import ColumnTable
from hc18.measurement.outline import Quality
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus, quality_columns
from hc18.reviews.canonical import from_quality
from hc18.reviews.models import ModelMeasurement

FIGURES = [item.name for item in fields(Quality)]


@dataclass(frozen=True, slots=True)
class LaterQuality(Quality):
    """The figures of a later version, with one more."""

    speckle_snr: float | None = field(default=None, metadata={"decimals": 3, "is_original": False})


LATER = LaterQuality(1.25, 0.125, 0.0625, speckle_snr=1.91)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_column_with_its_value(name: str) -> None:
    row = MeasurementRow("a.png", RowStatus.OK, "", quality=replace(Quality(), **{name: 0.5}))
    values = MEASUREMENT_TABLE.to_values(row)
    assert values[name] == 0.5
    assert MEASUREMENT_TABLE.from_values(values) == row


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_explained_in_the_docs(name: str, repository_root: Path) -> None:
    docs = (repository_root / "docs" / "data_formats.md").read_text(encoding="utf-8")
    assert any(f"`{name}`" in line for line in docs.splitlines() if line.startswith("| `"))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_in_the_record(name: str) -> None:
    assert from_quality(replace(Quality(), **{name: 0.5}))[name] == 0.5


def test_figures_of_the_first_version_are_in_every_record() -> None:
    assert from_quality(Quality()) == {"residual_percent": None, "disagreement_percent": None, "mask_entropy": None}


def test_later_figure_is_a_column_at_the_end_that_older_files_lack() -> None:
    added = quality_columns(LaterQuality, is_original=False)[-1:]
    table = ColumnTable((*MEASUREMENT_TABLE.columns, *added), MEASUREMENT_TABLE.from_values)
    assert (*MEASUREMENT_TABLE.names, "speckle_snr") == table.names
    assert table.required_names == MEASUREMENT_TABLE.required_names
    assert table.to_texts(MeasurementRow("a.png", RowStatus.OK, "", quality=LATER))[-1] == "1.910"


def test_later_figure_is_in_the_record_where_it_is_known() -> None:
    assert from_quality(LATER)["speckle_snr"] == 1.91
    assert from_quality(LaterQuality(1.25, 0.125, 0.0625)) == from_quality(Quality(1.25, 0.125, 0.0625))


@pytest.mark.parametrize("quality", [LATER, LaterQuality(1.25, 0.125, 0.0625)])
def test_later_figure_comes_back_from_the_record(quality: LaterQuality) -> None:
    assert LaterQuality.from_values(from_quality(quality)) == quality


@pytest.mark.parametrize("kind", [MeasurementRow, ModelMeasurement])
def test_results_carry_the_figures_as_one_object(kind: type) -> None:
    assert not {item.name for item in fields(kind)} & set(FIGURES)
