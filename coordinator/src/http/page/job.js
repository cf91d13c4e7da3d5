// One job: how far it is, its plan, what ran where and when, what was slow, uneven or failed.

import { get, post, text } from "./api.js";
import { Attempts, quantile } from "./attempts.js";
import { Bar, Table, classed, make, say } from "./dom.js";
import { bytes, duration, number, time } from "./format.js";
import { Plan } from "./plan.js";
import { Sizes } from "./sizes.js";
import { Times, colourOf } from "./times.js";

const FAILURES = 100;
const LOGS = 200;
// Sums are made again after so many times as long as they took.
const REST = 20;

const NUMBERS = [
  ["time", (job) => duration(job.elapsed_ms)],
  ["submitted", (job) => time(job.submitted_unix_ms)],
  ["submitted by", (job) => job.submitter ?? job.user],
  ["queue", (job) => (job.priority ? `${job.queue}, priority ${job.priority}` : job.queue)],
  ["tasks done", (job) => `${number(job.done)} of ${number(job.tasks)}${job.tasks_are_known ? "" : "+"}`],
  ["attempts running", (job) => number(job.running)],
  ["retries", (job) => job.retries && number(job.retries)],
  ["records read", (job) => number(job.records_read)],
  ["bytes read", (job) => bytes(job.read_bytes)],
  ["shuffled", (job) => job.shuffle_bytes && bytes(job.shuffle_bytes)],
  ["spilled", (job) => job.spilled_bytes && bytes(job.spilled_bytes)],
  ["records written", (job) => job.records_written && number(job.records_written)],
  ["bytes written", (job) => job.written_bytes && bytes(job.written_bytes)],
  ["records left out", (job) => job.records_left_out && number(job.records_left_out)],
  ["most memory", (job) => job.memory_peak_bytes && bytes(job.memory_peak_bytes)],
  ["binary", (job) => job.binary],
];

export class JobView {
  constructor(id) {
    this.id = id;
    this.title = `${id} · Windrow`;
    this.attempts = new Attempts();
    this.sums = { sums: [], slowest: [] };
    this.sumsAgain = 0;
    this.chosen = null;
    this.head = make("h1", {}, id);
    this.state = make("strong");
    this.bar = new Bar(`tasks done of ${id}`, "bar wide");
    this.why = make("p", { class: "why", hidden: true });
    this.cancel = make("button", { type: "button", hidden: true, onclick: () => this.cancelled() }, "Cancel the job");
    this.said = make("span", { role: "status", class: "quiet" });
    this.numbers = NUMBERS.map(([title]) => make("dd", {}, title));
    this.plan = new Plan((stage) => this.choose(stage));
    this.times = new Times(this.attempts);
    this.legend = make("div", { class: "row" });
    this.leftOut = make("p", { class: "quiet", hidden: true });
    this.sizes = new Sizes();
    this.stage = make("select", { id: "stage", onchange: () => this.choose(this.stage.value) });
    this.tables();
    this.notes = make("ul");
    this.outputs = new Table("Outputs", [
      { title: "output", head: true, of: (output) => output.name },
      { title: "files", number: true, of: (output) => number(output.files) },
      { title: "records", number: true, of: (output) => number(output.records) },
      { title: "bytes", number: true, of: (output) => bytes(output.bytes) },
    ]);
    this.explained = make("pre", { hidden: true, tabindex: 0 });
    this.logs = make("select", { id: "log", onchange: () => this.showLog() });
    this.log = make("pre", { hidden: true, tabindex: 0 });
    const asks = (name, ask) => make("button", { type: "button", onclick: (event) => this.asking(event.target, ask) }, name);
    const bounds = async () => (await get(`jobs/${id}/bounds`)).lines.join("\n");
    this.asks = [asks("What bounds it", bounds), asks("Explain", () => text(`jobs/${id}/explain`))];
    this.arguments = make("pre", { tabindex: 0 });
    this.element = this.laidOut();
  }

  tables() {
    const sum = (row) => this.sums.sums[row.at];
    const of = (title, value, shown = number) => ({ title, number: true, of: (row) => (sum(row) ? shown(value(sum(row))) : "") });
    this.stages = new Table("Stages: what the attempts came to that are done", [
      { title: "stage", head: true, of: (row) => row.stage },
      { title: "tasks", number: true, of: (row) => (row.tasks == null ? "?" : `${number(row.done)} of ${number(row.tasks)}`) },
      { title: "running", number: true, of: (row) => number(row.running) },
      of("failed", (it) => it.failed),
      of("backups", (it) => it.backups),
      { title: "time", number: true, of: (row) => duration(row.elapsed_ms) },
      of("median task", (it) => quantile(it.took, 0.5), duration),
      of("95 %", (it) => quantile(it.took, 0.95), duration),
      of("slowest", (it) => it.took.at(-1), duration),
      of("records", (it) => it.records),
      of("read", (it) => it.read, bytes),
      of("shuffled", (it) => it.shuffled, bytes),
      of("written", (it) => it.written, bytes),
      of("spilled", (it) => it.spilled, bytes),
      { title: "operators", long: true, of: (row) => row.operators.join(" > ") },
    ]);
    const rows = this.attempts;
    const common = [
      { title: "task", head: true, of: ({ row }) => `${rows.task(row)}#${rows.number[row]}` },
      { title: "worker", of: ({ row }) => `w${rows.workers[rows.place[row]]}` },
      { title: "from", number: true, of: ({ row }) => duration(rows.begun[row]) },
      { title: "took", number: true, of: ({ row }) => duration(rows.endOf(row, this.now) - rows.begun[row]) },
    ];
    this.slowest = new Table("The attempts that took longest", [
      ...common,
      { title: "end", of: ({ row }) => (rows.isRunning(row) ? `${((rows.permille(row) ?? 0) / 10).toFixed(0)} % done` : rows.endWord(row)) },
      { title: "records", number: true, of: ({ row }) => number(rows.records[row]) },
      { title: "read", number: true, of: ({ row }) => bytes(rows.read[row]) },
      { title: "spilled", number: true, of: ({ row }) => bytes(rows.spilled[row]) },
    ]);
    this.failures = new Table("Attempts that failed, the last first", [
      ...common,
      { title: "why", long: true, of: ({ why }) => why },
    ]);
  }

  laidOut() {
    const dl = make("dl", { class: "numbers" });
    NUMBERS.forEach(([title], at) => dl.append(make("div", {}, make("dt", {}, title), this.numbers[at])));
    const part = (title, ...children) => make("section", {}, make("h2", {}, title), ...children);
    this.failed = part("Failures", this.failures.element);
    this.logged = part("What attempts logged", make("div", { class: "row" }, make("label", { for: "log" }, "Attempt"), this.logs), this.log);
    this.told = part("What was noticed", this.notes);
    this.written = part("Outputs", this.outputs.element);
    const zoom = (name, does) => make("button", { type: "button", onclick: does }, name);
    return make(
      "div",
      {},
      this.head,
      make("div", { class: "row" }, this.state, this.cancel, this.said),
      this.bar.element,
      this.why,
      dl,
      part("Plan", this.plan.element),
      part(
        "Time line",
        make("div", { class: "row" }, zoom("Whole", () => this.times.whole()), zoom("Nearer", () => this.times.zoom(0.6, 0.5)), zoom("Farther", () => this.times.zoom(1.7, 0.5)), zoom("Earlier", () => this.times.move(-0.25)), zoom("Later", () => this.times.move(0.25)), this.legend),
        this.times.element,
        this.leftOut,
      ),
      part("Stages", this.stages.element),
      part("How even the tasks are", make("div", { class: "row" }, make("label", { for: "stage" }, "Stage"), this.stage), this.sizes.element),
      part("Slowest attempts", this.slowest.element),
      this.failed,
      this.logged,
      this.told,
      this.written,
      part("Where the time went, and why", make("div", { class: "row" }, ...this.asks), this.explained),
      part("Arguments", this.arguments),
    );
  }

  close() {
    this.times.close();
  }

  async refresh(signal) {
    const job = await get(`jobs/${this.id}`, signal);
    this.show(job);
    let more = !(this.isEnded && this.isWhole);
    while (more) {
      const page = await get(`jobs/${this.id}/attempts?seen=${this.attempts.seen}`, signal);
      this.measured(() => this.take(page, job));
      more = page.more;
      // The page answers between two of them.
      await new Promise((resume) => setTimeout(resume));
      if (more) continue;
      this.isWhole = true;
      if (performance.now() >= this.sumsAgain || this.isEnded) await this.sumUp(job);
    }
    if (job.state === "succeeded" && this.hasOutputs === undefined) await this.showOutputs(signal);
  }

  // Notes how long something takes, for whoever measures the page.
  measured(work) {
    const start = performance.now();
    work();
    performance.measure("windrow-update", { start, end: performance.now() });
  }

  take(page, job) {
    const rows = this.attempts.add(page);
    this.times.goesOn = !this.isEnded;
    this.times.changed(rows, this.isEnded ? job.elapsed_ms : this.now);
    const missing = this.attempts.leftOut;
    this.leftOut.hidden = !missing;
    say(this.leftOut, `${number(missing)} attempts are not kept: the coordinator was restarted, or there are too many.`);
  }

  // Sums up what there is. The page answers between the steps.
  async sumUp(job) {
    const begun = performance.now();
    let made;
    const steps = [() => (made = this.attempts.sums(job.stages.length, this.now))];
    steps.push(() => made.sums.forEach((sum) => sum.took.sort()));
    steps.push(() => made.sums.forEach((sum) => sum.sizes.sort()));
    steps.push(() => {
      this.sums = made;
      this.showSums(job);
    });
    for (const step of steps) {
      this.measured(step);
      await new Promise((resume) => setTimeout(resume));
    }
    this.sumsAgain = performance.now() + (performance.now() - begun) * REST;
  }

  show(job) {
    this.job = job;
    this.now = job.elapsed_ms;
    this.isEnded = !["running", "waiting"].includes(job.state);
    this.title = `${job.job} ${job.name}, ${job.state} · Windrow`;
    say(this.head, `${job.job} ${job.name}`);
    say(this.state, job.state);
    classed(this.state, job.state);
    this.bar.show(job.state === "succeeded" ? 1 : job.done / Math.max(1, job.tasks));
    this.why.hidden = !job.why;
    say(this.why, job.state === "waiting" ? `It waits for ${job.why}.` : job.why ?? "");
    classed(this.why, job.state === "waiting" ? "why wait" : "why");
    this.cancel.hidden = this.isEnded;
    NUMBERS.forEach(([, of], at) => {
      const shown = of(job);
      say(this.numbers[at], shown || "");
      this.numbers[at].parentElement.hidden = !shown;
    });
    this.chosen ??= (job.stages.find((stage) => stage.running) ?? job.stages[0])?.stage;
    this.plan.show(job.stages, this.chosen);
    this.options(job.stages);
    this.stages.show(job.stages.map((stage, at) => ({ ...stage, at })), (row) => row.stage);
    const notes = JSON.stringify(job.notes);
    if (notes !== this.noted) {
      this.noted = notes;
      this.notes.replaceChildren(...job.notes.map((note) => make("li", {}, note)));
    }
    this.told.hidden = job.notes.length === 0;
    this.written.hidden = !this.hasOutputs;
    say(this.arguments, JSON.stringify(job.arguments, null, 2));
  }

  options(stages) {
    const names = stages.map((stage) => stage.stage);
    if (this.stage.options.length !== names.length) {
      this.stage.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
      this.legend.replaceChildren(
        ...names.map((name, at) => {
          const colour = make("span");
          colour.style.background = colourOf(at);
          return make("span", { class: "legend" }, colour, name);
        }),
      );
    }
    if (this.stage.value !== this.chosen) this.stage.value = this.chosen;
  }

  choose(stage) {
    this.chosen = stage;
    this.plan.show(this.job.stages, stage);
    this.options(this.job.stages);
    this.showSizes();
  }

  showSizes() {
    const at = this.job.stages.findIndex((stage) => stage.stage === this.chosen);
    this.sizes.show(this.sums.sums[at]);
  }

  showSums(job) {
    this.stages.show(job.stages.map((stage, at) => ({ ...stage, at })), (row) => row.stage);
    this.slowest.show(this.sums.slowest, ({ row }) => row);
    this.showSizes();
    const failures = [...this.attempts.why].slice(-FAILURES).reverse().map(([row, why]) => ({ row, why }));
    this.failed.hidden = failures.length === 0;
    this.failures.show(failures, ({ row }) => row);
    this.showLogs();
  }

  // Offers the logs of the last attempts that have one.
  showLogs() {
    const rows = [...this.attempts.logged].slice(-LOGS);
    this.logged.hidden = rows.length === 0;
    if (String(rows) === this.offered) return;
    this.offered = String(rows);
    const name = (row) => `${this.attempts.task(row)}#${this.attempts.number[row]}, ${this.attempts.endWord(row)}`;
    const chosen = this.logs.value;
    this.logs.replaceChildren(make("option", { value: "" }, "Choose one"), ...rows.map((row) => make("option", { value: row }, name(row))));
    this.logs.value = rows.includes(Number(chosen)) ? chosen : "";
  }

  async showLog() {
    const row = this.logs.value;
    this.log.hidden = row === "";
    if (row === "") return;
    try {
      say(this.log, await text(`jobs/${this.id}/attempts/${row}/log`));
    } catch (error) {
      say(this.log, error.message);
    }
  }

  async showOutputs(signal) {
    const { outputs } = await get(`jobs/${this.id}/outputs`, signal);
    const of = (manifest, at) => {
      return { name: `output ${at}`, files: manifest?.files?.length, records: manifest?.rows, bytes: manifest?.bytes };
    };
    this.hasOutputs = outputs.length > 0;
    this.written.hidden = !this.hasOutputs;
    this.outputs.show(outputs.map(of), (output) => output.name);
  }

  async cancelled() {
    if (!confirm(`Cancel ${this.id}? It ends without output.`)) return;
    try {
      await post(`jobs/${this.id}/cancel`);
      say(this.said, "It is being cancelled.");
    } catch (error) {
      say(this.said, error.message);
    }
  }

  async asking(button, ask) {
    button.disabled = true;
    try {
      say(this.explained, await ask());
    } catch (error) {
      say(this.explained, error.message);
    }
    this.explained.hidden = false;
    button.disabled = false;
  }
}
