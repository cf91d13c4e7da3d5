// The page in a real browser: a job of many tasks is looked at while it runs and after its end, with a keyboard, on a phone, in
// the dark, and secured. What breaks the console or the rules of accessibility fails; how long things take is told.
//
//     node tests/page/check.mjs [--bin FOLDER] [--tasks N] [--pictures FOLDER]

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import puppeteer from "puppeteer-core";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const PATIENCE = 120_000;
const { values: wanted } = parseArgs({
  options: { bin: { type: "string", default: "target/debug" }, tasks: { type: "string", default: "100000" }, pictures: { type: "string" } },
});
const scratch = mkdtempSync(join(tmpdir(), "windrow-page-"));
const started = [];

function start(name, args) {
  const child = spawn(join(wanted.bin, name), args, { stdio: ["ignore", "pipe", "inherit"] });
  started.push(child);
  child.text = "";
  child.stdout.on("data", (data) => (child.text += data));
  child.ended = new Promise((resolve) => child.on("exit", resolve));
  return child;
}

async function until(what, holds) {
  const begun = Date.now();
  for (;;) {
    const held = await holds();
    if (held) return held;
    assert(Date.now() - begun < PATIENCE, `never: ${what}`);
    await new Promise((resume) => setTimeout(resume, 50));
  }
}

async function coordinator(...flags) {
  const child = start("windrow", ["coordinator", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", ...flags]);
  const [, address, http] = await until("the coordinator listens", () => /coordinator on (.*)\nhttp on (.*)\n/.exec(child.text));
  return { child, address, http };
}

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? BROWSERS.find(existsSync),
  args: ["--no-sandbox", "--force-color-profile=srgb"],
  acceptInsecureCerts: true,
  protocolTimeout: PATIENCE,
});

async function open(url, { width = 1280, height = 900, dark = false, phone = false } = {}) {
  const page = await browser.newPage();
  page.wrong = [];
  page.on("console", (message) => message.type() === "error" && page.wrong.push(message.text()));
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  await page.setViewport({ width, height, isMobile: phone, hasTouch: phone, deviceScaleFactor: phone ? 2 : 1 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
  await page.evaluateOnNewDocument(() => {
    globalThis.longTasks = [];
    new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask", buffered: true });
  });
  await page.goto(url);
  return page;
}

async function times(page) {
  return page.evaluate(() => {
    const most = (values) => Math.round(Math.max(0, ...values));
    return {
      firstPaint: Math.round(performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1),
      updates: performance.getEntriesByName("windrow-update").length,
      longestUpdate: most(performance.getEntriesByName("windrow-update").map((entry) => entry.duration)),
      longestTask: most(longTasks),
    };
  });
}

async function accessible(page, what) {
  await page.evaluate(readFileSync(AXE, "utf8"));
  const { violations } = await page.evaluate(() => axe.run());
  const told = violations.map((of) => `${of.id}: ${of.help}: ${of.nodes.map((node) => node.html).join(" ")}`);
  assert.deepEqual(told, [], what);
}

async function picture(page, name) {
  if (!wanted.pictures) return;
  mkdirSync(wanted.pictures, { recursive: true });
  await page.screenshot({ path: join(wanted.pictures, `${name}.png`) });
}

const text = (page, selector) => page.$eval(selector, (element) => element.textContent);
const shows = (page, words) => until(`the page shows ${words}`, () => page.evaluate((of) => document.body.innerText.includes(of), words));

function right(page, what) {
  assert.deepEqual(page.wrong, [], `the console of ${what}`);
}

async function large() {
  const { child, address, http } = await coordinator();
  const url = `http://${http}/`;
  const before = await open(url);
  await shows(before, "No job has been submitted yet");
  await accessible(before, "the page without jobs");
  const tasks = Number(wanted.tasks);
  const load = start("load", ["--coordinator", address, "--workers", "8", "--slots", "16", "--tasks", String(tasks), "--reduces", "200", "--task-ms", "15", "--fail-permille", "1", "--process", String(child.pid), "--stay", "100000"]);
  const [, job] = await until("a job", () => /job (j\d+)\n/.exec(load.text));
  await until("it is in the list", () => before.$(`a[href="#/jobs/${job}"]`));
  const inLists = await times(before);

  // While it runs.
  const running = await open(`${url}#/jobs/${job}`);
  const done = () => running.$eval('[role="progressbar"]', (bar) => Number(bar.getAttribute("aria-valuenow")));
  await until("some of it is done", async () => (await done()) >= 40);
  await picture(running, "page-job-running");
  await until("most of it is done", async () => (await done()) >= 80);
  const whileRunning = await times(running);
  await accessible(running, "a job that runs");
  await until("it is done", async () => (await text(running, "strong")) === "succeeded");
  right(running, "a job that runs");
  await running.close();

  // After its end, from nothing.
  const ended = await open(`${url}#/jobs/${job}`);
  const all = (page) => until("all attempts are here", () => page.evaluate((of) => [...document.querySelectorAll("tbody tr")].some((row) => row.cells[0].textContent === "s0" && row.cells[6]?.textContent !== ""), tasks));
  await all(ended);
  await until("its outputs are told", () => ended.evaluate(() => document.body.innerText.includes("Outputs")));
  const afterEnd = await times(ended);
  await accessible(ended, "a job that has ended");
  const cells = await ended.$$eval("tbody tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
  const stage = cells.find((row) => row[0] === "s0");
  assert.equal(stage[1].replaceAll(",", ""), `${tasks} of ${tasks}`);
  assert(Number(stage[3]) > 0, "no failure is told");
  assert(cells.some((row) => row.at(-1).includes("a made failure")), "no cause is told");
  await picture(ended, "page-job");

  // With the keyboard: to the second stage, and nearer in the time line.
  await ended.$eval(".plan a", (link) => link.focus());
  await ended.keyboard.press("Tab");
  await ended.keyboard.press("Enter");
  assert.equal(await ended.$eval("#stage", (select) => select.value), "s1");
  const pixels = () => ended.$eval("canvas", (canvas) => canvas.toDataURL());
  const whole = await pixels();
  await ended.focus("canvas");
  await ended.keyboard.press("+");
  await until("the time line is nearer", async () => (await pixels()) !== whole);
  await ended.keyboard.press("0");
  await ended.hover("canvas");
  await until("a tip", () => ended.$eval(".tip", (tip) => tip.textContent !== ""));
  await ended.evaluate(() => [...document.querySelectorAll("button")].find((button) => button.textContent === "Explain").click());
  await until("why", () => ended.evaluate(() => [...document.querySelectorAll("pre")].some((pre) => pre.textContent.includes("load"))));
  right(ended, "a job that has ended");

  for (const [name, of] of [["dark", { dark: true }], ["phone", { width: 390, height: 844, phone: true }]]) {
    const page = await open(`${url}#/jobs/${job}`, of);
    await all(page);
    await accessible(page, name);
    const scrolls = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth + 1);
    assert(!scrolls, `the page is wider than the window: ${name}`);
    await picture(page, `page-job-${name}`);
    right(page, name);
    await page.close();
  }
  await before.bringToFront();
  await shows(before, "succeeded");
  await accessible(before, "the page with jobs");
  await picture(before, "page-cluster");
  right(before, "the list of jobs");
  console.log(`${tasks} tasks:`, JSON.stringify({ inLists, whileRunning, afterEnd }));
  load.kill();
  child.kill();
  await child.ended;
  await shows(before, "The coordinator does not answer");
}

async function secured() {
  const folder = join(scratch, "cluster");
  const made = start("windrow", ["cluster", "init", folder]);
  assert.equal(await made.ended, 0);
  const token = start("windrow", ["cluster", "token", "new", "--security", join(folder, "coordinator"), "--name", "victor", "--role", "view", "--output", join(scratch, "victor")]);
  assert.equal(await token.ended, 0, token.text);
  const { child, http } = await coordinator("--security", join(folder, "coordinator"));
  const page = await open(`https://${http}/`);
  await page.waitForSelector("#token");
  await accessible(page, "the question for a token");
  const [unauthorized] = page.wrong.splice(0);
  assert.match(unauthorized, /401/);
  await page.type("#token", readFileSync(join(scratch, "victor", "token"), "utf8").trim());
  await page.keyboard.press("Enter");
  await shows(page, "No job has been submitted yet");
  assert.equal(page.url(), `https://${http}/`);
  right(page, "the secured page");
  child.kill();
}

try {
  await large();
  await secured();
} finally {
  await browser.close();
  started.forEach((child) => child.kill());
  rmSync(scratch, { recursive: true, force: true });
}
