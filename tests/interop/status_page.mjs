/** Visits to the status page, as an operator would pay them. */
import { watch } from "./live_page.mjs";

const DEADLINE = 20_000; // milliseconds

async function until(page, condition, ...args) {
  try {
    await page.waitForFunction(condition, ...args);
  } catch (error) {
    const state = await page.evaluate(() => JSON.stringify(globalThis.statusPage));
    throw new Error(`waited ${DEADLINE} ms for ${condition}; the page: ${state}`);
  }
}

/** Until it is told what happens over a WebSocket, and something was. */
function live(page) {
  return until(page, () => {
    const { state, transport, samples } = globalThis.statusPage;
    return state === "live" && transport === "websocket" && samples.length > 3;
  });
}

/** What is in the page that must not be: elements that a client has made. */
function intruders(page) {
  return page.evaluate(() => document.querySelectorAll("td script, td img, td b, td a").length);
}

/** How far the page can be scrolled sideways: not at all. */
function sideways(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}

/** Look at the page, on a screen and on a telephone, by day and by night. */
export async function look(page, { url, screenshot, sees }) {
  page.setDefaultTimeout(DEADLINE);
  const seen = watch(page, url);
  await page.goto(`${url}/status`);
  await live(page);
  for (const text of sees) await page.getByText(text).first().waitFor();
  const shown = await page.locator("main").innerText();
  await page.screenshot({ path: screenshot, fullPage: true });
  const wide = [await sideways(page)];
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 844 });
  await live(page);
  wide.push(await sideways(page));
  await page.screenshot({ path: screenshot.replace(".png", "-phone.png"), fullPage: true });
  return { shown, wide, intruders: await intruders(page), ...seen };
}

/** Show a wrong token, then the right one, then come again. */
export async function unlock(page, { url, token }) {
  page.setDefaultTimeout(DEADLINE);
  const seen = watch(page, url);
  const urls = [];
  page.on("request", (request) => urls.push(request.url()));
  page.on("websocket", (socket) => urls.push(socket.url()));
  await page.goto(`${url}/status/`);
  await until(page, () => statusPage.state === "gate");
  const locked = await page.locator("#report").isVisible();
  const show = async (text) => {
    await page.locator("#token").fill(text);
    await page.keyboard.press("Enter");
  };
  await show("not-the-token-at-all");
  await page.getByText("The server refused this token.").waitFor();
  await show(token);
  await live(page);
  const asked = await page.locator("#gate").isVisible();
  await page.reload();
  await live(page);
  // A browser says of every 401 that it was one.
  const complaints = seen.complaints.filter((text) => !text.includes("401"));
  const told = urls.filter((each) => each.includes(token));
  return { locked, asked, complaints, foreign: seen.foreign, told };
}

/** Come from where nobody may. */
export async function stranger(page, { url, headers }) {
  page.setDefaultTimeout(DEADLINE);
  await page.setExtraHTTPHeaders(headers);
  const answer = await page.goto(`${url}/status`);
  return { status: answer.status(), shown: await page.locator("body").innerText() };
}
