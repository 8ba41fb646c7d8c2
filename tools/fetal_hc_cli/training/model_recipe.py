"""The steps that make the shipped model, in order: data, reference run, folds, last stage, calibration, evaluation.

The model is trained on every labelled image, so it has no held-out error of its own. Two other trainings replace it: a
reference run, which left out validation fold 0 and whose weights the last stage starts from, and five folds, which
measure every image out of fold. Their measurements calibrate the intervals (`fetal-hc recalibrate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

TRAIN, VAL, NEGATIVES = "hc18_train", "hc18_val", "no_head"
CONFIGS = "configs/hc18"
REFINER_CONFIG = f"{CONFIGS}/outline_refiner.yaml"
# Tiny detectors learn in the reference run's first stage; every later training changes them a little.
NO_AMP = ("SOLVER.AMP.ENABLED", "False")  # bfloat16 is slow on processors without it
SMOKE_KEYS = ("TEST.EXPECTED_RESULTS", "[]", "DATALOADER.FILTER_EMPTY_ANNOTATIONS", "False", *NO_AMP)
SMOKE_FIRST_KEYS = ("SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "200")
SMOKE_SHORT_KEYS = ("SOLVER.IMS_PER_BATCH", "4", "SOLVER.WARMUP_ITERS", "2", "SOLVER.MAX_ITER", "20")


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        name: short and unique.
        tool: `tools/TOOL.py` is called; "" joins tables: the first file of `arguments` gets the rows of the others.
        arguments: of the tool.
        output: file that exists once the step is done.
        may_miss: whether exit code 1 (a check missed its bound, an image was not measured) does not count as a failure.
    """

    name: str
    tool: str
    arguments: tuple[str, ...]
    output: Path
    may_miss: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """What can differ between the shipped model and one made with other means.

    Attributes:
        root: HC18 folder.
        work: folder for everything that is made.
        photographs: folders of photographs without a head, by the name of their dataset.
        version: of the model.
        n_folds: number of folds.
        external: folder with `heads.csv` and `images`, heads of another hospital; with `others` it gives the image
            checks and the intervals of unfamiliar images.
        others: folders of ultrasound images without a measurable head.
        is_smoke: whether the data are phantoms and the networks tiny: tests the chain, not the model.
    """

    root: Path
    work: Path
    photographs: dict[str, Path] = field(default_factory=dict)
    version: str = "1.0.0"
    n_folds: int = 5
    external: Path | None = None
    others: tuple[Path, ...] = ()
    is_smoke: bool = False

    @property
    def steps(self) -> list[Step]:
        """All steps in order."""
        made = [*self._data(), *self._reference_run(), *self._folds(), *self._last_stage()]
        return [*made, *self._image_checks(), *self._evaluation()]

    def _data(self) -> list[Step]:
        steps = []
        if self.is_smoke:
            sizes = ("--count", "120", "--test-count", "44", "--size", "small")
            output = self.root / "training_set_pixel_size_and_HC.csv"
            steps.append(Step("phantoms", "make_phantoms", ("--output", str(self.root), *sizes), output))
        # The reference run saw more negatives than the folds and the last stage.
        for name, n_negatives, n_photographs in (("reference", 160, 100), ("final", 60, 40)):
            data = self._data_folder(name)
            split = ("--folds", str(self.n_folds), "--val-fold", "0")
            source = ("--root", str(self.root), "--output", str(data), *split)
            steps.append(Step(f"{name}-convert", "convert_hc18", source, data / f"{VAL}.json"))
            n_drawn = 12 if self.is_smoke else n_negatives
            count = ("--count", "0", "--test-count", "0", "--no-head", str(n_drawn), "--seed", "1000")
            negatives = ("--output", str(data), *count)
            steps.append(Step(f"{name}-negatives", "make_phantoms", negatives, data / f"{NEGATIVES}.json"))
            for dataset, folder in self.photographs.items():
                draw = ("--count", str(n_photographs), "--seed", "5")
                output = data / f"{dataset}.json"
                arguments = ("--images", str(folder), *draw, "--output", str(output))
                steps.append(Step(f"{name}-{dataset}", "convert_no_head", arguments, output))
        return steps

    def _reference_run(self) -> list[Step]:
        labelled = self._data_folder("reference") / f"{VAL}.json"
        negatives = [NEGATIVES, *self.photographs]
        stages = (
            ("mask_rcnn_R_18_FPN", [TRAIN], ""),
            ("mask_rcnn_R_18_FPN_longer", [TRAIN, NEGATIVES], "reference1/model_final.pth"),
            ("mask_rcnn_R_18_FPN_no_head", [TRAIN, *negatives], "reference2/model_final.pth"),
        )
        steps = [
            self._train(f"reference{index}", config, "reference", datasets, start)
            for index, (config, datasets, start) in enumerate(stages, 1)
        ]
        checkpoints = [str(self.work / f"reference{index}" / "model_final.pth") for index in (2, 3)]
        average = self.work / "reference.pth"
        arguments = ("--weights", *checkpoints, "--output", str(average))
        steps.append(Step("reference-average", "average_checkpoints", arguments, average))
        steps += self._export("reference", "mask_rcnn_R_18_FPN_no_head", average, self._data_folder("reference"))
        detected = self.work / "reference.onnx"
        steps += self._held_out("reference-detection", [(detected, labelled)], "reference_run_detection_stage.csv")
        outlines = self.work / "reference_run_detection_stage.csv"
        steps += self._refiner("reference-refiner", "reference", [TRAIN], [VAL], outlines)
        steps.append(self._attach("reference", detected, self.work / "reference-refiner.onnx"))
        whole = self.work / "reference.zip"
        steps += self._held_out("reference-whole", [(whole, labelled)], "reference_run.csv")
        return [*steps, self._measure("reference-unlabelled", whole, "test_set")]

    def _folds(self) -> list[Step]:
        data = self._data_folder("final")
        folds = range(self.n_folds)
        config = "mask_rcnn_R_18_FPN_single_stage"
        datasets = [TRAIN, NEGATIVES, *self.photographs]
        steps = [self._cross_validate("folds", self._config(config), datasets, self._detector_keys())]
        for fold in folds:
            weights = self.work / "folds" / f"fold{fold}" / "model_final.pth"
            steps += self._export(f"fold{fold}", config, weights, data)
        labelled = [self.work / "folds" / "folds" / f"data_fold{fold}_val.json" for fold in folds]
        detectors = [self.work / f"fold{fold}.onnx" for fold in folds]
        pairs = list(zip(detectors, labelled, strict=True))
        steps += self._held_out("folds-detection", pairs, "folds_detection_stage.csv")
        outlines = ("DATASETS.START_OUTLINES", f"['{self.work / 'folds_detection_stage.csv'}']")
        keys = (*outlines, *self._refiner_keys())
        steps.append(self._cross_validate("fold-refiners", REFINER_CONFIG, [TRAIN], keys))
        for fold in folds:
            weights = self.work / "fold-refiners" / f"fold{fold}" / "model_final.pth"
            refiner = self.work / f"fold-refiner{fold}.onnx"
            steps.append(self._export_refiner(f"fold-refiner{fold}", weights))
            steps.append(self._attach(f"fold{fold}", self.work / f"fold{fold}.onnx", refiner))
        models = [self.work / f"fold{fold}.zip" for fold in folds]
        steps += self._held_out("folds-whole", list(zip(models, labelled, strict=True)), "folds.csv")
        steps += [self._measure(f"fold{fold}-unlabelled", models[fold], "test_set") for fold in folds]
        joined = self.work / "folds_unlabelled.csv"
        parts = [str(self.work / f"fold{fold}-unlabelled_details.csv") for fold in folds]
        return [*steps, Step("folds-unlabelled", "", (str(joined), *parts), joined)]

    def _last_stage(self) -> list[Step]:
        config = "mask_rcnn_R_18_FPN_all_images"
        datasets = [TRAIN, VAL, NEGATIVES, *self.photographs]
        steps = [self._train("final", config, "final", datasets, "reference.pth")]
        steps += self._export("final", config, self.work / "final" / "model_final.pth", self._data_folder("final"))
        outlines = self.work / "folds_detection_stage.csv"
        steps += self._refiner("final-refiner", "final", [TRAIN, VAL], [], outlines)
        summary = f"{CONFIGS}/training_summary.json"
        identity = ("--name", "hc18", "--model-version", self.version, "--training", summary)
        steps.append(self._attach("final", self.work / "final.onnx", self.work / "final-refiner.onnx", *identity))
        steps.append(self._measure("final-unlabelled", self.work / "final.zip", "test_set"))
        data = self._data_folder("final")
        output = self.work / ("hc18.zip" if self.external is None else "calibrated.zip")
        pairs = [self.work / "folds.csv", data / f"{TRAIN}.json", self.work / "folds.csv", data / f"{VAL}.json"]
        names = ("folds_unlabelled.csv", "reference-unlabelled_details.csv", "final-unlabelled_details.csv")
        reference = (self.work / "reference_run.csv", self._data_folder("reference") / f"{VAL}.json")
        arguments = [
            *("--out-of-fold", *map(str, pairs[:2]), "--out-of-fold", *map(str, pairs[2:])),
            *("--longer", *map(str, reference), "--unlabelled", *(str(self.work / name) for name in names)),
            *("--model", str(self.work / "final.zip"), "--output", str(output)),
            *("--report", str(self.work / "intervals")),
        ]
        return [*steps, Step("calibrate", "calibrate_trust", tuple(arguments), output, may_miss=self.is_smoke)]

    def _image_checks(self) -> list[Step]:
        """Checks and intervals for images unlike HC18's, which the networks did not see."""
        if self.external is None:
            return []
        away, data = self.work / "external.json", self._data_folder("final")
        source = ("--table", str(self.external / "heads.csv"), "--images", str(self.external / "images"))
        steps = [Step("external-convert", "convert_external_heads", (*source, "--output", str(away)), away)]
        datasets = [away, *(self.work / f"{folder.name}.json" for folder in self.others)]
        for folder, path in zip(self.others, datasets[1:], strict=True):
            arguments = ("--images", str(folder), "--output", str(path))
            steps.append(Step(f"{folder.name}-convert", "convert_no_head", arguments, path))
        tables = [self.work / "unseen" / f"{path.stem}.csv" for path in datasets]
        names = ("--datasets", *map(str, datasets), "--output", str(self.work / "unseen"))
        steps.append(Step("unseen", "measure_unseen", ("--model", str(self.work / "final.zip"), *names), tables[-1]))
        home = (str(data / f"{TRAIN}.json"), str(data / f"{VAL}.json"))
        rows = self.work / "checked"
        checked = rows / "model.zip"
        given = ["--home", str(self.work / "folds.csv"), *home, "--away", str(tables[0]), str(away)]
        for table, dataset in zip(tables[1:], datasets[1:], strict=True):
            given += ["--no-head", str(table), str(dataset)]
        files = ("--rows", str(rows), "--model", str(self.work / "calibrated.zip"), "--output", str(checked))
        steps.append(Step("image-checks", "calibrate_checks", (*given, *files), checked))
        pairs = [part for path in home for part in ("--out-of-fold", str(rows / "folds.csv"), path)]
        elsewhere = ("--away", str(rows / "external.csv"), str(away), "--keep-home")
        output = self.work / "hc18.zip"
        files = ("--model", str(checked), "--output", str(output), "--report", str(self.work / "intervals"))
        return [*steps, Step("calibrate-away", "calibrate", (*pairs, *elsewhere, *files), output, may_miss=True)]

    def _evaluation(self) -> list[Step]:
        steps = []
        for name, subset in (("folds", ""), ("reference_run", str(self._data_folder("reference") / f"{VAL}.json"))):
            output = self.work / f"{name}.json"
            chosen = ("--subset", subset) if subset else ()
            details = ("--details", str(self.work / f"{name}.csv"), "--root", str(self.root))
            arguments = (*details, *chosen, "--json", str(output))
            steps.append(Step(f"evaluate-{name}", "evaluate_hc18", arguments, output, may_miss=True))
        return steps

    # --- single commands ---

    def _train(self, name: str, config: str, data: str, datasets: Sequence[str], start: str) -> Step:
        keys = _common_keys(self._data_folder(data), self.work / name, datasets)
        weights = ("MODEL.WEIGHTS", str(self.work / start)) if start else ()
        smoke = (*SMOKE_KEYS, *(SMOKE_SHORT_KEYS if start else SMOKE_FIRST_KEYS)) if self.is_smoke else ()
        arguments = ("--config-file", self._config(config), "--resume", *keys, *weights, *smoke)
        return Step(name, "train_net", arguments, self.work / name / "model_final.pth")

    def _cross_validate(self, name: str, config: str, datasets: Sequence[str], keys: Sequence[str]) -> Step:
        folds = ("--folds", str(self.n_folds), "--datasets", TRAIN, VAL, "--group-key", "examination", "--resume")
        common = _common_keys(self._data_folder("final"), self.work / name, datasets)
        output = self.work / name / "cross_validation.json"
        return Step(name, "cross_validate", ("--config-file", config, *folds, *common, *keys), output)

    def _export(self, name: str, config: str, weights: Path, data: Path) -> list[Step]:
        exported, quantized = self.work / f"{name}.float32.onnx", self.work / f"{name}.onnx"
        arguments = ("--config-file", self._config(config), "--weights", str(weights), "--output", str(exported))
        images = ("--coco", str(data / f"{TRAIN}.json"))
        return [
            Step(f"{name}-export", "export_model", arguments, exported),
            Step(
                f"{name}-quantize",
                "quantize_model",
                ("--model", str(exported), *images, "--output", str(quantized)),
                quantized,
            ),
        ]

    def _refiner(self, name: str, data: str, train: Sequence[str], test: Sequence[str], outlines: Path) -> list[Step]:
        keys = (*_common_keys(self._data_folder(data), self.work / name, train), "DATASETS.TEST", repr(list(test)))
        keys = (*keys, "DATASETS.START_OUTLINES", f"['{outlines}']", *self._refiner_keys())
        weights = self.work / name / "model_final.pth"
        trained = Step(name, "train_net", ("--config-file", REFINER_CONFIG, "--resume", *keys), weights)
        return [trained, self._export_refiner(name, weights)]

    def _export_refiner(self, name: str, weights: Path) -> Step:
        output = self.work / f"{name}.onnx"
        keys = self._refiner_keys()
        changed = ("--opts", *keys) if keys else ()
        arguments = ("--config-file", REFINER_CONFIG, "--weights", str(weights), "--output", str(output), *changed)
        return Step(f"{name}-export", "export_model", arguments, output)

    def _attach(self, name: str, detector: Path, refiner: Path, *identity: str) -> Step:
        output = self.work / f"{name}.zip"
        arguments = ("--model", str(detector), "--refiner", str(refiner), "--output", str(output), *identity)
        return Step(f"{name}-attach", "attach_refiner", arguments, output)

    def _measure(self, name: str, model: Path, subset: str) -> Step:
        table = "training_set_pixel_size_and_HC.csv" if subset == "training_set" else "test_set_pixel_size.csv"
        images = ("--images", str(self.root / subset), "--pixel-sizes", str(self.root / table))
        details = self.work / f"{name}_details.csv"
        files = ("--output", str(self.work / f"{name}.submission.csv"), "--details", str(details))
        return Step(name, "score", (*images, "--model", str(model), *files, "--resume"), details, may_miss=True)

    def _held_out(self, name: str, models: Sequence[tuple[Path, Path]], rows: str) -> list[Step]:
        """Measures the training images with models and keeps of each the rows of the images it was not trained on."""
        steps, pairs = [], []
        for model, labelled in models:
            step = self._measure(f"{name}-{model.stem}", model, "training_set")
            steps.append(step)
            pairs += ["--out-of-fold", str(step.output), str(labelled)]
        output = self.work / rows
        return [*steps, Step(f"{name}-rows", "calibrate", (*pairs, "--rows", str(output)), output, may_miss=True)]

    def _data_folder(self, name: str) -> Path:
        return self.work / f"data_{name}"

    def _config(self, name: str) -> str:
        return "configs/smoke/mask_rcnn_R_18_FPN_phantoms.yaml" if self.is_smoke else f"{CONFIGS}/{name}.yaml"

    def _detector_keys(self) -> tuple[str, ...]:
        """Keys of tiny detectors: the folds go on from the reference run's first stage."""
        if not self.is_smoke:
            return ()
        return ("MODEL.WEIGHTS", str(self.work / "reference1" / "model_final.pth"), *SMOKE_KEYS, *SMOKE_SHORT_KEYS)

    def _refiner_keys(self) -> tuple[str, ...]:
        if not self.is_smoke:
            return ()
        return ("MODEL.OUTLINE_REFINER.CHANNELS", "4", "SOLVER.MAX_ITER", "40", "SOLVER.WARMUP_ITERS", "4", *NO_AMP)


def _common_keys(data: Path, output: Path, datasets: Sequence[str]) -> tuple[str, ...]:
    return ("DATASETS.ROOT", str(data), "DATASETS.TRAIN", repr(list(datasets)), "OUTPUT_DIR", str(output))
