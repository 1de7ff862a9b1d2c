/**
 * One scenario with npm's engine.io-client in Node.
 *
 * node node_client.mjs SCENARIO URL MODE [ARGUMENTS as JSON]; prints facts as JSON.
 */
import { Fetch, Socket } from "engine.io-client";

import { World, play } from "./scenarios.mjs";

const MODES = {
  polling: { transports: ["polling"] },
  fetch: { transports: [Fetch] },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"] },
  "websocket first": { transports: ["websocket", "polling"], tryAllTransports: true },
};

const [name, url, mode, args = "{}"] = process.argv.slice(2);
const world = new World(Socket, url, MODES[mode], JSON.parse(args));
world.announce = (sid) => console.log(sid);
console.log(JSON.stringify(await play(name, world)));
// A client that was closed may leave a request behind; it must not keep us alive.
process.exit(0);
