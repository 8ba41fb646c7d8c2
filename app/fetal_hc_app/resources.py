"""Resources that all sessions share: settings, the model, the review store, and pictures of cases for the browser."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.runtime import get_instance

from hc18.geometry.contour import mask_edge_points
from hc18.measurement.head_model import bundled_model_path, load_model
from hc18.reviews.database import usual_store
from hc18.reviews.measuring import Model, read_model
from hc18.reviews.models import CaseId, CaseState
from hc18.reviews.pictures import from_png
from hc18.reviews.store import ReviewStore

BATCHES_VARIABLE = "FETAL_HC_BATCHES"
_THREADS = 2  # of the network: one image at a time and per person
_PICTURES = 64  # cases kept in memory, about 2 MB each


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings that an operator can choose.

    Attributes:
        store: file name or URL of the review store.
        batches: folder below which scored batches may be opened; None allows any folder, and is for one's own machine.
    """

    store: str
    batches: Path | None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A stored image.

    Attributes:
        png: as a lossless PNG.
        image_rgb: its pixels, (H, W, 3) uint8, shared: never changed.
        mask_edge_xy: (n, 2) points on the edge of the model's mask, px, pixel centres at integers.
    """

    png: bytes
    image_rgb: NDArray[np.uint8]
    mask_edge_xy: NDArray[np.float64]


@st.cache_resource(show_spinner="Loading the model")
def model() -> Model:
    """The shipped model, or the one FETAL_HC_MODEL names; it has measured once, so that the first image is not slower.

    Raises:
        ModelError: if it is missing or damaged.
    """
    return read_model(bundled_model_path(), _THREADS)


@st.cache_resource(show_spinner=False)
def model_card() -> str:
    """The model card in the model's folder, without its HTML comments; empty without one.

    Raises:
        ModelError: if the model is missing or damaged.
    """
    card = bundled_model_path().with_suffix(".md")
    return re.sub(r"<!--.*?-->", "", card.read_text(encoding="utf-8")) if card.is_file() else ""


@st.cache_resource(show_spinner=False)
def model_for_many() -> Model:
    """The same model with one thread for an image, for many images side by side.

    Raises:
        ModelError: if it is missing or damaged.
    """
    return replace(model(), heads=load_model(bundled_model_path(), num_threads=1))


@st.cache_resource(show_spinner="Opening the review store")
def store() -> ReviewStore:
    """The review store that all sessions share.

    Raises:
        StoreError: if it cannot be opened.
    """
    return ReviewStore(settings().store)


@st.cache_resource(max_entries=_PICTURES, show_spinner=False)
def picture(case_id: CaseId, image_sha256: str, mask_version: str) -> Picture:
    """The picture of a case.

    Args:
        case_id: the case.
        image_sha256: of its pixels.
        mask_version: anything that changes with the model's mask.

    Raises:
        StoreError: if it is missing or damaged.
    """
    del image_sha256, mask_version  # they tell one picture from another in the cache
    png = store().png(case_id)
    mask = store().soft_mask(case_id)
    edge = np.empty((0, 2)) if mask is None else mask_edge_points(mask.mask, mask.box_xyxy)
    return Picture(png, from_png(png), edge)


def picture_of(case_id: CaseId, state: CaseState) -> Picture:
    """The picture of a case as it is now.

    Raises:
        StoreError: if it is missing or damaged.
    """
    return picture(case_id, state.image_sha256, f"{state.measurement.model.sha256} {state.measured_at_utc}")


def picture_url(picture: Picture, place: str) -> str:
    """Address from which this session's browser gets a picture; the same picture always has the same one.

    Args:
        picture: of a case.
        place: where it is shown; another picture at the same place takes its place on the server.
    """
    return media_url(picture.png, "image/png", place)


def media_url(content: bytes, media_type: str, place: str) -> str:
    """Address from which this session's browser gets a picture in a file format; see `picture_url`."""
    return get_instance().media_file_mgr.add(content, media_type, place)


def settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that environment variables give; FETAL_HC_BATCHES has no default."""
    batches = environment.get(BATCHES_VARIABLE)
    return Settings(
        store=usual_store(environment),
        batches=Path(batches).resolve() if batches else None,
    )
