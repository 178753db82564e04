// What is looked at, in the address: a link of it shows the same.

const NAMES = ["asset", "span", "at", "episode", "usd", "zone"];

export const place = Object.fromEntries(NAMES.map((name) => [name, ""]));

export function readPlace() {
  const query = new URLSearchParams(location.search);
  for (const name of NAMES) place[name] = query.get(name) || "";
}

export function go(changes) {
  Object.assign(place, changes);
  const query = new URLSearchParams();
  for (const name of NAMES) if (place[name]) query.set(name, place[name]);
  const text = query.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

// The same view with other values, as a link.
export function linkTo(changes) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({...place, ...changes})) if (value) query.set(name, value);
  return `?${query}`;
}

export function dataUrl(panel, form, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value) query.set(name, value);
  return `data/${panel}.${form}?${query}`;
}
