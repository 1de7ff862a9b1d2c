/** npm's engine.io-client in Node, of both revisions. */
import { Fetch, NodeWebSocket, Socket } from "engine.io-client";
import Socket3 from "engine.io-client-3";
import { EventSource } from "eventsource";

import { inTime, runErrands, say } from "./errands.mjs";
import { MODES, World, play, sseModes } from "./scenarios.mjs";

// Put there by fixtures.py, to import the same engine.io-client.
import { SSE } from "./node_modules/engine.io-sse.mjs";

const SOCKETS = { 3: Socket3, 4: Socket };
const modes = {
  ...MODES,
  ...sseModes({ Fetch, SSE, WebSocket: NodeWebSocket }, { EventSource }),
  fetch: { transports: [Fetch] },
};

await runErrands(({ scenario, url, mode, revision, args }) => {
  const world = new World(SOCKETS[revision], url, modes, mode, args);
  world.announce = (sid) => say({ sid });
  return inTime(play(scenario, world));
});
// A client that was closed may leave a request behind; it must not keep us alive.
process.exit(0);
