// engine.io with ws, as its own documentation starts it: echo, and "!" to everybody.
"use strict";

const http = require("http");
const { Server } = require("engine.io");

const [port, pingInterval, pingTimeout] = process.argv.slice(2).map(Number);
const httpServer = http.createServer((request, response) => {
  response.writeHead(404).end();
});
const engine = new Server({ pingInterval, pingTimeout });

engine.attach(httpServer);
engine.on("connection", (socket) => {
  socket.on("message", (data) => {
    if (typeof data === "string" && data.startsWith("!")) {
      for (const id in engine.clients) {
        engine.clients[id].send(data);
      }
    } else {
      socket.send(data);
    }
  });
});
httpServer.listen(port, "127.0.0.1");
