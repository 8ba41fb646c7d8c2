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
    assert sum(value.numel() for value in state.values()) == (experiment.n_counted or experiment.n_parameters)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == experiment.n_trainable


def test_configurations_are_the_printed_experiments() -> None:
    for report in {item.report for item in EXPERIMENTS}:
        found = {path.stem for path in (CONFIGS / f"report_{report}").glob("*.yaml")} - {"Base"}
        assert found == {item.name for item in experiments_of(report)}


def test_unknown_report_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of 000, 001"):
        experiments_of("005")
