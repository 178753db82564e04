// A table whose rows are known by their keys: a row that did not change is not touched.

import {el} from "./dom.js";

export class Table {
  // columns: [heading, row => text or element, "number" for what is set to the right]
  constructor(element, caption, columns, key, nothing) {
    this.columns = columns;
    this.key = key;
    this.nothing = nothing;
    this.rows = new Map();
    this.body = el("tbody");
    this.empty = el("caption", {class: "nothing"}, nothing);
    const heads = columns.map(([head, , kind]) => el("th", {scope: "col", class: kind}, head));
    element.setAttribute("aria-label", caption);
    element.replaceChildren(this.empty, el("thead", {}, el("tr", {}, ...heads)), this.body);
  }

  show(rows, salt = "") {
    this.empty.hidden = rows.length > 0;
    const next = new Map();
    let at = this.body.firstChild;
    for (const row of rows) {
      const key = this.key(row);
      const content = salt + JSON.stringify(row);
      let known = this.rows.get(key);
      if (!known) known = {content, line: this.line(row, key)};
      else if (known.content !== content) {
        const line = this.line(row, key);
        if (at === known.line) at = line;
        known.line.replaceWith(line);
        known = {content, line};
      }
      next.set(key, known);
      if (known.line === at) at = at.nextSibling;
      else this.body.insertBefore(known.line, at);
    }
    for (const [key, {line}] of this.rows) if (!next.has(key)) line.remove();
    this.rows = next;
  }

  line(row, key) {
    const cells = this.columns.map(([, cell, kind]) => el("td", {class: kind}, cell(row)));
    return el("tr", {"data-key": key, class: row.removed ? "removed" : null}, ...cells);
  }
}
