// The board: what the server tells, put on the page.

import {Chart, marksOf} from "./chart.js";
import {$, el, setText} from "./dom.js";
import {clock, date, duration, moment, seconds, zone} from "./format.js";
import {coverageText, showAlerts, showEpisodes, showFeeds, showLevels, showScores, showTape, showTotals, showWaterfall, showWhales} from "./panels.js";
import {dataUrl, go, place, readPlace} from "./place.js";
import {Player} from "./player.js";
import {Store} from "./store.js";
import {Stream} from "./stream.js";

const CHART_EVERY_MS = 2000;
// A day of orders is summed anew so often at most, for all readers at the same moments.
const LEVELS_EVERY_MS = 30000;
const LIVE_S = 120;
const WORDS = {empty: "No data", cascade: "Cascade", watch: "Watch", calm: "Calm", unknown: "Unknown"};

const store = new Store();
const chart = new Chart($("chart"));
const stream = new Stream(hear, linked, () => enter());
const player = new Player({end: () => liveEnd, show: showMoment, live: goLive});

let liveEnd = null;     // seconds: where the data end
let serverAhead = 0;    // ms by which the server's clock is ahead of ours
let chartAt = 0;
let chartTimer = 0;
let levelsAt = 0;
let levelsEnd = "";     // the moment that the levels are of
let levelsTimer = 0;
let chosen = null;

// ---- what comes in

function hear(kind, payload) {
  if (kind === "beat") {
    serverAhead = payload * 1000 - Date.now();
    return showClock();
  }
  const state = kind === "state" ? payload : payload.state;
  liveEnd = seconds(state.at);
  player.reach(liveEnd);
  if (place.at) return undefined;
  if (kind === "whole") store.whole(payload);
  const touched = kind === "changes" ? store.changes(payload) : Object.keys(store.panels);
  if (kind === "state") store.state = payload;
  showAll(kind === "state" ? [] : touched);
  return undefined;
}

function linked(is) {
  const text = is ? "connected" : "not connected; what is shown is from before. Trying again";
  setText($("link"), text);
  document.body.classList.toggle("unlinked", !is);
}

// Opens the stream, or asks for the token: an EventSource does not say why it failed.
async function enter() {
  const response = await fetch("login").catch(() => null);
  if (!response?.ok) return stream.again();
  const {allowed} = await response.json();
  $("login").hidden = allowed;
  if (allowed) return stream.open();
  return setText($("link"), "log in to see the data");
}

// ---- what is shown

function at() {
  return seconds(store.state?.at);
}

function salt() {
  return zone.name();
}

function showAll(touched) {
  showState();
  const has = (...names) => names.some((name) => touched.includes(name));
  const open = store.rows("episodes").some((e) => e.phase !== "closed");
  if (has("episodes", "changed") || open) showEpisodes(store, at(), choose, salt());
  if (has("scores", "stress")) showScores(store, salt());
  if (has("totals")) showTotals(store, salt());
  if (has("totals", "episodes")) showAssets();
  if (has("totals")) levelsSoon();
  if (has("tape")) showTape(store, Number(place.usd || 0), $("tape-asset").value, salt());
  if (has("whales")) showWhales(store, salt());
  if (has("alerts")) showAlerts(store, salt());
  showFeeds(store, at(), salt());
  if (has("episodes")) followEpisode();
  chartSoon();
}

function showState() {
  const state = judgedNow(store.state);
  document.body.dataset.level = state.level;
  const then = state.tense === "ended" || state.tense === "past" ? "Then: " : "";
  setText($("state-word"), then + WORDS[state.level]);
  const reasons = [...state.reasons];
  if (state.tense === "stale") reasons.unshift(`the data ended; then: ${WORDS[state.then].toLowerCase()}`);
  if (state.problem) reasons.unshift(state.problem);
  setText($("state-reasons"), reasons.join("; "));
  setText($("coverage"), state.coverage.length ? `Coverage: ${state.coverage.map(coverageText).join(", ")}` : "Coverage: not known");
  setText($("blind"), state.blind.length ? `Blind in part: ${state.blind.join("; ")}` : "");
  const markets = store.rows("market").filter((m) => m.phase !== "closed");
  $("market").hidden = !markets.length;
  setText($("market"), markets.map((m) => `Market-wide cascade since ${clock(m.ts_onset)}: ${m.assets.join(", ")}` +
    `${m.lead_assets.length ? `; led by ${m.lead_assets[0]} (p ${m.lead_p_value})` : ""}; coverage ${coverageText(m.coverage)}`).join(". "));
  showClock();
}

// Data that were live and do not come any more: nothing is known now.
function judgedNow(state) {
  if (state.tense !== "live" || age() < LIVE_S) return state;
  return {...state, tense: "stale", then: state.level, level: "unknown"};
}

function age() {
  return Math.max(0, (Date.now() + serverAhead) / 1000 - at());
}

function showClock() {
  if (!store.state?.at) return setText($("clock"), "No data yet");
  const state = judgedNow(store.state);
  if (state !== store.state && document.body.dataset.level !== "unknown") return showState();
  const when = `${date(state.at)} ${clock(state.at)} ${zone.name()}`;
  const old = duration(age());
  const words = {
    live: `Data end ${old} ago, ${when}`, replay: `Replay, now at ${when}`, past: `As of ${when}`,
    stale: `Data ended ${old} ago, ${when}`, ended: `Data end ${when}, ${old} ago`,
  };
  return setText($("clock"), words[state.tense] || when);
}

function showAssets() {
  const worth = new Map();
  for (const row of store.rows("totals")) worth.set(row.asset, (worth.get(row.asset) || 0) + row.notional_usd);
  for (const row of store.rows("episodes")) if (!worth.has(row.asset)) worth.set(row.asset, 0);
  const assets = [...worth.keys()].sort((a, b) => worth.get(b) - worth.get(a));
  if (place.asset && !assets.includes(place.asset)) assets.push(place.asset);
  const linkedTo = store.panels.episodes.get(place.episode);
  if (!place.asset && assets.length) go({asset: linkedTo ? linkedTo.asset : assets[0]});
  options($("asset"), assets.map((a) => [a, a]), place.asset);
  options($("tape-asset"), [["", "every asset"], ...assets.map((a) => [a, a])], $("tape-asset").value);
}

function options(select, pairs, value) {
  const same = select.options.length === pairs.length && pairs.every(([v], i) => select.options[i].value === v);
  if (!same) select.replaceChildren(...pairs.map(([v, text]) => el("option", {value: v}, text)));
  select.value = value;
}

// ---- chart

function chartSoon() {
  const wait = Math.max(0, chartAt + CHART_EVERY_MS - Date.now());
  clearTimeout(chartTimer);
  chartTimer = setTimeout(drawChart, player.playing ? 0 : wait);
}

async function drawChart() {
  if (!place.asset || !store.state?.at) return;
  chartAt = Date.now();
  const asset = place.asset;
  const values = {asset, span: place.span || $("span").value, at: store.state.at};
  const [lines, steps, curve] = await Promise.all(["chart", "marks", "curve"].map((panel) => ask(panel, values)));
  if (!lines || !steps || !curve || asset !== place.asset) return;
  const end = seconds(lines.at);
  const range = [end - Number(values.span), end];
  chart.show(lines.rows, curve.rows, range, marksOf(asset, end, store.rows("episodes"), steps.rows, store.rows("whales")));
  chart.read(chart.plots[0]?.cursor.idx);
}

function levelsSoon() {
  const wait = Math.max(0, levelsAt + LEVELS_EVERY_MS - Date.now());
  clearTimeout(levelsTimer);
  levelsTimer = setTimeout(drawLevels, place.at ? 0 : wait);
}

async function drawLevels() {
  if (!place.asset || !store.state?.at) return;
  levelsAt = Date.now();
  const asset = place.asset;
  const moves = !place.at && ["live", "replay"].includes(store.state.tense);
  const every = LEVELS_EVERY_MS / 1000;
  levelsEnd = moves ? moment(Math.floor(at() / every) * every) : store.state.at;
  const answer = await ask("levels", {asset, at: levelsEnd});
  if (answer && asset === place.asset) showLevels(asset, answer.rows, answer.at, salt());
}

async function ask(panel, values) {
  const response = await fetch(dataUrl(panel, "json", values)).catch(() => null);
  return response?.ok ? response.json() : null;
}

// ---- episodes

function choose(episode) {
  const spans = [...$("span").options].map((o) => Number(o.value));
  const age = at() - seconds(episode.ts_onset) + 600;
  const span = spans.find((s) => s >= age) || spans.at(-1);
  go({episode: episode.episode_id, asset: episode.asset, span: String(span)});
  $("span").value = String(span);
  showAssets();
  chosen = null;
  followEpisode();
  drawChart();
  drawLevels();
}

async function followEpisode() {
  const rows = store.rows("episodes");
  const open = rows.filter((e) => e.phase !== "closed");
  const largest = (list) => list.reduce((most, e) => (e.notional_usd > (most?.notional_usd ?? -1) ? e : most), null);
  const episode = rows.find((e) => e.episode_id === place.episode) || largest(open) || largest(rows);
  if (!episode) return;
  const content = JSON.stringify(episode);
  if (chosen === content) return;
  chosen = content;
  const answer = await ask("waterfall", {episode: episode.episode_id, at: store.state.at});
  if (answer) showWaterfall(episode, answer.rows, salt());
}

// ---- time

async function showMoment(epoch) {
  const text = moment(epoch);
  go({at: `${text.replace(" ", "T")}Z`});
  const response = await fetch(`data/now.json?at=${encodeURIComponent(place.at)}`).catch(() => null);
  if (!response?.ok || !place.at) return;
  store.whole(await response.json());
  showAll(Object.keys(store.panels));
}

function goLive() {
  go({at: ""});
  stream.last = "";
  stream.open();
}

// ---- tools: CSV, JSON, SQL

function valuesOf(panel) {
  const values = {at: store.state?.at || "", asset: place.asset, span: place.span || $("span").value};
  if (panel === "tape") values.usd = place.usd;
  if (panel === "levels") values.at = levelsEnd;
  if (panel === "waterfall") values.episode = chosen ? JSON.parse(chosen).episode_id : "";
  return values;
}

function addTools() {
  for (const bar of document.querySelectorAll(".tools")) {
    const panel = bar.closest("[data-panel]").dataset.panel;
    const link = (form) => el("a", {href: "#", download: `undertow-${panel}.${form}`, "data-form": form,
      onclick: (event) => { event.currentTarget.href = dataUrl(panel, form, valuesOf(panel)); }}, form.toUpperCase());
    const name = bar.parentElement.querySelector("h2, h3").textContent;
    for (const form of ["csv", "json"]) {
      const one = link(form);
      one.setAttribute("aria-label", `${name} as ${form.toUpperCase()}`);
      bar.append(one, " ");
    }
    bar.append(el("button", {type: "button", class: "sql", "aria-label": `${name} as SQL`, onclick: () => showStatement(panel)}, "this as SQL"));
  }
  $("close").addEventListener("click", () => $("statement").close());
  $("copy").addEventListener("click", () => navigator.clipboard?.writeText($("sql").textContent));
}

async function showStatement(panel) {
  const response = await fetch(dataUrl(panel, "sql", valuesOf(panel))).catch(() => null);
  setText($("sql"), response ? await response.text() : "The server does not answer.");
  $("statement").showModal();
}

// ---- switches

function redraw() {
  setText($("zone"), zone.name());
  if (!store.state) return;
  showAll(Object.keys(store.panels));
  chosen = null;
  followEpisode();
  drawLevels();
  chart.rebuild();
}

function addSwitches() {
  zone.local = place.zone === "local";
  $("zone").addEventListener("click", () => {
    zone.local = !zone.local;
    go({zone: zone.local ? "local" : ""});
    redraw();
  });
  const root = document.documentElement;
  root.dataset.theme = localStorage.getItem("theme") || "";
  $("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    chart.rebuild();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.rebuild());
  if (place.span) $("span").value = place.span;
  if (place.usd) $("usd").value = place.usd;
  $("asset").addEventListener("change", (event) => { go({asset: event.target.value}); drawChart(); drawLevels(); });
  $("span").addEventListener("change", (event) => { go({span: event.target.value}); drawChart(); });
  const again = () => showTape(store, Number(place.usd || 0), $("tape-asset").value, salt());
  $("usd").addEventListener("change", (event) => { go({usd: event.target.value}); again(); });
  $("tape-asset").addEventListener("change", again);
  $("login").addEventListener("submit", logIn);
  setText($("zone"), zone.name());
}

async function logIn(event) {
  event.preventDefault();
  const body = JSON.stringify({token: $("token").value});
  const response = await fetch("login", {method: "POST", body}).catch(() => null);
  setText($("login-problem"), response?.ok ? "" : "That is not the token.");
  $("login").hidden = Boolean(response?.ok);
  if (response?.ok) enter();
}

readPlace();
addSwitches();
addTools();
enter();
if (place.at) {
  const zoned = /(Z|[+-]\d\d:?\d\d)$/i.test(place.at) ? place.at : `${place.at}Z`;
  const start = Date.parse(zoned) / 1000;
  if (Number.isFinite(start)) player.start(start);
  else go({at: ""});
}
setInterval(showClock, 1000);
