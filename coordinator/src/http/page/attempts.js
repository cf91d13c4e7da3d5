// The attempts of a job: columns of numbers, so that a hundred thousand of them cost little; and what they come to.

const RUNNING = 0xffffffff;
const KINDS = ["split", "compute", "commit"];
const ENDS = ["running", "done", "failed", "revoked", "preempted"];
const SLOWEST = 20;

const COLUMNS = {
  kind: Uint8Array,
  stage: Uint16Array,
  partition: Uint32Array,
  number: Uint32Array,
  place: Uint32Array,
  lane: Uint32Array,
  backup: Uint8Array,
  begun: Uint32Array,
  ended: Uint32Array,
  end: Uint8Array,
  records: Float64Array,
  read: Float64Array,
  shuffled: Float64Array,
  written: Float64Array,
  spilled: Float64Array,
};

export class Attempts {
  constructor() {
    this.seen = 0;
    this.count = 0;
    this.room = 0;
    this.leftOut = 0;
    this.until = 0;
    // By place: the number of a worker, and when the last attempt in each of its lanes ended.
    this.workers = [];
    this.lanes = [];
    this.placeOf = new Map();
    this.why = new Map();
    this.logged = new Set();
    this.progress = new Map();
    this.grow(1024);
  }

  grow(room) {
    for (const [name, Column] of Object.entries(COLUMNS)) {
      const grown = new Column(room);
      if (this[name]) grown.set(this[name]);
      this[name] = grown;
    }
    this.room = room;
  }

  // Takes a page; gives the rows that changed.
  add(page) {
    this.seen = page.seen;
    this.leftOut = page.left_out;
    while (this.room < page.attempts) this.grow(this.room * 2);
    page.row.forEach((row, at) => this.take(row, page, at));
    for (const [row, why] of page.why) this.why.set(row, why);
    for (const row of page.logged) this.logged.add(row);
    this.progress.clear();
    for (const [stage, partition, attempt, permille] of page.progress) {
      this.progress.set(`${stage}/${partition}#${attempt}`, permille);
    }
    return page.row;
  }

  take(row, page, at) {
    const ended = page.ended_ms[at];
    this.ended[row] = ended ?? RUNNING;
    this.end[row] = page.end[at] ? ENDS.indexOf(page.end[at]) : 0;
    this.records[row] = page.records[at];
    this.read[row] = page.read_bytes[at];
    this.shuffled[row] = page.shuffle_bytes[at];
    this.written[row] = page.written_bytes[at];
    this.spilled[row] = page.spilled_bytes[at];
    this.until = Math.max(this.until, ended ?? page.begun_ms[at]);
    if (row >= this.count) {
      this.count = row + 1;
      this.kind[row] = KINDS.indexOf(page.kind[at]);
      this.stage[row] = page.stage[at];
      this.partition[row] = page.partition[at];
      this.number[row] = page.number[at];
      this.backup[row] = page.is_backup[at] ? 1 : 0;
      this.begun[row] = page.begun_ms[at];
      this.place[row] = this.placeFor(page.worker[at]);
      this.lane[row] = this.laneFor(this.place[row], this.begun[row]);
    }
    this.lanes[this.place[row]][this.lane[row]] = this.ended[row];
  }

  placeFor(worker) {
    let place = this.placeOf.get(worker);
    if (place === undefined) {
      place = this.workers.push(worker) - 1;
      this.placeOf.set(worker, place);
      this.lanes.push([]);
    }
    return place;
  }

  // The first lane of a worker in which nothing ran then.
  laneFor(place, begun) {
    const lanes = this.lanes[place];
    let lane = 0;
    while (lane < lanes.length && lanes[lane] > begun) lane += 1;
    return lane;
  }

  isRunning(row) {
    return this.ended[row] === RUNNING;
  }

  endOf(row, now) {
    return this.isRunning(row) ? Math.max(now, this.begun[row]) : this.ended[row];
  }

  task(row) {
    const kind = this.kind[row];
    return kind === 1 ? `s${this.stage[row]}/${this.partition[row]}` : kind === 0 ? `s${this.stage[row]}/split` : "commit";
  }

  endWord(row) {
    return ENDS[this.end[row]];
  }

  permille(row) {
    return this.progress.get(`${this.stage[row]}/${this.partition[row]}#${this.number[row]}`);
  }

  // What the stages come to, and the attempts that took longest.
  sums(stages, now) {
    const count = new Uint32Array(stages);
    for (let row = 0; row < this.count; row += 1) {
      if (this.end[row] === 1 && this.kind[row] === 1) count[this.stage[row]] += 1;
    }
    const sums = Array.from(count, (tasks) => ({ done: 0, failed: 0, revoked: 0, backups: 0, records: 0, read: 0, shuffled: 0, written: 0, spilled: 0, took: new Uint32Array(tasks), sizes: new Float64Array(tasks) }));
    const slowest = [];
    let least = -1;
    for (let row = 0; row < this.count; row += 1) {
      if (this.kind[row] !== 1) continue;
      const sum = sums[this.stage[row]];
      const took = this.endOf(row, now) - this.begun[row];
      const end = this.end[row];
      sum.backups += this.backup[row];
      if (end === 1) {
        sum.took[sum.done] = took;
        sum.sizes[sum.done] = this.read[row];
        sum.done += 1;
        sum.records += this.records[row];
        sum.read += this.read[row];
        sum.shuffled += this.shuffled[row];
        sum.written += this.written[row];
        sum.spilled += this.spilled[row];
      } else if (end === 2) sum.failed += 1;
      else if (end === 3) sum.revoked += 1;
      if (end < 2 && took > least) {
        slowest.push({ row, took });
        if (slowest.length >= 8 * SLOWEST) least = this.trim(slowest);
      }
    }
    this.trim(slowest);
    return { sums, slowest };
  }

  trim(slowest) {
    slowest.sort((a, b) => b.took - a.took || a.row - b.row);
    slowest.length = Math.min(slowest.length, SLOWEST);
    return slowest.at(-1)?.took ?? -1;
  }
}

export function quantile(sorted, part) {
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] : null;
}
