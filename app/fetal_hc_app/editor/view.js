// How the picture is looked at: brightness, contrast, gamma, inversion, zoom, position, magnifier. Nothing here changes
// the ellipse or what is stored. Settings are kept from case to case, and in the browser from day to day.

const MAX_ZOOM = 8;
const MAGNIFIED = 3;            // times the scale of the picture on the screen
const FIT_MARGIN = 1.25;        // of the ellipse's box, so that the skull's surroundings are seen
const STORE = "fetal-hc-view";
const PLAIN = { brightness: 0, contrast: 1, gamma: 1, invert: false, keep: false };
const LIMITS = { brightness: [-0.6, 0.6], contrast: [0.3, 4], gamma: [0.3, 3] };

const look = { ...PLAIN, ...readLook() };

function readLook() {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "{}");
  } catch {
    return {};
  }
}

function changeLook(changes) {
  Object.assign(look, changes);
  for (const [name, [low, high]] of Object.entries(LIMITS)) look[name] = clamp(Number(look[name]) || 0, low, high);
  try {
    localStorage.setItem(STORE, JSON.stringify(look));
  } catch { /* a browser that keeps nothing shows it for this page only */ }
}

const Viewing = {
  // v -> contrast * (v ^ (1 / gamma) - 0.5) + 0.5 + brightness, then 1 - v where inverted.
  drawLook() {
    const { brightness, contrast, gamma, invert } = look;
    const intercept = 0.5 - 0.5 * contrast + brightness;
    const [slope, offset] = invert ? [-contrast, 1 - intercept] : [contrast, intercept];
    for (const channel of ["R", "G", "B"]) {
      setAll(this.part(`gamma-${channel}`), { exponent: 1 / gamma });
      setAll(this.part(`linear-${channel}`), { slope, intercept: offset });
    }
    const isPlain = brightness === 0 && contrast === 1 && gamma === 1 && !invert;
    this.part("image").style.filter = isPlain ? "" : "url(#look)";
    for (const name of Object.keys(LIMITS)) this.part(name).value = look[name];
    this.part("invert").setAttribute("aria-pressed", String(look.invert));
    this.part("keep").setAttribute("aria-pressed", String(look.keep));
    this.part("plain").disabled = isPlain;
  },

  changeLook(changes) {
    changeLook(changes);
    this.drawLook();
  },

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
  },

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
  },

  // Zooms until the head fills the window.
  fitHead() {
    if (!this.ellipse) return;
    const { x, y, r1, r2, angle } = this.ellipse;
    const w = 2 * Math.hypot(r1 * Math.cos(angle), r2 * Math.sin(angle)) * FIT_MARGIN;
    const h = 2 * Math.hypot(r1 * Math.sin(angle), r2 * Math.cos(angle)) * FIT_MARGIN;
    this.zoom = clamp(Math.min(this.data.width / w, this.data.height / h), 1, MAX_ZOOM);
    this.focusXY = [x, y * this.aspect];
    this.draw();
  },

  // A round window that shows the surroundings of a dragged handle larger, in the corner away from it.
  drawMagnifier(point) {
    const glass = this.part("magnifier");
    glass.style.display = point ? "" : "none";
    if (!point) return;
    const view = this.svg.viewBox.baseVal;
    const scale = (this.svg.getScreenCTM()?.a || 1) * MAGNIFIED;
    const side = glass.clientWidth / scale;
    const [x, y] = [point[0], point[1] * this.aspect];
    glass.setAttribute("viewBox", `${x - side / 2} ${y - side / 2} ${side} ${side}`);
    glass.classList.toggle("right", x < view.x + view.width / 2);
    setAll(this.part("cross"), { d: `M${x - side} ${y}h${2 * side}M${x} ${y - side}v${2 * side}` });
  },

  // A drag with the right button: across for contrast, down for darkness; with Shift for gamma.
  dragLook(event) {
    const { at, look: start } = this.drag;
    const across = (event.clientX - at[0]) / 250, down = (event.clientY - at[1]) / 400;
    if (event.shiftKey) this.changeLook({ gamma: start.gamma * Math.exp(across) });
    else this.changeLook({ contrast: start.contrast * Math.exp(across), brightness: start.brightness - down });
  },
};
