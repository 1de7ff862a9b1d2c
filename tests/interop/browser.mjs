/**
 * One headless Chromium for all the tests, told what to do line by line.
 *
 * node browser.mjs EXECUTABLE; then a line of JSON on stdin is an errand, and a line of
 * JSON on stdout what came of it: {"facts": ...} or {"error": ...}. The end of stdin
 * is the end.
 */
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

import { visit } from "./live_page.mjs";

const DEADLINE = 40_000; // milliseconds, for a whole errand

const MODES = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"] },
};

async function inPage([name, url, options, args]) {
  const { World, play } = await import("/scenarios.js");
  // What the bundle offers is a function that makes a Socket.
  const Socket = function (...args) {
    return globalThis.eio(...args);
  };
  return play(name, new World(Socket, url, options, args));
}

const errands = {
  /** A scenario, in a page with engine.io-client's own bundle. */
  async play(page, { scenario, url, mode, args, home }) {
    await page.goto(`${home}/page.html`);
    return page.evaluate(inPage, [scenario, url, MODES[mode], args]);
  },
  visit,
};

async function run(browser, { errand, ...request }) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const log = [];
  page.on("console", (message) => log.push(message.text()));
  page.on("pageerror", (error) => log.push(String(error)));
  let timer;
  const late = new Promise((_, reject) => {
    const error = new Error(`the errand took more than ${DEADLINE} ms`);
    timer = setTimeout(() => reject(error), DEADLINE);
  });
  try {
    return { facts: await Promise.race([errands[errand](page, request), late]) };
  } catch (error) {
    return { error: [error.stack, "the page's console:", ...log].join("\n") };
  } finally {
    clearTimeout(timer);
    await page.close();
  }
}

const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
console.log(JSON.stringify({ facts: browser.version() }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await run(browser, JSON.parse(line))));
}
await browser.close();
