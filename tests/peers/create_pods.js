// Asks an API server about pods, for tests/check_pods.rs and tests/dry_run_corpus.rs.
//
//   node create_pods.js KUBECONFIG NAMESPACE [CONNECTIONS]
//
// Reads one pod a line and answers with one line: [code, message, [[reason, field, message] of each cause],
// [warnings], the pod as it would be stored or null]. Nothing is created: each request is a dry run with strict decoding.
"use strict";
const fs = require("fs");
const https = require("https");
const readline = require("readline");

const [file, namespace, connections] = process.argv.slice(2);
const config = fs.readFileSync(file, "utf8");
const data = (name) => Buffer.from(new RegExp(`${name}: ([A-Za-z0-9+/=]+)`).exec(config)[1], "base64");
const server = new URL(/server: "([^"]+)"/.exec(config)[1]);
const agent = new https.Agent({
  keepAlive: true,
  maxSockets: Number(connections) || 4,
  ca: data("certificate-authority-data"),
  cert: data("client-certificate-data"),
  key: data("client-key-data"),
});

function ask(pod) {
  return new Promise((resolve, reject) => {
    const request = https.request(
      {
        agent,
        hostname: server.hostname,
        port: server.port,
        method: "POST",
        path: `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`,
        headers: { "content-type": "application/json" },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part) => (text += part));
        response.on("end", () => {
          const answer = JSON.parse(text);
          const causes = (answer.details && answer.details.causes) || [];
          const headers = response.rawHeaders;
          const warnings = headers.filter((_, index) => index % 2 && headers[index - 1].toLowerCase() === "warning");
          resolve([
            response.statusCode,
            answer.message || "",
            causes.map((cause) => [cause.reason, cause.field || "", cause.message || ""]),
            warnings.map((header) => JSON.parse(header.slice(header.indexOf('"')))),
            answer.kind === "Pod" ? answer : null,
          ]);
        });
      },
    );
    request.on("error", reject);
    request.end(pod);
  });
}

const answers = [];
readline
  .createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on("line", (line) => answers.push(ask(line)))
  .on("close", async () => {
    for (const answer of answers) process.stdout.write(JSON.stringify(await answer) + "\n");
    agent.destroy();
  });
