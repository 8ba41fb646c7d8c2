"""Grouped, stratified, seeded splits."""

from collections import Counter

import numpy as np
import pytest

from face_mask.data.records import Label, LabelledPhoto
from face_mask.data.splits import group_photos, split_photos
from fetal_hc.errors import ConfigError


def photos_of(counts: dict[str, int], per_group: int = 1) -> list[LabelledPhoto]:
    """Photos of one label each that do not look alike."""
    rng = np.random.default_rng(0)
    names = [name for name, count in counts.items() for _ in range(count)]
    return [
        LabelledPhoto(f"{index}.jpg", (9, 9), int(rng.integers(2**63)), f"g{index // per_group}", (Label(name),))
        for index, name in enumerate(names)
    ]


def test_every_class_keeps_its_share() -> None:
    photos = photos_of({"common": 200, "rare": 20})
    parts = split_photos(photos, 0.15)
    counts = Counter((photo.labels[0].category, parts[photo.file_name]) for photo in photos)
    assert counts["common", "val"] == 30
    assert counts["rare", "val"] == 3


def test_groups_stay_together() -> None:
    photos = photos_of({"a": 60, "b": 30}, per_group=3)
    parts = split_photos(photos, 0.2)
    assert all(len({parts[f"{3 * group + member}.jpg"] for member in range(3)}) == 1 for group in range(30))
    assert Counter(parts.values())["val"] == 18


def test_photos_that_look_alike_share_a_group() -> None:
    photos = photos_of({"a": 3})
    alike = LabelledPhoto("copy.jpg", (9, 9), photos[1].fingerprint ^ 0b1011, "own", photos[1].labels)
    other = LabelledPhoto("far.jpg", (9, 9), photos[1].fingerprint ^ 0b11111, "other", photos[1].labels)
    assert group_photos([*photos, alike, other])[:4] == [0, 1, 2, 1]
    assert group_photos([photos[1], other]) == [0, 1]


def test_seed_decides_and_order_does_not() -> None:
    photos = photos_of({"a": 40, "b": 10})
    first = split_photos(photos, 0.3, seed=1)
    assert split_photos(photos[::-1], 0.3, seed=1) == first
    assert split_photos(photos, 0.3, seed=2) != first


def test_photos_without_objects_are_split_too() -> None:
    empty = [
        LabelledPhoto(f"e{index}.jpg", (9, 9), (index + 1) * 0x123456789ABCD, f"e{index}", ()) for index in range(10)
    ]
    parts = split_photos([*photos_of({"a": 10}), *empty], 0.2)
    assert sum(parts[photo.file_name] == "val" for photo in empty) == 2


def test_test_part_keeps_its_share_and_does_not_depend_on_validation() -> None:
    photos = photos_of({"common": 200, "rare": 20})
    few, many = (split_photos(photos, share, test_fraction=0.2) for share in (0.1, 0.3))
    assert Counter(few.values()) == {"train": 154, "val": 22, "test": 44}
    assert {name for name, part in few.items() if part == "test"} == {n for n, p in many.items() if p == "test"}


def test_a_folder_can_be_all_test() -> None:
    assert set(split_photos(photos_of({"a": 1}), 0.15, test_fraction=1.0).values()) == {"test"}


def test_too_few_photos_are_explained() -> None:
    with pytest.raises(ConfigError, match=r"test_fraction is 0\.2 of 6 photos in only 2 groups, because photos that"):
        split_photos(photos_of({"a": 6}, per_group=3), 0.2, test_fraction=0.2)


@pytest.mark.parametrize(("val_fraction", "test_fraction"), [(0.6, 0.4), (0.15, 1.5), (0.15, -0.1)])
def test_shares_that_leave_nothing_for_training_are_an_error(val_fraction: float, test_fraction: float) -> None:
    with pytest.raises(ConfigError, match="test_fraction"):
        split_photos(photos_of({"a": 50}), val_fraction, test_fraction=test_fraction)


@pytest.mark.parametrize("val_fraction", [0.0, 1.0, -0.1, float("nan"), 0.01])
def test_impossible_fraction_is_an_error(val_fraction: float) -> None:
    with pytest.raises(ConfigError, match="val_fraction is"):
        split_photos(photos_of({"a": 5}), val_fraction)
