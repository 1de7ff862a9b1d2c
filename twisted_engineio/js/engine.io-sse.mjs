/**
 * Server-sent events for npm's engine.io-client 6.6: an additional transport class.
 *
 *     import { Fetch, Socket, WebSocket } from "engine.io-client";
 *     import { SSE } from "./engine.io-sse.mjs";
 *
 *     const socket = new Socket(url, { transports: [Fetch, SSE, WebSocket] });
 *
 * Packets are received as events of an EventSource, and sent by POST as in long-polling,
 * whose class this extends. The server is Python's twisted_engineio with transport "sse".
 */
import { Fetch } from "engine.io-client";

const CLOSED = 2; // EventSource.CLOSED, which a polyfill may not have
const SEPARATOR = "\x1e";
const PLAIN = { "%25": "%", "%0D": "\r", "%0A": "\n" };

const DEFAULTS = {
  delay: 2_000, // ms that the WebSocket upgrade has before ours is tried
  attempts: 6, // attempts, `delay` apart, while the server is busy with that of WebSocket
  probeTimeout: 3_000, // ms until a probe must be answered: a proxy may buffer the answer
  reconnect: 1_000, // ms until we reconnect if the browser does not
  reconnects: 4, // consecutive attempts to do so
  maxPayload: 100_000, // bytes of a POST, if the client does not expose the server's limit
};

const encoder = new TextEncoder();

/** Split a payload into groups of packets of at most `limit` bytes, or of one packet. */
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
  #events = null; // the EventSource, or null
  #timer = null; // one at a time: start, probe timeout, or reconnect
  #seen = ""; // the id of the last event
  #candidate = false; // whether this is an upgrade of a session
  #attempts = 0;
  #reconnects = 0;
  #unsent = []; // bodies of POSTs; the first is in transit
  #written = null; // called when all of them are sent
  #ended = false; // whether the last packet was a noop: no packet follows it
  #paused = null; // called when the stream has ended
  #websocketFailed = null; // listener for the failure of the WebSocket upgrade

  constructor(options) {
    super(options);
    this.#options = { ...DEFAULTS, ...options };
  }

  get name() {
    return "sse";
  }

  // Called by engine.io-client.

  doOpen() {
    this.#candidate = Boolean(this.query.sid);
    if (!this.#candidate || !this.#hasWebSocket()) {
      this.#listen();
      return;
    }
    // A session accepts one candidate at a time, and WebSocket is preferred.
    this.#websocketFailed = (error) => {
      if (error?.transport !== "websocket" || this.#events !== null) return;
      this.#forgetWebSocket();
      this.#wait(null);
      this.#listen();
    };
    this.socket.on("upgradeError", this.#websocketFailed);
    this.#wait(this.#options.delay, () => this.#listen());
  }

  doPoll() {} // the stream receives everything

  /**
   * Send one POST at a time, or they could overtake each other: a probe is answered on the
   * stream, perhaps before its POST is, and then engine.io-client writes immediately.
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

  /** Pause when the server has sent its last packet, a noop. */
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
    if (this.#ended) this.#released();
  }

  close() {
    super.close();
    this.#stop(); // also while pausing, when the base class does nothing
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
    this.#ended = packet.type === "noop";
    super.onPacket(packet);
    if (this.#ended) this.#released();
  }

  // The stream.

  #listen() {
    let url = this.uri();
    if (this.#seen) url += `&lastEventId=${encodeURIComponent(this.#seen)}`;
    const EventSource = this.#options.EventSource ?? globalThis.EventSource;
    if (!EventSource) {
      // Asynchronous: the caller of open() has not added its listeners yet.
      this.#wait(0, () => this.onError("EventSource is not available"));
      return;
    }
    const events = new EventSource(url, { withCredentials: this.opts.withCredentials });
    this.#events = events;
    if (this.#candidate && this.readyState === "opening") this.#startProbeTimer();
    events.onopen = () => this.#opened(events);
    events.onmessage = (event) => this.#onEvent(events, event);
    events.onerror = () => this.#onStreamError(events);
  }

  #opened(events) {
    if (events !== this.#events) return;
    this.#reconnects = 0;
    if (!this.#candidate || this.readyState !== "opening") return;
    this.#forgetWebSocket();
    this.#startProbeTimer();
    this.onOpen(); // sends the probe
  }

  #startProbeTimer() {
    this.#wait(this.#options.probeTimeout, () => this.onError("sse probe timeout"));
  }

  #onEvent(events, event) {
    if (events !== this.#events) return;
    if (event.lastEventId) this.#seen = event.lastEventId;
    this.onData(event.data.replace(/%(?:25|0D|0A)/g, (each) => PLAIN[each]));
  }

  /** Handle a lost connection; unless it is closed, the EventSource reconnects itself. */
  #onStreamError(events) {
    if (events !== this.#events) return;
    if (this.readyState === "opening") {
      this.#notOpened();
    } else if (events.readyState === CLOSED) {
      this.#reconnect();
    }
  }

  #notOpened() {
    this.#drop();
    const { attempts, delay } = this.#options;
    if (this.#candidate && this.#hasWebSocket() && ++this.#attempts < attempts) {
      this.#wait(delay, () => this.#listen());
    } else {
      this.onError("sse connection error");
    }
  }

  /** Reconnect after a refusal, or after the browser has given up: it hides which. */
  #reconnect() {
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

  /** Resume if the upgrade to another transport fails after we have paused. */
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

  #hasWebSocket() {
    // The server's upgrades, or, if the client's build hides them, our transports.
    const { _upgrades, transports } = this.socket;
    return (_upgrades ?? transports ?? []).includes("websocket");
  }

  #limit() {
    const { _maxPayload } = this.socket;
    return _maxPayload > 0 ? _maxPayload : this.#options.maxPayload;
  }

  /** Schedule a call, and cancel the one scheduled before. */
  #wait(ms, then) {
    this.clearTimeoutFn(this.#timer);
    this.#timer = ms === null ? null : this.setTimeoutFn(then, ms);
  }

  #drop() {
    this.#events?.close();
    this.#events = null;
  }

  #forgetWebSocket() {
    if (this.#websocketFailed) this.socket.off("upgradeError", this.#websocketFailed);
    this.#websocketFailed = null;
  }

  #stop() {
    this.#wait(null);
    this.#forgetWebSocket();
    this.#drop();
  }
}
