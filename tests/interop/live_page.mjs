/**
 * A visit to the live page, as a person would pay it.
 *
 * node live_page.mjs BROWSER URL SCREENSHOT; prints facts as JSON.
 */
import { chromium } from "playwright-core";

const DEADLINE = 15_000; // milliseconds

const [endpoint, url, screenshot] = process.argv.slice(2);
const origin = new URL(url).origin;

const browser = await chromium.connect(endpoint);
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.setDefaultTimeout(DEADLINE);
const complaints = [];
const foreign = [];
page.on("console", (message) => {
  if (["error", "warning"].includes(message.type())) complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => {
  const target = new URL(request.url());
  if (target.protocol !== "data:" && target.origin !== origin) foreign.push(target.href);
});
await page.goto(url);

async function until(condition, what) {
  try {
    await page.waitForFunction(condition);
  } catch {
    const state = await page.evaluate(() => JSON.stringify(globalThis.engineioPage));
    throw new Error(`waited ${DEADLINE} ms until ${what}; ${state}`);
  }
}

const facts = () =>
  page.evaluate(() => {
    const { state, transport, errors, unanswered, probeFailed } = globalThis.engineioPage;
    return { state, transport, errors, unanswered, probeFailed };
  });

await until(() => engineioPage.state === "open", "it is open");
const first = await facts();
await until(() => engineioPage.upgrade !== null, "it has upgraded");
await until(() => engineioPage.heartbeats.pings >= 2, "two pings have come");
await until(() => engineioPage.rtt.websocket.length >= 5, "there are round trips");

// A message written and sent by hand.
const before = await page.evaluate(() => engineioPage.verified);
await page.locator("#message").fill("Hello from Chromium 😀");
await page.locator("#message").press("Enter");
await page.locator("#send-binary").click();
await page.waitForFunction((n) => engineioPage.verified >= n + 2, before);
const shown = await page.locator("body").innerText();
await page.screenshot({ path: screenshot, fullPage: true });

const second = await facts();
await page.evaluate(() => engineioPage.disconnect());
console.log(
  JSON.stringify({
    first: first.transport,
    last: second,
    complaints,
    foreign,
    shown: shown.includes("Hello from Chromium 😀"),
  }),
);
await browser.close();
