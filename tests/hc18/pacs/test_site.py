"""The settings file of a site."""

from pathlib import Path

import pytest

from fetal_hc.errors import ConfigError
from hc18.pacs import SITE_VARIABLE
from hc18.pacs.archive import NetworkArchive
from hc18.pacs.site import Peer, ReportKind, read_site
from hc18.pacs.web import WebService

WHOLE = """
folder = "state"
keep_references = true

[receiver]
ae_title = "FETALHC"
port = 11113
peers = [{ ae_title = "US1", address = "10.0.0.5" }]

[[archive]]
name = "pacs"
host = "pacs.example.org"
port = 104
ae_title = "PACS"

[[archive]]
name = "web"
url = "https://pacs.example.org/dicom-web"
user = "reader"
password_variable = "WEB_PASSWORD"

[reports]
to = "pacs"
kinds = ["tid5000"]
attempts = 3

[fhir]
url = "https://fhir.example.org/r4"
token_variable = "FHIR_TOKEN"
"""


def read(tmp_path: Path, text: str, **environment: str) -> object:
    (tmp_path / "site.toml").write_text(text, encoding="utf-8")
    return read_site({SITE_VARIABLE: str(tmp_path / "site.toml"), **environment})


def test_whole_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(WHOLE, encoding="utf-8")
    site = read_site({SITE_VARIABLE: str(tmp_path / "site.toml"), "WEB_PASSWORD": "geheim", "FHIR_TOKEN": "marke"})
    assert site is not None
    assert site.folder == tmp_path / "state"
    assert site.receiver.peers == (Peer("US1", "10.0.0.5"),)
    assert site.receiver.port == 11113
    assert site.destination == NetworkArchive("pacs.example.org", 104, "PACS")
    assert site.searchable == {"web": WebService("https://pacs.example.org/dicom-web", "", "reader", "geheim")}
    assert site.fhir == WebService("https://fhir.example.org/r4", token="marke")
    assert site.reports.kinds == (ReportKind.TID5000,)
    assert not site.keep_patient
    assert "geheim" not in repr(site)
    assert "marke" not in repr(site)


def test_no_variable_means_no_archive() -> None:
    assert read_site({}) is None


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("port = 11113", 'port = "11113"', r"\[receiver\]: port is '11113'; expected a whole number"),
        ("port = 11113", "port = 0", "expected 1 to 65535"),
        ('ae_title = "US1"', 'ae_title = "A TITLE THAT IS TOO LONG"', "expected 1 to 16 ASCII characters"),
        ("keep_references = true", "", "reports go back only with keep_references"),
        ("keep_references = true", "keep_reference = true", "keep_references|is not a setting"),
        ('to = "pacs"', 'to = "archive"', "expected the name of an archive: pacs, web"),
        ('kinds = ["tid5000"]', 'kinds = ["pdf"]', "expected some of tid5000, tid1500, picture"),
        ('name = "web"', 'name = "pacs"', "another archive is called 'pacs'"),
        ('host = "pacs.example.org"', "", "host is missing"),
        ("folder =", "folder", "is not a TOML file"),
        ("attempts = 3", "attempts = 3\ntimeout = 3", "timeout is not a setting"),
    ],
)
def test_wrong_setting_is_named_with_its_place(tmp_path: Path, wrong: str, right: str, message: str) -> None:
    assert wrong in WHOLE
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, WHOLE.replace(wrong, right), WEB_PASSWORD="geheim", FHIR_TOKEN="marke")


def test_secret_that_is_not_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="password_variable names WEB_PASSWORD, which is not set"):
        read(tmp_path, WHOLE)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.toml: cannot be read \(No such file"):
        read_site({SITE_VARIABLE: str(tmp_path / "nowhere.toml")})


def test_file_of_the_docs_is_read(tmp_path: Path, repository_root: Path) -> None:
    _, _, rest = (repository_root / "docs" / "pacs.md").read_text(encoding="utf-8").partition("```toml\n")
    (tmp_path / "site.toml").write_text(rest.partition("```")[0], encoding="utf-8")
    site = read_site({SITE_VARIABLE: str(tmp_path / "site.toml"), "WEB_PASSWORD": "geheim", "FHIR_TOKEN": "marke"})
    assert site is not None
    assert (sorted(site.archives), list(site.searchable)) == (["pacs", "web"], ["web"])
