"""Figures that pages quote come from one file."""

from pathlib import Path

import pytest

from experiments.figures import Figure, find_outdated, find_pages, read_figures, render, write_figures, write_pages
from fetal_hc.errors import ConfigError


def _repository(root: Path, page: str) -> Path:
    (root / "docs").mkdir()
    write_figures({"folds.adf": Figure("1.85", "evaluate")}, root)
    (root / "docs" / "page.md").write_text(page, encoding="utf-8")
    return root


def test_every_page_quotes_the_figures_of_the_file(repository_root: Path) -> None:
    assert find_outdated(repository_root) == []


def test_readme_and_model_card_quote_figures(repository_root: Path) -> None:
    quoting = {page.name for page in find_pages(repository_root) if "<!--=" in page.read_text(encoding="utf-8")}
    assert {"README.md", "uncertainty.md", "hc18.md"} <= quoting


def test_outdated_figure_is_named_with_both_texts(tmp_path: Path) -> None:
    root = _repository(tmp_path, "ADF <!--=folds.adf-->1.90<!--/--> mm\n")
    assert find_outdated(root) == ["docs/page.md: quotes folds.adf as 1.90; docs/figures.json has 1.85"]


def test_writing_pages_replaces_only_marked_figures(tmp_path: Path) -> None:
    root = _repository(tmp_path, "1.90 and <!--=folds.adf-->1.90<!--/--> mm\n")
    assert write_pages(root) == ["docs/page.md"]
    text = (root / "docs" / "page.md").read_text(encoding="utf-8")
    assert text == "1.90 and <!--=folds.adf-->1.85<!--/--> mm\n"
    assert write_pages(root) == []


def test_unknown_figure_is_refused_with_its_page() -> None:
    with pytest.raises(ConfigError, match=r"page\.md: quotes 'folds\.df'"):
        render("<!--=folds.df-->1<!--/-->", {}, "page.md")


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    root = _repository(tmp_path, "")
    (root / "docs" / "figures.json").write_text('{"a": 1}', encoding="utf-8")
    with pytest.raises(ConfigError, match="expected figures with text and command"):
        read_figures(root)
