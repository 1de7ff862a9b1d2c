/**
 * Server-sent events for npm's engine.io-client 6.6: a transport class of its own.
 *
 *     import { Fetch, Socket, WebSocket } from "engine.io-client";
 *     import { SSE } from "./engine.io-sse.mjs";
 *
 *     const socket = new Socket(url, { transports: [Fetch, SSE, WebSocket] });
 *
 * Packets come as the events of an EventSource, and go by POST as in long-polling, whose
 * code this extends. The server is Python's twisted_engineio with the transport "sse" on.
 */
import { Fetch } from "engine.io-client";

const CLOSED = 2; // EventSource.CLOSED, which a polyfill may not have
const SEPARATOR = "\x1e";
const PLAIN = { "%25": "%", "%0D": "\r", "%0A": "\n" };

const DEFAULTS = {
  delay: 2_000, // ms that WebSocket has for its own upgrade before we try ours
  attempts: 6, // how often, that far apart, we ask a server that is busy with WebSocket's
  probeTimeout: 3_000, // ms that the answer to a probe has: a proxy may hold it back
  reconnect: 1_000, // ms until we ask again when the browser doesn't
  reconnects: 4, // how often we do so in a row
  maxPayload: 100_000, // bytes of a POST, where the client doesn't tell us the server's
};

const encoder = new TextEncoder();

/** Packets of a payload, in groups of `limit` bytes at most, or of one packet. */
function split(payload, limit) {
  if (payload.length * 3 <= limit) return [payload];
  const groups = [];
  let room = 0;
  for (const packet of payload.split(SEPARATOR)) {
    const size = encoder.encode(packet).length + 1;
    if (size <= room) {
      groups.push(groups.pop() + SEPARATOR + packet);
      room -= size;
    } else {
      groups.push(packet);
      room = limit - size + 1;
    }
  }
  return groups;
}

export class SSE extends Fetch {
  #options;
  #events = null; // the EventSource, while there is one
  #timer = null; // one at a time: to begin, to be answered, or to ask again
  #seen = ""; // the id of the last event
  #candidate = false; // whether the session is on another transport yet
  #attempts = 0;
  #reconnects = 0;
  #unsent = []; // bodies of POSTs, the first one on its way
  #written = null; // what to call once all are taken
  #letGo = false; // whether the last packet was a noop: nothing comes after it
  #paused = null; // what to call once we are let go
  #rivalFailed = null; // listens for the end of WebSocket's upgrade

  constructor(options) {
    super(options);
    this.#options = { ...DEFAULTS, ...options };
  }

  get name() {
    return "sse";
  }

  // What engine.io-client calls.

  doOpen() {
    this.#candidate = Boolean(this.query.sid);
    if (!this.#candidate || !this.#hasRival()) {
      this.#listen();
      return;
    }
    // A session takes one candidate at a time, and WebSocket is the better one.
    this.#rivalFailed = (error) => {
      if (error?.transport !== "websocket" || this.#events !== null) return;
      this.#forgetRival();
      this.#wait(null);
      this.#listen();
    };
    this.socket.on("upgradeError", this.#rivalFailed);
    this.#wait(this.#options.delay, () => this.#listen());
  }

  doPoll() {} // one stream does for all

  /**
   * One POST at a time, or one could overtake another: a probe is answered on the stream,
   * perhaps before its POST is, and then engine.io-client writes without asking.
   */
  doWrite(data, callback) {
    const idle = this.#unsent.length === 0;
    this.#unsent.push(...split(data, this.#limit()));
    this.#written = callback;
    if (idle) this.#post();
  }

  #post() {
    super.doWrite(this.#unsent[0], () => {
      this.#unsent.shift();
      if (this.#unsent.length > 0) this.#post();
      else this.#written();
    });
  }

  /** Let the server send what it has begun to; its last packet is a noop. */
  pause(onPause) {
    this.readyState = "pausing";
    let waiting = 1;
    const done = () => {
      if (--waiting > 0 || this.readyState !== "pausing") return;
      this.#stop();
      this.readyState = "paused";
      onPause();
    };
    if (!this.writable) {
      waiting++;
      this.once("drain", done);
    }
    this.#paused = done;
    this.#untilUpgraded();
    if (this.#letGo) this.#released();
  }

  close() {
    super.close();
    this.#stop(); // also while pausing, which the base class takes for closed
    return this;
  }

  doClose() {
    const open = this.readyState === "open";
    this.#stop();
    if (open) super.doClose();
  }

  onClose(details) {
    this.#stop();
    super.onClose(details);
  }

  onPacket(packet) {
    this.#wait(null);
    if (packet.type === "open") {
      this.#options.maxPayload = JSON.parse(packet.data).maxPayload;
    }
    this.#letGo = packet.type === "noop";
    super.onPacket(packet);
    if (this.#letGo) this.#released();
  }

  // The stream.

  #listen() {
    let url = this.uri();
    if (this.#seen) url += `&lastEventId=${encodeURIComponent(this.#seen)}`;
    const EventSource = this.#options.EventSource ?? globalThis.EventSource;
    if (!EventSource) {
      // In a later turn, when whoever opens us listens.
      this.#wait(0, () => this.onError("there is no EventSource here"));
      return;
    }
    const events = new EventSource(url, { withCredentials: this.opts.withCredentials });
    this.#events = events;
    if (this.#candidate && this.readyState === "opening") this.#expectAnswer();
    events.onopen = () => this.#opened(events);
    events.onmessage = (event) => this.#heard(events, event);
    events.onerror = () => this.#stumbled(events);
  }

  #opened(events) {
    if (events !== this.#events) return;
    this.#reconnects = 0;
    if (!this.#candidate || this.readyState !== "opening") return;
    this.#forgetRival();
    this.#expectAnswer();
    this.onOpen(); // sends the probe
  }

  #expectAnswer() {
    this.#wait(this.#options.probeTimeout, () => this.onError("sse probe timeout"));
  }

  #heard(events, event) {
    if (events !== this.#events) return;
    if (event.lastEventId) this.#seen = event.lastEventId;
    this.onData(event.data.replace(/%(?:25|0D|0A)/g, (each) => PLAIN[each]));
  }

  /** The EventSource lost its connection, and makes a new one by itself unless closed. */
  #stumbled(events) {
    if (events !== this.#events) return;
    if (this.readyState === "opening") {
      this.#notOpened();
    } else if (events.readyState === CLOSED) {
      this.#askAgain();
    }
  }

  #notOpened() {
    this.#drop();
    const { attempts, delay } = this.#options;
    if (this.#candidate && this.#hasRival() && ++this.#attempts < attempts) {
      this.#wait(delay, () => this.#listen());
    } else {
      this.onError("sse connection error");
    }
  }

  /** It was refused, or the browser gives up sooner than we do: it doesn't say which. */
  #askAgain() {
    this.#drop();
    const { reconnect, reconnects } = this.#options;
    if (++this.#reconnects > reconnects || !this.#seen) {
      this.onError("sse connection lost");
    } else {
      this.#wait(reconnect, () => this.#listen());
    }
  }

  #released() {
    const paused = this.#paused;
    this.#paused = null;
    paused?.();
  }

  /** Where the upgrade fails though we have paused, go on where we left off. */
  #untilUpgraded() {
    const { socket } = this;
    const failed = () => {
      socket.off("upgrade", upgraded);
      if (this.readyState !== "pausing" && this.readyState !== "paused") return;
      this.#paused = null;
      this.readyState = "open";
      socket.upgrading = false;
      if (this.#events === null) this.#listen();
      if (this.writable) this.emitReserved("drain");
    };
    const upgraded = () => socket.off("upgradeError", failed);
    socket.once("upgradeError", failed);
    socket.once("upgrade", upgraded);
  }

  #hasRival() {
    // What the server offers, or, where the client's build hides that, what we have.
    const { _upgrades, transports } = this.socket;
    return (_upgrades ?? transports ?? []).includes("websocket");
  }

  #limit() {
    const { _maxPayload } = this.socket;
    return _maxPayload > 0 ? _maxPayload : this.#options.maxPayload;
  }

  /** Do something later, and forget what was to be done later before. */
  #wait(ms, then) {
    this.clearTimeoutFn(this.#timer);
    this.#timer = ms === null ? null : this.setTimeoutFn(then, ms);
  }

  #drop() {
    this.#events?.close();
    this.#events = null;
  }

  #forgetRival() {
    if (this.#rivalFailed) this.socket.off("upgradeError", this.#rivalFailed);
    this.#rivalFailed = null;
  }

  #stop() {
    this.#wait(null);
    this.#forgetRival();
    this.#drop();
  }
}
