// How even the tasks of a stage are: a bar for each, or for some of them, the smallest first.

import { make } from "./dom.js";
import { quantile } from "./attempts.js";
import { bytes, duration } from "./format.js";

const BARS = 120;
const HEIGHT = 90;

function bars(sorted) {
  const count = Math.min(BARS, sorted.length);
  return Array.from({ length: count }, (_, at) => sorted[Math.min(sorted.length - 1, Math.floor(((at + 1) * sorted.length) / count) - 1)]);
}

function drawn(canvas, sorted) {
  const width = canvas.parentElement.clientWidth || 300;
  const scale = Math.min(2, devicePixelRatio || 1);
  canvas.width = width * scale;
  canvas.height = HEIGHT * scale;
  canvas.style.height = `${HEIGHT}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--fill");
  const values = bars(sorted);
  const most = values.at(-1) || 1;
  const step = width / Math.max(values.length, 12);
  values.forEach((value, at) => {
    const height = Math.max(1, (value / most) * (HEIGHT - 2));
    context.fillRect(at * step, HEIGHT - height, Math.max(1, step - 1), height);
  });
}

export function evenness(sorted, shown) {
  const [median, most] = [quantile(sorted, 0.5), sorted.at(-1)];
  if (median == null) return "no task is done yet";
  const ratio = median > 0 ? `, ${(most / median).toFixed(1)} times that` : "";
  return `median ${shown(median)}, most ${shown(most)}${ratio}`;
}

export class Sizes {
  constructor() {
    this.charts = [["Bytes read by each task", bytes], ["Time of each task", duration]].map(([title, shown]) => {
      const canvas = make("canvas", { role: "img", class: "wide" });
      const text = make("p", { class: "quiet" });
      return { title, shown, canvas, text, element: make("figure", {}, make("figcaption", {}, title), text, make("div", {}, canvas)) };
    });
    this.element = make("div", {}, ...this.charts.map((chart) => chart.element));
  }

  show(sum) {
    [sum?.sizes ?? [], sum?.took ?? []].forEach((sorted, at) => {
      const chart = this.charts[at];
      const text = evenness(sorted, chart.shown);
      if (chart.text.textContent === text) return;
      chart.text.textContent = text;
      chart.canvas.setAttribute("aria-label", `${chart.title}: ${text}`);
      drawn(chart.canvas, sorted);
    });
  }
}
