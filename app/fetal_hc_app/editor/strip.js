// The frames of a clip: a large picture, play and pause, and a strip in which the model's best frames carry a star.
// Playing stays in the browser. What leaves this file is setStateValue("frame", {clip, frame, seq}) when a person chooses
// a frame or pauses.

const FRAME_MS = 90;

const players = new WeakMap();

export default function (component) {
  const { parentElement } = component;
  let player = players.get(parentElement);
  if (!player) {
    player = new Player(parentElement.querySelector(".clip"));
    players.set(parentElement, player);
  }
  player.update(component.data, (value) => component.setStateValue("frame", value));
  const call = ++player.calls;
  return () => {
    if (call !== player.calls) return;   // Streamlit also cleans up after a call that a newer one has overtaken
    player.pause();
    players.delete(parentElement);
  };
}

class Player {
  constructor(root) {
    this.part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.calls = 0;
    this.seq = 0;
    this.part("play").onclick = () => (this.timer ? this.stop() : this.play());   // replaces that of an earlier player
  }

  update(data, send) {
    this.data = data;
    this.send = send;
    this.part("strip").setAttribute("aria-label", data.texts.strip);
    this.drawStrip();
    this.drawPlay();
    if (!this.timer) this.show(data.frame, data.image);
  }

  drawStrip() {
    const strip = this.part("strip");
    const key = this.data.frames.map(({ image }) => image).join(" ");
    if (this.key !== key) {
      this.key = key;
      strip.replaceChildren(...this.data.frames.map((frame) => this.frameButton(frame)));
    }
    this.data.frames.forEach(({ label, title, is_best: isBest }, index) => {
      const button = strip.children[index];
      button.classList.toggle("best", isBest);
      button.title = title;
      button.setAttribute("aria-label", title);
      button.querySelector("span").textContent = label;
    });
  }

  frameButton({ image, frame }) {
    const button = document.createElement("button");
    const picture = document.createElement("img");
    button.type = "button";
    button.dataset.frame = frame;
    Object.assign(picture, { src: absolute(image), alt: "", loading: "lazy" });
    button.append(picture, document.createElement("span"));
    button.addEventListener("click", () => {
      this.pause();
      this.choose(frame, image);
    });
    return button;
  }

  choose(frame, image) {
    this.show(frame, image);
    this.seq = Math.max(this.seq, this.data.seq) + 1;
    this.send({ clip: this.data.clip, frame, seq: this.seq });
  }

  show(frame, image) {
    this.frame = frame;
    const large = this.part("large");
    large.src = absolute(image);
    large.alt = this.data.texts.frame.replace("{frame}", frame);
    this.part("words").textContent = `${large.alt} / ${this.data.n_frames}`;
    for (const button of this.part("strip").children) {
      const isShown = Number(button.dataset.frame) === frame;
      button.setAttribute("aria-pressed", String(isShown));
      if (isShown) this.reveal(button);
    }
  }

  // Scrolls the strip, and never the page.
  reveal(button) {
    const strip = this.part("strip");
    const left = button.offsetLeft - strip.offsetLeft;
    if (left < strip.scrollLeft || left + button.offsetWidth > strip.scrollLeft + strip.clientWidth) {
      strip.scrollLeft = left - strip.clientWidth / 2;
    }
  }

  play() {
    const { frames } = this.data;
    let index = frames.findIndex(({ frame }) => frame >= this.frame);
    this.timer = setInterval(() => {
      index = (index + 1) % frames.length;
      this.show(frames[index].frame, frames[index].image);
    }, FRAME_MS);
    this.drawPlay();
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    if (this.data) this.drawPlay();
  }

  // Pauses and tells the server which frame is on the screen.
  stop() {
    this.pause();
    const shown = this.data.frames.find(({ frame }) => frame === this.frame);
    if (shown) this.choose(shown.frame, shown.image);
  }

  drawPlay() {
    const button = this.part("play");
    button.textContent = this.timer ? this.data.texts.pause : this.data.texts.play;
    button.setAttribute("aria-pressed", String(Boolean(this.timer)));
  }
}
