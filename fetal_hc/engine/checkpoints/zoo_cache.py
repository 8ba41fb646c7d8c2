"""Weight files that a configuration names by a URL, such as those of Detectron2's model zoo.

Nothing is downloaded. A file that Detectron2 has downloaded earlier, or that was put into its cache by hand, is used
from there; otherwise the message names the URL and the place for the file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from fetal_hc.errors import ModelError

ZOO_URL = "https://dl.fbaipublicfiles.com/detectron2/"
CACHE_VARIABLE = "DETECTRON2_MODEL_ZOO_CACHE"
# Where Detectron2's library iopath, formerly fvcore, keeps downloads; the variable moves its cache elsewhere.
LIBRARY_VARIABLE = "FVCORE_CACHE"
LIBRARY_CACHES = ("~/.torch/iopath_cache", "~/.torch/fvcore_cache")

# One slash is enough: `Path` makes one of two.
_ZOO_NAME = re.compile(r"detectron2:/{1,3}(?P<name>[^/].*)")
_WEB_NAME = re.compile(r"https?:/{1,2}[^/]+/(?P<name>.+)")


def find_weights(source: str | Path) -> Path:
    """The local file of MODEL.WEIGHTS: a path as it is; a URL's file from the caches of Detectron2.

    A cache keeps a file under the path of its URL. $DETECTRON2_MODEL_ZOO_CACHE may also hold the zoo's files directly,
    as `ImageNetPretrained/MSRA/R-50.pkl`.

    Raises:
        ModelError: if `source` is a URL and none of the caches holds its file.
    """
    zoo, web = _ZOO_NAME.fullmatch(str(source)), _WEB_NAME.fullmatch(str(source))
    if zoo:
        url, name = ZOO_URL + zoo["name"], f"detectron2/{zoo['name']}"
    elif web:
        url, name = re.sub(r"^(https?):/+", r"\1://", str(source)), web["name"]
    else:
        return Path(source)
    candidates = [cache / name for cache in _caches()]
    if own := os.environ.get(CACHE_VARIABLE):
        candidates.insert(0, Path(own).expanduser() / name.removeprefix("detectron2/"))
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise ModelError(
            f"MODEL.WEIGHTS {source}: the file is not on this machine, and nothing is downloaded; download {url} and "
            f"put it at {candidates[0]}, or set MODEL.WEIGHTS to the path of the file"
        )
    return found


def _caches() -> list[Path]:
    named = [os.environ.get(variable, "") for variable in (CACHE_VARIABLE, LIBRARY_VARIABLE)]
    return [Path(cache).expanduser() for cache in (*named, *LIBRARY_CACHES) if cache]
