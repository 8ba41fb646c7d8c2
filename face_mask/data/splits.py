"""Training and validation parts: groups stay together, classes keep their shares, a seed decides."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from face_mask.data.records import LabelledPhoto
from fetal_hc.errors import ConfigError
from fetal_hc.io.records import draw_key

TRAIN, VAL = "train", "val"
NEAR_DUPLICATE_BITS = 4  # of the 64 of a fingerprint

_NO_OBJECT = ""
_BLOCK = 512  # fingerprints compared at a time with all others


def group_photos(photos: Sequence[LabelledPhoto]) -> list[int]:
    """Group number of every photo: photos of one named group, and near-duplicates, share it.

    Photos are near-duplicates if their fingerprints differ in at most `NEAR_DUPLICATE_BITS` bits. Numbers are the
    smallest index of a photo in the group.
    """
    leader = list(range(len(photos)))

    def root_of(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    def join(first: int, second: int) -> None:
        low, high = sorted((root_of(first), root_of(second)))
        leader[high] = low

    first_of_group: dict[str, int] = {}
    for index, photo in enumerate(photos):
        join(index, first_of_group.setdefault(photo.group, index))
    fingerprints = np.array([photo.fingerprint for photo in photos], dtype=np.uint64)
    for start in range(0, len(photos), _BLOCK):
        block = fingerprints[start : start + _BLOCK]
        distance = np.bitwise_count(block[:, None] ^ fingerprints[None, start:])
        for row, column in np.argwhere(distance <= NEAR_DUPLICATE_BITS):
            join(start + int(row), start + int(column))
    return [root_of(index) for index in range(len(photos))]


def split_photos(photos: Sequence[LabelledPhoto], val_fraction: float, seed: int = 0) -> dict[str, str]:
    """The part, "train" or "val", of every file name, in the order of `photos`.

    Classes are served from the rarest to the commonest, photos without objects counting as one: groups that hold the
    class and are not placed yet go to validation, in a random order, as long as each brings the class's number of
    labels there closer to `val_fraction`; the rest is for training. The order is a hash of the seed, so that a split
    is the same on every machine and for every library version.

    Args:
        photos: with their final classes.
        val_fraction: share of validation, in (0, 1).
        seed: another seed gives another, equally balanced split.

    Raises:
        ConfigError: if `val_fraction` is out of range or one part would be empty.
    """
    if not 0.0 < val_fraction < 1.0:
        raise ConfigError(f"val_fraction is {val_fraction}; expected a number above 0 and below 1, such as 0.15")
    groups: dict[int, list[LabelledPhoto]] = defaultdict(list)
    for number, photo in zip(group_photos(photos), photos, strict=True):
        groups[number].append(photo)
    counts = {number: _label_counts(members) for number, members in groups.items()}
    draws = {number: draw_key(seed, min(photo.file_name for photo in members)) for number, members in groups.items()}
    totals: Counter[str] = sum(counts.values(), Counter())
    part_of: dict[int, str] = {}
    in_val: Counter[str] = Counter()
    for name in sorted(totals, key=lambda name: (totals[name], name)):
        waiting = [number for number in groups if counts[number][name] and number not in part_of]
        for number in sorted(waiting, key=lambda number: draws[number]):
            missing = val_fraction * totals[name] - in_val[name]
            chosen = abs(missing - counts[number][name]) < abs(missing) and missing > 0
            part_of[number] = VAL if chosen else TRAIN
            if chosen:
                in_val.update(counts[number])
    parts = {photo.file_name: part_of[number] for number, members in groups.items() for photo in members}
    for part in (TRAIN, VAL):
        if part not in parts.values():
            raise ConfigError(
                f"val_fraction is {val_fraction} of {len(photos)} photos in {len(groups)} groups, which leaves none "
                f"for {part}; change the fraction or add photos"
            )
    return {photo.file_name: parts[photo.file_name] for photo in photos}


def _label_counts(photos: Sequence[LabelledPhoto]) -> Counter[str]:
    """Labels of each class in a group; photos without any count under a class of their own."""
    return Counter(name for photo in photos for name in ([label.category for label in photo.labels] or [_NO_OBJECT]))
