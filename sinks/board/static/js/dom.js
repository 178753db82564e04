// Elements. Texts from the store only ever become text.

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A figure, with the number itself beside its text.
export function figure(text, value, attributes = {}) {
  const unknown = value === null || value === undefined;
  return el("span", {"data-value": unknown ? "null" : String(value), ...attributes}, text);
}
