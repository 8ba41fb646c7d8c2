"""Drawing on images."""

import numpy as np
import pytest

from fetal_hc.io.drawing import PREDICTION_RGB, TRUTH_RGB, draw_contact_sheet, draw_label, draw_mask, draw_outline

BLACK = np.zeros((40, 60, 3), dtype=np.uint8)
SQUARE = np.array([[10.0, 10.0], [50.0, 10.0], [50.0, 30.0], [10.0, 30.0]])


def test_outline_passes_through_pixel_centres_at_integers() -> None:
    drawn = draw_outline(BLACK, SQUARE, TRUTH_RGB, thickness_px=1)
    assert drawn[10, 30] == pytest.approx(TRUTH_RGB, abs=25)  # anti-aliasing spreads a little
    assert drawn[20, 50] == pytest.approx(TRUTH_RGB, abs=25)
    assert drawn[9, 30] == pytest.approx(drawn[11, 30], abs=8)
    assert not drawn[13, 30].any()


def test_outline_is_closed_and_the_input_unchanged() -> None:
    assert draw_outline(BLACK, SQUARE, PREDICTION_RGB)[20, 10].any()
    assert not BLACK.any()


def test_outline_may_leave_the_image() -> None:
    drawn = draw_outline(BLACK, SQUARE * 1e7 - 2e8, TRUTH_RGB)
    assert drawn.shape == BLACK.shape


def test_mask_is_blended_by_its_probability() -> None:
    mask = np.zeros((40, 60))
    mask[0, 0], mask[0, 1] = 1.0, 0.5
    drawn = draw_mask(BLACK, mask, (200, 100, 0), opacity=0.5)
    assert drawn[0, :3].tolist() == [[100, 50, 0], [50, 25, 0], [0, 0, 0]]


@pytest.mark.parametrize("text", ["HC 175.3 mm", ""])
def test_label_stays_in_place(text: str) -> None:
    drawn = draw_label(BLACK, text, TRUTH_RGB, position_xy=(0, 0), height_px=8)
    assert drawn[:16, :5].any()
    assert not drawn[30:].any()


def test_contact_sheet_is_read_like_a_page() -> None:
    tiles = [np.full((2, 3, 3), number, dtype=np.uint8) for number in range(1, 6)]
    sheet = draw_contact_sheet(tiles, 3)
    assert sheet.shape == (4, 9, 3)
    assert sheet[::2, ::3, 0].tolist() == [[1, 2, 3], [4, 5, 255]]


def test_contact_sheet_is_no_wider_than_its_pictures() -> None:
    assert draw_contact_sheet([BLACK, BLACK], 6).shape == (40, 120, 3)
