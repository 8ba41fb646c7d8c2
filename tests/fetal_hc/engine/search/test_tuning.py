"""The search: what it draws, prunes, resumes and refuses."""

import signal
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch

from face_mask.training.architectures import draw_dense_layers
from fetal_hc.engine.architecture import SearchSpace
from fetal_hc.engine.search.tuning import TuningOptions, tune
from fetal_hc.engine.train.training_job import JobOptions
from fetal_hc.errors import ConfigError
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.face_mask.toy_faces import write_config, write_faces


@pytest.fixture
def options(tmp_path: Path) -> TuningOptions:
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    write_faces(tmp_path, count=4)
    changes = {
        "MODEL": {"IMAGE_BACKBONE": {"NAME": "scratch_cnn", "CHANNELS": [2, 4]}},
        "INPUT": {"SQUARE": {"SIZE": 16}},
        "DATASETS": {"TRAIN": ["faces"], "TEST": ["faces"]},
    }
    config_file = write_config(tmp_path, "Base-TwoHead.yaml", changes)
    return TuningOptions(JobOptions(ARCHITECTURES, config_file), tmp_path / "study.db", n_trials=2)


def test_draws_stay_in_their_ranges() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        pairs = draw_dense_layers(study.ask())
        drawn = dict(zip(pairs[::2], pairs[1::2], strict=True))
        units = [int(text) for text in drawn["MODEL.DENSE.UNITS"].strip("[]").split(",")]
        assert 1 <= len(units) <= 3
        assert len(set(units)) == 1
        assert units[0] in range(128, 2049, 128)
        assert float(drawn["MODEL.DENSE.DROPOUT"]) in (0.5, 0.6, 0.7, 0.8)
        assert float(drawn["SOLVER.BASE_LR"]) in (1e-2, 1e-3, 1e-4, 1e-5)


def test_study_is_kept_and_continued(options: TuningOptions, tmp_path: Path) -> None:
    study, code = tune(options)
    assert code == 0
    assert len(study.trials) == 2
    assert (tmp_path / "output" / "trial_000" / "config.yaml").is_file()
    study, _ = tune(TuningOptions(options.job, options.storage, n_trials=3, resume=True))
    assert len(study.trials) == 3
    assert all(trial.intermediate_values for trial in study.trials)
    header, *lines = (tmp_path / "trials.csv").read_text().splitlines()
    assert header.endswith("layers,units,dropout,learning_rate")
    assert len(lines) == 3


def test_signal_ends_the_search_and_the_trial_is_drawn_again(options: TuningOptions) -> None:
    interrupted = replace(
        options.job,
        overrides=("SOLVER.MAX_ITER", "3"),
        on_evaluation=lambda _results: signal.raise_signal(signal.SIGTERM),
    )
    study, code = tune(replace(options, job=interrupted))
    assert code == 128 + signal.SIGTERM
    study, code = tune(TuningOptions(options.job, options.storage, n_trials=1, resume=True))
    assert code == 0
    assert sum(trial.state.name == "COMPLETE" for trial in study.trials) == 1


def test_trials_of_another_search_space_are_not_mixed_in(options: TuningOptions) -> None:
    study, _ = tune(replace(options, n_trials=1))
    assert len(study.trials) == 1

    def draw(trial: optuna.Trial) -> tuple[str, ...]:
        return ("SOLVER.BASE_LR", str(trial.suggest_float("learning_rate", 0.1, 0.2)))

    other = tuple(replace(row, search_space=SearchSpace(("learning_rate",), draw)) for row in ARCHITECTURES)
    job = replace(options.job, architectures=other)
    with pytest.raises(ConfigError, match=r"trials of another search space .* choose another --storage"):
        tune(replace(options, job=job, resume=True))


def test_existing_study_is_not_overwritten(options: TuningOptions) -> None:
    options.storage.write_text("")
    with pytest.raises(ConfigError, match="exists already; add --resume"):
        tune(options)


def test_missing_study_cannot_be_resumed(options: TuningOptions) -> None:
    with pytest.raises(ConfigError, match="does not exist; leave out --resume"):
        tune(TuningOptions(options.job, options.storage, resume=True))
