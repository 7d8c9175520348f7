// One warm process that does, for each project of a snapshot, the part of CoCalc's work that is public: replace
// the placeholders in the text, JSON.parse, applyPatch, JSON.stringify. Reading the snapshot, licenses and quotas
// are not counted. Prints {"projects", "seconds", "bytes"}. Arguments: folder with node_modules, snapshot.
const [, , peers, snapshot] = process.argv;
const { applyPatch } = require(require.resolve("fast-json-patch", { paths: [peers] }));
const { template, projects, site_licenses } = JSON.parse(require("fs").readFileSync(snapshot, "utf8"));
const text = typeof template === "string" ? template : JSON.stringify(template);
const patches = new Map(site_licenses.map(({ id, quota }) => [id, quota.patch]));
const config = Buffer.from(JSON.stringify({ quota: { memory_limit: 1000, cpu_limit: 1 } })).toString("base64");
const render = (project) => {
  const env = Buffer.from(JSON.stringify(project.env ?? {})).toString("base64");
  const values = [
    ["{PROJECT_IMAGE}", "registry.example/cocalc/project"],
    ["{PROJECT_TAG}", "20230110-1143"],
    ["{project_id}", project.project_id],
    ["{extra_env}", env],
    ["{project_config}", config],
  ];
  let pod = text;
  for (const [name, value] of values) pod = pod.split(name).join(value);
  const operations = Object.keys(project.site_license ?? {})
    .sort()
    .flatMap((id) => (patches.get(id) ? JSON.parse(patches.get(id)) : []));
  return JSON.stringify(applyPatch(JSON.parse(pod), operations).newDocument).length;
};
for (const project of projects.slice(0, 5000)) render(project);
const start = process.cpuUsage();
let bytes = 0;
for (const project of projects) bytes += render(project);
const { user, system } = process.cpuUsage(start);
console.log(JSON.stringify({ projects: projects.length, seconds: (user + system) / 1e6, bytes }));
