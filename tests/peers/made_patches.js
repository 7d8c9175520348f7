// Applies made patches with fast-json-patch itself, for tests/patch_making.rs.
//
// Reads one case a line, {base, patch, wanted}, and answers with one line: the outcome without and with
// validation, each "ok", "another document" or the error. A line {compare: [before, after]} is answered with the
// library's own patch.
"use strict";
const { isDeepStrictEqual } = require("util");
const readline = require("readline");
const { applyPatch, compare } = require("fast-json-patch");

const outcome = (line, validate) => {
  const { base, patch, wanted } = JSON.parse(line);
  try {
    const result = applyPatch(base, patch, validate).newDocument;
    return isDeepStrictEqual(JSON.parse(JSON.stringify(result)), wanted) ? "ok" : "another document";
  } catch (error) {
    return `${error}`.split("\n")[0];
  }
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const request = JSON.parse(line);
  const answer = request.compare ? compare(...request.compare) : [outcome(line, false), outcome(line, true)];
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
