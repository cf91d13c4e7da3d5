// Elements, made and kept up to date: what is the same stays as it is, so that the focus and what is selected stay too.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value != null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function drawing(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function classed(element, name) {
  if (element.className !== name) element.className = name;
}

export class Bar {
  constructor(label, name = "bar") {
    this.fill = make("span");
    this.element = make("span", { class: name, role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, this.fill);
  }

  show(part) {
    const percent = Math.floor(100 * Math.min(1, Math.max(0, part || 0)));
    if (this.percent === percent) return;
    this.percent = percent;
    this.fill.style.width = `${percent}%`;
    this.element.setAttribute("aria-valuenow", percent);
  }
}

// A table whose rows are known by a key. A column has a title, `of` (the text of a row's cell), and may be a number (at the
// right), a head (of its row), long text, or show something else than text (`into`: cell, row).
export class Table {
  constructor(caption, columns) {
    this.columns = columns;
    this.rows = new Map();
    this.body = make("tbody");
    const heads = columns.map((column) => make("th", { scope: "col", class: column.number ? "number" : null }, column.title));
    const table = make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...heads)), this.body);
    this.element = make("div", { class: "scrolls tall", tabindex: 0, role: "region", "aria-label": caption }, table);
  }

  show(rows, key) {
    const before = this.rows;
    this.rows = new Map();
    let at = this.body.firstElementChild;
    for (const row of rows) {
      const id = key(row);
      const line = before.get(id) ?? this.line();
      before.delete(id);
      this.rows.set(id, line);
      if (line.element === at) at = at.nextElementSibling;
      else this.body.insertBefore(line.element, at);
      this.fill(line, row);
    }
    for (const line of before.values()) line.element.remove();
  }

  line() {
    const cells = this.columns.map((column) => {
      const name = column.number ? "number" : column.long ? "text" : null;
      return column.head ? make("th", { scope: "row" }) : make("td", { class: name });
    });
    return { element: make("tr", {}, ...cells), cells };
  }

  fill(line, row) {
    this.columns.forEach((column, at) => {
      if (column.into) column.into(line.cells[at], row);
      else say(line.cells[at], String(column.of(row) ?? ""));
    });
  }
}
