// What is known: rows by panel and key, as the server tells them.

const KEYS = {
  episodes: ["episode_id"], changed: ["episode_id"], market: ["episode_id"], stress: ["episode_id"],
  totals: ["asset", "venue"], tape: ["event_id"], whales: ["event_id", "venue"],
  alerts: ["alert_id"], feeds: ["venue"], silent: ["dedup_key"], letters: ["topic", "reason"],
  scores: ["asset", "position_side"], gaps: ["producer", "state", "ts_event", "reason"],
};
const BY_TIME = {episodes: "ts_onset", market: "ts_onset", stress: "ts_onset", tape: "ts_event", whales: "ts_event", alerts: "ts_detect", gaps: "ts_event"};
const BY_SIZE = {totals: "notional_usd", letters: "letters"};

export function keyOf(panel, row) {
  return KEYS[panel].map((name) => row[name]).join("|");
}

export class Store {
  constructor() {
    this.state = null;
    this.panels = {};
    for (const name of Object.keys(KEYS)) this.panels[name] = new Map();
  }

  whole({state, panels}) {
    this.state = state;
    for (const [name, rows] of Object.entries(panels)) {
      this.panels[name] = new Map(rows.map((row) => [keyOf(name, row), row]));
    }
  }

  changes({state, changes}) {
    this.state = state;
    for (const [name, {put, gone}] of Object.entries(changes)) {
      for (const key of gone) this.panels[name].delete(key.join("|"));
      for (const row of put) this.panels[name].set(keyOf(name, row), row);
    }
    return Object.keys(changes);
  }

  rows(name) {
    const rows = [...this.panels[name].values()];
    const time = BY_TIME[name];
    const size = BY_SIZE[name];
    if (time) rows.sort((a, b) => (a[time] < b[time] ? 1 : a[time] > b[time] ? -1 : 0));
    else if (name === "scores") rows.sort((a, b) => a.distance - b.distance);
    else if (size) rows.sort((a, b) => b[size] - a[size]);
    return rows;
  }
}
