"""Damaged copies of good files: what disks, transfers, editors and attackers make of them; everything by a seed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HOSTILE_TEXTS = (
    "\0",
    '"',
    "\n",
    ";",
    ",",
    "=1+1",
    "1e-300",
    "1e999",
    "nan",
    "-0",
    "9" * 6_000,
    "[" * 5_000,
    "{" * 2_000,
    "&a [*a]",
    "!!python/object/apply:os.getcwd []",
    "../../etc/passwd",
    "http://169.254.169.254/",
    "\u202e",
    "\ufeff",
    "\ud7ff",
    "x" * 70_000,
    "\r",
    "\t",
    "%s%n",
)


@dataclass(frozen=True)
class FaultKind:
    """One kind of bad input.

    Attributes:
        name: for the table.
        make: a damaged file.
        read: reads it the way a user's file is read; returns what became of it. An error of the family
            (`FetalHCError`) is a refusal with a sentence, any other error is a fault.
        n_per_process: how many one process tries, one after the other.
        is_input: whether files are damaged; else `make` gives random bytes, from which `read` draws what it disturbs.
        share: of the time, relative to other kinds.
    """

    name: str
    make: Callable[[np.random.Generator], bytes]
    read: Callable[[bytes, Path], str]
    n_per_process: int = 100
    is_input: bool = True
    share: int = 1


def damaged_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """A copy with one to three kinds of damage."""
    for _ in range(int(rng.integers(1, 4))):
        data = _BYTE_DAMAGE[int(rng.integers(len(_BYTE_DAMAGE)))](data, rng)
    return data


def damaged_text(text: str, rng: np.random.Generator) -> bytes:
    """A copy, as UTF-8, with one to three kinds of damage to its characters and lines, sometimes to its bytes too."""
    for _ in range(int(rng.integers(1, 4))):
        text = _TEXT_DAMAGE[int(rng.integers(len(_TEXT_DAMAGE)))](text, rng)
    data = text.encode("utf-8", "surrogatepass")
    return damaged_bytes(data, rng) if rng.random() < 0.2 else data


def _flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    """Flips up to 20 bits, half of the time near the start, where the header is."""
    flipped = bytearray(data)
    end = len(data) if rng.random() < 0.5 else min(len(data), 512)
    for _ in range(int(rng.integers(1, 21)) if end else 0):
        flipped[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def _cut_off(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _drop_part(data: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 200))
    return data[:start] + data[start + length :]


def _insert_noise(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data) + 1))
    return data[:start] + rng.bytes(int(rng.integers(1, 200))) + data[start:]


def _overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    """Zeros, ones or a large number over a few bytes: sizes, counts and offsets become extreme."""
    start = int(rng.integers(len(data) + 1))
    value = (bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x01")[int(rng.integers(5))]
    return (data[:start] + value + data[start + len(value) :])[: len(data)]


def _repeat_part(data: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 400))
    return data[:start] + data[start : start + length] * int(rng.integers(2, 5)) + data[start + length :]


def _insert_hostile(text: str, rng: np.random.Generator) -> str:
    start = int(rng.integers(len(text) + 1))
    return text[:start] + HOSTILE_TEXTS[int(rng.integers(len(HOSTILE_TEXTS)))] + text[start:]


def _replace_word(text: str, rng: np.random.Generator) -> str:
    """Puts something hostile in the place of a value."""
    words = text.replace(",", " ").replace(":", " ").split()
    if not words:
        return text
    word = words[int(rng.integers(len(words)))]
    return text.replace(word, HOSTILE_TEXTS[int(rng.integers(len(HOSTILE_TEXTS)))], int(rng.integers(1, 4)))


def _change_lines(text: str, rng: np.random.Generator) -> str:
    """Drops, repeats or swaps lines."""
    lines = text.splitlines(keepends=True)
    if len(lines) < 2:
        return text
    first, second = (int(rng.integers(len(lines))) for _ in range(2))
    way = int(rng.integers(3))
    if way == 0:
        del lines[first]
    elif way == 1:
        lines.insert(second, lines[first])
    else:
        lines[first], lines[second] = lines[second], lines[first]
    return "".join(lines)


def _drop_characters(text: str, rng: np.random.Generator) -> str:
    start = int(rng.integers(len(text) + 1))
    return text[:start] + text[start + int(rng.integers(1, 30)) :]


_BYTE_DAMAGE: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    _flip_bits,
    _flip_bits,
    _cut_off,
    _drop_part,
    _insert_noise,
    _overwrite,
    _repeat_part,
)
_TEXT_DAMAGE: tuple[Callable[[str, np.random.Generator], str], ...] = (
    _insert_hostile,
    _replace_word,
    _change_lines,
    _drop_characters,
)
