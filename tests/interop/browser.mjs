/** One headless Chromium for all the tests: node browser.mjs EXECUTABLE. */
import { chromium } from "playwright-core";

import { tour } from "./crossbar_page.mjs";
import { inTime, runErrands } from "./errands.mjs";
import { force, read, say, visit } from "./live_page.mjs";
import { stay } from "./reconnecting_page.mjs";
import { look, stranger, unlock } from "./status_page.mjs";

const PAGES = { 3: "page_3.html", 4: "page.html" };

async function inPage([name, url, mode, args]) {
  const { MODES, World, play, sseModes } = await import("/scenarios.mjs");
  if (mode.includes("sse")) {
    const { SSE } = await import("/node_modules/engine.io-sse.mjs");
    const { Socket, ...client } = await import("engine.io-client");
    return play(name, new World(Socket, url, sseModes({ SSE, ...client }), mode, args));
  }
  // What the bundle offers is a function that makes a Socket.
  const Socket = function (...args) {
    return globalThis.eio(...args);
  };
  return play(name, new World(Socket, url, MODES, mode, args));
}

const errands = {
  /** A scenario, in a page with engine.io-client's own bundle. */
  async play(page, { scenario, url, mode, revision, args, home }) {
    await page.goto(`${home}/${PAGES[revision]}`);
    return page.evaluate(inPage, [scenario, url, mode, args]);
  },
  force,
  tour,
  look,
  read,
  say,
  stay,
  stranger,
  unlock,
  visit,
};

async function run(browser, { errand, ...request }) {
  const page = await browser.newPage({
    viewport: { width: 1280, height: 900 },
    ignoreHTTPSErrors: true, // the tests' certificates are signed by themselves
  });
  const log = [];
  page.on("console", (message) => log.push(message.text()));
  page.on("pageerror", (error) => log.push(String(error)));
  try {
    return await inTime(errands[errand](page, request));
  } catch (error) {
    const whose = `the page's console in Chromium ${browser.version()}:`;
    error.stack = [error.stack, whose, ...log].join("\n");
    throw error;
  } finally {
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
await runErrands((request) => run(browser, request));
await browser.close();
