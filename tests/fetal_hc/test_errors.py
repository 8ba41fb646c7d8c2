"""The error family."""

import pickle

import pytest

from fetal_hc.errors import (
    ConfigError,
    DatasetError,
    FetalHCError,
    ImageError,
    MeasurementError,
    ModelError,
    raise_problems,
)


def test_all_problems_are_listed_under_the_header() -> None:
    with pytest.raises(DatasetError) as caught:
        raise_problems(DatasetError, ["a.csv, row 2: bad", "a.csv, row 9: worse"], "a.csv")
    assert str(caught.value) == "a.csv: 2 problems\n  - a.csv, row 2: bad\n  - a.csv, row 9: worse"
    assert caught.value.problems == ("a.csv, row 2: bad", "a.csv, row 9: worse")


def test_one_problem_is_counted_in_the_singular() -> None:
    with pytest.raises(ConfigError, match="1 problem\n"):
        raise_problems(ConfigError, ["only one"], "file.yaml")


def test_raising_without_problems_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at least one"):
        raise_problems(DatasetError, [], "a.csv")


@pytest.mark.parametrize("kind", [DatasetError, ImageError, ConfigError, MeasurementError, ModelError])
def test_every_kind_belongs_to_the_family(kind: type[FetalHCError]) -> None:
    assert issubclass(kind, FetalHCError)
    assert kind("plain").problems == ("plain",)


def test_problems_survive_the_way_back_from_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(ImageError("two things", ["first", "second"])))
    assert type(error) is ImageError
    assert (str(error), error.problems) == ("two things", ("first", "second"))
