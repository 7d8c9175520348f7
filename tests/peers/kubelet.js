// A kubelet that serves logs, as the API server asks it for them, for tests/debug.rs.
//
//   node kubelet.js CERTIFICATE KEY FOLDER
//
// Prints its port, then the path and query of each request. The log of container C of pod P is FOLDER/P.C.log, that of
// the container before it FOLDER/P.C.previous.log.
"use strict";
const fs = require("fs");
const https = require("https");
const path = require("path");

const [cert, key, folder] = process.argv.slice(2);
let second = 0;
const server = https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, (request, response) => {
  console.log(request.url);
  const url = new URL(request.url, "https://kubelet");
  const [, , , pod, container] = url.pathname.split("/");
  const previous = url.searchParams.get("previous") === "true";
  const file = path.join(folder, `${pod}.${container}${previous ? ".previous" : ""}.log`);
  if (!fs.existsSync(file)) {
    response.writeHead(400);
    response.end(`previous terminated container "${container}" in pod "${pod}" not found`);
    return;
  }
  let lines = fs.readFileSync(file, "latin1").split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  const tail = url.searchParams.get("tailLines");
  if (tail !== null) lines = lines.slice(-Number(tail));
  response.writeHead(200, { "content-type": "text/plain", "transfer-encoding": "chunked" });
  for (const line of lines) {
    const time = new Date(Date.UTC(2026, 10, 24, 12, 30, second++)).toISOString().replace("000Z", "123456789Z");
    const prefix = url.searchParams.get("timestamps") === "true" ? `${time} ` : "";
    response.write(Buffer.from(`${prefix}${line}\n`, "latin1"));
  }
  response.end();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
