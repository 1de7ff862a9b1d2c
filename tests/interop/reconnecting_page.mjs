/** A visit to a page whose server is restarted meanwhile, as often as it is told. */
import { say } from "./errands.mjs";
import { watch } from "./live_page.mjs";

const DEADLINE = 35_000; // milliseconds

/**
 * Say something, and say so on stdout, whenever the page is connected.
 *
 * @param connected The selector of what is there while it is connected.
 * @param restarts How often its server goes away and comes back.
 */
export async function stay(page, { url, connected, restarts, screenshot }) {
  page.setDefaultTimeout(DEADLINE);
  const seen = watch(page, url);
  await page.goto(url);
  for (let visit = 0; visit <= restarts; visit++) {
    await page.locator(connected).waitFor();
    await page.locator("#text").fill(`visit ${visit}`);
    await page.locator("#text").press("Enter");
    await page.locator("#log").getByText(`visit ${visit}`).waitFor();
    if (visit === restarts) break;
    const gone = page.locator(connected).waitFor({ state: "hidden" });
    say({ facts: visit });
    await gone;
    // What is written while there is no connection is not lost from the field.
    await page.locator("#text").fill("kept");
    await page.locator("#text").press("Enter");
  }
  const written = await page.locator("#log > *").allInnerTexts();
  const wide = [];
  for (const [width, colorScheme] of [[1280, "light"], [390, "dark"]]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 844 });
    wide.push(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth));
    const path = screenshot.replace(".png", `-${width}.png`);
    await page.screenshot({ path, fullPage: true });
  }
  // A browser reports every request that a server which stops refused, that one which is
  // gone did not answer, or whose session the next one does not know.
  const complaints = seen.complaints.filter((text) => !/ERR_|failed|400|503/.test(text));
  return { written, wide, complaints, foreign: seen.foreign };
}
