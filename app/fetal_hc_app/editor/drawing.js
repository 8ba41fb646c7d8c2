// Small helpers of the drawing.

// The server names pictures from the root of the app, which a proxy may serve from a folder.
function absolute(address) {
  return address.startsWith("/") ? new URL(`.${address}`, document.baseURI).href : address;
}

function place(node, ellipse) {
  node.style.display = ellipse ? "" : "none";
  if (!ellipse) return;
  const { x, y, r1, r2, angle } = ellipse;
  setAll(node, { cx: x, cy: y, rx: r1, ry: r2, transform: `rotate(${(angle * 180) / Math.PI} ${x} ${y})` });
}

function create(tag, attributes) {
  return setAll(document.createElementNS(SVG, tag), attributes);
}

function setAll(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function bold(text) {
  const node = document.createElement("b");
  node.textContent = text;
  return node;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), Math.max(high, low));
}
