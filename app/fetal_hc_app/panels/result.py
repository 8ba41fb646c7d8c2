"""The numbers of a case and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from fetal_hc_app import wording
from fetal_hc_app.texts import text
from hc18.geometry.pixel_size import Calibration
from hc18.measurement.flags import flag_text
from hc18.measurement.interval_model import Interval
from hc18.obstetrics.gestational_age import GestationalAge, age_text
from hc18.obstetrics.growth import GrowthAssessment, percentile_text
from hc18.obstetrics.head_shape import CEPHALIC_INDEX_RANGE, HeadShape


def circumference_panel(
    hc_mm: float | None,
    hc_px: float | None,
    model_hc_mm: float | None,
    reference_hc_mm: float | None,
    interval: Interval | None,
    *,
    is_rejected: bool,
) -> None:
    """The head circumference with its unit, its interval and how it compares.

    Args:
        hc_mm: of the ellipse on the screen; None without a pixel size.
        hc_px: the same in px; None without an ellipse.
        model_hc_mm: of the model's ellipse.
        reference_hc_mm: of the annotated ellipse; None without.
        interval: of the model's value; None where the model gives none.
        is_rejected: whether a reviewer rejected the measurement, so that it counts for nothing.
    """
    in_px = text("no ellipse") if hc_px is None else f"{hc_px:.0f} px"
    value = in_px if hc_mm is None else f"{hc_mm:.1f} mm"
    delta = None
    if hc_mm is not None and model_hc_mm is not None and abs(hc_mm - model_hc_mm) >= 0.05:
        words = "{difference:+.1f} mm to the model's {value:.1f} mm"
        delta = text(words, difference=hc_mm - model_hc_mm, value=model_hc_mm)
    label = "Rejected: the model's circumference" if is_rejected else "Head circumference"
    st.metric(text(label), value, delta, delta_color="off", delta_arrow="off")
    if interval is not None:
        held = " ({share:.0%} of such intervals hold the reference)"
        level = "" if interval.coverage is None else text(held, share=interval.coverage)
        st.caption(text("Model: {low:.1f} to {high:.1f} mm", low=interval.low_mm, high=interval.high_mm) + level)
    if hc_mm is not None and reference_hc_mm is not None:
        words = "Reference {value:.1f} mm, difference {difference:+.1f} mm."
        st.caption(text(words, value=reference_hc_mm, difference=hc_mm - reference_hc_mm))


def shape_panel(shape: HeadShape | None) -> None:
    """Diameters of the head and the cephalic index with its reference range, under their names."""
    if shape is None:
        return
    low, high = CEPHALIC_INDEX_RANGE
    inner = shape.bpd_outer_inner_mm
    st.caption(
        text(
            "BPD {outer:.1f} mm outer to outer, {inner} outer to inner · OFD {ofd:.1f} mm outer to outer",
            outer=shape.bpd_outer_outer_mm,
            inner="–" if inner is None else f"{inner:.1f} mm",
            ofd=shape.ofd_outer_outer_mm,
        )
    )
    words = "Cephalic index {value:.0f} %, usual {low:.0f} to {high:.0f} % (Hadlock 1981)"
    index = text(words, value=shape.cephalic_index_percent, low=low, high=high)
    st.caption(index if shape.is_usual else f":material/flag: **{index}**")


def age_panel(ages: Sequence[GestationalAge], growth: GrowthAssessment, independent_days: float | None) -> None:
    """Age from the circumference, and size for an age that does not come from it."""
    left, right = st.columns(2)
    default = ages[0] if ages else None
    with left:
        if default is None or default.days is None:
            st.metric(text("Age from HC"), "–", help=default.reason if default else text("Needs millimetres."))
        else:
            st.metric(text("Age from HC"), text("{age} wk", age=age_text(default.days)), help=_age_help(ages))
            st.caption(_age_caption(default))
    with right:
        if growth.percentile is None:
            st.metric(text("Percentile"), "–", help=growth.reason)
            st.caption(text("needs an independent age") if independent_days is None else growth.reason)
        else:
            st.metric(text("Percentile"), percentile_text(growth.percentile), help=growth.standard.citation)
            at = "" if independent_days is None else text(" at {age} wk", age=age_text(independent_days))
            st.caption(f"z {growth.z_score:+.2f}{at}, {growth.standard}")
    for warning in () if default is None else default.warnings:
        st.caption(f":material/info: {wording.plain(text(warning))}")


def quality_panel(
    flags: Sequence[str], status: str, reason: str, confidence: float | None, calibration: Calibration
) -> None:
    """Where the pixel size comes from, how sure the model is, and what to look at."""
    size_name = text(wording.SOURCE_NAMES[calibration.source])
    icon = ":material/straighten:" if calibration.pixel_size_xy_mm else ":material/warning:"
    st.markdown(f"{icon} **{text('Pixel size')}: {size_name}.** {wording.plain(calibration.detail)}")
    for warning in calibration.warnings:
        st.warning(wording.plain(warning), icon=":material/straighten:")
    if status in wording.STATUS_SENTENCES:
        st.warning(text(wording.STATUS_SENTENCES[status]), icon=":material/search_off:")
        if reason:
            st.caption(wording.plain(wording.sentence(reason)))
    for flag in flags:
        words = flag_text(flag)
        name, sentence = wording.plain(text(words.name)), wording.plain(text(words.sentence))
        st.warning(f"**{name}.** {sentence}", icon=":material/flag:")
    if confidence is not None:
        quality = "" if flags else text(" No quality flag was raised.")
        sure = text(
            "**Confidence {share:.0%}** that there is a head; it says nothing about the millimetres.", share=confidence
        )
        st.markdown(f":material/center_focus_strong: {sure}{quality}")


def _age_help(ages: Sequence[GestationalAge]) -> str:
    """Every standard with its value, for the tooltip."""
    lines = [
        f"{age.standard}: {age_text(age.days)} weeks" if age.days is not None else f"{age.standard}: {age.reason}"
        for age in ages
    ]
    return "  \n".join(lines)


def _age_caption(age: GestationalAge) -> str:
    """The standard, and its spread if it has one."""
    if age.interval_days is None:
        return f"{age.standard}"
    low, high = age.interval_days
    words = "{low} to {high} (±2 SD), {standard}"
    return text(words, low=age_text(low), high=age_text(high), standard=age.standard)
