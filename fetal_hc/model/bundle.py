"""A model as one file: networks, and what must be known to use them.

A bundle is a zip file with uncompressed members, so that it never unfolds to more than its size: `model.json` (the
manifest), `detector.onnx`, `detector.yaml` (the configuration of its training) and any other networks, each as
`NAME.onnx`. The manifest states the format, the model's name and version, the SHA-256 of every member, what the
detector expects and finds (`detector`), and JSON sections whose meaning is up to the domain that uses the model.

A single ONNX file of fetal-hc export is read as a bundle of one detector. Older files of this kind could carry
a second network and the calibration of an interval in their metadata; both are read too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import re
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetal_hc.errors import ModelError, raise_problems
from fetal_hc.io.atomic import write_bytes_atomic
from fetal_hc.io.documents import parse_json
from fetal_hc.model.model_spec import ModelSpec
from fetal_hc.model.sessions import read_onnx_metadata

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT = "fetal_hc.model_bundle"
FORMAT_VERSION = 1
MANIFEST = "model.json"
DETECTOR = "detector"
REFINER = "refiner"
INTERVALS = "intervals"  # errors measured with exactly these networks: gone as soon as one of them changes
TRAINING = "training"  # what the networks were trained on, for people
UNVERSIONED = "unversioned"  # of single ONNX files, which state no version

_CONFIG_MEMBER = f"{DETECTOR}.yaml"
_OWN_KEYS = ("format", "format_version", "name", "version", "sha256", DETECTOR)
MAX_FILE_BYTES = 500_000_000  # of a model; it is read as a whole
_PLAIN_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content gives the same file
_READABLE = 0o644 << 16  # mode of an unpacked member
_ZIP_MAGIC = b"PK\x03\x04"
# Metadata of single ONNX files of earlier releases: a calibration as JSON, a second network as base64 text.
SINGLE_FILE_KEYS = _INTERVALS_KEY, _REFINER_KEY = "fetal_hc.trust", "fetal_hc.outline_refiner"


@dataclass(frozen=True)
class ModelBundle:
    """The content of a model file.

    Attributes:
        name: what the model is called in records.
        version: its own version, for example "1.0.0"; it goes into records, next to the SHA-256 of the file.
        spec: what the detector expects and finds.
        networks: ONNX files by name; `DETECTOR` is always among them.
        sections: further JSON objects of the manifest by name.
        is_single_file: whether it was read from a single ONNX file, which has no manifest.

    Raises:
        ModelError: if the name, the version or a section has a form that a manifest cannot hold.
    """

    name: str
    version: str
    spec: ModelSpec
    networks: Mapping[str, bytes] = field(repr=False)
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_single_file: bool = False

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), ("version", self.version), *(("network", n) for n in self.networks)):
            if not _PLAIN_NAME.fullmatch(text):
                raise ModelError(f"{what} of a model is {text!r}; expected 1 to 64 letters, digits and . _ + -")
        taken = sorted(set(self.sections) & set(_OWN_KEYS))
        if taken or DETECTOR not in self.networks:
            raise ModelError(f"a model has sections {taken} and networks {sorted(self.networks)}; it needs a detector")

    def replace(
        self,
        *,
        networks: Mapping[str, bytes] | None = None,
        sections: Mapping[str, Mapping[str, Any] | None] | None = None,
        **changes: Any,
    ) -> ModelBundle:
        """A bundle with some networks, sections or other attributes in place of the ones here.

        Args:
            networks: ONNX files by name, added or replaced. The section `INTERVALS` goes with any change of a network.
            sections: added or replaced, removed where None.
            changes: other attributes, see the class.
        """
        kept = {**self.sections}
        if networks and {**self.networks, **networks} != self.networks:
            kept.pop(INTERVALS, None)
        merged = {**kept, **(sections or {})}
        return replace(
            self,
            networks={**self.networks, **(networks or {})},
            sections={name: section for name, section in merged.items() if section is not None},
            **changes,
        )

    def manifest(self) -> dict[str, Any]:
        """The content of `model.json`."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "version": self.version,
            "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in self._members().items()},
            DETECTOR: self.spec.to_section(),
            **dict(sorted(self.sections.items())),
        }

    def _members(self) -> dict[str, bytes]:
        """The files of a bundle other than the manifest, by name."""
        networks = {f"{name}.onnx": self.networks[name] for name in sorted(self.networks)}
        return {**networks, _CONFIG_MEMBER: self.spec.config.encode("utf-8")}

    def write(self, path: Path) -> None:
        """Writes the bundle as a whole or not at all; the same content gives the same bytes.

        A bundle of nothing but a detector becomes a single ONNX file where `path` ends in `.onnx`.

        Raises:
            FetalHCError: if the file cannot be written.
        """
        if path.suffix == ".onnx" and set(self.networks) == {DETECTOR} and not self.sections:
            write_bytes_atomic(path, self.networks[DETECTOR])
            return
        text = json.dumps(self.manifest(), indent=2, ensure_ascii=False) + "\n"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name, content in ((MANIFEST, text.encode("utf-8")), *self._members().items()):
                member = zipfile.ZipInfo(name, _EPOCH)
                member.external_attr = _READABLE
                archive.writestr(member, content)
        write_bytes_atomic(path, buffer.getvalue())

    @classmethod
    def read(cls, path: str | Path) -> ModelBundle:
        """The content of a bundle or of a single ONNX file, told apart by what they hold.

        Raises:
            ModelError: if the file is missing, damaged, of another format or version, or incomplete; the message names
                the field or the member.
        """
        path = Path(path)
        return _read_zip(path) if is_zip_file(path) else _read_single_file(path)


def check_section(name: str, section: Mapping[str, Any], form: type[DataclassInstance], source: str) -> None:
    """Returns if a section has the fields of a dataclass and no others; those whose default is None may be missing.

    Args:
        name: of the section.
        section: as read from the manifest.
        form: the dataclass.
        source: name of the file, for the message.

    Raises:
        ModelError: naming the fields that are missing or unknown.
    """
    known = {item.name: item.default is None for item in fields(form)}
    wrong = [f"{name}.{key} is missing" for key, may_miss in known.items() if key not in section and not may_miss]
    wrong += [f"{name}.{key} is unknown" for key in section if key not in known]
    if wrong:
        raise_problems(ModelError, wrong, f"{source}: {MANIFEST}")


def is_zip_file(path: Path) -> bool:
    """Whether a file begins as a zip file does, whatever its name.

    Raises:
        ModelError: if it cannot be read, is not a regular file, or is too large to be a model.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "a device, pipe or socket"
            raise ModelError(f"{path}: is {kind}; expected a model bundle or an ONNX file; check the path")
        if facts.st_size > MAX_FILE_BYTES:
            raise ModelError(
                f"{path}: has {facts.st_size:,} bytes, more than {MAX_FILE_BYTES:,}; expected a model bundle or an "
                "ONNX file; check the path"
            )
        with path.open("rb") as stream:
            return stream.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else str(error)
        raise ModelError(f"{path}: {reason}; expected a model bundle or an ONNX file; check the path") from error


def _read_zip(path: Path) -> ModelBundle:
    try:
        with zipfile.ZipFile(path) as archive:
            if MANIFEST in archive.namelist():
                _check_members(archive, path)
            else:
                raise ModelError(
                    f"{path}: is a zip file without {MANIFEST}; expected a model bundle; a checkpoint of a training "
                    "becomes one with fetal-hc export"
                )
            manifest = _read_manifest(archive.read(MANIFEST), path)
            members = _read_members(archive, manifest["sha256"], path)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: is a damaged model bundle ({error}); restore the file") from error
    try:
        spec = ModelSpec.from_section(manifest[DETECTOR], members[_CONFIG_MEMBER].decode("utf-8"))
    except ValueError as error:
        raise ModelError(f"{path}: {MANIFEST}: {error}") from error
    networks = {name.removesuffix(".onnx"): data for name, data in members.items() if name.endswith(".onnx")}
    sections = {name: value for name, value in manifest.items() if name not in _OWN_KEYS}
    return ModelBundle(manifest["name"], manifest["version"], spec, networks, sections)


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Returns if no member is compressed and all together are not larger than the file.

    Raises:
        ModelError: naming the member; a compressed one may unfold to anything.
    """
    packed = next((member for member in archive.infolist() if member.compress_type != zipfile.ZIP_STORED), None)
    if packed is not None:
        raise ModelError(
            f"{path}: its member '{packed.filename[:100]}' is compressed; expected members as fetal-hc writes them, "
            "uncompressed; restore the file"
        )
    n_bytes = sum(member.file_size for member in archive.infolist())
    if n_bytes > path.stat().st_size:
        raise ModelError(f"{path}: its members claim {n_bytes:,} bytes, more than the file has; restore the file")


def _read_manifest(content: bytes, path: Path) -> dict[str, Any]:
    """The manifest, after its own keys were checked.

    Raises:
        ModelError: naming every key that is missing or wrong.
    """
    try:
        manifest: dict[str, Any] = parse_json(content)
    except ValueError as error:
        raise ModelError(f"{path}: {MANIFEST} is not JSON ({error}); restore the file") from error
    found = (manifest.get("format"), manifest.get("format_version")) if isinstance(manifest, dict) else manifest
    if found != (FORMAT, FORMAT_VERSION):
        raise ModelError(
            f"{path}: {MANIFEST}: format and format_version are {found!r}; this release reads "
            f"{(FORMAT, FORMAT_VERSION)!r}; use a release that wrote the file, or convert the model with it"
        )
    kinds: dict[str, type] = {"name": str, "version": str, "sha256": dict, DETECTOR: dict}
    kinds.update({name: dict for name in manifest if name not in _OWN_KEYS})
    problems = [
        f"'{key}' is {'missing' if key not in manifest else repr(manifest[key])}; expected a {kind.__name__}"
        for key, kind in kinds.items()
        if not isinstance(manifest.get(key), kind)
    ]
    needed = (f"{DETECTOR}.onnx", _CONFIG_MEMBER)
    if not problems:
        problems = [f"'sha256' lacks '{name}'" for name in needed if name not in manifest["sha256"]]
    if problems:
        raise_problems(ModelError, problems, f"{path}: {MANIFEST}")
    return manifest


def _read_members(archive: zipfile.ZipFile, digests: Mapping[str, str], path: Path) -> dict[str, bytes]:
    """The files that a manifest lists, each with the SHA-256 it states."""
    members = {}
    for name, expected in digests.items():
        if name not in archive.namelist():
            raise ModelError(f"{path}: lacks the member '{name}' that {MANIFEST} lists; restore the file")
        members[name] = archive.read(name)
        actual = hashlib.sha256(members[name]).hexdigest()
        if actual != expected:
            raise ModelError(
                f"{path}: the SHA-256 of its member '{name}' is {actual}, but {MANIFEST} says {expected}; the member "
                "is damaged or was exchanged; restore the file"
            )
    return members


def _read_single_file(path: Path) -> ModelBundle:
    content = path.read_bytes()
    metadata = read_onnx_metadata(content, str(path))
    spec = ModelSpec.from_metadata(metadata, str(path))
    networks, sections = {DETECTOR: content}, {}
    try:
        if _INTERVALS_KEY in metadata:
            sections[INTERVALS] = parse_json(metadata[_INTERVALS_KEY])
        if _REFINER_KEY in metadata:
            networks[REFINER] = base64.b64decode(metadata[_REFINER_KEY], validate=True)
    except (ValueError, binascii.Error) as error:
        raise ModelError(f"{path}: its metadata are damaged ({error}); restore the file") from error
    name = re.sub(r"[^0-9A-Za-z._+-]", "_", path.stem).lstrip("._+-")[:64] or "model"
    return ModelBundle(name, UNVERSIONED, spec, networks, sections, is_single_file=True)
