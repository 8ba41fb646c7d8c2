"""Cells that no spreadsheet executes."""

import pytest

from fetal_hc.io.spreadsheet import from_safe_cell, to_safe_cell


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'quoted", "  =1+1", "＝1"])
def test_formulas_are_defused(text: str) -> None:
    assert to_safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "010_HC.png", "größe.png", "a=b.png", "a - b.png"])
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert to_safe_cell(text) == text


def test_control_characters_and_undecodable_bytes_become_spaces() -> None:
    assert to_safe_cell("a\r\nb\tc\udcff.png") == "a  b c .png"
    assert to_safe_cell("\t=1") == "' =1"


@pytest.mark.parametrize("text", ["=1", "'=1", "''", "a.png", " =1"])
def test_text_comes_back(text: str) -> None:
    assert from_safe_cell(to_safe_cell(text)) == text
