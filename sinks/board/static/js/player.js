// The clock in the reader's hand: a moment of the past, played on, or live.

import {$, setText} from "./dom.js";
import {clockOf, date, moment, zone} from "./format.js";

const TICK_MS = 1000;
const DAY = 86_400;

export class Player {
  // `end` says where the data end, `show` shows a moment, `live` goes back to what is now.
  constructor({end, show, live}) {
    this.end = end;
    this.showMoment = show;
    this.goLive = live;
    this.at = null;
    this.playing = false;
    this.busy = false;
    this.wanted = null;
    $("slider").addEventListener("input", (event) => this.start(Number(event.target.value)));
    $("goto").addEventListener("change", (event) => {
      const at = Date.parse(`${event.target.value}Z`) / 1000;
      if (Number.isFinite(at)) this.start(at);
    });
    $("play").addEventListener("click", () => this.play(!this.playing));
    $("live").addEventListener("click", () => this.live());
    setInterval(() => this.tick(), TICK_MS);
  }

  // The data reach up to here now.
  reach(end) {
    if (end === null) return;
    this.frame(this.at ?? end, end);
  }

  frame(at, end) {
    const slider = $("slider");
    const last = Math.floor(Math.min(end ?? at, at + DAY / 2));
    slider.min = String(Math.floor(last - DAY));
    slider.max = String(last);
    slider.value = String(Math.floor(at));
    const text = `${date(moment(at))} ${clockOf(at)} ${zone.name()}`;
    slider.setAttribute("aria-valuetext", text);
    setText($("moment"), text);
  }

  start(at) {
    this.at = at;
    this.pressed();
    this.frame(at, this.end());
    this.show();
  }

  // One question at a time; of moments asked for meanwhile the last one.
  async show() {
    this.wanted = this.at;
    if (this.busy) return;
    this.busy = true;
    while (this.wanted !== null) {
      const at = this.wanted;
      this.wanted = null;
      await this.showMoment(at);
    }
    this.busy = false;
  }

  play(on) {
    this.playing = on;
    if (on && this.at === null && this.end() !== null) this.start(Math.max(Number($("slider").min), this.end() - 3600));
    this.pressed();
  }

  tick() {
    if (!this.playing || this.at === null || this.busy) return;
    const next = this.at + (Number($("speed").value) * TICK_MS) / 1000;
    const end = this.end();
    if (end !== null && next >= end) this.playing = false;
    this.start(end === null ? next : Math.min(next, Math.floor(end)));
  }

  live() {
    this.at = null;
    this.wanted = null;
    this.playing = false;
    this.pressed();
    this.goLive();
  }

  pressed() {
    $("live").setAttribute("aria-pressed", String(this.at === null));
    $("play").setAttribute("aria-pressed", String(this.playing));
    setText($("play"), this.playing ? "Pause" : "Play");
  }
}
