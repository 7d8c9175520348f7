// The documentation's way: read a pod and a patch, apply, print. Arguments: folder with node_modules, pod, patch.
const [, , peers, pod, patch] = process.argv;
const { applyPatch } = require(require.resolve("fast-json-patch", { paths: [peers] }));
const fs = require("fs");
const read = (file) => JSON.parse(fs.readFileSync(file, "utf8"));
process.stdout.write(JSON.stringify(applyPatch(read(pod), read(patch)).newDocument, null, 4) + "\n");
