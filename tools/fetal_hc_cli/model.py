r"""Show what a model file holds, or turn an older one into a bundle.

    fetal-hc model info hc18/shipped/hc18.zip
    fetal-hc model convert old.onnx output/old.zip --name mine --model-version 1.0.0

`info` prints the manifest of a bundle after its members were checked, as JSON; --config prints the configuration of the
detector's training instead. `convert` changes no number: the networks stay as they are. Single .onnx files can also be
used as they are, in every place that takes a model.

Exit code: 0 done; 2 bad input, nothing written.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fetal_hc.errors import ConfigError
from fetal_hc.io.documents import parse_json
from fetal_hc.model.bundle import TRAINING, ModelBundle
from fetal_hc.model.checksum import file_sha256
from fetal_hc_cli import check_may_write, new_parser, reports_bad_input
from hc18.measurement.head_model import HEAD_CLASSES, HeadModel


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="info|convert")
    info = commands.add_parser("info", help="print what a model file holds")
    info.add_argument("file", type=Path, metavar="FILE", help="a bundle or an exported ONNX file")
    info.add_argument("--config", action="store_true", help="print the configuration of the detector's training")
    convert = commands.add_parser("convert", help="write a model as a bundle")
    convert.add_argument("file", type=Path, metavar="FILE", help="an ONNX file of an earlier release, or a bundle")
    convert.add_argument("output", type=Path, metavar="FILE.zip", help="bundle to write")
    convert.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_identity_options(convert)
    return parser


def add_identity_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what a bundle is called in records."""
    parser.add_argument("--name", help="name of the model in records (default: as before)")
    parser.add_argument("--model-version", metavar="VERSION", help="its own version, e.g. 1.0.0 (default: as before)")
    parser.add_argument("--training", type=Path, metavar="FILE.json", help="summary of its training data to store")


def identity_changes(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `ModelBundle.replace` for the options of `add_identity_options`.

    Raises:
        ConfigError: if the summary of the training cannot be read.
    """
    changes: dict[str, Any] = {"name": options.name, "version": options.model_version}
    changes = {key: value for key, value in changes.items() if value is not None}
    if options.training is not None:
        try:
            summary = parse_json(options.training.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{options.training}: cannot be read as JSON ({error}); expected an object") from error
        if not isinstance(summary, dict):
            raise ConfigError(f"{options.training}: holds a {type(summary).__name__}; expected a JSON object")
        changes["sections"] = {TRAINING: summary}
    return changes


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    print(_info(options) if options.command == "info" else _convert(options))
    return 0


def _info(options: argparse.Namespace) -> str:
    bundle = ModelBundle.read(options.file)
    if bundle.spec.class_names == HEAD_CLASSES:
        HeadModel(bundle, str(options.file))  # refuses what does not fit this release
    if options.config:
        return bundle.spec.config.rstrip("\n")
    sizes = {f"{name}.onnx": len(content) for name, content in bundle.networks.items()}
    facts = {"file": str(options.file), "file_sha256": file_sha256(options.file), "bytes": sizes}
    return json.dumps({**facts, **bundle.manifest()}, indent=2, ensure_ascii=False)


def _convert(options: argparse.Namespace) -> str:
    try:
        from hc18.training.bundle_parts import read_head_bundle  # needs the extra "train", which `info` does not
    except ModuleNotFoundError as error:
        raise ConfigError(f"convert needs the library {error.name}; pip install 'fetal-hc[train]'") from error

    check_may_write(options.output, overwrite=options.overwrite)
    read_head_bundle(options.file).replace(**identity_changes(options)).write(options.output)
    megabytes = options.output.stat().st_size / 1e6
    return f"{options.output}: {megabytes:.1f} MB, SHA-256 {file_sha256(options.output)}"


if __name__ == "__main__":
    sys.exit(main())
