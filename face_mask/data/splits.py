"""Training, validation and test parts: groups stay together, classes keep their shares, a seed decides."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from face_mask.data.records import LabelledPhoto
from fetal_hc.errors import ConfigError
from fetal_hc.io.records import draw_key

TRAIN, VAL, TEST = "train", "val", "test"
PARTS = (TRAIN, VAL, TEST)
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


def split_photos(
    photos: Sequence[LabelledPhoto], val_fraction: float, seed: int = 0, *, test_fraction: float = 0.0
) -> dict[str, str]:
    """The part, "train", "val" or "test", of every file name, in the order of `photos`.

    Classes are served from the rarest to the commonest, photos without objects counting as one: groups that hold the
    class and are not placed yet are drawn, in a random order, as long as each brings the class's number of labels in
    the part closer to the fraction. The test part is drawn first, then validation from the rest, so that another share
    of validation leaves the test part as it is. The order is a hash of the seed, so that a split is the same on every
    machine and for every library version.

    Args:
        photos: with their final classes.
        val_fraction: share of validation, in [0, 1).
        seed: another seed gives another, equally balanced split.
        test_fraction: share of the test part, in [0, 1]; 1 puts every photo into it.

    Raises:
        ConfigError: if a fraction is out of range or a part that is asked for would be empty.
    """
    check_fractions(val_fraction, test_fraction)
    if test_fraction == 1.0:
        return {photo.file_name: TEST for photo in photos}
    groups: dict[int, list[LabelledPhoto]] = defaultdict(list)
    for number, photo in zip(group_photos(photos), photos, strict=True):
        groups[number].append(photo)
    counts = {number: _label_counts(members) for number, members in groups.items()}
    draws = {number: draw_key(seed, min(photo.file_name for photo in members)) for number, members in groups.items()}
    totals: Counter[str] = sum(counts.values(), Counter())
    order = sorted(groups, key=lambda number: draws[number])
    test = _draw_part(order, counts, totals, test_fraction)
    val = _draw_part([number for number in order if number not in test], counts, totals, val_fraction)
    part_of = {number: TEST if number in test else VAL if number in val else TRAIN for number in groups}
    parts = {photo.file_name: part_of[number] for number, members in groups.items() for photo in members}
    fractions = {TRAIN: 1.0 - val_fraction - test_fraction, VAL: val_fraction, TEST: test_fraction}
    for part, fraction in fractions.items():
        if fraction > 0 and part not in parts.values():
            raise ConfigError(_too_few_message(part, fractions, len(photos), len(groups)))
    return {photo.file_name: parts[photo.file_name] for photo in photos}


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Returns if the shares of validation and test leave a training part, or everything is for testing.

    Raises:
        ConfigError: if they do not.
    """
    if not 0.0 <= test_fraction <= 1.0:
        raise ConfigError(f"test_fraction is {test_fraction}; expected a number from 0 to 1, such as 0.15")
    if test_fraction == 1.0:
        return
    if not 0.0 < val_fraction < 1.0:
        raise ConfigError(f"val_fraction is {val_fraction}; expected a number above 0 and below 1, such as 0.15")
    if val_fraction + test_fraction >= 1.0:
        raise ConfigError(
            f"val_fraction is {val_fraction} and test_fraction {test_fraction}, which leaves nothing for training; "
            "expected a sum below 1; lower one, or give test_fraction 1 for a folder that is all test"
        )


def _draw_part(
    order: Sequence[int], counts: Mapping[int, Counter[str]], totals: Counter[str], fraction: float
) -> set[int]:
    """Groups for one part, whose labels come close to `fraction` of all labels of each class.

    Args:
        order: the groups that can be drawn, in the order of the draw.
        counts: labels of each class in each group.
        totals: labels of each class in all groups.
        fraction: share of the part.
    """
    drawn: set[int] = set()
    placed: set[int] = set()
    in_part: Counter[str] = Counter()
    for name in sorted(totals, key=lambda name: (totals[name], name)):
        for number in order:
            if not counts[number][name] or number in placed:
                continue
            missing = fraction * totals[name] - in_part[name]
            placed.add(number)
            if missing > 0 and abs(missing - counts[number][name]) < abs(missing):
                drawn.add(number)
                in_part.update(counts[number])
    return drawn


def _too_few_message(part: str, fractions: Mapping[str, float], n_photos: int, n_groups: int) -> str:
    """Why a part got no photo, and what helps."""
    shares = " and ".join(f"{name}_fraction is {fractions[name]:g}" for name in (VAL, TEST) if fractions[name] > 0)
    reason = f"{n_photos} photos"
    if n_groups < n_photos:
        reason += f" in only {n_groups} groups, because photos that look alike or share a name stay together"
    return f"{shares} of {reason}, which leaves none for {part}; change the share or add photos"


def _label_counts(photos: Sequence[LabelledPhoto]) -> Counter[str]:
    """Labels of each class in a group; photos without any count under a class of their own."""
    return Counter(name for photo in photos for name in ([label.category for label in photo.labels] or [_NO_OBJECT]))
