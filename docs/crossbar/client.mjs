/** Calls and subscriptions by Engine.IO: node client.mjs [URL] */
import { Socket } from "engine.io-client";

const socket = new Socket(process.argv[2] ?? "http://localhost:8080");
const waiting = new Map();
let lastId = 0;

function ask(op, uri, more = {}) {
  const id = ++lastId;
  socket.send(JSON.stringify({ op, id, uri, ...more }));
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

socket.on("message", (text) => {
  const said = JSON.parse(text);
  if (said.op === "event") console.log(said.uri, ...said.args);
  const asked = waiting.get(said.id);
  waiting.delete(said.id);
  if (said.op === "error") asked?.reject(new Error(said.error));
  else asked?.resolve(said);
});

socket.on("open", async () => {
  await ask("subscribe", "com.example.tick");
  const { args } = await ask("call", "com.example.add", { args: [2, 3] });
  console.log("2 + 3 =", ...args);
});
