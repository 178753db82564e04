// The tables and cards, each from the rows of its panel.

import {$, el, figure, setText} from "./dom.js";
import {atLeast, between, clock, count, date, duration, moment, p, percent, price, seconds, share, UNKNOWN, usd} from "./format.js";
import {linkTo} from "./place.js";
import {Table} from "./table.js";

const SIDES = {long: "longs", short: "shorts", unknown: "side not known"};

export function coverageText(coverage) {
  const words = {
    full: "full", latest_per_second: "latest a second", largest_per_second: "largest a second", unknown: UNKNOWN,
  };
  return String(coverage || "unknown").split(", ").map((one) => words[one] || one).join(", ");
}

function money(worth, coverage) {
  return figure(atLeast(worth, coverage), worth);
}

function estimate(row) {
  if (row.coverage === "full") return figure("nothing hidden", row.estimate_usd);
  const attributes = {"data-low": String(row.estimate_low_usd), "data-high": String(row.estimate_high_usd)};
  return figure(between(row.estimate_usd, row.estimate_low_usd, row.estimate_high_usd), row.estimate_usd, attributes);
}

// ---- episodes

const facts = [
  ["forced", (e) => money(e.notional_usd, e.coverage)],
  ["in all", (e) => estimate(e)],
  ["orders", (e) => figure(count(e.orders), e.orders)],
  ["peak", (e) => figure(`${atLeast(e.peak_usd_per_s, e.coverage)} a second`, e.peak_usd_per_s)],
  ["move", (e) => move(e)],
  ["score", (e) => `${e.log_rate.toFixed(2)} against ${e.threshold.toFixed(2)}${e.threshold_is_default ? " (default)" : ""}`],
  ["again", (e) => again(e)],
  ["branching", (e) => interval(e.branching_ratio, e.branching_low, e.branching_high, "")],
  ["impact", (e) => interval(e.impact_bps_per_musd, e.impact_low, e.impact_high, " bps a $1M")],
  ["led by", (e) => (e.lead_venues.length ? `${e.lead_venues.join(", then ")} (p ${p(e.lead_p_value)})` : UNKNOWN)],
  ["waves", (e) => String(e.waves)],
  ["open interest", (e) => (e.open_interest_drop === null ? UNKNOWN : `${percent(e.open_interest_drop * 1e4)} gone`)],
];

function move(e) {
  if (e.drawdown_bps === null) return UNKNOWN;
  const way = e.price_before === null ? "" : `, ${price(e.price_before)} to ${price(e.price_worst)}`;
  return figure(`${e.drawdown_bps.toFixed(0)} bps${way}`, e.drawdown_bps);
}

function again(e) {
  if (e.reignition_probability === null) return UNKNOWN;
  const basis = e.reignition_is_default ? " by default weights" : "";
  return figure(`${share(e.reignition_probability)} likely${basis}`, e.reignition_probability);
}

function interval(middle, low, high, unit) {
  if (middle === null && high === null) return UNKNOWN;
  if (middle === null) return `at most ${high.toFixed(2)}${unit}`;
  const ends = low === null || high === null ? "" : ` (${low.toFixed(2)} to ${high.toFixed(2)})`;
  return figure(`${middle.toFixed(2)}${ends}${unit}`, middle);
}

function phaseOf(e, at) {
  if (e.phase === "closed") return `over, ${duration(seconds(e.ts_end) - seconds(e.ts_onset))}`;
  return `${e.phase}, ${duration(at - seconds(e.ts_onset))} old`;
}

function card(e, at, changed, choose) {
  const detected = e.ts_detected ? `called ${clock(e.ts_detected)}, ${e.delay_s} s later` : "only watched";
  const notes = [];
  if (e.silent.length) notes.push(`silent: ${e.silent.join(", ")}`);
  if (e.saturated.length) notes.push(`at their limit: ${e.saturated.join(", ")}`);
  if (e.missing_share) notes.push(`venues that usually show ${share(e.missing_share)} of it tell nothing`);
  if (e.side_reason) notes.push(`side: ${e.side_reason}`);
  if (changed) notes.push(`counted before as ${usd(changed.counted_usd)}, changed since: ${usd(changed.now_usd)} now (${changed.changed} orders changed, ${changed.removed} taken back)`);
  const list = facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {"data-fact": name}, value(e))]);
  const open = e.phase !== "closed";
  return el("article", {class: `episode ${open ? "open" : "over"} ${e.tier}`, "data-key": e.episode_id},
    el("h3", {},
      el("button", {type: "button", class: "link", onclick: () => choose(e)}, `${e.asset} ${SIDES[e.position_side]}`),
      el("span", {class: "phase"}, ` ${e.tier === "watch" ? "watch: " : ""}${phaseOf(e, at)}`)),
    el("p", {class: "note"}, `onset ${date(e.ts_onset)} ${clock(e.ts_onset)}, ${detected}; coverage ${coverageText(e.coverage)} `,
      el("a", {href: linkTo({episode: e.episode_id, asset: e.asset, at: momentOf(e, at)})}, "link")),
    el("dl", {}, ...list),
    ...notes.map((note) => el("p", {class: "warn"}, note)));
}

// A link leads to when all of it was known: a minute after its end, or to now.
function momentOf(e, at) {
  const epoch = e.ts_end ? Math.min(at, seconds(e.ts_end) + 60) : at;
  return `${moment(epoch).replace(" ", "T")}Z`;
}

const cards = new Map();

export function showEpisodes(store, at, choose, salt) {
  const box = $("episode-cards");
  const open = (e) => (e.phase === "closed" ? 1 : 0);
  // The largest that is open first; what is over, by time.
  const rows = store.rows("episodes").sort((a, b) => open(a) - open(b) || (open(a) ? 0 : b.notional_usd - a.notional_usd));
  const shown = [];
  for (const e of rows) {
    const changed = store.panels.changed.get(e.episode_id);
    const content = salt + JSON.stringify([e, changed, open(e) ? 0 : Math.floor(at)]);
    let known = cards.get(e.episode_id);
    if (!known || known.content !== content) {
      known = {content, element: card(e, at, changed, choose)};
      cards.set(e.episode_id, known);
    }
    shown.push(known.element);
  }
  if (!shown.length) shown.push(el("p", {class: "nothing"}, "No episode in the last 24 h of the data."));
  const same = shown.length === box.children.length && shown.every((one, i) => one === box.children[i]);
  if (!same) box.replaceChildren(...shown);
}

// ---- scores

const scores = new Table($("scores"), "Scores", [
  ["asset", (r) => r.asset],
  ["side", (r) => el("span", {class: `side ${r.position_side}`}, SIDES[r.position_side])],
  ["score of its threshold", meter],
  ["to go", (r) => figure(r.distance > 0 ? r.distance.toFixed(2) : "reached", r.distance), "number"],
  ["highest in 10 min", (r) => figure(highest(r.largest_excess), r.largest_excess), "number"],
  ["at", (r) => clock(r.ts_event)],
  ["threshold", (r) => `${r.score_name}, ${r.threshold_is_default ? "default" : "fitted"}`],
  ["coverage", (r) => coverageText(r.coverage)],
], (r) => `${r.asset}|${r.position_side}`,
"No score in the last 10 min: no order was forced, or too little is learnt yet. How near the next alarm is, is not known.");

function highest(excess) {
  return excess >= 0 ? `${excess.toFixed(2)} above` : `${(-excess).toFixed(2)} below`;
}

function meter(r) {
  const line = el("span", {class: `fill ${r.position_side}`});
  line.style.width = `${Math.max(0, Math.min(1, r.log_rate / r.threshold)) * 6}rem`;
  return el("span", {class: "measure score"}, el("span", {class: "track"}, line),
    figure(`${r.log_rate.toFixed(2)} of ${r.threshold.toFixed(2)}`, r.log_rate, {"data-threshold": String(r.threshold)}));
}

export function showScores(store, salt) {
  scores.show(store.rows("scores"), salt);
  const stress = store.rows("stress").map((r) => el("li", {},
    `${r.asset} ${r.phase === "closed" ? "over" : r.phase}, since ${date(r.ts_onset)} ${clock(r.ts_onset)}: stress ${r.stress.toFixed(2)} against ` +
    `${r.threshold.toFixed(2)}${r.threshold_is_default ? " (default)" : ""}; takers ${usd(r.cvd_usd)} net in 3 min, move ${r.move_bps.toFixed(0)} bps in 5 min`));
  $("stress").replaceChildren(...(stress.length ? stress : [el("li", {}, "None was called in the last 24 h of the data.")]));
}

// ---- tables

const totals = new Table($("totals"), "Totals of 24 h", [
  ["asset", (r) => r.asset],
  ["venue", (r) => r.venue],
  ["longs", (r) => sided(r.long_usd, r.coverage), "number"],
  ["shorts", (r) => sided(r.short_usd, r.coverage), "number"],
  ["side not known", (r) => sided(r.unknown_usd, r.coverage), "number"],
  ["seen", (r) => money(r.notional_usd, r.coverage), "number"],
  ["in all, with what is hidden", estimate, "number"],
  ["long share", (r) => figure(share(longShare(r)), longShare(r)), "number"],
  ["orders", (r) => figure(count(r.orders), r.orders), "number"],
  ["largest", (r) => figure(usd(r.largest_order_usd), r.largest_order_usd), "number"],
  ["coverage", (r) => coverageText(r.coverage)],
], (r) => `${r.asset}|${r.venue}`, "No forced order was told in the last 24 h of the data: that is not known to be none.");

function sided(worth, coverage) {
  return worth === null ? figure("none shown", null) : money(worth, coverage);
}

function longShare(r) {
  const known = (r.long_usd || 0) + (r.short_usd || 0);
  return known ? (r.long_usd || 0) / known : null;
}

export function showTotals(store, salt) {
  const rows = store.rows("totals");
  totals.show(rows, salt);
  const sum = (name) => rows.reduce((all, row) => all + (row[name] || 0), 0);
  const full = rows.every((row) => row.coverage === "full");
  const known = rows.every((row) => row.estimate_usd !== null);
  const largest = rows.reduce((most, row) => (row.largest_order_usd > (most?.largest_order_usd ?? 0) ? row : most), null);
  const parts = [figure(atLeast(sum("notional_usd"), full ? "full" : ""), sum("notional_usd"), {id: "sum"}), " in ", count(sum("orders")), " orders; in all "];
  parts.push(known ? between(sum("estimate_usd"), sum("estimate_low_usd"), sum("estimate_high_usd")) : UNKNOWN);
  if (largest) parts.push(`; largest ${usd(largest.largest_order_usd)}, ${largest.asset} on ${largest.venue} at ${clock(largest.ts_largest)}`);
  $("totals-note").replaceChildren(...(rows.length ? parts : []));
}

const tape = new Table($("tape"), "Forced orders", [
  ["time", (r) => clock(r.ts_event)],
  ["asset", (r) => r.asset],
  ["venue", (r) => r.venue],
  ["closed", (r) => el("span", {class: `side ${r.position_side}`}, SIDES[r.position_side])],
  ["USD", (r) => figure(usd(r.notional_usd), r.notional_usd), "number"],
  ["price", (r) => figure(price(r.price), r.price, {title: (r.price_kind || "kind not known").replaceAll("_", " ")}), "number"],
  ["coverage", (r) => coverageText(r.coverage)],
  ["", (r) => (r.removed ? "taken back" : r.version > 1 ? "changed since" : r.orders > 1 ? `${r.orders} orders` : "")],
], (r) => r.event_id, "No forced order of this size in the last 24 h of the data.");

export function showTape(store, least, asset, salt) {
  const rows = store.rows("tape").filter((r) => (r.notional_usd || 0) >= least && (!asset || r.asset === asset));
  tape.show(rows.slice(0, 200), salt);
}

const verdicts = {
  consistent_with_selling: "consistent with selling", no_evidence: "no evidence of selling",
  not_testable: "not testable", retracted: "taken back", awaited: "awaited", not_judged: "not judged",
};

const whales = new Table($("whales"), "Deposits of whales", [
  ["time", (r) => clock(r.ts_event)],
  ["asset", (r) => r.asset],
  ["into", (r) => r.venue],
  ["deposited", (r) => figure(usd(r.notional_usd), r.notional_usd), "number"],
  ["from", (r) => r.from_owner || UNKNOWN],
  ["verdict", verdict],
  ["p", (r) => figure(p(r.p_value), r.p_value), "number"],
  ["placebos", (r) => (r.verdict === "awaited" || r.verdict === "not_judged" ? UNKNOWN : count(r.placebos)), "number"],
  ["posterior", (r) => figure(r.posterior === null ? UNKNOWN : share(r.posterior), r.posterior), "number"],
  ["sold beyond others", (r) => figure(usd(r.excess_selling_usd), r.excess_selling_usd), "number"],
], (r) => `${r.event_id}|${r.venue}`, "No deposit of a whale in the last 24 h of the data.");

function verdict(r) {
  const before = r.retracted_verdict ? `, was: ${verdicts[r.retracted_verdict] || r.retracted_verdict}` : "";
  const notes = [];
  if (r.reason) notes.push(r.reason);
  if (r.shared) notes.push(`shared with other inflows${r.credit === null ? "" : `, its share ${share(r.credit)}`}`);
  if (r.silent.length) notes.push(`silent: ${r.silent.join(", ")}`);
  return el("span", {class: `verdict ${r.verdict}`}, (verdicts[r.verdict] || r.verdict) + before,
    notes.length ? el("small", {}, ` ${notes.join("; ")}`) : null);
}

export function showWhales(store, salt) {
  whales.show(store.rows("whales"), salt);
}

const alerts = new Table($("alerts"), "Alerts", [
  ["time", (r) => clock(r.ts_detect)],
  ["severity", (r) => el("span", {class: `severity ${r.severity}`}, r.severity)],
  ["alert", (r) => el("span", {}, el("b", {}, r.title), el("small", {}, ` ${r.text}`))],
  ["delivered", (r) => r.delivery],
], (r) => r.alert_id, "Nobody was told anything in the last 24 h of the data.");

export function showAlerts(store, salt) {
  alerts.show(store.rows("alerts"), salt);
}

const feeds = new Table($("feeds"), "Feeds", [
  ["venue", (r) => r.venue],
  ["coverage", (r) => (r.coverage ? coverageText(r.coverage) : "shows no forced orders")],
  ["last forced order", (r) => ago(r.ts_forced, r.at)],
  ["orders in 5 min", (r) => (r.coverage ? figure(r.orders_5m ? count(Number(r.orders_5m)) : "none shown", r.orders_5m) : UNKNOWN), "number"],
  ["last trade", (r) => ago(r.ts_trades, r.at)],
], (r) => r.venue, "No feed has told anything in the last 24 h of the data.");

function ago(then, at) {
  return then ? `${clock(then)} (${duration(Math.max(0, at - seconds(then)))} before the data's end)` : "none in 24 h";
}

export function showFeeds(store, at, salt) {
  feeds.show(store.rows("feeds").map((row) => ({...row, at})), salt);
  $("silent").replaceChildren(...store.rows("silent").map((r) => el("li", {class: "warn"}, `${r.title}, since ${date(r.ts_event)} ${clock(r.ts_event)}: ${r.text}`)));
  const gaps = store.rows("gaps").map((r) => el("li", {}, `${date(r.ts_event)} ${clock(r.ts_event)} ${r.producer}: ${r.state}${r.reason ? `, ${r.reason}` : ""}`));
  $("gaps").replaceChildren(...(gaps.length ? gaps : [el("li", {}, "None was told in the last 24 h of the data.")]));
  const letters = store.rows("letters").map((r) => el("li", {}, `${count(Number(r.letters))} of ${r.topic}: ${r.reason}`));
  $("letters").replaceChildren(...(letters.length ? letters : [el("li", {}, "None.")]));
}

// ---- waterfall

const waterfall = new Table($("waterfall"), "Waterfall", [
  ["first", (r) => clock(r.ts_first)],
  ["price", (r) => figure(price(r.price), r.price), "number"],
  ["level", (r) => `${r.level_bps > 0 ? "+" : ""}${r.level_bps} bps`, "number"],
  ["forced there", (r) => bar(r)],
  ["so far", (r) => figure(usd(r.sum), r.sum), "number"],
], (r) => String(r.level_bps), "No forced orders beside trades: the price level of each is not known.");

function bar(r) {
  const line = el("span", {class: `fill ${r.position_side}`});
  line.style.width = `${(r.notional_usd / r.most) * 45}%`;
  return el("span", {class: "measure"}, line, figure(usd(r.notional_usd), r.notional_usd));
}

export function showWaterfall(episode, rows, salt) {
  const most = Math.max(1, ...rows.map((r) => r.notional_usd));
  let sum = 0;
  const shown = rows.map((r) => ({...r, most, sum: (sum += r.notional_usd), position_side: episode.position_side}));
  waterfall.show(shown, salt);
  setText($("waterfall-note"), `${episode.asset} ${SIDES[episode.position_side]}, onset ${date(episode.ts_onset)} ${clock(episode.ts_onset)}: ` +
    `levels of 10 bps of the price before it, in the order in which orders were forced there${episode.coverage === "full" ? "" : "; every sum is a lower bound"}.`);
}

// ---- levels

const levels = new Table($("levels"), "Levels", [
  ["price", (r) => (r.price_from === null ? "no price told" : figure(`${rounded(r.price_from)} to ${rounded(r.price_to)} ${r.quote}`, r.price_from)), "number"],
  ["longs closed there", (r) => levelBar(r, "long")],
  ["shorts closed there", (r) => levelBar(r, "short")],
  ["orders", (r) => figure(count(Number(r.orders)), r.orders), "number"],
  ["the price is", (r) => r.price_kinds.map((kind) => kind.replaceAll("_", " ")).join(", ") || UNKNOWN],
  ["side not known", (r) => sided(r.unknown_usd || null, r.coverage), "number"],
], (r) => `${r.quote}|${r.price_from}`, "No forced order of this asset was told in the last 24 h of the data.");

function rounded(value) {
  return value.toLocaleString("en-US", {maximumSignificantDigits: 5});
}

function levelBar(r, side) {
  const worth = r[`${side}_usd`];
  if (!worth) return figure("none shown", null);
  const line = el("span", {class: `fill ${side}`});
  line.style.width = `${(worth / r.most) * 4}rem`;
  return el("span", {class: "measure"}, line, figure(atLeast(worth, r.coverage), worth));
}

export function showLevels(asset, rows, end, salt) {
  const most = Math.max(1, ...rows.flatMap((r) => [r.long_usd, r.short_usd]));
  levels.show(rows.map((r) => ({...r, most})), salt);
  setText($("levels-note"), `${asset}, 24 h to ${clock(end)}, the highest price first; a level is a quarter of a per cent. A bankruptcy price is where margin ended, not where it traded.`);
}
