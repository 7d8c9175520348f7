// Applies patches with fast-json-patch itself, for tests/fast_json_patch_differential.rs.
//
// Reads one case a line, [documentText, patchText, [validate, ...]], and answers with one line, a list with one
// outcome for each way of calling. A case that has changed a built-in object is followed by a new realm, since
// `add /args/push/x` stays in the engine for as long as it runs.
"use strict";
const fs = require("fs");
const path = require("path");
const readline = require("readline");
const vm = require("vm");

const folder = path.join(path.dirname(require.resolve("fast-json-patch/package.json")), "commonjs");
const sources = ["helpers", "core"].map((name) => {
  const text = fs.readFileSync(path.join(folder, name + ".js"), "utf8");
  return new vm.Script(`(function (exports, require) {${text}\n})`, { filename: name + ".js" });
});

// Runs inside the realm and keeps its own references, as far as a patch could take them away.
function realmMain(core) {
  const { parse, stringify } = JSON;
  const applyPatch = core.applyPatch;
  return function run(documentText, patchText, validate) {
    const document = parse(documentText);
    const patch = parse(patchText);
    const outcome = {};
    const print = (value) => {
      try {
        return { text: stringify(value) };
      } catch (error) {
        return { unprintable: `${error}` };
      }
    };
    try {
      const result = applyPatch(document, patch, validate).newDocument;
      outcome.result = print(result);
    } catch (error) {
      outcome.error = {
        class: error instanceof core.JsonPatchError ? "PatchError" : error.constructor.name,
        name: error.name,
        message: `${error.message}`.split("\n")[0],
        index: error.index,
      };
      outcome.caller = print(document);
    }
    return stringify(outcome);
  };
}
const realmScript = new vm.Script(`(${realmMain})`);

// Everything a patch can reach by inherited names, as it should be.
function builtIns(context) {
  const mains = vm.runInContext("[Object, Function, Array, String, Number, Boolean]", context).flatMap((constructor) => [
    constructor,
    constructor.prototype,
  ]);
  const state = [];
  const seen = new Set();
  const add = (object) => {
    if (seen.has(object)) return;
    seen.add(object);
    state.push([object, Reflect.ownKeys(object).length, []]);
  };
  mains.forEach(add);
  for (const [object, , values] of state.slice()) {
    for (const key of Reflect.ownKeys(object)) {
      const { value } = Object.getOwnPropertyDescriptor(object, key);
      values.push([key, value]);
      if (typeof value === "function") add(value);
    }
  }
  return state;
}

function newRealm() {
  const context = vm.createContext({});
  const modules = sources.map(() => ({}));
  sources[0].runInContext(context)(modules[0], () => {
    throw new Error("helpers.js requires nothing");
  });
  sources[1].runInContext(context)(modules[1], () => modules[0]);
  const state = builtIns(context);
  const isUnchanged = () =>
    state.every(
      ([object, count, values]) =>
        Reflect.ownKeys(object).length === count &&
        values.every(([key, value]) => Object.is(Object.getOwnPropertyDescriptor(object, key)?.value, value)),
    );
  return { run: realmScript.runInContext(context)(modules[1]), isUnchanged };
}

const names = new Set();
for (const constructor of [Object, Function, Array, String, Number, Boolean]) {
  for (const name of Object.getOwnPropertyNames(constructor.prototype)) {
    if (name !== "length" && name !== "name") names.add(name);
  }
}
const reachesBuiltIns = (patchText) => {
  for (const [, token] of patchText.matchAll(/\/([A-Za-z_]+)/g)) {
    if (names.has(token)) return true;
  }
  return false;
};

let realm = newRealm();
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [documentText, patchText, ways] = JSON.parse(line);
  const mayChange = reachesBuiltIns(patchText);
  const outcomes = ways.map((validate) => {
    const outcome = realm.run(documentText, patchText, validate);
    if (mayChange && !realm.isUnchanged()) realm = newRealm();
    return outcome;
  });
  process.stdout.write(`[${outcomes.join(",")}]\n`);
});
