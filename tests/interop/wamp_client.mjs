/** npm's engine.io-client, asking for what a bridge to a WAMP router offers. */
import { Fetch, NodeWebSocket, Socket } from "engine.io-client";
import { EventSource } from "eventsource";

import { inTime, runErrands } from "./errands.mjs";
import { MODES, sseModes, within } from "./scenarios.mjs";

// Put there by fixtures.py, to import the same engine.io-client.
import { SSE } from "./node_modules/engine.io-sse.mjs";

const modes = {
  ...MODES,
  ...sseModes({ Fetch, SSE, WebSocket: NodeWebSocket }, { EventSource }),
};

/** A session, and what it was sent and nobody has asked for yet. */
class Client {
  #heard = [];
  #waiting = [];

  constructor(url, mode, query) {
    this.socket = new Socket(url, { ...modes[mode], query });
    this.upgraded = new Promise((resolve) => this.socket.once("upgrade", resolve));
    this.closed = new Promise((resolve) => this.socket.once("close", resolve));
    this.socket.on("message", (data) => this.#hear(JSON.parse(data)));
  }

  #hear(said) {
    const at = this.#waiting.findIndex(({ wanted }) => wanted(said));
    if (at < 0) this.#heard.push(said);
    else this.#waiting.splice(at, 1)[0].resolve(said);
  }

  /** The oldest message of those that are wanted, now or when it comes. */
  take(wanted, what) {
    const at = this.#heard.findIndex(wanted);
    if (at >= 0) return this.#heard.splice(at, 1)[0];
    const coming = new Promise((resolve) => this.#waiting.push({ wanted, resolve }));
    return within(coming, `${what}; there was ${JSON.stringify(this.#heard)}`);
  }
}

const clients = new Map();

const errands = {
  async open({ name, url, mode, query = {} }) {
    const client = new Client(url, mode, query);
    clients.set(name, client);
    const welcome = await client.take(({ op }) => op === "welcome", "a welcome");
    if (mode === "upgrade") await within(client.upgraded, "an upgrade");
    return { session: welcome.session, transport: client.socket.transport.name };
  },
  say({ name, text }) {
    clients.get(name).socket.send(text);
    return null;
  },
  ask({ name, request }) {
    const client = clients.get(name);
    client.socket.send(JSON.stringify(request));
    return client.take(({ id }) => id === request.id, `answer ${request.id}`);
  },
  hear({ name, op }) {
    return clients.get(name).take((said) => said.op === op, `${op} for ${name}`);
  },
  close({ name }) {
    clients.get(name).socket.close();
    return within(clients.get(name).closed, "its own close");
  },
  closed({ name }) {
    return within(clients.get(name).closed, "the server's close");
  },
};

await runErrands((errand) => inTime(Promise.resolve(errands[errand.errand](errand))));
process.exit(0);
