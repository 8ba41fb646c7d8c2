// What the keys do. They are for the picture while nothing else of the page has the focus.

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

// Keys that change only how the picture is looked at; `sign` is -1 with shift.
const VIEW_KEYS = {
  z: (editor, sign) => editor.zoomBy(sign > 0 ? Math.SQRT2 : Math.SQRT1_2),
  0: (editor) => editor.zoomBy(0),
  f: (editor) => editor.fitHead(),
  h: (editor) => editor.changeLook({ keep: !look.keep }),
  b: (editor, sign) => editor.changeLook({ brightness: look.brightness + sign * 0.05 }),
  k: (editor, sign) => editor.changeLook({ contrast: look.contrast * 1.1 ** sign }),
  u: (editor, sign) => editor.changeLook({ gamma: look.gamma * 1.1 ** sign }),
  i: (editor) => editor.changeLook({ invert: !look.invert }),
  l: (editor) => editor.data.tools.includes("caliper") && editor.chooseTool("caliper"),
  m: (editor) => editor.data.tools.includes("scale") && editor.chooseTool("scale"),
  t: (editor) => editor.data.tools.includes("box") && editor.chooseTool("box"),
  escape: (editor) => editor.tool && editor.chooseTool(editor.tool),
  "?": () => document.querySelector(".st-key-show-keys button")?.click(),
};

const Keys = {
  // Keys are for the picture while nothing else of the page has the focus.
  isMeant() {
    const focused = document.activeElement;
    if (!focused || focused === document.body) return true;
    return this.root.getRootNode().activeElement === this.svg;
  },

  key(event) {
    if (!this.data || event.ctrlKey || event.metaKey || event.altKey) return;
    const name = event.key.toLowerCase();
    const view = VIEW_KEYS[name];
    if (view) view(this, event.shiftKey ? -1 : 1);
    else if (name === "backspace" || name === "delete") {
      if (!this.removeLast()) return;
    } else if (KEYS[name] && this.ellipse && !this.data.read_only) {
      KEYS[name](this.ellipse, event.shiftKey ? COARSE : 1);
      this.limit();
      this.changedByKey = true;
      this.draw();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  },

  keyReleased() {
    if (!this.changedByKey) return;
    this.changedByKey = false;
    this.commit();
  },
};
