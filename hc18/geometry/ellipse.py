"""The ellipse of a fetal head: exact measures, conversions between conventions, affine maps.

Coordinates: x right, y down, pixel centres at integers (pixel (0, 0) covers [-0.5, 0.5] x [-0.5, 0.5]).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fetal_hc.errors import MeasurementError

_AGM_TOLERANCE = 1e-9  # differences shrink quadratically: the next one is below the last digit


def circumference(semi_axis_a: float, semi_axis_b: float) -> float:
    """Length of the outline of an ellipse with semi-axes a >= b > 0, in their unit.

    Exact form 4 * a * E(m) with m = 1 - (b / a)**2 by the arithmetic-geometric mean. `scipy.special.ellipe` gives
    the same to the last digits, but loading it takes a fifth of the time in which a process of a batch starts.

    References: NIST Digital Library of Mathematical Functions, sections 19.30(i) and 19.8(i).
    """
    mean, root = 1.0, semi_axis_b / semi_axis_a
    rest, factor = 1.0 - (1.0 - root) * (1.0 + root) / 2.0, 0.5
    while mean - root > _AGM_TOLERANCE:
        half_difference = (mean - root) / 2.0
        mean, root = (mean + root) / 2.0, math.sqrt(mean * root)
        factor *= 2.0
        rest -= factor * half_difference * half_difference
    return 2.0 * math.pi * semi_axis_a * rest / ((mean + root) / 2.0)


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse in pixels, or in millimetres after `to_mm`.

    Attributes:
        center_x: to the right.
        center_y: downwards.
        semi_axis_a: major semi-axis, half of the long diameter.
        semi_axis_b: minor semi-axis, 0 < b <= a.
        angle_rad: direction of the MAJOR axis, from +x towards +y (clockwise on the screen), in [0, pi).
    """

    center_x: float
    center_y: float
    semi_axis_a: float
    semi_axis_b: float
    angle_rad: float

    def __post_init__(self) -> None:
        """Refuses values that do not make an ellipse in the convention above.

        Raises:
            MeasurementError: listing every value that is not finite or out of range.
        """
        for name in self.__slots__:
            if type(getattr(self, name)) is not float:
                object.__setattr__(self, name, float(getattr(self, name)))
        total = self.center_x + self.center_y + self.semi_axis_a + self.semi_axis_b
        if math.isfinite(total) and self.semi_axis_a >= self.semi_axis_b > 0.0 and 0.0 <= self.angle_rad < math.pi:
            return  # nearly always, and fast: a submission may have a million ellipses
        problems = [
            f"{name} is {getattr(self, name)}; expected a finite number"
            for name in self.__slots__
            if not math.isfinite(getattr(self, name))
        ]
        if not problems and not self.semi_axis_a >= self.semi_axis_b > 0.0:
            problems.append(f"semi-axes are {self.semi_axis_a}, {self.semi_axis_b}; expected a >= b > 0")
        if not problems and not 0.0 <= self.angle_rad < math.pi:
            problems.append(f"angle_rad is {self.angle_rad}; expected [0, pi)")
        if problems:
            raise MeasurementError(
                "not an ellipse: " + "; ".join(problems) + "; use Ellipse.from_axes to normalise axes and angle",
                problems,
            )

    @classmethod
    def from_axes(
        cls, center_x: float, center_y: float, semi_axis_1: float, semi_axis_2: float, angle_of_axis_1_rad: float
    ) -> Ellipse:
        """The ellipse with two semi-axes in any order and any angle of the first one (radians).

        Raises:
            MeasurementError: if a value is not finite or an axis is not positive.
        """
        angle = angle_of_axis_1_rad
        if semi_axis_2 > semi_axis_1:
            semi_axis_1, semi_axis_2, angle = semi_axis_2, semi_axis_1, angle + math.pi / 2.0
        angle = angle % math.pi if math.isfinite(angle) else angle
        if angle == math.pi:  # -1e-17 % pi rounds up to pi
            angle = 0.0
        return cls(center_x, center_y, semi_axis_1, semi_axis_2, angle)

    @classmethod
    def from_conic(cls, coefficients: ArrayLike) -> Ellipse:
        """The ellipse A x^2 + B x y + C y^2 + D x + E y + F = 0.

        Args:
            coefficients: (6,) A, B, C, D, E, F, up to a common factor.

        Raises:
            MeasurementError: if the conic is a hyperbola, a parabola, degenerate or not finite.
        """
        a, b, c, d, e, f = (float(value) for value in np.asarray(coefficients, dtype=np.float64).reshape(6))
        if a + c < 0.0:
            a, b, c, d, e, f = -a, -b, -c, -d, -e, -f
        determinant = 4.0 * a * c - b * b
        if not determinant > 0.0 or not math.isfinite(determinant):
            raise MeasurementError(f"not an ellipse: 4AC - B^2 is {determinant}; expected a positive number")
        center_x = (b * e - 2.0 * c * d) / determinant
        center_y = (b * d - 2.0 * a * e) / determinant
        value_at_center = f + (d * center_x + e * center_y) / 2.0
        if not value_at_center < 0.0:
            raise MeasurementError(f"not an ellipse: no real point lies on the conic {a, b, c, d, e, f}")
        half_difference = math.hypot(a - c, b) / 2.0
        large = (a + c) / 2.0 + half_difference
        small = determinant / 4.0 / large
        angle_of_minor = math.atan2(b, a - c) / 2.0
        return cls.from_axes(
            center_x,
            center_y,
            math.sqrt(-value_at_center / small),
            math.sqrt(-value_at_center / large),
            angle_of_minor + math.pi / 2.0,
        )

    def circumference(self) -> float:
        """Length of the outline, in the unit of the semi-axes (px, or mm after `to_mm`)."""
        return circumference(self.semi_axis_a, self.semi_axis_b)

    def area(self) -> float:
        """Enclosed area pi * a * b, in the squared unit of the semi-axes."""
        return math.pi * self.semi_axis_a * self.semi_axis_b

    def outline(self, n_points: int) -> NDArray[np.float64]:
        """Points on the ellipse, (n_points, 2) x, y, at equal steps of the eccentric angle; open, from the a-end on.

        The polygon through them encloses n/(2 pi) sin(2 pi/n) of the area: 1 - 2e-4 for 180 points, 1 - 5e-5 for 360.
        """
        eccentric = np.linspace(0.0, 2.0 * math.pi, n_points, endpoint=False)
        local = np.stack([self.semi_axis_a * np.cos(eccentric), self.semi_axis_b * np.sin(eccentric)], axis=1)
        points: NDArray[np.float64] = local @ self._axes() + (self.center_x, self.center_y)
        return points

    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Tightest upright box x0, y0, x1, y1, in the ellipse's own coordinates (pixel centres at integers)."""
        cosine, sine = math.cos(self.angle_rad), math.sin(self.angle_rad)
        half_width = math.hypot(self.semi_axis_a * cosine, self.semi_axis_b * sine)
        half_height = math.hypot(self.semi_axis_a * sine, self.semi_axis_b * cosine)
        return (
            self.center_x - half_width,
            self.center_y - half_height,
            self.center_x + half_width,
            self.center_y + half_height,
        )

    def transformed(self, affine: ArrayLike) -> Ellipse:
        """The image of this ellipse under x' = A x + t.

        Args:
            affine: (2, 3), A in the first two columns, t in the last.

        Raises:
            MeasurementError: if A is singular or not finite.
        """
        matrix = np.asarray(affine, dtype=np.float64).reshape(2, 3)
        if not np.isfinite(matrix).all():
            raise MeasurementError(f"affine map {matrix.tolist()} is not finite; expected a (2, 3) map")
        half_diameters = matrix[:, :2] @ (self._axes().T * (self.semi_axis_a, self.semi_axis_b))
        directions, lengths, _ = np.linalg.svd(half_diameters)
        if not lengths[1] > 1e-12 * lengths[0]:
            raise MeasurementError(
                f"affine map {matrix.tolist()} is singular; expected one that keeps areas above zero"
            )
        center = matrix @ (self.center_x, self.center_y, 1.0)
        return Ellipse.from_axes(
            float(center[0]),
            float(center[1]),
            float(lengths[0]),
            float(lengths[1]),
            math.atan2(directions[1, 0], directions[0, 0]),
        )

    def blended(self, other: Ellipse, share: float) -> Ellipse:
        """An ellipse between this one (share 0) and another (share 1); its outline moves evenly with the share.

        Centres are averaged, and so are the symmetric matrices R diag(a, b) R' that map the unit circle to the ellipse.

        Args:
            other: in the same unit and frame.
            share: how much of it, 0 to 1.
        """
        (own, own_center), (far, far_center) = (
            (
                item._axes().T @ np.diag([item.semi_axis_a, item.semi_axis_b]) @ item._axes(),
                np.array([item.center_x, item.center_y]),
            )
            for item in (self, other)
        )
        lengths, directions = np.linalg.eigh((1.0 - share) * own + share * far)
        center = (1.0 - share) * own_center + share * far_center
        angle_rad = math.atan2(directions[1, 1], directions[0, 1])
        return Ellipse.from_axes(center[0], center[1], float(lengths[1]), float(lengths[0]), angle_rad)

    def to_mm(self, pixel_size_x_mm: float, pixel_size_y_mm: float) -> Ellipse:
        """The ellipse in millimetres; the origin stays the centre of the top-left pixel.

        Raises:
            MeasurementError: if a pixel size is not a positive, finite number.
        """
        for axis, size in (("x", pixel_size_x_mm), ("y", pixel_size_y_mm)):
            if not (math.isfinite(size) and size > 0.0):
                raise MeasurementError(
                    f"pixel size along {axis} is {size}; expected a positive number of mm per "
                    "pixel; take it from the calibration of the image"
                )
        if pixel_size_x_mm == pixel_size_y_mm:
            return Ellipse(
                self.center_x * pixel_size_x_mm,
                self.center_y * pixel_size_x_mm,
                self.semi_axis_a * pixel_size_x_mm,
                self.semi_axis_b * pixel_size_x_mm,
                self.angle_rad,
            )
        return self.transformed([[pixel_size_x_mm, 0.0, 0.0], [0.0, pixel_size_y_mm, 0.0]])

    def contains(self, points_xy: ArrayLike) -> NDArray[np.bool_]:
        """Whether each of the (..., 2) points x, y lies inside or on the ellipse; shape (...)."""
        offsets = np.asarray(points_xy, dtype=np.float64) - (self.center_x, self.center_y)
        scaled = offsets @ self._axes().T / (self.semi_axis_a, self.semi_axis_b)
        inside: NDArray[np.bool_] = np.einsum("...i,...i->...", scaled, scaled) <= 1.0
        return inside

    def mask(self, image_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Pixels whose centres lie inside, bool (H, W); parts outside the image are cut off."""
        inside = np.zeros(image_hw, dtype=np.bool_)
        x0, y0, x1, y1 = self.box_xyxy()
        columns = np.arange(max(math.ceil(x0), 0), min(math.floor(x1), image_hw[1] - 1) + 1)
        rows = np.arange(max(math.ceil(y0), 0), min(math.floor(y1), image_hw[0] - 1) + 1)
        if columns.size and rows.size:
            grid_xy = np.stack(np.meshgrid(columns, rows), axis=-1)
            inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = self.contains(grid_xy)
        return inside

    def _axes(self) -> NDArray[np.float64]:
        """Unit vectors of the a- and b-axis as rows, (2, 2)."""
        cosine, sine = math.cos(self.angle_rad), math.sin(self.angle_rad)
        return np.array([[cosine, sine], [-sine, cosine]])
