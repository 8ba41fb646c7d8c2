"""Damaged files of every kind are read or refused with a sentence; a bounded random part, by a seed that is printed."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from fetal_hc.errors import FetalHCError
from tests.faults.kinds import KINDS, FaultKind

SEED_VARIABLE = "FETAL_HC_FAULT_SEED"  # `make torture` draws a new seed every time
N_FILES = 40
N_BATCHES = 8


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damaged_files_are_read_or_refused(kind: FaultKind, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get(SEED_VARIABLE, "0"))
    for number in range(N_BATCHES if kind.name == "file in a batch" else N_FILES):
        where = f"{kind.name}, {SEED_VARIABLE}={seed}, file {number}"
        data = kind.make(np.random.default_rng((seed, number)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                kind.read(data, tmp_path)
        except FetalHCError as error:
            refusal = str(error)
            if not refusal.strip():
                pytest.fail(f"{where}: a refusal without a sentence")
        except Exception as error:  # noqa: BLE001  # this is what is looked for
            pytest.fail(f"{where}: {type(error).__name__}: {error}")
    assert "Traceback" not in "".join(capfd.readouterr())
