/**
 * One scenario with engine.io-client's own bundle, in a page of a real browser.
 *
 * node browser_client.mjs BROWSER SCENARIO URL MODE [ARGUMENTS as JSON] [PAGE'S URL];
 * prints facts as JSON. The page is served by the server under test.
 */
import { chromium } from "playwright-core";

const MODES = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"] },
};

const [endpoint, name, url, mode, args = "{}", pageUrl = url] = process.argv.slice(2);

async function inPage([name, url, options, args]) {
  const { World, play } = await import("/scenarios.js");
  return play(name, new World(globalThis.eio.Socket, url, options, args));
}

const browser = await chromium.connect(endpoint);
const page = await browser.newPage();
page.on("console", (message) => console.error(message.text(), message.location().url));
page.on("pageerror", (error) => console.error(error));
await page.goto(`${pageUrl}/page.html`);
const facts = await page.evaluate(inPage, [name, url, MODES[mode], JSON.parse(args)]);
console.log(JSON.stringify(facts));
await browser.close();
