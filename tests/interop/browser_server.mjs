/**
 * One headless Chromium for all the tests: prints where to connect to it.
 *
 * node browser_server.mjs EXECUTABLE; SIGTERM ends it.
 */
import { chromium } from "playwright-core";

const server = await chromium.launchServer({
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
console.log(server.wsEndpoint());
process.on("SIGTERM", () => server.close().then(() => process.exit(0)));
