// The page: which part of it is shown, and when it asks again.

import { Failed, get, keepToken, token } from "./api.js";
import { classed, make, say } from "./dom.js";
import { number } from "./format.js";
import { JobView } from "./job.js";
import { Overview } from "./overview.js";

const EVERY_MS = 1000;
const content = document.getElementById("content");
const link = document.getElementById("link");
const leave = document.getElementById("leave");

let view = null;
let asking = null;
let timer = 0;

function viewOf(hash) {
  const job = /^#\/jobs\/(j\d+)$/.exec(hash);
  return job ? new JobView(job[1]) : new Overview();
}

function open() {
  if (location.hash === "#content") return;
  const moved = view !== null;
  view?.close?.();
  view = viewOf(location.hash);
  content.replaceChildren(view.element);
  document.title = view.title;
  if (moved) content.focus();
  again();
}

function again() {
  clearTimeout(timer);
  asking?.abort();
  refresh();
}

async function refresh() {
  const mine = (asking = new AbortController());
  const shown = view;
  try {
    const cluster = await get("cluster", mine.signal);
    const { slots, workers, attempts_running: running, jobs_running: jobs } = cluster;
    say(document.getElementById("cluster"), `${number(workers)} workers, ${number(running)} of ${number(slots)} slots in use, ${number(jobs)} jobs running`);
    leave.hidden = !token();
    await shown.refresh(mine.signal);
    say(link, "");
    classed(link, "");
    document.title = shown.title;
  } catch (error) {
    if (mine.signal.aborted) return;
    if (error instanceof Failed && (error.status === 401 || error.status === 403)) return askForToken(error.message);
    say(link, error instanceof Failed ? error.message : "The coordinator does not answer; trying again.");
    classed(link, "broken");
  }
  if (asking === mine && !document.hidden) timer = setTimeout(refresh, EVERY_MS);
}

function askForToken(why) {
  const input = make("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const form = make(
    "form",
    { class: "token" },
    make("h1", {}, "Who are you?"),
    make("p", { role: "alert" }, token() ? why : "This cluster is secured."),
    make("label", { for: "token" }, "A token of the role view or more, as `windrow cluster token` makes them"),
    input,
    make("button", { type: "submit" }, "Show the cluster"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(input.value.trim());
    open();
  });
  view?.close?.();
  content.replaceChildren(form);
  input.focus();
}

leave.addEventListener("click", () => {
  keepToken(null);
  leave.hidden = true;
  open();
});
addEventListener("hashchange", open);
addEventListener("visibilitychange", () => {
  if (!document.hidden) again();
});
open();
