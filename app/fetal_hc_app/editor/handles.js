// The handles of the ellipse: where they are and how they look.

const HANDLE_PX = 8;            // radius on the screen
const HIT_PX = 20;              // radius that reacts to a finger
const ROTATE_ARM_PX = 34;       // from the end of the long axis to the rotation handle

const Handles = {
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
  },

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
  },

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
  },

  // Where a handle sits, px of the image.
  handlePoint(name) {
    const handle = AXIS_HANDLES.find((known) => known.name === name);
    return handle ? axisEnd(this.ellipse, handle.axis, handle.side) : axisEnd(this.ellipse, 1, 1);
  },
};
