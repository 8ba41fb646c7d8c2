// Geometry of the ellipse editor, in px of the original image: pixel centres at integers, x right, y down. An ellipse is
// {x, y, r1, r2, angle} with the angle of r1 from +x towards +y in radians. Loaded before editor.js, in the same module.

const MIN_SEMI_AXIS_PX = 4;

// Handles: which semi-axis they change and on which side of the centre they sit.
const AXIS_HANDLES = [
  { name: "long-end", axis: 1, side: 1 },
  { name: "long-start", axis: 1, side: -1 },
  { name: "short-end", axis: 2, side: 1 },
  { name: "short-start", axis: 2, side: -1 },
];

function axisEnd({ x, y, r1, r2, angle }, axis, side) {
  const turn = axis === 1 ? angle : angle + Math.PI / 2, reach = side * (axis === 1 ? r1 : r2);
  return [x + reach * Math.cos(turn), y + reach * Math.sin(turn)];
}

// The ellipse after a drag of one handle. The opposite end of an axis stays in place; with shift the centre does.
function dragged(ellipse, what, [fx, fy], [tx, ty], symmetric) {
  const e = { ...ellipse };
  if (what === "move") {
    e.x += tx - fx;
    e.y += ty - fy;
  } else if (what === "rotate") {
    e.angle += Math.atan2(ty - e.y, tx - e.x) - Math.atan2(fy - e.y, fx - e.x);
  } else {
    const { axis, side } = AXIS_HANDLES.find((handle) => handle.name === what);
    const turn = axis === 1 ? e.angle : e.angle + Math.PI / 2;
    const along = side * ((tx - fx) * Math.cos(turn) + (ty - fy) * Math.sin(turn));
    const name = axis === 1 ? "r1" : "r2";
    const reach = Math.max(e[name] + (symmetric ? along : along / 2), MIN_SEMI_AXIS_PX);
    const shift = symmetric ? 0 : side * (reach - e[name]);
    e[name] = reach;
    e.x += shift * Math.cos(turn);
    e.y += shift * Math.sin(turn);
  }
  return e;
}

function normalised({ x, y, r1, r2, angle }) {
  const swapped = r2 > r1;
  const turned = swapped ? angle + Math.PI / 2 : angle;
  return { x, y, r1: swapped ? r2 : r1, r2: swapped ? r1 : r2, angle: ((turned % Math.PI) + Math.PI) % Math.PI };
}

// Sum and product of the semi-axes in mm: half-axis vectors scaled to mm, whose singular values they are.
function semiAxesMm({ r1, r2, angle }, [sx, sy]) {
  const c = Math.cos(angle), s = Math.sin(angle);
  const squares = (r1 * c * sx) ** 2 + (r1 * s * sy) ** 2 + (r2 * s * sx) ** 2 + (r2 * c * sy) ** 2;
  const product = r1 * r2 * sx * sy;
  const sum = Math.sqrt(squares + 2 * product), difference = Math.sqrt(Math.max(squares - 2 * product, 0));
  return { sum, difference };
}

// Ramanujan's second approximation, as in hc18.geometry.ellipse.ramanujan_circumference; Python stores the exact value.
function circumference(ellipse, size) {
  const { sum, difference } = semiAxesMm(ellipse, size);
  const h = (difference / sum) ** 2;
  return Math.PI * sum * (1 + (3 * h) / (10 + Math.sqrt(4 - 3 * h)));
}

function diameters(ellipse, size) {
  const { sum, difference } = semiAxesMm(ellipse, size);
  return [sum + difference, sum - difference];
}

function fromPayload({ center_x, center_y, semi_axis_a, semi_axis_b, angle_rad }) {
  return { x: center_x, y: center_y, r1: semi_axis_a, r2: semi_axis_b, angle: angle_rad };
}

function toPayload({ x, y, r1, r2, angle }) {
  return { center_x: x, center_y: y, semi_axis_a: r1, semi_axis_b: r2, angle_rad: angle };
}
