// The plan as a picture: a box a stage, with its operators and how much of it is done; arrows are what a stage reads.

import { drawing, make, say } from "./dom.js";
import { number } from "./format.js";

const WIDTH = 210;
const GAP_X = 56;
const GAP_Y = 24;
const LINE = 15;
const LINES = 6;

function lines(operators) {
  const shown = operators.map((operator) => (operator.length > 30 ? `${operator.slice(0, 29)}…` : operator));
  return shown.length <= LINES ? shown : [...shown.slice(0, LINES - 1), `… ${shown.length - LINES + 1} more`];
}

export class Plan {
  constructor(choose) {
    this.choose = choose;
    this.element = make("div", { class: "scrolls plan", tabindex: 0, role: "region", "aria-label": "The plan: its stages" });
    this.outline = "";
    this.boxes = new Map();
  }

  show(stages, chosen) {
    const outline = JSON.stringify(stages.map((of) => [of.stage, of.operators, of.reads, of.reads_whole, of.is_dissolved]));
    if (outline !== this.outline) {
      this.outline = outline;
      this.draw(stages);
    }
    for (const stage of stages) {
      const box = this.boxes.get(stage.stage);
      const part = stage.tasks ? stage.done / stage.tasks : stage.tasks === 0 ? 1 : 0;
      box.done.setAttribute("width", (WIDTH - 20) * part);
      const tasks = stage.is_dissolved ? "done by those it reads" : stage.tasks == null ? "not begun" : `${number(stage.done)} of ${number(stage.tasks)}`;
      say(box.tasks, tasks);
      box.link.setAttribute("aria-label", `Stage ${stage.stage}: ${stage.operators.join(", ")}; tasks: ${tasks}; ${number(stage.running)} run`);
      box.link.setAttribute("class", stage.stage === chosen ? "chosen" : "");
    }
  }

  draw(stages) {
    const depth = new Map();
    for (const stage of stages) {
      const before = [...stage.reads, ...stage.reads_whole].filter((of) => depth.has(of));
      depth.set(stage.stage, before.length ? 1 + Math.max(...before.map((of) => depth.get(of))) : 0);
    }
    const filled = [];
    const places = new Map();
    for (const stage of stages) {
      const column = depth.get(stage.stage);
      const top = filled[column] ?? 0;
      const height = 52 + lines(stage.operators).length * LINE;
      places.set(stage.stage, { x: 1 + column * (WIDTH + GAP_X), y: 1 + top, height });
      filled[column] = top + height + GAP_Y;
    }
    const size = { width: filled.length * (WIDTH + GAP_X) - GAP_X + 2, height: Math.max(0, ...filled.filter(Boolean)) - GAP_Y + 2 };
    const tip = drawing("marker", { id: "tip", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, drawing("path", { d: "M0 0L8 4L0 8z" }));
    const picture = drawing("svg", { ...size, viewBox: `0 0 ${size.width} ${size.height}`, role: "group", "aria-label": "Stages" }, drawing("defs", {}, tip));
    for (const stage of stages) {
      const to = places.get(stage.stage);
      for (const [of, name] of [...stage.reads.map((of) => [of, ""]), ...stage.reads_whole.map((of) => [of, "whole"])]) {
        const from = places.get(of);
        if (!from) continue;
        const [x1, y1, x2, y2] = [from.x + WIDTH, from.y + from.height / 2, to.x, to.y + to.height / 2];
        const bend = Math.max(20, (x2 - x1) / 2);
        picture.append(drawing("path", { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 1} ${y2}`, class: name, "marker-end": "url(#tip)" }));
      }
    }
    this.boxes.clear();
    for (const stage of stages) picture.append(this.box(stage, places.get(stage.stage)));
    this.element.replaceChildren(picture);
  }

  box(stage, { x, y, height }) {
    const operators = lines(stage.operators).map((text, at) => drawing("text", { x: x + 10, y: y + 38 + at * LINE }, text));
    const tasks = drawing("text", { x: x + WIDTH - 10, y: y + 20, "text-anchor": "end", class: "quiet" });
    const done = drawing("rect", { x: x + 10, y: y + height - 13, width: 0, height: 5, class: "done" });
    const link = drawing(
      "a",
      { href: location.hash },
      drawing("rect", { x, y, width: WIDTH, height, rx: 6, class: "box" }),
      drawing("text", { x: x + 10, y: y + 20, class: "head" }, stage.stage),
      tasks,
      ...operators,
      drawing("rect", { x: x + 10, y: y + height - 13, width: WIDTH - 20, height: 5, class: "left" }),
      done,
    );
    link.addEventListener("click", (event) => {
      event.preventDefault();
      this.choose(stage.stage);
    });
    this.boxes.set(stage.stage, { link, tasks, done });
    return link;
  }
}
