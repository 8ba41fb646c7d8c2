r"""Make the shipped model again, from the HC18 folder to the calibrated bundle; continues where it stopped.

    fetal-hc make-model --hc18 HC18 --work output/model \
        --faces face_mask_classification/without_mask --crowds face_mask_detection/images
    fetal-hc make-model --smoke --work output/model_smoke

The steps and their reasons are in model_recipe.py next to this file; --dry-run prints them as commands. A step whose
output exists is skipped, and an interrupted training goes on from its last checkpoint. Everything, also the result
hc18.zip, lies in the folder --work. On two CPU cores all of it takes about a day. --smoke runs the same chain with tiny
networks on phantoms: it tests the chain and makes no useful model. The photographs (--faces, --crowds) teach the
detector what has no head; without them the model measures more photographs.

Exit code: 0 done; 1 a check of a step missed its bound; 2 bad input, or a step that failed.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.errors import ConfigError
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc_cli import new_parser, reports_bad_input
from fetal_hc_cli.training.model_recipe import CONFIGS, Recipe, Step

CHECKOUT = Path(__file__).resolve().parents[3]


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--hc18", type=Path, metavar="DIR", help="HC18 folder, as published")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder for everything that is made")
    parser.add_argument("--faces", type=Path, metavar="DIR", help="photographs of faces")
    parser.add_argument("--crowds", type=Path, metavar="DIR", help="photographs of several people")
    parser.add_argument("--external", type=Path, metavar="DIR", help="heads of another hospital: heads.csv and images/")
    parser.add_argument(
        "--others", type=Path, nargs="+", default=[], metavar="DIR", help="ultrasound images without a measurable head"
    )
    parser.add_argument("--model-version", default="1.0.0", metavar="VERSION", help="of the model (%(default)s)")
    parser.add_argument("--smoke", action="store_true", help="tiny networks on phantoms instead of --hc18")
    parser.add_argument("--dry-run", action="store_true", help="print the commands of all steps that are not done yet")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    recipe = _recipe(options)
    steps = recipe.steps
    if not options.dry_run:
        _remember(recipe)
    for number, step in enumerate(steps, 1):
        code = _take(step, f"[{number}/{len(steps)}] {step.name}", dry_run=options.dry_run)
        if code:
            return code
    if not options.dry_run:
        print(f"the model is {recipe.work / 'hc18.zip'}")
    return 0


def _recipe(options: argparse.Namespace) -> Recipe:
    """What the options ask for.

    Raises:
        ConfigError: if they contradict each other, or the recipes of a checkout are missing.
    """
    if not (CHECKOUT / CONFIGS).is_dir():
        raise ConfigError(f"{CHECKOUT / CONFIGS}: is not there; run fetal-hc make-model in a checkout of the project")
    if options.smoke == (options.hc18 is not None):
        raise ConfigError("give either --hc18 DIR or --smoke")
    work = options.work.resolve()
    if options.smoke:
        return Recipe(work / "phantoms", work, version=options.model_version, n_folds=2, is_smoke=True)
    given = {"no_head_faces": options.faces, "no_head_crowds": options.crowds}
    photographs = {name: folder.resolve() for name, folder in given.items() if folder is not None}
    if (options.external is None) != (not options.others):
        raise ConfigError("--external and --others belong together: the image checks are fitted to both")
    elsewhere = [folder.resolve() for folder in (*filter(None, [options.external]), *options.others)]
    folders = (options.hc18, *photographs.values(), *elsewhere)
    if missing := [folder for folder in folders if not folder.is_dir()]:
        options_text = "--hc18, --faces, --crowds, --external and --others"
        raise ConfigError(f"{missing[0]}: is not a folder; check the options {options_text}")
    root = options.hc18.resolve()
    if not elsewhere:
        return Recipe(root, work, photographs, options.model_version)
    external, *others = elsewhere
    return Recipe(root, work, photographs, options.model_version, external=external, others=tuple(others))


def _remember(recipe: Recipe) -> None:
    """Notes in the work folder what is made there, or makes sure that it is the same as before.

    Raises:
        ConfigError: if the folder holds the steps of another recipe.
    """
    photographs = {name: str(folder) for name, folder in recipe.photographs.items()}
    facts = {"hc18": str(recipe.root), "photographs": photographs, "smoke": recipe.is_smoke, "version": recipe.version}
    if recipe.external is not None:
        facts |= {"external": str(recipe.external), "others": list(map(str, recipe.others))}
    path = recipe.work / "recipe.json"
    text = json.dumps(facts, indent=2) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{path}: was begun with other options; give these again, or choose another folder --work")
    write_text_atomic(path, text)


def _take(step: Step, title: str, *, dry_run: bool) -> int:
    """Runs a step unless its output exists, or prints its command; the exit code."""
    if step.output.exists():
        print(f"{title}: done before", flush=True)
        return 0
    command = [sys.executable, str(CHECKOUT / "tools" / f"{step.tool}.py"), *step.arguments]
    shown = ["python", f"tools/{step.tool}.py", *step.arguments] if step.tool else ["join", *step.arguments]
    print(f"{title}\n    {shlex.join(shown)}", flush=True)
    if dry_run:
        return 0
    started = time.perf_counter()
    if not step.tool:
        _join_tables(Path(step.arguments[0]), [Path(part) for part in step.arguments[1:]])
        return 0
    code = subprocess.run(command, cwd=CHECKOUT, check=False).returncode
    print(f"    {time.perf_counter() - started:.0f} s", flush=True)
    if code == 0 or (code == 1 and step.may_miss and step.output.exists()):
        return 0
    print(f"error: step '{step.name}' ended with exit code {code}; run the same command to go on", file=sys.stderr)
    return 1 if code == 1 else 2


def _join_tables(target: Path, parts: Sequence[Path]) -> None:
    """Writes the rows of all parts, which have the same columns, below one header."""
    lines = [part.read_text(encoding="utf-8-sig").splitlines() for part in parts]
    write_text_atomic(target, "\n".join([lines[0][0], *(row for rows in lines for row in rows[1:])]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
