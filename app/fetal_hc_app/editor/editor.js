// Ellipse editor: an ultrasound image with one movable ellipse. Nothing is sent before a pointer or key is released.
//
// Coordinates: px of the original image, pixel centres at integers, x right, y down. Unequal pixel sizes only change how
// the drawing is scaled (`aspect`); the ellipse itself always stays in px. What leaves this file is
// setStateValue("edit", {seq, session, resent, shown, ellipse}), where `seq` counts the edits and data that answers an older
// one is not drawn, and setStateValue("shown", true) when the picture is on the screen. A new `session` means that the
// server was restarted: an edit that the old one never confirmed is sent again.

const SVG = "http://www.w3.org/2000/svg";
const HANDLE_PX = 8;            // radius on the screen
const HIT_PX = 20;              // radius that reacts to a finger
const ROTATE_ARM_PX = 34;       // from the end of the long axis to the rotation handle
const MAX_ZOOM = 8;
const NUDGE_PX = 1;
const TURN_RAD = Math.PI / 180;
const COARSE = 10;              // steps with shift

// Keys without shift; in lower case. Letters exist on every keyboard layout, brackets do not.
const KEYS = {
  arrowleft: (e, n) => { e.x -= n * NUDGE_PX; },
  arrowright: (e, n) => { e.x += n * NUDGE_PX; },
  arrowup: (e, n) => { e.y -= n * NUDGE_PX; },
  arrowdown: (e, n) => { e.y += n * NUDGE_PX; },
  "+": (e) => { e.r1 += NUDGE_PX; e.r2 += NUDGE_PX; },
  "=": (e) => { e.r1 += NUDGE_PX; e.r2 += NUDGE_PX; },
  "-": (e) => { e.r1 -= NUDGE_PX; e.r2 -= NUDGE_PX; },
  "_": (e) => { e.r1 -= COARSE * NUDGE_PX; e.r2 -= COARSE * NUDGE_PX; },
  w: (e, n) => { e.r1 += n * NUDGE_PX; },
  s: (e, n) => { e.r1 -= n * NUDGE_PX; },
  d: (e, n) => { e.r2 += n * NUDGE_PX; },
  a: (e, n) => { e.r2 -= n * NUDGE_PX; },
  "]": (e) => { e.angle += TURN_RAD; },
  "[": (e) => { e.angle -= TURN_RAD; },
  "}": (e) => { e.angle += COARSE * TURN_RAD; },
  "{": (e) => { e.angle -= COARSE * TURN_RAD; },
  e: (e, n) => { e.angle += n * TURN_RAD; },
  q: (e, n) => { e.angle -= n * TURN_RAD; },
};

const RESEND_MS = 2000;         // until an edit that a new server has not confirmed is sent once more
const MAX_RESENDS = 10;

const editors = new WeakMap();
// Last edit of each case that no server has confirmed: {ellipse, session}. It outlives the editor, because a page that
// reconnects may draw its editor again.
const unconfirmed = new Map();

export default function (component) {
  const { parentElement } = component;
  let editor = editors.get(parentElement);
  if (!editor) {
    editor = new Editor(parentElement.querySelector(".editor"));
    editors.set(parentElement, editor);
  }
  editor.update(component.data, (name, value) => component.setStateValue(name, value));
  return () => {
    editor.close();
    editors.delete(parentElement);
  };
}

class Editor {
  constructor(root) {
    this.root = root;
    this.sent = 0;
    this.pending = false;      // whether the last edit was not confirmed by the server yet
    this.loaded = false;       // whether the picture is on the screen
    this.zoom = 1;
    this.focusXY = null;       // centre of the view in drawing units; null: the middle
    this.shown = { mask: true, model: true, reference: true };
    this.svg = root.querySelector("svg");
    this.live = root.querySelector(".live");
    this.part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.buildHandles();
    this.listen();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.svg);
  }

  close() {
    clearTimeout(this.timer);
    this.observer.disconnect();
    this.abort.abort();
  }

  // --- what comes from Python ---

  update(data, send) {
    this.send = send;
    const first = !this.data;
    const lost = first ? unconfirmed.get(data.case) : undefined;
    if (lost && lost.session !== data.session && !data.read_only) {
      this.ellipse = { ...lost.ellipse };
      this.pending = true;
      this.restart(data);
      return;
    }
    if (!first && data.session !== this.data.session) {
      this.restart(data);
      return;
    }
    if (!first && (this.drag || this.changedByKey || data.seq < this.sent)) {
      return;
    }
    this.pending = false;
    unconfirmed.delete(data.case);
    this.ellipse = data.ellipse && fromPayload(data.ellipse);
    this.take(data);
  }

  // The server was restarted. What it had not confirmed stays on the screen and is sent again.
  restart(data) {
    const isUnsaved = this.pending || this.drag || this.changedByKey;
    this.sent = data.seq;
    if (!isUnsaved) this.ellipse = data.ellipse && fromPayload(data.ellipse);
    this.take(data);
    if (this.loaded) this.send("shown", true);
    if (this.pending) this.resend(MAX_RESENDS);
  }

  // A message that arrives while the new server still builds the page can be dropped, so it is repeated until confirmed.
  resend(left) {
    clearTimeout(this.timer);
    if (!this.pending || left === 0) return;
    this.sendEdit(true);
    this.timer = setTimeout(() => this.resend(left - 1), RESEND_MS);
  }

  take(data) {
    this.data = data;
    this.sent = Math.max(this.sent, data.seq);
    const [across, down] = data.pixel_size_xy_mm ?? [1, 1];
    this.aspect = down / across;
    const image = this.part("image");
    if (image.getAttribute("href") !== data.image) {
      this.loaded = false;
      image.setAttribute("href", data.image);
      setAll(image, { x: -0.5, y: -0.5, width: data.width, height: data.height });
    }
    this.part("mask").setAttribute("d", data.mask_edge.map(([x, y]) => `M${x} ${y}h0`).join(""));
    this.root.dataset.owner = data.owner;
    this.root.classList.toggle("read-only", data.read_only);
    this.svg.setAttribute("aria-label", data.description);
    this.root.querySelector(".keys").hidden = data.read_only;
    this.draw();
  }

  // --- drawing ---

  draw() {
    if (!this.data) return;
    this.drawView();
    this.part("world").setAttribute("transform", `scale(1 ${this.aspect})`);
    const reference = this.data.reference_ellipse && fromPayload(this.data.reference_ellipse);
    const model = this.data.model_ellipse && fromPayload(this.data.model_ellipse);
    const edited = this.data.owner === "reviewer" || this.drag || this.changedByKey;
    this.root.dataset.owner = edited ? "reviewer" : this.data.owner;
    place(this.part("reference-casing"), this.shown.reference && reference);
    place(this.part("reference"), this.shown.reference && reference);
    place(this.part("model"), this.shown.model && edited && model);
    place(this.part("casing"), this.ellipse);
    place(this.part("ellipse"), this.ellipse);
    this.part("mask").style.display = this.shown.mask ? "" : "none";
    this.drawToggle("mask", this.data.mask_edge.length > 0);
    this.drawToggle("model", Boolean(model));
    this.drawToggle("reference", Boolean(reference));
    this.part("draw").hidden = Boolean(this.ellipse) || this.data.read_only;
    this.drawHandles();
    this.drawReadout(model);
  }

  drawToggle(name, exists) {
    const button = this.part(`toggle-${name}`);
    button.hidden = !exists;
    button.setAttribute("aria-pressed", String(this.shown[name]));
  }

  drawView() {
    const width = this.data.width, height = this.data.height * this.aspect;
    const w = width / this.zoom, h = height / this.zoom;
    const middle = this.focusXY ?? [(width - 1) / 2, (height - this.aspect) / 2];
    const left = clamp(middle[0] - w / 2, -0.5, width - 0.5 - w);
    const top = clamp(middle[1] - h / 2, -0.5 * this.aspect, height - 0.5 * this.aspect - h);
    this.focusXY = this.zoom > 1 ? [left + w / 2, top + h / 2] : null;
    this.svg.setAttribute("viewBox", `${left} ${top} ${w} ${h}`);
    this.svg.style.aspectRatio = `${width} / ${height}`;
    this.part("zoom").textContent = `${Math.round(this.zoom * 100)} %`;
    this.root.classList.toggle("zoomed", this.zoom > 1);
  }

  drawHandles() {
    const group = this.part("handles");
    const visible = this.ellipse && !this.data.read_only;
    group.style.display = visible ? "" : "none";
    if (!visible) return;
    const unit = 1 / (this.svg.getScreenCTM()?.a || 1);   // drawing units per px of the screen
    const { x, y, r1, angle } = this.ellipse;
    const at = (node, px, py) => node.setAttribute("transform", `translate(${px} ${py * this.aspect}) scale(${unit})`);
    for (const handle of AXIS_HANDLES) {
      const [hx, hy] = axisEnd(this.ellipse, handle.axis, handle.side);
      at(this.handles[handle.name], hx, hy);
    }
    at(this.handles.move, x, y);
    const start = [x + r1 * Math.cos(angle), y + r1 * Math.sin(angle)];
    const end = this.rotationHandle(start, unit);
    at(this.handles.rotate, end[0], end[1]);
    setAll(this.part("arm"), { x1: start[0], y1: start[1] * this.aspect, x2: end[0], y2: end[1] * this.aspect });
  }

  // Beyond the end of the long axis, or inside it where the image ends.
  rotationHandle([x, y], unit) {
    const { angle } = this.ellipse;
    const view = this.svg.viewBox.baseVal;
    const margin = HANDLE_PX * unit;
    for (const arm of [ROTATE_ARM_PX * unit, -ROTATE_ARM_PX * unit]) {
      const px = x + arm * Math.cos(angle), py = y + arm * Math.sin(angle);
      const sx = px, sy = py * this.aspect;
      const inside = sx > view.x + margin && sx < view.x + view.width - margin
        && sy > view.y + margin && sy < view.y + view.height - margin;
      if (inside || arm < 0) return [px, py];
    }
    return [x, y];
  }

  drawReadout(model) {
    if (!this.ellipse) {
      this.live.textContent = "no ellipse";
      return;
    }
    const size = this.data.pixel_size_xy_mm;
    const value = circumference(this.ellipse, size ?? [1, 1]);
    const [long, short] = diameters(this.ellipse, size ?? [1, 1]);
    const unit = size ? "mm" : "px";
    const difference = model ? value - circumference(model, size ?? [1, 1]) : 0;
    const sign = difference < 0 ? "−" : "+";
    const against = Math.abs(difference) < 0.05 ? "" : `  (${sign}${Math.abs(difference).toFixed(1)} to the model)`;
    this.live.replaceChildren(
      bold(`HC ${value.toFixed(1)} ${unit}`),
      document.createTextNode(`${against}   ${long.toFixed(1)} × ${short.toFixed(1)} ${unit}`),
    );
  }

  // --- handles and events ---

  buildHandles() {
    const group = this.part("handles");
    this.handles = {};
    for (const name of [...AXIS_HANDLES.map((handle) => handle.name), "rotate", "move"]) {
      const handle = create("g", { class: `handle ${name.split("-")[0]}`, "data-handle": name });
      handle.append(create("circle", { class: "hit", r: HIT_PX }));
      handle.append(name === "move"
        ? create("path", { class: "mark", d: "M-9 0H9M0 -9V9" })
        : create("circle", { class: "mark", r: HANDLE_PX }));
      if (name === "rotate") handle.append(create("path", { class: "sign", d: "M-3.6 1.8A4 4 0 1 1 1.8 3.6M-6 0L-3.6 2.6L-1 0.6" }));
      group.append(handle);
      this.handles[name] = handle;
    }
  }

  listen() {
    this.abort = new AbortController();
    const on = (target, type, action, options = {}) =>
      target.addEventListener(type, action, { signal: this.abort.signal, ...options });
    on(this.part("image"), "load", () => { this.loaded = true; this.send("shown", true); });
    on(this.svg, "pointerdown", (event) => this.press(event));
    on(this.svg, "pointermove", (event) => this.move(event));
    on(this.svg, "pointerup", () => this.release());
    on(this.svg, "pointercancel", () => this.release());
    on(this.svg, "keydown", (event) => this.key(event));
    on(this.svg, "keyup", () => this.keyReleased());
    on(this.svg, "blur", () => this.keyReleased());
    on(this.svg, "wheel", (event) => this.wheel(event), { passive: false });
    for (const name of Object.keys(this.shown)) {
      on(this.part(`toggle-${name}`), "click", () => { this.shown[name] = !this.shown[name]; this.draw(); });
    }
    on(this.part("zoom-in"), "click", () => this.zoomBy(Math.SQRT2));
    on(this.part("zoom-out"), "click", () => this.zoomBy(Math.SQRT1_2));
    on(this.part("fit"), "click", () => this.zoomBy(0));
    on(this.part("draw"), "click", () => this.drawNew());
  }

  press(event) {
    if (event.button !== 0 || !this.data) return;
    const handle = event.target.closest("[data-handle]")?.dataset.handle;
    const inside = event.target === this.part("ellipse") && !this.data.read_only;
    const what = handle ?? (inside ? "move" : this.zoom > 1 ? "pan" : null);
    this.svg.focus({ preventScroll: true });
    if (!what) return;
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    this.drag = { what, from: this.pointer(event), ellipse: this.ellipse && { ...this.ellipse }, view: this.focusXY, moved: false };
    this.root.classList.add("dragging");
  }

  move(event) {
    if (!this.drag) return;
    const to = this.pointer(event), { from, what, ellipse } = this.drag;
    if (what === "pan") {
      const view = this.focusXY;
      this.focusXY = [view[0] - (to[0] - from[0]), view[1] - (to[1] - from[1]) * this.aspect];
      this.draw();
      return;
    }
    if (!this.drag.moved && Math.hypot(to[0] - from[0], to[1] - from[1]) * (this.svg.getScreenCTM()?.a || 1) < 2) return;
    this.drag.moved = true;
    this.ellipse = dragged(ellipse, what, from, to, event.shiftKey);
    this.limit();
    this.draw();
  }

  release() {
    const drag = this.drag;
    this.drag = null;
    this.root.classList.remove("dragging");
    if (drag?.moved) this.commit();
  }

  key(event) {
    if (!this.data || event.ctrlKey || event.metaKey || event.altKey) return;
    const name = event.key.toLowerCase();
    if (name === "z") this.zoomBy(event.shiftKey ? Math.SQRT1_2 : Math.SQRT2);
    else if (name === "0") this.zoomBy(0);
    else if (KEYS[name] && this.ellipse && !this.data.read_only) {
      KEYS[name](this.ellipse, event.shiftKey ? COARSE : 1);
      this.limit();
      this.changedByKey = true;
      this.draw();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  keyReleased() {
    if (!this.changedByKey) return;
    this.changedByKey = false;
    this.commit();
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;   // plain wheel scrolls the page
    event.preventDefault();
    this.zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15, this.pointer(event));
  }

  zoomBy(factor, around = null) {
    const before = this.zoom;
    this.zoom = factor === 0 ? 1 : clamp(this.zoom * factor, 1, MAX_ZOOM);
    const anchor = around ?? (this.ellipse && before === 1 ? [this.ellipse.x, this.ellipse.y] : null);
    if (anchor) {
      const target = [anchor[0], anchor[1] * this.aspect];
      const old = this.focusXY ?? target;
      const share = around ? before / this.zoom : 0;   // a wheel keeps the point under the pointer in place
      this.focusXY = [target[0] + (old[0] - target[0]) * share, target[1] + (old[1] - target[1]) * share];
    }
    this.draw();
  }

  drawNew() {
    const { width, height } = this.data;
    this.ellipse = { x: (width - 1) / 2, y: (height - 1) / 2, r1: width * 0.25, r2: height * 0.28, angle: 0 };
    this.commit();
    this.svg.focus({ preventScroll: true });
  }

  limit() {
    const e = this.ellipse, { width, height } = this.data;
    e.x = clamp(e.x, -0.5, width - 0.5);
    e.y = clamp(e.y, -0.5, height - 0.5);
    const largest = 2 * Math.max(width, height);
    e.r1 = clamp(e.r1, MIN_SEMI_AXIS_PX, largest);
    e.r2 = clamp(e.r2, MIN_SEMI_AXIS_PX, largest);
  }

  commit() {
    this.ellipse = normalised(this.ellipse);
    this.data = { ...this.data, owner: "reviewer" };
    this.draw();
    this.sendEdit(false);
  }

  sendEdit(resent) {
    this.sent += 1;
    this.pending = true;
    const { session } = this.data;
    unconfirmed.set(this.data.case, { ellipse: { ...this.ellipse }, session });
    this.send("edit", { seq: this.sent, session, resent, shown: this.loaded, ellipse: toPayload(this.ellipse) });
  }

  // Position of the pointer in px of the original image.
  pointer(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.part("world").getScreenCTM().inverse());
    return [point.x, point.y];
  }
}

// --- small helpers of the drawing ---

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
