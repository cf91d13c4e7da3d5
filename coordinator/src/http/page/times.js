// The time line: what ran where, and when. A band a worker, a lane for each attempt that it runs at once, a colour a stage.
//
// It is drawn in slices of a few milliseconds on a canvas beside the one that is seen, so that the page answers meanwhile; what
// has come since is drawn on top, as long as the scale is the same.

import { make, say } from "./dom.js";
import { duration } from "./format.js";

const SLICE_MS = 6;
const LABEL = 58;
const AXIS = 22;
const LANE = 7;
const BAND_MIN = 16;
const BAND_MAX = 96;
const COLOURS = ["#2f8f6b", "#3a73b8", "#b06a1c", "#8a56b0", "#5c7f1f", "#b8467c", "#2b8a9a", "#8d6b3f", "#6470c4", "#9c4f3b"];
const FAILED = "#d43a33";
const REVOKED = "#8c9691";

export function colourOf(stage) {
  return COLOURS[stage % COLOURS.length];
}

export class Times {
  constructor(attempts) {
    this.attempts = attempts;
    this.from = 0;
    this.to = null;
    this.canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": "Time line of attempts by worker. The tables below tell the same." });
    this.tip = make("div", { class: "tip", hidden: true });
    this.element = make("div", { class: "times" }, this.canvas, this.tip);
    this.layer = null;
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.resized = new ResizeObserver(() => this.redraw());
    this.resized.observe(this.element);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.recoloured = () => this.redraw();
    this.dark.addEventListener("change", this.recoloured);
  }

  close() {
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.recoloured);
    cancelAnimationFrame(this.frame);
    this.closed = true;
  }

  // These rows have changed; so much time has passed.
  changed(rows, now) {
    this.now = now;
    const fits = this.layer && this.layer.bands.length === this.attempts.workers.length && this.layer.lanes === this.lanes() && this.end() <= this.layer.to;
    if (!fits) return this.redraw();
    for (const row of rows) this.layer.queue.push(row);
    this.schedule();
  }

  lanes() {
    return this.attempts.lanes.reduce((most, lanes) => Math.max(most, lanes.length), 1);
  }

  end() {
    return this.to ?? Math.max(1, this.now ?? 0, this.attempts.until);
  }

  // Draws all of it anew. Where time passes, the scale has room for some more, so that that is seldom.
  redraw() {
    const width = this.element.clientWidth;
    if (!width || this.closed) return;
    const lanes = this.lanes();
    const height = Math.round(Math.min(BAND_MAX, Math.max(BAND_MIN, lanes * LANE)));
    const scale = Math.min(2, devicePixelRatio || 1);
    const canvas = document.createElement("canvas");
    const total = AXIS + Math.max(1, this.attempts.workers.length) * (height + 4);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(total * scale);
    const order = this.attempts.workers.map((worker, place) => [worker, place]).sort((a, b) => a[0] - b[0]);
    const bands = [];
    order.forEach(([, place], at) => (bands[place] = AXIS + at * (height + 4)));
    const to = this.to ?? this.end() * (this.goesOn ? 1.25 : 1);
    const colours = getComputedStyle(document.documentElement);
    this.next = {
      canvas, width, total, scale, bands, height, lanes, to, from: this.from,
      laneHeight: height / lanes,
      context: canvas.getContext("2d"),
      text: colours.getPropertyValue("--quiet"),
      band: colours.getPropertyValue("--bar"),
      last: new Int32Array(bands.length * lanes).fill(-1),
      row: 0,
      queue: [],
    };
    this.background(this.next);
    this.schedule();
  }

  background(layer) {
    const { context, scale, width, bands, height, text, band } = layer;
    context.scale(scale, scale);
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    bands.forEach((top, place) => {
      context.fillStyle = band;
      context.fillRect(LABEL, top, width - LABEL, height);
      context.fillStyle = text;
      context.fillText(`w${this.attempts.workers[place]}`, 2, top + height / 2);
    });
    context.fillStyle = text;
    for (let at = 0; at <= 4; at += 1) {
      const x = LABEL + ((width - LABEL - 1) * at) / 4;
      context.textAlign = at === 0 ? "left" : at === 4 ? "right" : "center";
      context.fillText(duration(layer.from + ((layer.to - layer.from) * at) / 4), x, AXIS / 2);
      context.fillRect(Math.round(x), AXIS - 4, 1, 4);
    }
    context.textAlign = "left";
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => this.slice());
  }

  slice() {
    this.frame = undefined;
    const until = performance.now() + SLICE_MS;
    const layer = this.next ?? this.layer;
    if (!layer) return;
    let is_done = false;
    while (performance.now() < until && !is_done) {
      for (let some = 0; some < 200; some += 1) {
        if (layer === this.next && layer.row < this.attempts.count) this.attempt(layer, layer.row++);
        else if (layer.queue.length) this.attempt(layer, layer.queue.pop());
        else {
          is_done = true;
          break;
        }
      }
    }
    if (!is_done) return this.schedule();
    if (layer === this.next) {
      this.layer = layer;
      this.next = null;
      this.canvas.width = layer.canvas.width;
      this.canvas.height = layer.canvas.height;
      this.canvas.style.height = `${layer.total}px`;
    }
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, layer.canvas.width, layer.canvas.height);
    context.drawImage(layer.canvas, 0, 0);
    this.overlay(context, layer);
  }

  x(layer, ms) {
    return LABEL + ((ms - layer.from) / (layer.to - layer.from)) * (layer.width - LABEL);
  }

  attempt(layer, row) {
    const of = this.attempts;
    // Those that run are drawn over the rest with each picture.
    if (of.isRunning(row)) return;
    this.rect(layer, layer.context, row, of.ended[row]);
  }

  rect(layer, context, row, end) {
    const of = this.attempts;
    const [left, right] = [this.x(layer, of.begun[row]), this.x(layer, end)];
    if (right < LABEL || left > layer.width) return;
    const place = of.place[row];
    const at = place * layer.lanes + of.lane[row];
    const x = Math.max(LABEL, left);
    const pixel = Math.floor(right * layer.scale);
    const plain = of.end[row] < 2;
    if (context === layer.context && plain) {
      // Of what is less than a pixel, the first is seen.
      if (layer.last[at] === pixel && right - left < 1) return;
      layer.last[at] = pixel;
    }
    context.fillStyle = of.end[row] === 2 ? FAILED : of.end[row] === 3 ? REVOKED : colourOf(of.stage[row]);
    const thin = layer.laneHeight > 3 ? 1 : 0;
    context.fillRect(x, layer.bands[place] + of.lane[row] * layer.laneHeight, Math.max(right - x - (right - x > 3 ? 0.5 : 0), plain ? 0.6 : 2), layer.laneHeight - thin);
  }

  overlay(context, layer) {
    const of = this.attempts;
    const now = Math.max(this.now ?? 0, of.until);
    context.save();
    context.setTransform(layer.scale, 0, 0, layer.scale, 0, 0);
    context.globalAlpha = 0.55;
    let shown = 0;
    // They are among the last ones.
    for (let row = of.count - 1; row >= 0 && shown < 5000 && row > of.count - 50_000; row -= 1) {
      if (!of.isRunning(row)) continue;
      this.rect(layer, context, row, now);
      shown += 1;
    }
    context.restore();
  }

  // The attempt at a place of the picture.
  rowAt(x, y) {
    const layer = this.layer;
    if (!layer || x < LABEL) return -1;
    const place = layer.bands.findIndex((top) => y >= top && y < top + layer.height);
    if (place < 0) return -1;
    const lane = Math.floor((y - layer.bands[place]) / layer.laneHeight);
    const ms = layer.from + ((x - LABEL) / (layer.width - LABEL)) * (layer.to - layer.from);
    const near = ((layer.to - layer.from) / (layer.width - LABEL)) * 2;
    const of = this.attempts;
    let [best, distance] = [-1, near];
    for (let row = 0; row < of.count; row += 1) {
      if (of.place[row] !== place || of.lane[row] !== lane || of.begun[row] > ms + near) continue;
      const end = of.endOf(row, this.now ?? 0);
      const off = ms < of.begun[row] ? of.begun[row] - ms : ms > end ? ms - end : 0;
      if (off < distance) [best, distance] = [row, off];
    }
    return best;
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const row = this.rowAt(x, y);
    this.tip.hidden = row < 0;
    if (row < 0) return;
    const of = this.attempts;
    const took = duration(of.endOf(row, this.now ?? 0) - of.begun[row]);
    const backup = of.backup[row] ? ", backup" : "";
    say(this.tip, `${of.task(row)}#${of.number[row]}${backup}, ${of.endWord(row)}\nfrom ${duration(of.begun[row])}, took ${took}`);
    this.tip.style.left = `${Math.min(x + 12, box.width - 190)}px`;
    this.tip.style.top = `${y + 14}px`;
  }

  zoom(by, around) {
    const [from, to] = [this.from, this.end()];
    const middle = from + (to - from) * around;
    this.from = Math.max(0, middle - (middle - from) * by);
    const end = middle + (to - middle) * by;
    this.to = this.from === 0 && end >= this.attempts.until ? null : Math.max(this.from + 1, end);
    this.redraw();
  }

  move(part) {
    if (this.to === null) return;
    const by = Math.max(-this.from, (this.to - this.from) * part);
    this.from += by;
    this.to += by;
    this.redraw();
  }

  whole() {
    this.from = 0;
    this.to = null;
    this.redraw();
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = this.canvas.getBoundingClientRect();
    this.zoom(event.deltaY > 0 ? 1.25 : 0.8, Math.max(0, (event.clientX - box.left - LABEL) / (box.width - LABEL)));
  }

  key(event) {
    const done = { ArrowLeft: () => this.move(-0.2), ArrowRight: () => this.move(0.2), "+": () => this.zoom(0.7, 0.5), "-": () => this.zoom(1.4, 0.5), 0: () => this.whole() }[event.key];
    if (!done) return;
    event.preventDefault();
    done();
  }
}
