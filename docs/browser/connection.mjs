/**
 * A connection that comes back: engine.io-client opens one session, and this opens the
 * next one when that has ended, after a random delay that grows with every failure.
 */
import { Socket } from "engine.io-client";

const FIRST_DELAY = 1_000; // ms, at most; doubled with every session that fails
const LONGEST_DELAY = 30_000; // ms, at most
const STEADY_AFTER = 10_000; // ms after which a session counts as successful
const OPENING_TIMEOUT = 20_000; // ms: for a server that accepts and does not respond

export class Connection {
  state = "opening"; // opening, open, waiting, ended
  #url;
  #on;
  #failures = 0;
  #socket = null;
  #timer = null; // one at a time: opening timeout, steady, or retry

  /**
   * @param url The server's URL: "https://example.com".
   * @param on Functions: `open()`, `message(data)`, `closed(reason, delay)`; and
   *   `options()`, which returns a Socket's options, or a promise of them.
   */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
    globalThis.addEventListener?.("online", this.#retryNow);
    this.#open();
  }

  /** Send to the server; return whether there was a session to send by. */
  send(data) {
    if (this.state !== "open") return false;
    this.#socket.send(data);
    return true;
  }

  /** End the session, and open no other. */
  close() {
    this.state = "ended";
    this.#wait(null);
    globalThis.removeEventListener?.("online", this.#retryNow);
    this.#socket?.close();
  }

  async #open() {
    this.state = "opening";
    let options;
    try {
      options = await this.#on.options?.();
    } catch (error) {
      return this.#closed(String(error));
    }
    if (this.state !== "opening") return; // closed meanwhile
    const socket = (this.#socket = new Socket(this.#url, { ...options }));
    this.#wait(OPENING_TIMEOUT, () => socket.close());
    socket.on("open", () => {
      this.state = "open";
      this.#wait(STEADY_AFTER, () => (this.#failures = 0));
      this.#on.open?.();
    });
    socket.on("message", (data) => this.#on.message?.(data));
    socket.on("close", (reason) => this.#closed(reason));
  }

  #closed(reason) {
    this.#socket = null;
    if (this.state === "ended") return;
    this.state = "waiting";
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#failures++);
    // A random delay up to this bound, so that the clients of a restarted server do
    // not all reconnect at once.
    const delay = Math.random() * longest;
    this.#wait(delay, () => this.#open());
    this.#on.closed?.(reason, delay);
  }

  #retryNow = () => {
    if (this.state === "waiting") this.#wait(0, () => this.#open());
  };

  #wait(ms, then) {
    clearTimeout(this.#timer);
    this.#timer = ms === null ? null : setTimeout(then, ms);
  }
}
