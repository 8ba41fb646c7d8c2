"""Every printed experiment: its configuration, and the size of its network."""

import pytest

from face_mask.training.printed_reports import EXPERIMENTS, Experiment, experiments_of
from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.config import CfgNode, load_config
from fetal_hc.errors import ConfigError
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.architectures import architecture_of
from tests.face_mask.toy_faces import CONFIGS

COUNTED = [item for item in EXPERIMENTS if item.n_parameters]


def config_of(experiment: Experiment) -> CfgNode:
    return load_config(ARCHITECTURES, CONFIGS / f"report_{experiment.report}" / f"{experiment.name}.yaml")


@pytest.mark.parametrize("experiment", COUNTED, ids=[f"{item.report}-{item.name}" for item in COUNTED])
def test_network_has_the_printed_number_of_parameters(experiment: Experiment) -> None:
    """Counted as Keras does: running statistics are parameters that are not trained."""
    cfg = config_of(experiment)
    model = build_model(cfg, architecture_of(cfg))
    state = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    total = sum(value.numel() for value in state.values())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert (total, trained) == (experiment.n_counted or (experiment.n_parameters, experiment.n_trainable))


def test_unused_classifier_is_all_that_the_third_report_counts_beyond_ours() -> None:
    """torchvision's MobileNetV2 has 1,281,000 parameters in its classifier; torch does not count running statistics."""
    (experiment, _) = experiments_of("003")
    model = build_model(config_of(experiment), architecture_of(config_of(experiment)))
    assert sum(parameter.numel() for parameter in model.parameters()) + 1_281_000 == experiment.n_parameters


def test_configurations_are_the_printed_experiments() -> None:
    for report in {item.report for item in EXPERIMENTS}:
        found = {path.stem for path in (CONFIGS / f"report_{report}").glob("*.yaml")} - {"Base"}
        assert found == {item.name for item in experiments_of(report)}


def test_unknown_report_or_experiment_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of 000, 001"):
        experiments_of("005")
    with pytest.raises(ConfigError, match="no experiment scratch_9; expected some of scratch_1"):
        experiments_of("001", ["scratch_9"])
