"""The page of faces in a real browser: drop photos, see them coloured, download the table."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from face_mask.data.color_mask import WORN_CLASSES
from tests.app.conftest import running_app
from tests.app.reviewer import TIMEOUT_MS, Person
from tests.synthetic_model import head_spec, write_bright_object_model

pytestmark = pytest.mark.slow  # needs a server and a browser
HW = (96, 128)


def write_photo(path: Path, column: int) -> Path:
    """A dark photo with one bright face."""
    pixels = np.zeros((*HW, 3), dtype=np.uint8)
    pixels[20:60, column : column + 32] = 250
    Image.fromarray(pixels).save(path)
    return path


def test_photos_are_coloured_by_class_and_the_table_is_downloaded(
    tmp_path: Path, repository_root: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_bright_object_model(tmp_path / "model.onnx", head_spec(*HW, class_names=tuple(WORN_CLASSES)))
    monkeypatch.setenv("FACE_MASK_MODEL", str(model))
    photos = [write_photo(tmp_path / "a.png", 10), write_photo(tmp_path / "b.png", 60)]
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"no photo")
    with running_app(tmp_path, repository_root) as (server, _), Person(browser, server.url) as person:
        person.open("faces")
        person.upload([*photos, damaged])
        page = person.page
        expect(page.get_by_text("2 faces in 2 photos")).to_be_visible(timeout=TIMEOUT_MS)
        expect(page.get_by_text("without mask", exact=True)).to_be_visible(timeout=TIMEOUT_MS)
        expect(page.get_by_test_id("stImage")).to_have_count(2, timeout=TIMEOUT_MS)
        expect(page.get_by_role("alert").filter(has_text="damaged.jpg")).to_be_visible(timeout=TIMEOUT_MS)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download table").click()
        lines = download.value.path().read_text(encoding="utf-8-sig").splitlines()
        assert lines[0].startswith("file_name,frame,time_s,face,class,score")
        assert [line.split(",")[4] for line in lines[1:3]] == ["with_mask", "with_mask"]
        assert ",unreadable," in lines[3]
        page.screenshot(path=tmp_path / "faces.png", full_page=True)
        assert not person.script_errors
        assert not person.foreign_requests
