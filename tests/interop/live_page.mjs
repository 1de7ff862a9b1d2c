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
  const explained = await page.locator("#subline").innerText();
  await page.screenshot({ path: screenshot, fullPage: true });
  const spoke = await protocols(page);
  return { first, last: await state(page), ...seen, shown, explained, spoke };
}

/** How far the page can be scrolled sideways: not at all. */
function sideways(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}

/** Read a page on a screen and on a telephone, by day and by night; copy its examples. */
export async function read(page, { url, screenshot }) {
  page.setDefaultTimeout(DEADLINE);
  const seen = watch(page, url);
  await page.goto(url);
  const wide = [];
  const papers = new Set();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 });
      wide.push(await sideways(page));
      const path = screenshot.replace(".png", `-${colorScheme}-${width}.png`);
      await page.screenshot({ path, fullPage: true });
    }
    papers.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
  }
  const examples = await page.locator("pre code").allTextContents();
  const shown = await page.locator("body").innerText();
  return { wide, papers: papers.size, examples, shown, ...seen };
}

/** Visit the live page of an application that does not echo, and say one thing. */
export async function say(page, { url, text, until: answer }) {
  page.setDefaultTimeout(DEADLINE);
  const seen = watch(page, url);
  await page.goto(url);
  await until(page, () => engineioPage.transport === "websocket");
  await page.locator("#message").fill(text);
  await page.locator("#send-text").click();
  await page.locator("#log").getByText(answer, { exact: true }).waitFor();
  const { sent, received, errors, unanswered } = await page.evaluate(() => engineioPage);
  const compares = await page.locator("#echo-check").isVisible();
  return { sent: sent.text + sent.binary, received: received.text, errors, unanswered, compares, ...seen };
}
