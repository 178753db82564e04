// Numbers and times as people read them. What is not known is said, never drawn as 0.

export const UNKNOWN = "not known";

const UNITS = [[1e9, "B"], [1e6, "M"], [1e3, "K"]];

export function usd(worth) {
  if (worth === null || worth === undefined) return UNKNOWN;
  const sign = worth < 0 ? "−" : "";
  const most = Math.abs(worth);
  for (const [size, unit] of UNITS) {
    if (most >= size) return `${sign}$${fixed(most / size, 1)}${unit}`;
  }
  return `${sign}$${fixed(most, 0)}`;
}

// A lower bound wherever not every order was shown.
export function atLeast(worth, coverage) {
  if (worth === null || worth === undefined) return UNKNOWN;
  return (coverage === "full" ? "" : "≥ ") + usd(worth);
}

export function between(middle, low, high) {
  if (middle === null || middle === undefined) return UNKNOWN;
  return `about ${usd(middle)} (${usd(low)} to ${usd(high)})`;
}

export function fixed(number, digits) {
  return number.toLocaleString("en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits});
}

export function count(number) {
  return number === null || number === undefined ? UNKNOWN : number.toLocaleString("en-US");
}

export function share(part) {
  return part === null || part === undefined ? UNKNOWN : `${fixed(part * 100, 0)} %`;
}

export function price(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return value.toLocaleString("en-US", {maximumSignificantDigits: value >= 1000 ? 7 : 5});
}

export function percent(bps) {
  return bps === null || bps === undefined ? UNKNOWN : `${fixed(bps / 100, 2)} %`;
}

export function p(value) {
  return value === null || value === undefined ? UNKNOWN : value.toFixed(4);
}

export function duration(seconds) {
  const s = Math.round(seconds);
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

// "2025-11-21 07:34:18.000000", UTC, as the store writes it.
export function seconds(moment) {
  return moment ? Date.parse(moment.slice(0, 23).replace(" ", "T") + "Z") / 1000 : null;
}

export function moment(epoch) {
  return new Date(epoch * 1000).toISOString().slice(0, 19).replace("T", " ");
}

export const zone = {
  local: false,
  name() {
    return this.local ? Intl.DateTimeFormat().resolvedOptions().timeZone || "local" : "UTC";
  },
};

export function date(text) {
  const at = seconds(text);
  if (at === null) return "";
  const day = {year: "numeric", month: "2-digit", day: "2-digit"};
  return new Date(at * 1000).toLocaleDateString("sv-SE", {...day, timeZone: zoneName()});
}

export function clock(text) {
  const at = seconds(text);
  return at === null ? "" : clockOf(at);
}

export function clockOf(epoch) {
  return new Date(epoch * 1000).toLocaleTimeString("sv-SE", {timeZone: zoneName()});
}

function zoneName() {
  return zone.local ? undefined : "UTC";
}
