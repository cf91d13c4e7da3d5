// What the coordinator is asked.

const TOKEN = "windrow-token";

export class Failed extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

export function token() {
  return sessionStorage.getItem(TOKEN);
}

export function keepToken(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  const shown = token();
  if (shown) headers.Authorization = `Bearer ${shown}`;
  const answer = await fetch(`api/v1/${path}`, { ...options, headers });
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Failed(answer.status, told.error ?? `the coordinator answers ${answer.status}`);
}

export async function get(path, signal) {
  return (await ask(path, { signal })).json();
}

export async function text(path) {
  return (await ask(path)).text();
}

export async function post(path) {
  return (await ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" })).json();
}
