// Server-sent events, taken up again behind the last one whatever ended the stream.

const SILENT_MS = 15_000;
const AGAIN_MS = [500, 1000, 2000, 5000];

export class Stream {
  // `linked` hears whether it stands; `retry` opens it again when that may be.
  constructor(hear, linked, retry) {
    this.hear = hear;
    this.linked = linked;
    this.retry = retry;
    this.last = "";
    this.tries = 0;
    this.heard = 0;
    setInterval(() => this.check(), 2000);
  }

  open() {
    this.close();
    const source = new EventSource(`events?after=${encodeURIComponent(this.last)}`);
    this.source = source;
    this.heard = Date.now();
    for (const kind of ["whole", "changes", "state", "beat"]) {
      source.addEventListener(kind, (event) => {
        if (this.source !== source) return;
        this.heard = Date.now();
        this.tries = 0;
        if (event.lastEventId) this.last = event.lastEventId;
        this.linked(true);
        this.hear(kind, JSON.parse(event.data));
      });
    }
    // An answer that is no stream ends an EventSource for good: so each one is ended here.
    source.onerror = () => this.again();
  }

  close() {
    if (this.source) this.source.close();
    this.source = null;
    clearTimeout(this.timer);
  }

  again() {
    this.close();
    this.linked(false);
    const wait = AGAIN_MS[Math.min(this.tries, AGAIN_MS.length - 1)];
    this.tries += 1;
    this.timer = setTimeout(this.retry, wait);
  }

  check() {
    if (this.source && Date.now() - this.heard > SILENT_MS) this.again();
  }
}
