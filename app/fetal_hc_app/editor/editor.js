// Ellipse editor: an ultrasound image with one movable ellipse. Nothing is sent before a pointer or key is released.
//
// Coordinates: px of the original image, pixel centres at integers, x right, y down. Unequal pixel sizes only change how
// the drawing is scaled (`aspect`); the ellipse itself always stays in px. One editor shows one case after the other.
// What leaves this file is setStateValue("edit", {case, seq, session, resent, shown, ellipse}), where `seq` counts the
// edits of a case and data that answers an older one is not drawn, and setStateValue("shown", case) when the picture is
// on the screen. An edit is sent again until the server confirms it, because a page without a connection drops what it
// sends, and runs again after a restart of the server only when it is asked to. A new `session` means that the server was
// restarted. The other files of this folder come before this one in the same module.

const SVG = "http://www.w3.org/2000/svg";
const RESEND_MS = 2000;         // until an edit that the server has not confirmed is sent once more; then half as long again
const LONGEST_RESEND_MS = 5000;
const MAX_RESENDS = 100;

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
  const call = ++editor.calls;
  return () => {
    if (call !== editor.calls) return;   // Streamlit also cleans up after a call that a newer one has overtaken
    editor.close();
    editors.delete(parentElement);
  };
}

class Editor {
  constructor(root) {
    this.root = root;
    this.calls = 0;
    this.sent = 0;
    this.pending = false;      // whether the last edit was not confirmed by the server yet
    this.loaded = false;       // whether the picture is on the screen
    this.zoom = 1;
    this.focusXY = null;       // centre of the view in drawing units; null: the middle
    this.shown = { mask: true, model: true, reference: true };
    this.tool = null;
    this.forgetTools();
    this.svg = root.querySelector("svg");
    this.live = root.querySelector(".live");
    this.part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.buildHandles();
    this.drawLook();
    this.listen();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.svg);
  }

  close() {
    clearTimeout(this.timer);
    this.observer.disconnect();
    this.abort.abort();
    Object.values(this.handles).forEach((handle) => handle.remove());   // the next editor may get the same page
  }

  // --- what comes from Python ---

  update(data, send) {
    this.send = send;
    if (this.data && data.case !== this.data.case) this.leave();
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
    if (first && data.tools[0] === "box") this.chooseTool("box");
  }

  // Another case comes. What was drawn in this one has been sent.
  leave() {
    clearTimeout(this.timer);
    if (!look.keep) {
      this.zoom = 1;
      this.focusXY = null;
    }
    this.data = null;
    this.drag = null;
    this.sent = 0;
    this.pending = this.changedByKey = false;
    this.tool = null;
    this.root.dataset.tool = "";
    this.forgetTools();
  }

  // The server was restarted. What it had not confirmed stays on the screen and is sent again.
  restart(data) {
    const isUnsaved = this.pending || this.drag || this.changedByKey;
    this.sent = data.seq;
    if (!isUnsaved) this.ellipse = data.ellipse && fromPayload(data.ellipse);
    this.take(data);
    if (this.loaded) this.send("shown", data.case);
    if (this.pending) this.sendUntilConfirmed(true);
  }

  // A message is dropped without a connection, and while a new server still builds the page.
  sendUntilConfirmed(resent, times = 0) {
    clearTimeout(this.timer);
    if (!this.pending || times > MAX_RESENDS) return;
    if (!this.drag && !this.changedByKey) this.sendEdit(resent);
    const wait = Math.min(RESEND_MS * 1.5 ** times, LONGEST_RESEND_MS);
    this.timer = setTimeout(() => this.sendUntilConfirmed(resent, times + 1), wait);
  }

  take(data) {
    this.data = data;
    this.sent = Math.max(this.sent, data.seq);
    const [across, down] = data.pixel_size_xy_mm ?? [1, 1];
    this.aspect = down / across;
    const image = this.part("image");
    if (this.address !== data.image) {
      this.address = data.image;
      this.loaded = false;
      delete this.svg.dataset.loaded;
      this.svg.dataset.case = data.case;
      image.setAttribute("href", absolute(data.image));
      setAll(image, { x: -0.5, y: -0.5, width: data.width, height: data.height });
    }
    if (data.next_image) {
      this.nextPicture = new Image();
      this.nextPicture.src = absolute(data.next_image);
    }
    this.part("mask").setAttribute("d", data.mask_edge.map(([x, y]) => `M${x} ${y}h0`).join(""));
    this.root.dataset.owner = data.owner;
    this.root.classList.toggle("read-only", data.read_only);
    this.svg.setAttribute("aria-label", data.description);
    this.write(data.texts);
    this.draw();
  }

  // Puts the words of the session's language on buttons and fields.
  write(texts) {
    for (const [name, words] of Object.entries(texts.labels)) this.part(name).textContent = words;
    for (const node of this.root.querySelectorAll("[data-title]")) {
      node.title = texts.titles[node.dataset.title] ?? node.dataset.title;
      if (node.textContent.trim().length < 2) node.setAttribute("aria-label", node.title);
    }
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
    this.drawTools();
    this.drawReadout(model);
  }

  drawToggle(name, exists) {
    const button = this.part(`toggle-${name}`);
    button.hidden = !exists;
    button.setAttribute("aria-pressed", String(this.shown[name]));
  }

  drawReadout(model) {
    if (!this.ellipse) {
      this.live.textContent = this.data.texts.no_ellipse;
      return;
    }
    const size = this.data.pixel_size_xy_mm;
    const value = circumference(this.ellipse, size ?? [1, 1]);
    const [long, short] = diameters(this.ellipse, size ?? [1, 1]);
    const unit = size ? "mm" : "px";
    const difference = model ? value - circumference(model, size ?? [1, 1]) : 0;
    const sign = difference < 0 ? "−" : "+";
    const against = Math.abs(difference) < 0.05 ? "" : `  (${sign}${Math.abs(difference).toFixed(1)} ${this.data.texts.to_model})`;
    this.live.replaceChildren(
      bold(`HC ${value.toFixed(1)} ${unit}`),
      document.createTextNode(`${against}   ${long.toFixed(1)} × ${short.toFixed(1)} ${unit}`),
    );
  }

  // --- handles and events ---

  listen() {
    this.abort = new AbortController();
    const on = (target, type, action, options = {}) =>
      target.addEventListener(type, action, { signal: this.abort.signal, ...options });
    on(this.part("image"), "load", () => {
      if (this.loaded) return;   // the magnifier's copy of the picture tells of itself here too
      this.loaded = true;
      this.svg.dataset.loaded = "true";
      this.send("shown", this.data.case);
    });
    on(this.svg, "pointerdown", (event) => this.press(event));
    on(this.svg, "pointermove", (event) => this.move(event));
    on(this.svg, "pointerup", () => this.release());
    on(this.svg, "pointercancel", () => this.release());
    on(this.svg, "contextmenu", (event) => event.preventDefault());
    on(document, "keydown", (event) => this.isMeant() && this.key(event), { capture: true });
    on(document, "keyup", () => this.keyReleased());
    on(window, "blur", () => this.keyReleased());
    on(document, "pointerup", () => setTimeout(() => {   // a switch that was clicked gives the keys back to the picture
      const focused = document.activeElement;
      if (focused?.matches("input[type=checkbox], input[type=radio]")) focused.blur();
    }, 50));
    on(window, "beforeunload", (event) => { if (this.data?.unsaved || this.pending) event.preventDefault(); });
    on(this.svg, "wheel", (event) => this.wheel(event), { passive: false });
    for (const name of Object.keys(this.shown)) {
      on(this.part(`toggle-${name}`), "click", () => { this.shown[name] = !this.shown[name]; this.draw(); });
    }
    on(this.part("zoom-in"), "click", () => this.zoomBy(Math.SQRT2));
    on(this.part("zoom-out"), "click", () => this.zoomBy(Math.SQRT1_2));
    on(this.part("fit"), "click", () => this.zoomBy(0));
    on(this.part("draw"), "click", () => this.drawNew());
    on(this.part("fit-head"), "click", () => this.fitHead());
    on(this.part("keep"), "click", () => this.changeLook({ keep: !look.keep }));
    on(this.part("invert"), "click", () => this.changeLook({ invert: !look.invert }));
    on(this.part("plain"), "click", () => this.changeLook({ ...PLAIN, keep: look.keep }));
    for (const name of Object.keys(LIMITS)) {
      on(this.part(name), "input", (event) => this.changeLook({ [name]: Number(event.target.value) }));
    }
    for (const name of TOOLS) on(this.part(`tool-${name}`), "click", () => this.chooseTool(name));
  }

  press(event) {
    if (!this.data) return;
    if (event.button === 2) {
      this.svg.setPointerCapture(event.pointerId);
      this.drag = { what: "look", at: [event.clientX, event.clientY], look: { ...look } };
    }
    if (event.button !== 0) return;
    if (this.beginTool(this.pointer(event))) {
      event.preventDefault();
      this.svg.setPointerCapture(event.pointerId);
      return;
    }
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
    if (what === "look") { this.dragLook(event); return; }
    if (TOOLS.includes(what)) { this.moveTool(to); return; }
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
    this.drawMagnifier(what === "move" ? null : this.handlePoint(what));
  }

  release() {
    const drag = this.drag;
    this.drag = null;
    this.root.classList.remove("dragging");
    this.drawMagnifier(null);
    if (drag && TOOLS.includes(drag.what)) this.endTool(drag);
    else if (drag?.moved) this.commit();
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;   // plain wheel scrolls the page
    event.preventDefault();
    this.zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15, this.pointer(event));
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
    this.pending = true;
    this.sendUntilConfirmed(false);
  }

  sendEdit(resent) {
    this.sent += 1;
    const { session } = this.data;
    unconfirmed.set(this.data.case, { ellipse: { ...this.ellipse }, session });
    this.send("edit", { case: this.data.case, seq: this.sent, session, resent, shown: this.loaded, ellipse: toPayload(this.ellipse) });
  }

  // Position of the pointer in px of the original image.
  pointer(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.part("world").getScreenCTM().inverse());
    return [point.x, point.y];
  }
}

Object.assign(Editor.prototype, Keys, Handles, Viewing, Drawing);
