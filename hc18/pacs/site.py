"""The settings of a site: one TOML file that the environment variable FETAL_HC_PACS names. Secrets are not in it.

A secret is the name of an environment variable that holds it. docs/pacs.md shows a whole file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from fetal_hc.errors import ConfigError
from hc18.pacs import SITE_VARIABLE
from hc18.pacs.archive import Archive, NetworkArchive, WebArchive
from hc18.pacs.web import WebService

_PORTS = range(1, 65536)


class ReportKind(StrEnum):
    """What goes back to the archive."""

    TID5000 = "tid5000"
    TID1500 = "tid1500"
    PICTURE = "picture"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who may send to the receiver.

    Attributes:
        ae_title: that the peer calls itself.
        address: from which it must call; empty for any.
    """

    ae_title: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """The receiver of images.

    Attributes:
        ae_title: our own.
        address: to listen on.
        port: to listen on.
        peers: who may send; nobody else can.
        most_waiting: images that may wait for their measurement before senders are told to come back later.
        keep_free_mb: space on the disk of the spool below which nothing is taken.
    """

    ae_title: str = "FETALHC"
    address: str = "127.0.0.1"
    port: int = 11112
    peers: tuple[Peer, ...] = ()
    most_waiting: int = 2000
    keep_free_mb: int = 1000


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """The way back.

    Attributes:
        to: name of an archive; empty for none.
        kinds: what is sent.
        attempts: tries before a person has to look.
        organization: of the people who sign, for the reports.
    """

    to: str = ""
    kinds: tuple[ReportKind, ...] = tuple(ReportKind)
    attempts: int = 12
    organization: str = "not stated"


@dataclass(frozen=True, slots=True)
class Site:
    """What a site has configured.

    Attributes:
        folder: of the spool and of the databases of this room.
        keep_references: whether the UIDs of image, series and study are kept, encrypted, so that reports can go back.
        keep_patient: whether name, number and dates of the patient are kept too, encrypted.
        receiver: of images.
        archives: by name.
        reports: the way back.
        fhir: server that gets the Observation of a signed case; None for none.
    """

    folder: Path
    keep_references: bool = False
    keep_patient: bool = False
    receiver: ReceiverSettings = field(default_factory=ReceiverSettings)
    archives: Mapping[str, Archive] = field(default_factory=dict)
    reports: ReportSettings = field(default_factory=ReportSettings)
    fhir: WebService | None = None

    @property
    def destination(self) -> Archive | None:
        """The archive that reports go to; None if the site has named none."""
        return self.archives.get(self.reports.to)

    @property
    def searchable(self) -> dict[str, WebService]:
        """The archives that can be searched, by name."""
        return {name: known.service for name, known in self.archives.items() if isinstance(known, WebArchive)}


def read_site(environment: Mapping[str, str] = os.environ) -> Site | None:
    """The settings of the file that FETAL_HC_PACS names; None if it is not set.

    Raises:
        ConfigError: if the file cannot be read, or says something that is not understood.
    """
    named = environment.get(SITE_VARIABLE, "")
    return read_site_file(Path(named), environment) if named else None


def read_site_file(path: Path, environment: Mapping[str, str] = os.environ) -> Site:
    """The settings of a file.

    Args:
        path: of the TOML file; a relative `folder` in it is relative to the file's own folder.
        environment: that holds the secrets.

    Raises:
        ConfigError: if it cannot be read, or says something that is not understood.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); {SITE_VARIABLE} names a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not a TOML file ({error}); docs/pacs.md shows one") from error
    return _to_site(_Section(str(path), values), path.parent, environment)


class _Section:
    """A table of the file, from which every value is taken once; what is left over was misspelled."""

    def __init__(self, place: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise ConfigError(f"{place}: expected a table of settings, such as [receiver]")
        self.place, self._left = place, dict(values)

    def take(self, name: str, kind: type, default: Any) -> Any:
        """A value; raises `ConfigError` if it is of another kind."""
        value = self._left.pop(name, default)
        if type(value) is not kind:
            raise ConfigError(f"{self.place}: {name} is {value!r}; expected {_KIND_NAMES[kind]}")
        return value

    def needed(self, name: str) -> str:
        """A text that must be there; raises `ConfigError` if it is missing or empty."""
        value: str = self.take(name, str, "")
        if not value:
            raise ConfigError(f"{self.place}: {name} is missing; docs/pacs.md shows a whole file")
        return value

    def port(self, default: int) -> int:
        """A TCP port; raises `ConfigError` if it is none."""
        value: int = self.take("port", int, default)
        if value not in _PORTS:
            raise ConfigError(f"{self.place}: port is {value}; expected 1 to 65535")
        return value

    def positive(self, name: str, default: int) -> int:
        """A whole number of at least 1; raises `ConfigError` for another one."""
        value: int = self.take(name, int, default)
        if value < 1:
            raise ConfigError(f"{self.place}: {name} is {value}; expected at least 1")
        return value

    def ae_title(self, name: str, default: str) -> str:
        """An AE title; raises `ConfigError` if DICOM does not allow it."""
        value: str = self.take(name, str, default)
        if not (0 < len(value.strip()) <= 16) or not value.isascii() or not value.isprintable() or "\\" in value:
            raise ConfigError(f"{self.place}: {name} is '{value}'; expected 1 to 16 ASCII characters without backslash")
        return value.strip()

    def secret(self, name: str, environment: Mapping[str, str]) -> str:
        """The secret in the variable that a setting names; empty if none is named, `ConfigError` if it is not set."""
        variable: str = self.take(name, str, "")
        if variable and not environment.get(variable):
            raise ConfigError(f"{self.place}: {name} names {variable}, which is not set; set it to the secret")
        return environment.get(variable, "") if variable else ""

    def sections(self, name: str) -> list[_Section]:
        """The tables of a list."""
        return [_Section(f"{self.place}: {name} {n + 1}", one) for n, one in enumerate(self.take(name, list, []))]

    def section(self, name: str) -> _Section:
        """A table; empty if it is not there."""
        return _Section(f"{self.place}: [{name}]", self._left.pop(name, {}))

    def finish(self) -> None:
        """Raises `ConfigError` for names that nobody has asked for."""
        if self._left:
            raise ConfigError(f"{self.place}: {', '.join(self._left)} is not a setting; docs/pacs.md lists them all")


_KIND_NAMES = {str: 'a text in "quotes"', int: "a whole number", bool: "true or false", list: "a list"}


def _to_site(top: _Section, home: Path, environment: Mapping[str, str]) -> Site:
    archives: dict[str, Archive] = {}
    for section in top.sections("archive"):
        name = section.needed("name")
        if name in archives:
            raise ConfigError(f"{section.place}: another archive is called '{name}'; choose another name")
        archives[name] = _to_archive(section, environment)
    site = Site(
        folder=home / top.needed("folder"),
        keep_references=top.take("keep_references", bool, False),
        keep_patient=top.take("keep_patient", bool, False),
        receiver=_to_receiver(top.section("receiver")),
        archives=archives,
        reports=_to_reports(top.section("reports"), archives),
        fhir=_to_fhir(top.section("fhir"), environment),
    )
    top.finish()
    if site.keep_patient and not site.keep_references:
        raise ConfigError(f"{top.place}: keep_patient needs keep_references = true")
    if site.reports.to and not site.keep_references:
        raise ConfigError(f"{top.place}: reports go back only with keep_references = true, to the study of the image")
    return site


def _to_archive(section: _Section, environment: Mapping[str, str]) -> Archive:
    service = _to_service(section, environment)
    if service is not None:
        archive: Archive = WebArchive(service)
    else:
        archive = NetworkArchive(
            section.needed("host"),
            section.port(104),
            section.ae_title("ae_title", ""),
            section.ae_title("calling_ae_title", "FETALHC"),
        )
    section.finish()
    return archive


def _to_fhir(section: _Section, environment: Mapping[str, str]) -> WebService | None:
    found = _to_service(section, environment)
    section.finish()
    return found


def _to_service(section: _Section, environment: Mapping[str, str]) -> WebService | None:
    """The web service that a section describes; None if it names no `url`."""
    url = section.take("url", str, "")
    token, user = section.secret("token_variable", environment), section.take("user", str, "")
    password = section.secret("password_variable", environment)
    return WebService(url, token=token, user=user, password=password) if url else None


def _to_receiver(section: _Section) -> ReceiverSettings:
    peers = []
    for peer in section.sections("peers"):
        peers.append(Peer(peer.ae_title("ae_title", ""), peer.take("address", str, "")))
        peer.finish()
    default = ReceiverSettings()
    found = ReceiverSettings(
        ae_title=section.ae_title("ae_title", default.ae_title),
        address=section.take("address", str, default.address),
        port=section.port(default.port),
        peers=tuple(peers),
        most_waiting=section.positive("most_waiting", default.most_waiting),
        keep_free_mb=section.positive("keep_free_mb", default.keep_free_mb),
    )
    section.finish()
    return found


def _to_reports(section: _Section, archives: Mapping[str, Archive]) -> ReportSettings:
    default = ReportSettings()
    to = section.take("to", str, "")
    if to and to not in archives:
        raise ConfigError(f"{section.place}: to is '{to}'; expected the name of an archive: {', '.join(archives)}")
    kinds = section.take("kinds", list, list(default.kinds))
    if not kinds or not set(kinds) <= set(ReportKind):
        raise ConfigError(f"{section.place}: kinds is {kinds}; expected some of {', '.join(ReportKind)}")
    attempts = section.positive("attempts", default.attempts)
    organization = section.take("organization", str, default.organization)
    section.finish()
    return ReportSettings(to, tuple(map(ReportKind, kinds)), attempts, organization)
