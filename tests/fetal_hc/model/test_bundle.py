"""A model bundle: written, read back, changed, and refused with the name of what does not fit."""

import base64
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fetal_hc.errors import ModelError
from fetal_hc.model.bundle import DETECTOR, INTERVALS, MANIFEST, REFINER, ModelBundle
from fetal_hc.model.predictor import OnnxPredictor
from tests.synthetic_model import head_spec, write_bright_object_model


@pytest.fixture
def bundle(tmp_path: Path) -> ModelBundle:
    """A detector with a refiner, a calibration and a summary of its training."""
    detector = write_bright_object_model(tmp_path / "detector.onnx").read_bytes()
    sections = {INTERVALS: {"factor": 2.0}, "training": {"n_images": 801}}
    return ModelBundle("heads", "1.2.0", head_spec(), {DETECTOR: detector, REFINER: b"refiner"}, sections)


def rewrite(source: Path, target: Path, members: dict[str, bytes | None]) -> Path:
    """Writes a copy of a zip file with other content of some members, without those that are None."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = members.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def rewrite_manifest(source: Path, target: Path, **changes: Any) -> Path:
    """Writes a copy of a bundle with other values in its manifest, without the keys whose value is None."""
    with zipfile.ZipFile(source) as archive:
        manifest = {**json.loads(archive.read(MANIFEST)), **changes}
    kept = {key: value for key, value in manifest.items() if value is not None}
    return rewrite(source, target, {MANIFEST: json.dumps(kept).encode()})


def test_bundle_reads_back_as_it_was_written(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.write(tmp_path / "m.zip")
    assert ModelBundle.read(tmp_path / "m.zip") == bundle


def test_members_are_plain_files_that_any_zip_program_shows(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.write(tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        assert archive.namelist() == ["model.json", "detector.onnx", "refiner.onnx", "detector.yaml"]
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("detector.onnx") == bundle.networks[DETECTOR]
        manifest = json.loads(archive.read(MANIFEST))
    assert (manifest["name"], manifest["version"]) == ("heads", "1.2.0")
    assert manifest["detector"]["class_names"] == ["head"]
    assert manifest["training"] == {"n_images": 801}


def test_same_content_gives_the_same_file_in_whatever_order_it_came(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.write(tmp_path / "a.zip")
    turned = {name: bundle.sections[name] for name in reversed(bundle.sections)}
    networks = {name: bundle.networks[name] for name in reversed(bundle.networks)}
    ModelBundle(bundle.name, bundle.version, bundle.spec, networks, turned).write(tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_bundle_predicts_as_its_detector_does(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.write(tmp_path / "m.zip")
    assert OnnxPredictor(tmp_path / "m.zip").spec == OnnxPredictor(tmp_path / "detector.onnx").spec


def test_new_network_takes_the_calibration_with_it(bundle: ModelBundle) -> None:
    changed = bundle.replace(networks={REFINER: b"better"})
    assert INTERVALS not in changed.sections
    assert changed.sections["training"] == bundle.sections["training"]


def test_calibration_of_the_new_networks_is_kept(bundle: ModelBundle) -> None:
    changed = bundle.replace(networks={REFINER: b"better"}, sections={INTERVALS: {"factor": 3.0}})
    assert changed.sections[INTERVALS] == {"factor": 3.0}


def test_unchanged_networks_keep_the_calibration(bundle: ModelBundle) -> None:
    assert bundle.replace(networks={REFINER: b"refiner"}, version="1.3.0").sections == bundle.sections


def test_section_is_removed_with_none(bundle: ModelBundle) -> None:
    assert bundle.replace(sections={"training": None}).sections == {INTERVALS: {"factor": 2.0}}


def test_detector_alone_becomes_an_onnx_file_where_the_name_asks_for_it(bundle: ModelBundle, tmp_path: Path) -> None:
    alone = ModelBundle("heads", "1.0", bundle.spec, {DETECTOR: bundle.networks[DETECTOR]})
    alone.write(tmp_path / "alone.onnx")
    assert (tmp_path / "alone.onnx").read_bytes() == bundle.networks[DETECTOR]
    bundle.write(tmp_path / "more.onnx")  # a script of earlier releases may name a bundle so
    assert ModelBundle.read(tmp_path / "more.onnx") == bundle


def test_single_file_of_earlier_releases_is_read_with_its_parts(tmp_path: Path) -> None:
    text = base64.b64encode(b"refiner").decode()
    extra = {"fetal_hc.trust": '{"coverage": 0.9}', "fetal_hc.outline_refiner": text}
    path = write_bright_object_model(tmp_path / "my model.onnx", metadata={**head_spec().to_metadata(), **extra})
    bundle = ModelBundle.read(path)
    assert (bundle.name, bundle.version, bundle.is_single_file) == ("my_model", "unversioned", True)
    assert bundle.networks[REFINER] == b"refiner"
    assert bundle.sections == {INTERVALS: {"coverage": 0.9}}


@pytest.mark.parametrize("extra", [{"fetal_hc.trust": "{"}, {"fetal_hc.outline_refiner": "a*"}])
def test_damaged_metadata_of_a_single_file_are_refused(tmp_path: Path, extra: dict[str, str]) -> None:
    path = write_bright_object_model(tmp_path / "m.onnx", metadata={**head_spec().to_metadata(), **extra})
    with pytest.raises(ModelError, match=r"m\.onnx: its metadata are damaged"):
        ModelBundle.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, r"format and format_version are \('other', 1\)"),
        ({"format_version": 2}, r"\('fetal_hc\.model_bundle', 2\); this release reads"),
        ({"name": None}, "'name' is missing; expected a str"),
        ({"version": 1.0}, "'version' is 1.0; expected a str"),
        ({"version": "a b"}, "version of a model is 'a b'"),
        ({"sha256": {}}, r"'sha256' lacks 'detector\.onnx'"),
        ({"detector": {"task": "x"}}, "detector lacks class_names"),
        ({"training": 801}, "'training' is 801; expected a dict"),
        ({"detector": {**head_spec().to_section(), "min_size_px": "216"}}, "detector.min_size_px is '216'"),
        ({"detector": {**head_spec().to_section(), "task": "keypoints"}}, "detector.task is 'keypoints'"),
        ({"detector": {**head_spec().to_section(), "channel_order": "GRB"}}, "'GRB'"),
        ({"detector": {**head_spec().to_section(), "class_names": []}}, r"class names are \[\]"),
    ],
)
def test_manifest_that_does_not_fit_names_the_field(
    bundle: ModelBundle, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    bundle.write(tmp_path / "whole.zip")
    path = rewrite_manifest(tmp_path / "whole.zip", tmp_path / "m.zip", **changes)
    with pytest.raises(ModelError, match=message):
        ModelBundle.read(path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"refiner.onnx": b"exchanged"}, r"m\.zip: the SHA-256 of its member 'refiner\.onnx' is"),
        ({"refiner.onnx": None}, r"m\.zip: lacks the member 'refiner\.onnx'"),
        ({MANIFEST: None}, r"m\.zip: is a zip file without model\.json"),
        ({MANIFEST: b"{"}, r"m\.zip: model\.json is not JSON"),
        ({MANIFEST: b"[]"}, "format and format_version"),
    ],
)
def test_member_that_is_missing_or_exchanged_is_named(
    bundle: ModelBundle, tmp_path: Path, members: dict[str, bytes | None], message: str
) -> None:
    bundle.write(tmp_path / "whole.zip")
    with pytest.raises(ModelError, match=message):
        ModelBundle.read(rewrite(tmp_path / "whole.zip", tmp_path / "m.zip", members))


@pytest.mark.parametrize("cut", [100, 0.5])
def test_file_that_was_cut_off_is_refused(bundle: ModelBundle, tmp_path: Path, cut: float) -> None:
    bundle.write(tmp_path / "m.zip")
    content = (tmp_path / "m.zip").read_bytes()
    (tmp_path / "m.zip").write_bytes(content[: int(len(content) * cut) if cut < 1 else -int(cut)])
    with pytest.raises(ModelError, match=r"m\.zip: is a damaged model bundle"):
        ModelBundle.read(tmp_path / "m.zip")


def test_flipped_byte_of_a_network_is_noticed(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.write(tmp_path / "m.zip")
    content = bytearray((tmp_path / "m.zip").read_bytes())
    content[content.index(bundle.networks[DETECTOR]) + 50] ^= 1
    (tmp_path / "m.zip").write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged model bundle \(Bad CRC-32 for file 'detector\.onnx'"):
        ModelBundle.read(tmp_path / "m.zip")


def test_member_that_unfolds_is_refused_before_it_is_read(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.write(tmp_path / "whole.zip")
    with zipfile.ZipFile(tmp_path / "whole.zip") as old, zipfile.ZipFile(tmp_path / "m.zip", "w") as new:
        for name in old.namelist():
            new.writestr(name, bytes(50_000_000) if name == MANIFEST else old.read(name), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "m.zip").stat().st_size < 200_000
    with pytest.raises(ModelError, match=r"m\.zip: its member 'model\.json' is compressed; expected"):
        ModelBundle.read(tmp_path / "m.zip")


def test_member_that_claims_more_than_the_file_has_is_refused(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.write(tmp_path / "m.zip")
    content = bytearray((tmp_path / "m.zip").read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 3_000_000_000)
    (tmp_path / "m.zip").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.zip: its members claim 3,000,0.* bytes, more than the file has"):
        ModelBundle.read(tmp_path / "m.zip")


@pytest.mark.parametrize("name", ["../outside.onnx", "a/b.onnx", "/outside.onnx", "x" * 70 + ".onnx"])
def test_member_with_a_path_for_a_name_is_refused(bundle: ModelBundle, tmp_path: Path, name: str) -> None:
    bundle.write(tmp_path / "whole.zip")
    with zipfile.ZipFile(tmp_path / "whole.zip") as archive:
        digests = json.loads(archive.read(MANIFEST))["sha256"]
    path = rewrite_manifest(
        tmp_path / "whole.zip", tmp_path / "m.zip", sha256={**digests, name: digests["detector.onnx"]}
    )
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, bundle.networks[DETECTOR])
    with pytest.raises(ModelError, match="network of a model is"):
        ModelBundle.read(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["detector.onnx", "m.zip", "whole.zip"]


def test_device_is_not_read_without_end() -> None:
    with pytest.raises(ModelError, match="/dev/zero: is a device"):
        ModelBundle.read("/dev/zero")


def test_manifest_that_contradicts_the_network_is_refused(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.write(tmp_path / "whole.zip")
    section = {**bundle.spec.to_section(), "min_size_px": 320, "max_size_px": 480}
    path = rewrite_manifest(tmp_path / "whole.zip", tmp_path / "m.zip", detector=section)
    with pytest.raises(ModelError, match=r"m\.zip: model\.json describes the detector as .*320.*the network.*216"):
        OnnxPredictor(path)


def test_model_needs_a_detector() -> None:
    with pytest.raises(ModelError, match="it needs a detector"):
        ModelBundle("heads", "1.0", head_spec(), {REFINER: b"refiner"})


@pytest.mark.parametrize("text", [b"fetal_hc.", b"scores", b"image"])
def test_onnx_file_whose_texts_are_not_utf8_is_refused(text: bytes, tmp_path: Path) -> None:
    content = write_bright_object_model(tmp_path / "m.onnx").read_bytes()
    assert text in content
    (tmp_path / "m.onnx").write_bytes(content.replace(text, b"\xff" + text[1:]))
    with pytest.raises(ModelError, match=r"m\.onnx: cannot be loaded as an ONNX model"):
        OnnxPredictor(ModelBundle.read(tmp_path / "m.onnx"), 1, "m.onnx")
