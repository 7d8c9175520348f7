// Reads the audit logs of all API servers that the tests have started, and fails if the plugin ever asked for
// anything but GET and POST of a pod with dryRun=All.
//
//   node audit_logs.js FOLDER
"use strict";
const fs = require("fs");
const path = require("path");
const readline = require("readline");

const folder = process.argv[2];
const asked = new Map();
const wrong = [];

function judge(event) {
  const dryRun = event.verb === "create" && event.requestURI.includes("/pods?") && /[?&]dryRun=All(&|$)/.test(event.requestURI);
  const kind = dryRun ? "POST of a pod with dryRun=All" : `${event.verb}`;
  asked.set(kind, (asked.get(kind) || 0) + 1);
  if (!dryRun && event.verb !== "get" && event.verb !== "list") wrong.push(`${event.verb} ${event.requestURI}`);
}

async function main() {
  const files = fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => name.endsWith(".log")) : [];
  for (const name of files) {
    const lines = readline.createInterface({ input: fs.createReadStream(path.join(folder, name)), crlfDelay: Infinity });
    for await (const line of lines) {
      // The server was ended while it wrote the last line.
      if (!line.endsWith("}")) continue;
      const event = JSON.parse(line);
      if ((event.userAgent || "").startsWith("kubectl-cocalc/")) judge(event);
    }
  }
  const counts = [...asked].sort().map(([kind, count]) => `${count} ${kind}`);
  console.log(`${files.length} API servers were asked by the plugin: ${counts.join(", ") || "nothing"}`);
  for (const request of wrong.slice(0, 20)) console.error(`not allowed: ${request}`);
  if (!asked.has("POST of a pod with dryRun=All") || !asked.has("get")) {
    console.error("the logs prove nothing: they hold no dry run or no GET of the plugin");
    process.exitCode = 1;
  }
  if (wrong.length) process.exitCode = 1;
}

main();
