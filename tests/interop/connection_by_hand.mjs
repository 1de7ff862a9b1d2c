// What stands before each script of test_browser_page.py: timers, chance, the browser's
// events and the sessions of engine.io-client are in the script's hands.
let timers = [];
globalThis.setTimeout = (then, ms) => timers[timers.push({ then, ms }) - 1];
globalThis.clearTimeout = (timer) => {
  timers = timers.filter((each) => each !== timer);
};
let chance = 1;
Math.random = () => chance;
const online = new Set();
globalThis.addEventListener = (_, then) => online.add(then);
globalThis.removeEventListener = (_, then) => online.delete(then);

const { Connection } = await import("./connection.mjs");
const { sockets } = await import("engine.io-client");

const turn = () => new Promise((resolve) => setImmediate(resolve));
const fire = async () => {
  timers.shift().then();
  await turn();
};
const facts = []; // printed at the end
