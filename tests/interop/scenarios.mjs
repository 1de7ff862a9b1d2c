/**
 * What a real client must be able to do: told once, run in Node and in Chromium.
 *
 * A scenario gets a World (how to connect, and the arguments of the test) and returns
 * facts, which the Python test judges. What comes back wrong is thrown at once.
 */
const DEADLINE = 10_000; // milliseconds

/** What a client is told, by the name of the way it shall take. */
export const MODES = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"] },
  "websocket first": { transports: ["websocket", "polling"], tryAllTransports: true },
  "polling in base64": { transports: ["polling"], forceBase64: true },
  "websocket in base64": { transports: ["websocket"], forceBase64: true },
  "upgrade in base64": { transports: ["polling", "websocket"], forceBase64: true },
  JSONP: { transports: ["polling"], forceJSONP: true },
  "upgrade from JSONP": { transports: ["polling", "websocket"], forceJSONP: true },
};

/** The ways with our own transport class: classes all, for the client has no other. */
export function sseModes({ Fetch, SSE, WebSocket }, options = {}) {
  const transportOptions = { sse: { reconnect: 50, ...options } };
  return {
    sse: { transports: [SSE], transportOptions },
    "polling to sse": { transports: [Fetch, SSE], transportOptions },
    "sse to websocket": { transports: [SSE, WebSocket], transportOptions },
    all: { transports: [Fetch, SSE, WebSocket], transportOptions },
  };
}

/** `promise`, or an error that says what was waited for in vain. */
export function within(promise, what, deadline = DEADLINE) {
  let timer;
  const late = new Promise((_, reject) => {
    const error = new Error(`waited ${deadline} ms for ${what}`);
    timer = setTimeout(() => reject(error), deadline);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** One engine.io-client Socket whose events can be awaited. */
class Client {
  #messages = [];
  #readers = [];

  constructor(Socket, url, options) {
    this.socket = new Socket(url, options);
    this.socket.binaryType = "arraybuffer";
    this.errors = [];
    this.upgraded = false;
    this.handshake = null;
    // Listeners stand from the start, so that no event can come too early.
    this.opened = new Promise((resolve) => this.socket.once("open", resolve));
    this.upgrade = new Promise((resolve) => this.socket.once("upgrade", resolve));
    this.closed = new Promise((resolve) => {
      this.socket.once("close", (reason, detail) =>
        resolve({ reason, code: detail?.context?.code ?? null }),
      );
    });
    this.socket.on("handshake", (data) => (this.handshake = data));
    this.socket.on("upgrade", () => (this.upgraded = true));
    this.socket.on("error", (error) => this.errors.push(String(error)));
    this.socket.on("message", (data) => this.#take(data ?? ""));
  }

  #take(data) {
    const reader = this.#readers.shift();
    reader ? reader(data) : this.#messages.push(data);
  }

  get transport() {
    return this.socket.transport.name;
  }

  message() {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift());
    const next = new Promise((resolve) => this.#readers.push(resolve));
    return within(next, "a message");
  }

  async ask(text) {
    this.socket.send(text);
    return this.message();
  }

  /** A promise of the `count`th ping or, in revision 3, pong from now. */
  heartbeats(count) {
    const seen = new Promise((resolve) => {
      this.socket.on("packet", ({ type }) => {
        if (["ping", "pong"].includes(type) && --count === 0) resolve();
      });
    });
    return within(seen, "heartbeats");
  }

  /** Let it send neither pings nor pongs, and miss none. */
  stopHeart() {
    this.socket.on("packetCreate", (packet) => {
      if (["ping", "pong"].includes(packet.type)) packet.type = "noop";
    });
    // In revision 3 the client itself would give up as early as the server.
    this.socket.off("heartbeat");
    this.socket.onHeartbeat = () => {};
    clearTimeout(this.socket.pingTimeoutTimer);
  }

  /** A promise of the moment when all that is sent has left. */
  drain() {
    const drained = new Promise((resolve) => this.socket.once("drain", resolve));
    return within(drained, "the answer to a POST");
  }

  async close() {
    this.socket.close();
    return within(this.closed, "our own close");
  }
}

/** The server, the way to reach it, and the arguments of the test. */
export class World {
  constructor(Socket, url, modes, mode, args = {}) {
    Object.assign(this, { Socket, url, modes, args, options: modes[mode] });
    this.upgrades = this.options.transports.length > 1;
  }

  /** The same world, but for the mode. */
  in(mode) {
    return new World(this.Socket, this.url, this.modes, mode, this.args);
  }

  start(options = {}) {
    return new Client(this.Socket, this.url, { ...this.options, ...options });
  }

  async connect(options = {}) {
    const client = this.start(options);
    const refused = client.closed.then(({ reason }) => {
      throw new Error(`not connected: ${reason}: ${client.errors}`);
    });
    refused.catch(() => {});
    await within(Promise.race([client.opened, refused]), "the connection to open");
    return client;
  }

  /** A client on the last transport it will have. */
  async settled(options = {}) {
    const client = await this.connect(options);
    if (this.upgrades) await within(client.upgrade, "the upgrade");
    return client;
  }

  /** Why the server says that a session ended. */
  async reasonOf(sid) {
    const witness = await this.connect({ transports: ["polling"] });
    const reason = await witness.ask(`!reason ${sid}`);
    await witness.close();
    return reason;
  }
}

const TEXTS = [
  "hello", "", "4", "0{}", "b", "bAAEC", "1", "2probe", "é", "€", "😀 👩‍👩‍👧 🇫🇷",
  "\u0000", "\ufeffwith a byte order mark", "a\r\nb\nc", "%1E &=+?", "\u2028\u2029",
  "</script>", '{"json": "\\n"}', "x".repeat(100_000), "😀".repeat(25_000), "the end",
];

const BYTES = [
  new Uint8Array(0),
  Uint8Array.from({ length: 256 }, (_, i) => i),
  Uint8Array.from([0x1e]),
  Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7919) >> 3),
];

function alike(sent, received) {
  if (typeof sent === "string") return sent === received;
  if (!(received instanceof ArrayBuffer)) return false;
  const bytes = new Uint8Array(received);
  return bytes.length === sent.length && bytes.every((byte, i) => byte === sent[i]);
}

function show(data) {
  return JSON.stringify(typeof data === "string" ? data : [...new Uint8Array(data)])
    .slice(0, 100);
}

async function echoed(client, messages) {
  for (const message of messages) client.socket.send(message);
  for (const sent of messages) {
    const received = await client.message();
    if (!alike(sent, received)) {
      throw new Error(`sent ${show(sent)}, got back ${show(received)}`);
    }
  }
}

/** Echo these all at once when the connection opens, and again when it has settled. */
async function echo(world, all) {
  const { without = [] } = world.args;
  const messages = all.filter((each) => !without.includes(each));
  const client = await world.connect();
  await echoed(client, messages);
  if (world.upgrades) await within(client.upgrade, "the upgrade");
  await echoed(client, messages);
  await client.close();
  return { errors: client.errors };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

export const scenarios = {
  text: (world) => echo(world, TEXTS),
  mixed: (world) => echo(world, TEXTS.flatMap((text, i) => [BYTES[i % 4], text])),

  /** Numbers go both ways, one a turn, from before the upgrade until after it. */
  async ordering(world) {
    const { count } = world.args;
    const client = await world.connect();
    const journal = { echoes: [], numbers: [], sentBefore: 0 };
    client.socket.on("upgrade", () => (journal.sentBefore = sent));
    let sent = 0;
    client.socket.send(`!numbers ${count}`);
    const reading = (async () => {
      while (journal.echoes.length + journal.numbers.length < 2 * count) {
        const text = await client.message();
        const list = text.startsWith("n") ? journal.numbers : journal.echoes;
        list.push(Number(text.slice(1)));
      }
    })();
    while (sent < count) {
      // The last fifth is for the time after the upgrade.
      if (sent === Math.floor(count * 0.8)) await within(client.upgrade, "the upgrade");
      client.socket.send(`c${sent++}`);
      await turn();
    }
    await reading;
    await client.close();
    return journal;
  },

  /** Which transport it ends up on, with an echo over it. */
  async carried(world) {
    const client = await world.settled();
    await echoed(client, ["hello", BYTES[1]]);
    const last = client.transport;
    await client.close();
    return { last };
  },

  /** Numbers both ways, whatever happens to the stream meanwhile. */
  async numbered(world) {
    const { count } = world.args;
    const client = await world.settled();
    const journal = { echoes: [], numbers: [] };
    client.socket.send(`!numbers ${count}`);
    const reading = (async () => {
      while (journal.echoes.length + journal.numbers.length < 2 * count) {
        const text = await client.message();
        const list = text.startsWith("n") ? journal.numbers : journal.echoes;
        list.push(Number(text.slice(1)));
      }
    })();
    for (let sent = 0; sent < count; sent++) {
      client.socket.send(`c${sent}`);
      await turn();
    }
    await reading;
    const { transport, errors } = client;
    await client.close();
    return { ...journal, transport, errors };
  },

  /** An upgrade that doesn't come about, with echoes before and after its failure. */
  async stays(world) {
    const client = await world.connect();
    let failed = false;
    const failure = new Promise((resolve) => client.socket.once("upgradeError", resolve));
    failure.then(() => (failed = true));
    await echoed(client, Array.from({ length: 50 }, (_, i) => `before ${i}`));
    await within(failure, "the probe to fail");
    await echoed(client, Array.from({ length: 50 }, (_, i) => `after ${i}`));
    const { transport, errors } = client;
    await client.close();
    return { transport, failed, errors };
  },

  /** From one transport to the next, in the order of the list; Node's build only. */
  async onward(world) {
    const client = world.start();
    client.socket.once("handshake", (data) => (data.upgrades = ["sse"]));
    await within(client.opened, "the connection to open");
    const transports = [client.transport];
    for (const name of ["sse", "websocket"]) {
      const upgrade = new Promise((resolve) => client.socket.once("upgrade", resolve));
      if (name !== "sse") client.socket._probe(name);
      await echoed(client, Array.from({ length: 50 }, (_, i) => `to ${name} ${i}`));
      await within(upgrade, `the upgrade to ${name}`);
      await echoed(client, ["there"]);
      transports.push(client.transport);
    }
    await client.close();
    return { transports, errors: client.errors };
  },

  async clientCloses(world) {
    const client = await world.settled();
    const sid = client.socket.id;
    const { reason } = await client.close();
    return { client: reason, server: await world.reasonOf(sid) };
  },

  async serverCloses(world) {
    const client = await world.settled();
    const sid = client.socket.id;
    const last = await client.ask("!goodbye so long 😀");
    const { reason, code } = await within(client.closed, "the server to close");
    return { last, client: reason, code, server: await world.reasonOf(sid) };
  },

  /** The server closes while the probe is under way. */
  async serverClosesDuringUpgrade(world) {
    const client = await world.connect();
    const sid = client.socket.id;
    client.socket.send("!goodbye early");
    const last = await client.message();
    const { reason } = await within(client.closed, "the server to close");
    return { last, client: reason, server: await world.reasonOf(sid) };
  },

  /** A client that takes no part in the heartbeat. */
  async pingTimeout(world) {
    const client = await world.settled();
    const sid = client.socket.id;
    client.stopHeart();
    const { reason } = await within(client.closed, "the server to give up");
    return { client: reason, server: await world.reasonOf(sid) };
  },

  /** Alive after many heartbeats, and an upgrade between them. */
  async heartbeats(world) {
    const client = await world.connect();
    await client.heartbeats(world.args.count);
    await echoed(client, ["still here"]);
    const { transport } = client;
    await client.close();
    return { transport };
  },

  /** The largest message that is allowed, and many that exceed the limit only together. */
  async fits(world) {
    const client = await world.settled();
    const { maxPayload } = client.handshake;
    await echoed(client, ["x".repeat(maxPayload - 1)]);
    await echoed(client, Array.from({ length: 400 }, (_, i) => `message ${i}`));
    await client.close();
    return { maxPayload };
  },

  async tooLarge(world) {
    const client = await world.settled();
    const sid = client.socket.id;
    client.socket.send("x".repeat(client.handshake.maxPayload));
    const { reason, code } = await within(client.closed, "the refusal");
    return { client: reason, code, server: await world.reasonOf(sid) };
  },

  /** Which transport one ends up with, with options of the client's own. */
  async transport(world) {
    const client = await world.connect(world.args.options);
    await echoed(client, ["hello"]);
    const { transport, upgraded } = client;
    const { upgrades } = client.handshake;
    await client.close();
    return { transport, upgraded, upgrades };
  },

  async refused(world) {
    if (world.args.cookie) document.cookie = world.args.cookie;
    const client = world.start({ query: world.args.query });
    const { reason } = await within(client.closed, "the refusal");
    return { client: reason, errors: client.errors };
  },

  /** One scenario in many modes at the same time: for those that wait for a clock. */
  async inEach(world) {
    const { each, modes } = world.args;
    const facts = modes.map(async (mode) => [mode, await play(each, world.in(mode))]);
    return Object.fromEntries(await Promise.all(facts));
  },

  /** Many at once; each gets its own messages and nobody else's. */
  async crowd(world) {
    const names = Array.from({ length: world.args.count }, (_, i) => `client ${i}`);
    const talk = async (name) => {
      const client = await world.connect();
      await echoed(client, Array.from({ length: 20 }, (_, i) => `${name}: ${i}`));
      if (world.upgrades) await within(client.upgrade, "the upgrade");
      await echoed(client, [name]);
      await client.close();
      return client.errors.length;
    };
    const errors = await Promise.all(names.map(talk));
    return { errors: errors.reduce((sum, n) => sum + n, 0) };
  },

  /** Why a session ended, as soon as it has. */
  async reasonOf(world) {
    return { server: await world.reasonOf(world.args.sid) };
  },

  /** Says that it is there, and waits for its end. */
  async waits(world) {
    const client = await world.settled();
    await Promise.all([client.drain(), client.ask("hello")]);
    // When this POST is answered, the GET that left before it has arrived, too.
    await Promise.all([client.drain(), client.socket.send("!nothing")]);
    world.announce(client.socket.id);
    const { reason } = await client.closed;
    return { client: reason };
  },
};

export function play(name, world) {
  return scenarios[name](world);
}
