// Logs a start as CoCalc's manage-action may do it, for tests/debug.rs: the patch is applied by fast-json-patch itself.
//
//   node manage_action.js LAYOUT < {"before": pod, "patch": [operation, ...], "validate": bool}
//
// The layout of the lines is not documented; each here is one that a logger of Node or Python has.
"use strict";
const fs = require("fs");
const { applyPatch } = require("fast-json-patch");

const layout = process.argv[2];
const { before, patch, validate } = JSON.parse(fs.readFileSync(0, "utf8"));
const id = before.metadata.name.replace("project-", "");
let second = 0;
const time = () => `2026-11-24T12:00:0${second++}.250Z`;
const space = (time) => time.replace("T", " ").replace(".250Z", ",250");
const log = {
  plain: (name, value) => `${name}=${JSON.stringify(value)}`,
  line: (name, value) => `${time()} (1): cocalc:manage:action ${id} ${name}=${JSON.stringify(value)} +2ms`,
  pretty: (name, value) => `${time()} INFO ${name}=${JSON.stringify(value, null, 2)}`,
  // The value on lines of its own.
  below: (name, value) => `${time()} INFO ${name}=\n${JSON.stringify(value, null, 2)}`,
  python: (name, value) => `${space(time())} INFO manage-action [${id}] ${name}=${JSON.stringify(value)}`,
  // Each line with the prefix, as "kubectl logs --prefix --timestamps" and log collectors have it.
  prefixed: (name, value) => {
    const prefix = `[pod/manage-action-7c9/manage] ${time()} it's `;
    return prefix + `${name}=${JSON.stringify(value, null, 2)}`.split("\n").join(`\n${prefix}`);
  },
  json: (name, value) =>
    JSON.stringify({ level: "info", msg: `${name}=${JSON.stringify(value)}`, project_id: id, time: time() }),
  pino: (name, value) =>
    JSON.stringify({ level: 30, time: 1795521600000 + second++, msg: `${name}=${JSON.stringify(value, null, 2)}` }),
  logfmt: (name, value) => `time=${time()} level=info ${name}=${JSON.stringify(JSON.stringify(value))} id=${id}`,
  inspect: (name, value) =>
    `${time()} ${name}= ${require("util").inspect(value, { depth: Infinity, maxArrayLength: Infinity, breakLength: 80 })}`,
}[layout];

console.log(`${time()} INFO starting project ${id}`);
if (layout === "plain") {
  const after = applyPatch(structuredClone(before), patch).newDocument;
  console.log(`${log("project_pod_before", before)} ${log("patch", patch)} ${log("project_pod", after)}`);
} else {
  console.log(log("project_pod_before", before));
  console.log(log("patch", patch));
  try {
    console.log(log("project_pod", applyPatch(structuredClone(before), patch, validate).newDocument));
  } catch (error) {
    console.log(`${time()} ERROR ${error.name}: ${error.message.split("\n")[0]}`);
  }
}
