// Price, forced USD and taker flow on one axis of time, with episodes, their steps and deposits.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import {el, setText, $} from "./dom.js";
import {clockOf, date, moment, price, seconds, usd, zone} from "./format.js";

const SIGNS = {onset: "◆", wave: "▲", peak: "●", exhausted: "■", reignited: "◆", watch: "◇"};
const PLOTS = [
  {name: "price", share: 0.42},
  {name: "forced", share: 0.24},
  {name: "taker", share: 0.14},
  {name: "score", share: 0.2},
];

// Forced dollars are drawn by their square roots: one large order would hide all others.
const root = (worth) => (worth ? Math.sign(worth) * Math.sqrt(Math.abs(worth)) : null);
const squared = (height) => usd(Math.sign(height) * height * height);

export class Chart {
  constructor(box) {
    this.box = box;
    this.rows = [];
    this.curve = [];
    this.marks = {bands: [], signs: [], deposits: []};
    this.plots = [];
    this.range = null;
    new ResizeObserver(() => this.resize()).observe(box);
    box.addEventListener("keydown", (event) => this.step(event));
  }

  // `range` is [first, last] second; `marks` has bands, signs and deposits in it.
  show(rows, curve, range, marks) {
    this.rows = rows;
    this.curve = curve;
    this.range = range;
    this.marks = marks;
    if (!this.plots.length) this.build();
    const columns = this.columns();
    this.plots.forEach((plot, index) => plot.setData(columns[index], true));
  }

  rebuild() {
    for (const plot of this.plots) plot.destroy();
    this.plots = [];
    this.box.replaceChildren();
    if (this.range) this.build();
  }

  columns() {
    const x = this.rows.map((row) => row.t);
    const of = (value) => this.rows.map(value);
    return [
      [x, of((r) => r.price), of((r) => r.high), of((r) => r.low)],
      [x, of((r) => root(r.short_usd)), of((r) => root(-r.long_usd)), of((r) => root(r.unknown_usd))],
      [x, of((r) => (r.buy_usd || r.sell_usd ? r.buy_usd - r.sell_usd : null))],
      ["t", "long_score", "short_score", "unknown_score", "threshold"].map((name) => this.curve.map((row) => row[name])),
    ];
  }

  build() {
    const style = getComputedStyle(document.documentElement);
    this.ink = (name) => style.getPropertyValue(`--${name}`).trim();
    const columns = this.columns();
    this.plots = PLOTS.map((plot, index) => {
      const place = el("div", {class: `plot ${plot.name}`});
      this.box.append(place);
      return new uPlot(this.options(plot, index), columns[index], place);
    });
  }

  options(plot, index) {
    const last = index === PLOTS.length - 1;
    const axis = {stroke: this.ink("soft"), grid: {stroke: this.ink("line"), width: 1}, ticks: {show: false}, font: "12px system-ui"};
    return {
      ...this.size(plot, last),
      legend: {show: false},
      padding: [8, 24, last ? 0 : 8, 0],
      tzDate: (t) => (zone.local ? new Date(t * 1e3) : uPlot.tzDate(new Date(t * 1e3), "Etc/UTC")),
      cursor: {sync: {key: "board"}, y: false, drag: {x: false, y: false}},
      scales: {x: {range: () => this.range}, y: plot.name === "price" ? {} : {range: (u, low, high) => [Math.min(low, 0), Math.max(high, 0) || 1]}},
      axes: [
        {...axis, show: last, size: 28, values: (u, splits) => splits.map((t) => clockOf(t).slice(0, 5))},
        {...axis, size: 62, values: (u, splits) => splits.map({price, score: String, forced: squared}[plot.name] || usd)},
      ],
      series: this.series(plot.name),
      hooks: {
        drawClear: [(u) => this.drawBands(u)],
        draw: plot.name === "price" ? [(u) => this.drawSigns(u)] : [],
        setCursor: plot.name === "price" ? [(u) => this.read(u.cursor.idx)] : [],
      },
    };
  }

  series(name) {
    const bars = uPlot.paths.bars({size: [0.9, 60, 1]});
    if (name === "price") {
      const edge = {stroke: this.ink("line-strong"), width: 1, points: {show: false}};
      return [{}, {stroke: this.ink("ink"), width: 1.5, points: {show: false}, spanGaps: true}, edge, edge];
    }
    const filled = (colour) => ({fill: this.ink(colour), stroke: this.ink(colour), width: 0, paths: bars, points: {show: false}});
    if (name === "forced") return [{}, filled("short"), filled("long"), filled("soft")];
    if (name === "taker") return [{}, filled("taker")];
    const line = (colour, more) => ({stroke: this.ink(colour), width: 1.5, spanGaps: true, points: {show: false}, ...more});
    return [{}, line("long"), line("short", {dash: [2, 2]}), line("soft"), line("ink", {dash: [8, 4], width: 1})];
  }

  size(plot, last) {
    const tall = Math.max(300, Math.min(560, window.innerHeight * 0.55));
    return {width: Math.max(280, this.box.clientWidth), height: Math.round(tall * plot.share) + (last ? 28 : 0)};
  }

  resize() {
    this.plots.forEach((plot, index) => {
      const size = this.size(PLOTS[index], index === PLOTS.length - 1);
      if (plot.width !== size.width) plot.setSize(size);
    });
  }

  drawBands(u) {
    const {ctx, bbox} = u;
    ctx.save();
    ctx.fillStyle = this.ink("band");
    for (const [from, to] of this.marks.bands) {
      const left = Math.max(bbox.left, u.valToPos(from, "x", true));
      const right = Math.min(bbox.left + bbox.width, u.valToPos(to, "x", true));
      if (right >= left) ctx.fillRect(left, bbox.top, Math.max(2, right - left), bbox.height);
    }
    ctx.restore();
  }

  drawSigns(u) {
    const {ctx, bbox} = u;
    const size = 12 * devicePixelRatio;
    ctx.save();
    ctx.font = `${size}px system-ui`;
    ctx.textAlign = "center";
    ctx.fillStyle = this.ink("ink");
    for (const {t, phase} of this.marks.signs) {
      const x = u.valToPos(t, "x", true);
      if (x >= bbox.left && x <= bbox.left + bbox.width) ctx.fillText(SIGNS[phase] || "", x, bbox.top + size);
    }
    ctx.fillStyle = this.ink("whale");
    let free = bbox.left;
    for (const {t, text} of this.marks.deposits) {
      const x = u.valToPos(t, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.fillText("▼", x, bbox.top + bbox.height - size);
      // The table has the verdicts for which there is no room.
      const half = ctx.measureText(text).width / 2;
      if (x - half < free) continue;
      ctx.fillText(text, x, bbox.top + bbox.height - 2);
      free = x + half;
    }
    ctx.restore();
  }

  read(index) {
    const row = index === null || index === undefined ? this.rows[this.rows.length - 1] : this.rows[index];
    if (!row) return setText($("reading"), "No trades and no forced orders in this span.");
    const forced = [];
    if (row.long_usd) forced.push(`longs ${usd(row.long_usd)}`);
    if (row.short_usd) forced.push(`shorts ${usd(row.short_usd)}`);
    if (row.unknown_usd) forced.push(`side not known ${usd(row.unknown_usd)}`);
    const traded = row.buy_usd + row.sell_usd;
    const taker = traded ? `taker ${usd(row.buy_usd - row.sell_usd)} net, imbalance ${((row.buy_usd - row.sell_usd) / traded).toFixed(2)}` : "no trades";
    const when = moment(row.t);
    setText($("reading"), `${date(when)} ${clockOf(row.t)} ${zone.name()}: price ${price(row.price)}; ${forced.length ? `forced at least ${forced.join(", ")}` : "no forced order shown"}; ${taker}`);
  }

  step(event) {
    const by = {ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20}[event.key];
    const [plot] = this.plots;
    if (!by || !plot || !this.rows.length) return;
    event.preventDefault();
    const from = plot.cursor.idx ?? this.rows.length - 1;
    const to = Math.max(0, Math.min(this.rows.length - 1, from + by));
    plot.setCursor({left: plot.valToPos(this.rows[to].t, "x"), top: 10});
    this.read(to);
  }
}

// What of the findings and deposits stands in a chart of an asset.
export function marksOf(asset, end, episodes, steps, whales) {
  const bands = episodes
    .filter((e) => e.asset === asset)
    .map((e) => [seconds(e.ts_onset), e.ts_end ? seconds(e.ts_end) : end]);
  const signs = steps.map((s) => ({t: seconds(s.ts_event), phase: s.phase}));
  const deposits = whales
    .filter((w) => w.asset === asset)
    .map((w) => ({t: seconds(w.ts_event), text: w.verdict.replaceAll("_", " ")}))
    .sort((a, b) => a.t - b.t);
  return {bands, signs, deposits};
}
