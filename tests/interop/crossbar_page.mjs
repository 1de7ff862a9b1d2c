/** A visit to the page of the Crossbar example, as a person would pay it. */
const DEADLINE = 20_000; // milliseconds

export async function tour(page, { url, screenshot }) {
  page.setDefaultTimeout(DEADLINE);
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
  const shows = (text) => page.locator("#log p", { hasText: text }).waitFor();
  await page.waitForFunction(() => Number(document.getElementById("tick").textContent) > 0);
  await page.locator("#add").click();
  await shows("2 + 3 = 5");
  await page.locator("#text").fill("Hello, router");
  await page.locator("#text").press("Enter");
  await shows("page: Hello, router");
  await page.locator("#remind").click();
  await shows("I will");
  await shows("to you alone: it is time");
  await page.screenshot({ path: screenshot, fullPage: true });
  const papers = new Set();
  const wide = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1280, 390, 320]) {
      await page.setViewportSize({ width, height: 844 });
      wide.push(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth));
    }
    papers.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
  }
  await page.screenshot({ path: screenshot.replace(".png", "-phone.png"), fullPage: true });
  return { complaints, wide, papers: papers.size };
}
