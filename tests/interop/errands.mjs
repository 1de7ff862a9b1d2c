/**
 * Errands, told line by line: a line of JSON on stdin is one, and a line of JSON on
 * stdout what came of it, {"facts": ...} or {"error": ...}. The end of stdin is the end.
 */
import { createInterface } from "node:readline";

import { within } from "./scenarios.mjs";

const DEADLINE = 40_000; // milliseconds, for a whole errand

export const say = (reply) => console.log(JSON.stringify(reply));

export const inTime = (promise) => within(promise, "the errand's end", DEADLINE);

export async function runErrands(run) {
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      say({ facts: await run(JSON.parse(line)) });
    } catch (error) {
      say({ error: error.stack });
    }
  }
}
