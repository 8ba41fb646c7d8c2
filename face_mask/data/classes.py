"""Merging of classes by an explicit map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from face_mask.data.records import Label, LabelledPhoto
from fetal_hc.errors import ConfigError, Problem

WITHOUT_MASK = "without_mask"  # the class of faces that show no pixel of a mask


@dataclass(frozen=True, slots=True)
class ClassMap:
    """A map from the classes of a dataset to those that are written.

    Attributes:
        targets: source class -> class; "" leaves objects of the source class out on purpose.
    """

    targets: Mapping[str, str]

    @classmethod
    def from_options(cls, options: Sequence[str]) -> ClassMap:
        """The map that "SOURCE=CLASS" texts describe; "SOURCE=" leaves a class out.

        Raises:
            ConfigError: if a text has another form, a source occurs twice or no class is left.
        """
        targets: dict[str, str] = {}
        for option in options:
            source, separator, target = (part.strip() for part in option.partition("="))
            if not separator or not source or source in targets:
                raise ConfigError(f"class map: '{option}'; expected SOURCE=CLASS, every SOURCE once; correct it")
            targets[source] = target
        if not any(targets.values()):
            raise ConfigError(f"class map: {list(options)} leaves no class; name at least one")
        return cls(targets)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes in the order of their first mention, which is the category order."""
        return tuple(dict.fromkeys(target for target in self.targets.values() if target))


def merge_classes(
    photos: Sequence[LabelledPhoto], class_map: ClassMap
) -> tuple[list[LabelledPhoto], list[Problem], Counter[str]]:
    """Photos with merged classes, labels of unknown classes as problems, and how many labels were left out on purpose.

    A photo all of whose labels went is dropped with them if they were labels of the whole photo; otherwise it stays,
    as a photo without objects.
    """
    merged: list[LabelledPhoto] = []
    problems: list[Problem] = []
    excluded: Counter[str] = Counter()
    for photo in photos:
        labels: list[Label] = []
        for label in photo.labels:
            target = class_map.targets.get(label.category)
            if target:
                labels.append(replace(label, category=target))
            elif target is None:
                known = ", ".join(class_map.targets)
                outcome = f"expected one of {known}; label left out"
                problems.append(Problem.in_file("unknown_class", photo.file_name, f"class '{label.category}'", outcome))
            else:
                excluded[label.category] += 1
        if labels or all(label.box_xyxy for label in photo.labels):
            merged.append(replace(photo, labels=tuple(labels)))
    return merged, problems, excluded
