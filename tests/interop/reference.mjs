/**
 * npm's engine.io server with the application of interop_app.py, to compare ours with.
 *
 * node reference.mjs PORT [OPTIONS of engine.io as JSON]; SIGTERM ends it.
 */
import { createServer } from "node:http";

import { Server } from "engine.io";

const [port, options = "{}"] = process.argv.slice(2);

const ends = new Map();

function endOf(sid) {
  if (!ends.has(sid)) {
    let resolve;
    const promise = new Promise((r) => (resolve = r));
    ends.set(sid, { promise, resolve });
  }
  return ends.get(sid);
}

function sendNumbers(socket, i, count) {
  if (i === count || socket.readyState !== "open") return;
  socket.send(`n${i}`);
  setTimeout(() => sendNumbers(socket, i + 1, count), 1);
}

const commands = {
  close: (socket) => socket.close(),
  nothing: () => {},
  goodbye: (socket, text) => {
    socket.send(text);
    socket.close();
  },
  numbers: (socket, count) => sendNumbers(socket, 0, Number(count)),
  reason: (socket, sid) => endOf(sid).promise.then((reason) => socket.send(reason)),
};

function obey(socket, data) {
  const [, name, rest] = /^!(\w+) ?(.*)$/s.exec(data ?? "") ?? [];
  name in commands ? commands[name](socket, rest) : socket.send(data ?? "");
}

const engine = new Server({
  ...JSON.parse(options),
  allowRequest(request, decide) {
    const { deny, slow } = request._query;
    if (deny) decide(deny, false);
    else if (slow) setTimeout(() => decide(null, true), Number(slow));
    else decide(null, true);
  },
});
engine.on("connection", (socket) => {
  const end = endOf(socket.id);
  socket.on("message", (data) => obey(socket, data));
  socket.on("close", (reason) => end.resolve(reason));
});

const http = createServer((request, response) => response.writeHead(404).end());
engine.attach(http);
http.listen(Number(port), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
