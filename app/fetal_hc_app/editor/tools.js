// Tools that draw over the picture: calipers, the two marks of a depth scale, and boxes that hide written text. Lines
// and boxes are in px of the original image, pixel centres at integers. Only marks and boxes are sent to the server.

const TOOLS = ["caliper", "scale", "box"];

const Drawing = {
  chooseTool(name) {
    this.tool = this.tool === name ? null : name;
    this.root.dataset.tool = this.tool ?? "";
    this.drawTools();
  },

  // Whether a press begins a line or a box.
  beginTool(at) {
    if (!this.tool) return false;
    this.drag = { what: this.tool, from: at, to: at };
    return true;
  },

  moveTool(to) {
    this.drag.to = to;
    this.drawTools();
  },

  endTool({ what, from, to }) {
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
    if (what === "scale") this.addMark(from, to, length);
    else if (length * (this.svg.getScreenCTM()?.a || 1) >= 4) {
      if (what === "caliper") this.calipers.push({ from, to });
      else this.addBox(from, to);
    }
    this.drawTools();
  },

  // Two clicks, or one drag from mark to mark.
  addMark(from, to, length) {
    const isDrag = length * (this.svg.getScreenCTM()?.a || 1) >= 4;
    this.marks = isDrag ? [from, to] : this.marks.length === 1 ? [...this.marks, to] : [to];
    if (this.marks.length === 2) this.send("scale", { case: this.data.case, marks: this.marks });
  },

  addBox(from, to) {
    const box = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
    this.boxes.push(box.map((side) => Math.round(side * 10) / 10));
    this.sendBoxes();
  },

  sendBoxes() {
    this.send("boxes", { case: this.data.case, boxes: this.boxes });
  },

  // Takes away the newest line or box of the chosen tool.
  removeLast() {
    if (this.tool === "caliper") this.calipers.pop();
    else if (this.tool === "scale") this.marks = [];
    else if (this.tool === "box" && this.boxes.pop()) this.sendBoxes();
    else return false;
    this.drawTools();
    return true;
  },

  forgetTools() {
    this.calipers = [];
    this.marks = [];
    this.boxes = [];
  },

  lengthOf([fx, fy], [tx, ty]) {
    const size = this.data.pixel_size_xy_mm ?? [1, 1];
    const length = Math.hypot((tx - fx) * size[0], (ty - fy) * size[1]);
    return `${length.toFixed(1)} ${this.data.pixel_size_xy_mm ? "mm" : "px"}`;
  },

  drawTools() {
    for (const name of TOOLS) {
      const button = this.part(`tool-${name}`);
      button.hidden = !this.data.tools.includes(name);
      button.setAttribute("aria-pressed", String(this.tool === name));
    }
    const now = this.drag && TOOLS.includes(this.drag.what) ? this.drag : null;
    const lines = [...this.calipers, ...(now?.what === "caliper" ? [now] : [])];
    const marks = now?.what === "scale" ? [now.from, now.to] : this.marks;
    const boxes = now?.what === "box" ? [...this.boxes, [...now.from, ...now.to]] : this.boxes;
    this.part("tools").replaceChildren(
      ...boxes.map(([x0, y0, x1, y1]) => create("rect", {
        class: "hidden-part", x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0),
      })),
      ...lines.flatMap((line) => this.drawLine(line.from, line.to, this.lengthOf(line.from, line.to))),
      ...(marks.length === 2 ? this.drawLine(marks[0], marks[1], this.pixelsBetween(marks)) : []),
      ...marks.map(([x, y]) => create("path", { class: "mark-cross", d: this.crossPath(x, y) })),
    );
  },

  pixelsBetween([[fx, fy], [tx, ty]]) {
    return `${Math.hypot(tx - fx, ty - fy).toFixed(1)} px`;
  },

  drawLine([fx, fy], [tx, ty], words) {
    const unit = 1 / (this.svg.getScreenCTM()?.a || 1);
    const label = create("text", {
      class: "length", transform: `translate(${tx + 8 * unit} ${ty}) scale(${unit} ${unit / this.aspect})`,
    });
    label.textContent = words;
    const ends = { x1: fx, y1: fy, x2: tx, y2: ty };
    return [create("line", { class: "caliper-casing", ...ends }), create("line", { class: "caliper", ...ends }), label];
  },

  crossPath(x, y) {
    const reach = 9 / (this.svg.getScreenCTM()?.a || 1);
    return `M${x - reach} ${y}h${2 * reach}M${x} ${y - reach}v${2 * reach}`;
  },
};
