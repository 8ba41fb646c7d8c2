"""Turns a training image into one that shows the same tissue but no object: a puzzle of its pieces."""

from __future__ import annotations

import cv2
import numpy as np
from cv2.typing import MatLike

# Pieces along the short and the long side: few enough that texture survives, many enough that no outline does.
SHORT_SIDE_PIECES = (3, 6)
LONG_SIDE_PIECES = (4, 8)


def draw_jigsaw(image: MatLike, rng: np.random.Generator) -> MatLike:
    """Image of the same size and dtype made of its own pieces in another order, without visible seams.

    Four puzzles, whose seams lie half a piece apart in y, in x or in both, are blended so that each is seen only away
    from its seams: a network cannot learn to recognise the puzzle by its edges.

    Args:
        image: uint8 (H, W) or (H, W, 3).
        rng: source of all randomness.
    """
    height, width = image.shape[:2]
    counts = [int(rng.integers(low, high + 1)) for low, high in (SHORT_SIDE_PIECES, LONG_SIDE_PIECES)]
    rows, columns = counts if height <= width else counts[::-1]
    piece_hw = (-(-height // rows), -(-width // columns))
    size_hw = (piece_hw[0] * rows, piece_hw[1] * columns)
    padding = (0, size_hw[0] - height, 0, size_hw[1] - width)
    padded = cv2.copyMakeBorder(image, *padding, cv2.BORDER_REFLECT_101)
    weight_y, weight_x = (_seam_weight(size, count) for size, count in zip(size_hw, (rows, columns), strict=True))
    blended = np.zeros(padded.shape, np.float32)
    for shift_y, side_y in ((0, weight_y), (piece_hw[0] // 2, 1.0 - weight_y)):
        for shift_x, side_x in ((0, weight_x), (piece_hw[1] // 2, 1.0 - weight_x)):
            puzzle = np.roll(_shuffled(padded, piece_hw, rng), (shift_y, shift_x), axis=(0, 1))
            weight = np.outer(side_y, side_x).astype(np.float32)
            blended += weight.reshape(weight.shape + (1,) * (image.ndim - 2)) * puzzle
    blended = np.rint(blended).astype(np.uint8)
    return np.ascontiguousarray(blended[:height, :width])


def _shuffled(image: MatLike, piece_hw: tuple[int, int], rng: np.random.Generator) -> MatLike:
    """The pieces of an image in random order, each mirrored at random."""
    rows, columns = image.shape[0] // piece_hw[0], image.shape[1] // piece_hw[1]
    tail = image.shape[2:]
    pieces = image.reshape(rows, piece_hw[0], columns, piece_hw[1], *tail).swapaxes(1, 2)
    pieces = pieces.reshape(rows * columns, *piece_hw, *tail)[rng.permutation(rows * columns)]
    mirrors = rng.integers(0, 2, (rows * columns, 2))
    pieces = np.stack([piece[:: 1 - 2 * y, :: 1 - 2 * x] for piece, (y, x) in zip(pieces, mirrors, strict=True)])
    return pieces.reshape(rows, columns, *piece_hw, *tail).swapaxes(1, 2).reshape(image.shape)


def _seam_weight(length: int, n_pieces: int) -> np.ndarray:
    """Weight (length,) of the puzzles that are not shifted: 0 at their seams, 1 in the middle of their pieces."""
    position = (np.arange(length) + 0.5) * n_pieces / length  # in pieces
    return np.sin(np.pi * position) ** 2
