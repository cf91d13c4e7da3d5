// All jobs, and all workers.

import { get } from "./api.js";
import { Bar, Table, classed, make, say } from "./dom.js";
import { bytes, duration, number, time } from "./format.js";

export function stateInto(cell, { state }) {
  say(cell, state);
  classed(cell, state.split(" ")[0]);
}

function barInto(label, part) {
  return (cell, row) => {
    if (!cell.bar) {
      cell.bar = new Bar(label(row));
      cell.append(cell.bar.element);
    }
    cell.bar.show(part(row));
  };
}

function linkInto(cell, { job }) {
  if (!cell.firstChild) cell.append(make("a", { href: `#/jobs/${job}` }, job));
}

export class Overview {
  constructor() {
    this.title = "Windrow";
    this.jobs = new Table("Jobs, the newest first", [
      { title: "job", head: true, into: linkInto },
      { title: "name", of: (job) => job.name },
      { title: "state", into: stateInto },
      { title: "done", into: barInto((job) => `tasks done of ${job.job}`, (job) => job.done / Math.max(1, job.tasks)) },
      { title: "tasks", number: true, of: (job) => `${number(job.done)} of ${number(job.tasks)}${job.tasks_are_known ? "" : "+"}` },
      { title: "running", number: true, of: (job) => number(job.running) },
      { title: "retries", number: true, of: (job) => number(job.retries) },
      { title: "read", number: true, of: (job) => bytes(job.read_bytes) },
      { title: "shuffled", number: true, of: (job) => bytes(job.shuffle_bytes) },
      { title: "time", number: true, of: (job) => duration(job.elapsed_ms) },
      { title: "submitted", of: (job) => time(job.submitted_unix_ms) },
    ]);
    this.workers = new Table("Workers, those that went among them", [
      { title: "worker", head: true, of: (worker) => worker.worker },
      { title: "host", of: (worker) => worker.host },
      { title: "state", into: stateInto },
      { title: "in use", into: barInto((worker) => `slots in use of ${worker.worker}`, (worker) => worker.running / worker.slots) },
      { title: "slots", number: true, of: (worker) => `${number(worker.running)} of ${number(worker.slots)}` },
      { title: "labels", of: (worker) => worker.labels.join(", ") },
      { title: "binary", of: (worker) => worker.binary },
      { title: "why", long: true, of: (worker) => worker.why },
    ]);
    this.none = make("p", { class: "quiet" }, "No job has been submitted yet: `windrow run JOB --cluster HOST:PORT` submits one.");
    this.element = make(
      "div",
      {},
      make("h1", {}, "Cluster"),
      make("h2", {}, "Jobs"),
      this.none,
      this.jobs.element,
      make("h2", {}, "Workers"),
      this.workers.element,
    );
  }

  async refresh(signal) {
    const [{ jobs }, { workers }] = await Promise.all([get("jobs?limit=100", signal), get("workers", signal)]);
    this.none.hidden = jobs.length > 0;
    this.jobs.element.hidden = jobs.length === 0;
    this.jobs.show(jobs, (job) => job.job);
    this.workers.show(workers, (worker) => worker.worker);
  }
}
