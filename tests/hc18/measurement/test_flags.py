"""Names, order and words of the flags."""

from pathlib import Path

from hc18.measurement.flags import FLAG_TEXTS, Flag, Status, flag_text, in_order


def test_values_are_those_of_the_details_file() -> None:
    assert [str(status) for status in Status] == ["ok", "no_head", "fit_failed", "no_pixel_size"]
    assert [str(flag) for flag in Flag] == [
        "touches_border", "low_score", "fallback_detection", "mask_not_elliptical", "refinement_failed",
        "stages_disagree", "several_heads", "not_head_plane", "no_midline", "unfamiliar_image", "pixel_sizes_disagree",
        "implausible_hc", "uncertain",
    ]  # fmt: skip


def test_every_flag_has_a_name_and_a_sentence() -> None:
    assert set(FLAG_TEXTS) == set(Flag)
    assert all(text.sentence.endswith(".") for text in FLAG_TEXTS.values())
    assert len({text.name for text in FLAG_TEXTS.values()}) == len(Flag)


def test_docs_show_the_same_table(repository_root: Path) -> None:
    docs = (repository_root / "docs" / "data_formats.md").read_text(encoding="utf-8")
    for flag, text in FLAG_TEXTS.items():
        assert f"| `{flag}` | {text.name} | {text.sentence} |" in docs


def test_flag_of_an_earlier_version_is_still_explained() -> None:
    assert flag_text("fits_disagree").sentence.startswith("The outline is ragged")


def test_unknown_flag_keeps_its_name() -> None:
    assert flag_text("from_the_future").name == "from_the_future"


def test_order_is_that_of_the_class() -> None:
    assert in_order({Flag.UNCERTAIN, Flag.LOW_SCORE}) == (Flag.LOW_SCORE, Flag.UNCERTAIN)
