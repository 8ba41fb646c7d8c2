"""Fonts and paragraphs of the PDF report: embedded DejaVu, and the standard CJK fonts for what it lacks."""

from __future__ import annotations

import itertools
import unicodedata
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib
from reportlab.lib.colors import HexColor
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph

REGULAR = "DejaVuSans"
BOLD = "DejaVuSans-Bold"
MONOSPACED = "DejaVuSansMono"

# Not embedded: the viewer brings these fonts, as PDF 1.7 (section 9.7.5.2) provides for.
_JAPANESE, _KOREAN, _CHINESE = "HeiseiKakuGo-W5", "HYGothic-Medium", "STSong-Light"


@cache
def register_fonts() -> None:
    """Makes the fonts known to ReportLab, once per process."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in (REGULAR, BOLD, MONOSPACED):
        pdfmetrics.registerFont(TTFont(name, folder / f"{name}.ttf"))
    for name in (_JAPANESE, _KOREAN, _CHINESE):
        pdfmetrics.registerFont(UnicodeCIDFont(name))


def to_markup(text: str) -> str:
    """Text as ReportLab markup: escaped, each run of CJK characters in a font that has them."""
    japanese = any(unicodedata.name(character, "").startswith(("HIRAGANA", "KATAKANA")) for character in text)
    runs = itertools.groupby(text, key=lambda character: _cjk_font(character, japanese))
    parts = ((font, escape("".join(characters))) for font, characters in runs)
    return "".join(f'<font name="{font}">{part}</font>' if font else part for font, part in parts)


def paragraph(
    text: str, *, size_pt: float = 8.5, font: str = REGULAR, color: str = "#1a1a1a", centered: bool = False
) -> Paragraph:
    """Plain text as a paragraph; words longer than a line are broken."""
    return markup_paragraph(to_markup(text), size_pt=size_pt, font=font, color=color, centered=centered)


def markup_paragraph(
    markup: str, *, size_pt: float = 8.5, font: str = REGULAR, color: str = "#1a1a1a", centered: bool = False
) -> Paragraph:
    """ReportLab markup as a paragraph; text from outside comes through `to_markup`."""
    register_fonts()
    style = ParagraphStyle(
        "report",
        fontName=font,
        fontSize=size_pt,
        leading=1.3 * size_pt,
        textColor=HexColor(color),
        alignment=1 if centered else 0,
        splitLongWords=1,
    )
    return Paragraph(markup, style)


def _cjk_font(character: str, japanese: bool) -> str:
    """Font of a Chinese, Japanese or Korean character; empty for all others."""
    if unicodedata.east_asian_width(character) not in "WF" or ord(character) > 0xFFFF:
        return ""
    if unicodedata.name(character, "").startswith("HANGUL"):
        return _KOREAN
    return _JAPANESE if japanese else _CHINESE
