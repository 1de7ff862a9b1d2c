/** A visit to the live page, as a person would pay it. */
const DEADLINE = 15_000; // milliseconds

/** Watch what a page complains of, and whether it asks anybody but its own server. */
export function watch(page, url) {
  const seen = { complaints: [], foreign: [] };
  page.on("console", (message) => {
    const kind = message.type();
    if (kind === "error" || kind === "warning") seen.complaints.push(message.text());
  });
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("request", (request) => {
    const { origin, protocol, href } = new URL(request.url());
    if (protocol !== "data:" && origin !== new URL(url).origin) seen.foreign.push(href);
  });
  return seen;
}

async function until(page, condition, ...args) {
  try {
    await page.waitForFunction(condition, ...args);
  } catch (error) {
    const state = await page.evaluate(() => JSON.stringify(globalThis.engineioPage));
    throw new Error(`waited ${DEADLINE} ms for ${condition}; the page: ${state}`);
  }
}

function state(page) {
  return page.evaluate(() => {
    const { state, transport, errors, unanswered, probeFailed } = globalThis.engineioPage;
    return { state, transport, errors, unanswered, probeFailed };
  });
}

/** The protocols over which the page's requests went. */
function protocols(page) {
  return page.evaluate(() => {
    const entries = performance.getEntries().map((each) => each.nextHopProtocol);
    return [...new Set(entries.filter(Boolean))];
  });
}

/** Write a message by hand, and wait for its echo. */
async function write(page, text, button) {
  const before = await page.evaluate(() => engineioPage.verified);
  await page.locator("#message").fill(text);
  await page.locator(button).click();
  await until(page, (n) => engineioPage.verified > n, before);
}

/** Force a stream of events, as a person would. */
export async function force(page, { url, screenshot }) {
  page.setDefaultTimeout(DEADLINE);
  const seen = watch(page, url);
  await page.goto(url);
  await until(page, () => engineioPage.state === "open");
  await page.locator("#choice-sse").click();
  await until(page, () => engineioPage.state === "open" && engineioPage.rtt.sse.length >= 5);
  await until(page, () => engineioPage.heartbeats.pings >= 2);
  await write(page, "A stream of events: 100 % \u{1f600}", "#send-text");
  await write(page, "Bytes over a stream", "#send-binary");
  await page.screenshot({ path: screenshot, fullPage: true });
  const last = await state(page);
  const shown = await page.locator("#headline").innerText();
  await page.goto(`${url}/?again#sse`);
  await until(page, () => engineioPage.state === "open");
  const { transport: again } = await state(page);
  return { last, again, ...seen, shown };
}

export async function visit(page, { url, screenshot }) {
  page.setDefaultTimeout(DEADLINE);
  const seen = watch(page, url);
  await page.goto(url);
  await until(page, () => engineioPage.state === "open");
  const { transport: first } = await state(page);
  await until(page, () => engineioPage.upgrade !== null);
  await until(page, () => engineioPage.heartbeats.pings >= 2);
  await until(page, () => engineioPage.rtt.websocket.length >= 3);
  await write(page, "Hello from Chromium 😀", "#send-text");
  await write(page, "Bytes from Chromium", "#send-binary");
  const shown = await page.locator("#log").innerText();
  await page.screenshot({ path: screenshot, fullPage: true });
  const spoke = await protocols(page);
  return { first, last: await state(page), ...seen, shown, spoke };
}
