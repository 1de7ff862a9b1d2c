import { Socket } from "engine.io-client";

const socket = new Socket("http://localhost:3000");
socket.on("open", () => socket.send("hello"));
socket.on("message", (data) => console.log(data));
