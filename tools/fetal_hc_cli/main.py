"""The installed commands `fetal-hc` and `face-mask`: a table of sub-commands, each imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from fetal_hc_cli import BAD_INPUT

PROJECT_PACKAGES = ("fetal_hc", "hc18", "face_mask", "fetal_hc_app", "fetal_hc_cli")


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command.

    Attributes:
        name: what users type.
        module: module of `fetal_hc_cli` whose `main(argv)` it calls; `tools/MODULE.py` calls the same.
        summary: one line for the list of commands.
        extra: set of optional requirements that it needs; empty if the serving requirements are enough.
    """

    name: str
    module: str
    summary: str
    extra: str = ""


FETAL_HC = (
    Command("score", "score", "measure images: submission and details tables"),
    Command("evaluate", "evaluate_hc18", "compare a submission or details table with the labelled HC18 images"),
    Command("check", "check_hc18", "check an HC18 folder and a submission against the challenge's rules"),
    Command("visualize", "visualize", "draw outlines on images, worst first if asked"),
    Command("phantoms", "make_phantoms", "write synthetic images of heads whose circumference is known"),
    Command("convert", "convert_hc18", "convert an HC18 folder to COCO JSON, split into training and validation"),
    Command("convert-negatives", "convert_no_head", "convert images without a head to COCO JSON"),
    Command("convert-external", "convert_external_heads", "convert heads of other hospitals to COCO JSON"),
    Command("app", "app", "start the reviewer app in the browser", "app"),
    Command("receive", "receive", "receive images from scanners and archives, measure them, send reports back", "pacs"),
    Command("verify", "verify_reviews", "check that nobody changed the record of a review store", "app"),
    Command("train", "training.train_net", "train a model, or evaluate one", "train"),
    Command("cross-validate", "training.cross_validate", "train and score one configuration on every fold", "train"),
    Command("tune", "training.tune", "search for hyper-parameters", "train"),
    Command("average", "training.average_checkpoints", "average the weights of checkpoints", "train"),
    Command("export", "training.export_model", "export a checkpoint to a model that needs no torch", "train"),
    Command("quantize", "training.quantize_model", "make an exported model 8-bit", "train"),
    Command("attach-refiner", "training.attach_refiner", "put an outline refiner into a model", "train"),
    Command(
        "measure-unseen", "training.measure_unseen", "measure labelled images with models that never saw them", "train"
    ),
    Command("calibrate-checks", "training.calibrate_checks", "fit the checks of plane and origin of a model", "train"),
    Command("calibrate", "training.calibrate", "fit the intervals of a model to held-out images", "train"),
    Command("recalibrate", "recalibrate", "fit the intervals of a model that saw every labelled image", "train"),
    Command("model", "model", "show what a model file holds, or convert an older one to a bundle"),
    Command("make-model", "training.make_model", "make the shipped model again (in a checkout)", "train"),
    Command("plot", "training.plot_training", "draw the losses and metrics of trainings", "train"),
)
FACE_MASK = (
    Command("predict", "predict_faces", "find faces in photos, videos or a camera, and how each wears its mask"),
    Command("evaluate", "evaluate_faces", "compare predicted faces with the labels of the same photos"),
    Command("convert", "convert_face_mask", "convert a face-mask dataset to COCO JSON or a manifest"),
    Command("mosaics", "make_mosaics", "put photos of single faces together into crowds to train on"),
    Command("train", "training.train_net", "train a model, or evaluate one", "train"),
    Command("export", "training.export_model", "export a checkpoint to a model that needs no torch", "train"),
    Command("quantize", "training.quantize_model", "make an exported model 8-bit", "train"),
    Command("cross-validate", "training.cross_validate", "train and score one configuration on every fold", "train"),
    Command("tune", "training.tune", "search for hyper-parameters", "train"),
    Command("plot", "training.plot_training", "draw the losses and metrics of trainings", "train"),
    Command(
        "plot-predictions", "training.plot_predictions", "draw confusion matrices, ROC curves and predictions", "train"
    ),
    Command("compare", "training.compare_models", "compare trained models in one chart", "train"),
    Command("reproduce", "training.reproduce", "train and score a report's experiments (in a checkout)", "train"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command `fetal-hc`."""
    return run_command("fetal-hc", FETAL_HC, sys.argv[1:] if argv is None else argv)


def face_mask_main(argv: Sequence[str] | None = None) -> int:
    """The command `face-mask`."""
    return run_command("face-mask", FACE_MASK, sys.argv[1:] if argv is None else argv)


def run_command(program: str, commands: Sequence[Command], argv: Sequence[str]) -> int:
    """Calls the sub-command that `argv` begins with and returns its exit code; lists them all for `--help`."""
    if argv and argv[0] in ("-h", "--help"):
        print(list_commands(program, commands))
        return 0
    command = next((command for command in commands if argv and command.name == argv[0]), None)
    if command is None:
        finding = f"'{argv[0]}' is not a command" if argv else "no command was given"
        names = ", ".join(command.name for command in commands)
        print(f"error: {finding}; expected one of {names}; see {program} --help", file=sys.stderr)
        return BAD_INPUT
    return call(command, f"{program} {command.name}", argv[1:])


def run_tool(module: str) -> int:
    """The command behind `tools/MODULE.py`, with the arguments of the process."""
    commands = (*FETAL_HC, *FACE_MASK)
    command = next(command for command in commands if command.module.rpartition(".")[2] == module)
    return call(command, sys.argv[0], sys.argv[1:])


def call(command: Command, program: str, argv: Sequence[str]) -> int:
    """Imports a command, calls it and returns its exit code.

    Args:
        command: the command.
        program: what usage lines call it.
        argv: its arguments.
    """
    try:
        module = importlib.import_module(f"fetal_hc_cli.{command.module}")
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in PROJECT_PACKAGES or not command.extra:
            raise
        print(
            f"error: {program} needs the library {library}, which is not installed; install it with "
            f"pip install 'fetal-hc[{command.extra}]'",
            file=sys.stderr,
        )
        return BAD_INPUT
    sys.argv[0] = program  # argparse names the program in usage lines after it
    code: int = module.main(argv)
    return code


def list_commands(program: str, commands: Sequence[Command]) -> str:
    """The help text: every command with its line."""
    width = max(len(command.name) for command in commands)
    lines = [f"usage: {program} COMMAND [options]", "", "commands:"]
    lines += [f"  {command.name:<{width}}  {command.summary}" for command in commands]
    lines += [
        "",
        f"{program} COMMAND --help lists the options of a command.",
        "Research use only. Not a medical device.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
