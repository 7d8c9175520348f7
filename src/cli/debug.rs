//! `debug`: CoCalc's own record of a start, held against ours.

use std::{collections::HashSet, fmt::Write as _, fs::File, io::Read, path::PathBuf};

use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    check::license_name,
    cluster::{Cluster, RequestError},
    debug::{
        Collector, ErrorTold, Judge, Judged, Line, Reader, Replay, Told, Unreadable, Verdict, blame_text,
    },
    output::{
        diff::{self, Documents, Side},
        escape, json as json_output,
        ui::{Output, Ui},
        yaml::PathPart,
    },
    pipeline::provenance::field_path,
    snapshot::Snapshot,
};

use super::{
    CommandError, Exit,
    cluster::Purpose,
    connection::ConnectionArgs,
    database::Need,
    select::{ProjectArgs, holds, project_id, resolve_license},
    sources::{SourceArgs, WhatIfArgs, site_with},
};

/// How wide the text is.
const WIDTH: usize = 80;
/// How much of a log is read at once.
const CHUNK: usize = 64 << 10;
/// Unreadable records that are told one by one.
const MOST_UNREADABLE: usize = 20;
/// Differences that are listed one by one in the text.
const MOST_DIFFERENCES: usize = 20;

const HOW_TO_SET: &str = "set manage.dbg_project_patching: \"1\" in the HELM values, run helm upgrade, start the \
                          project again, and set it back: the log then holds whole pods";

/// Show CoCalc's own record of a start, and hold it against what this tool computes
///
/// With the HELM value manage.dbg_project_patching: "1", CoCalc's service manage-action logs each pod right before
/// patching, the patch set and the result. This reads these records, from the logs of the pods manage-action-…
/// (label group=manage; of containers that ended before, too) or from --log, and tells for each start of the projects
/// what each operation did and which license it is from, what patching changed, whether our application of the patch
/// set gives the same pod, whether our own pod before patches is the same, and what the errors that follow mean.
/// Without that HELM value it tells the errors alone.
///
/// Without PROJECT it tells of all projects in the logs. Whose the operations are it can tell where -f or --example give
/// licenses; the template is the cluster's where neither gives one and the logs are the cluster's too.
///
/// Exit codes: 0 done; 1 nothing in the logs is of these projects, or our application of a patch set gives another pod
/// than CoCalc's; 2 wrong usage or input, or the logs could not be read.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  # Every start in a log that was saved
  kubectl logs -l group=manage --prefix --tail=-1 > manage.log
  kubectl cocalc debug --log manage.log

  # One project of the cluster in the last hour, with the licenses of a file
  kubectl cocalc debug -n cocalc --since 1h -f site.yaml \\
    11111111-1111-4111-8111-111111111111

  # A report for a script, one object a line
  kubectl cocalc debug --log manage.log -o jsonl")]
pub(super) struct Args {
    /// UUID of a project, project-UUID, pod/project-UUID or a URL that contains /projects/UUID
    ///
    /// Without any: all projects that the logs hold.
    #[arg(value_name = "PROJECT", conflicts_with_all = ["all", "with_license"])]
    project: Vec<String>,

    /// Take all projects that the logs hold (the default)
    #[arg(long, conflicts_with = "with_license")]
    all: bool,

    /// Take all projects that have this license
    #[arg(long, value_name = "ID")]
    with_license: Option<String>,

    /// Read this log, or - for standard input, instead of the cluster's (can be repeated)
    #[arg(long, value_name = "FILE|-")]
    log: Vec<PathBuf>,

    /// Read only what was logged in this time, for example 30m or 2h
    #[arg(long, value_name = "TIME", value_parser = seconds, conflicts_with = "log")]
    since: Option<u64>,

    /// Read only so many lines from the end of each log
    #[arg(long, value_name = "LINES", conflicts_with = "log")]
    tail: Option<u64>,

    /// Output format: text, json, jsonl
    ///
    /// json: one object with the lists starts, errors (of which the logs have no start), unreadable and logs. jsonl: the
    /// same entries one a line, each with its kind, written as they are read.
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    output: Format,

    /// Show values of environment variables that look like secrets
    #[arg(long)]
    show_secrets: bool,

    #[command(flatten)]
    sources: SourceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Jsonl,
}

/// Seconds of a time such as `90s`, `1h30m` or `2d`.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "write it as 30m, 2h or 1d".to_owned();
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let mut unit = tail.chars();
        let factor = match unit.next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86400,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        total = number
            .checked_mul(factor)
            .and_then(|seconds| total.checked_add(seconds))
            .ok_or_else(wrong)?;
        rest = unit.as_str();
    }
    if total == 0 { Err(wrong()) } else { Ok(total) }
}

/// Where a log is from.
#[derive(Clone, Debug)]
struct Origin {
    /// `manage.log`, or `manage-action-6d9f/manage (previous)`.
    name: String,
    /// Pod, container, and whether it is the log of a container that ended.
    container: Option<(String, String, bool)>,
}

impl Origin {
    fn report(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("log".to_owned(), json!(self.name));
        if let Some((pod, container, previous)) = &self.container {
            map.insert("pod".to_owned(), json!(pod));
            map.insert("container".to_owned(), json!(container));
            map.insert("previous".to_owned(), json!(previous));
        }
        map
    }
}

/// A log that was read.
struct Finished {
    origin: Origin,
    lines: u64,
    bytes: u64,
    markers: u64,
    times: Option<(Timestamp, Timestamp)>,
}

pub(super) fn debug(ui: &Ui, connection: &ConnectionArgs, args: &Args) -> Result<Exit, CommandError> {
    let stdin = args.log.iter().filter(|file| file.as_os_str() == "-").count();
    let sources_stdin = args.sources.filename.iter().any(|file| file.as_os_str() == "-");
    if stdin > 1 || (stdin > 0 && sources_stdin) {
        return Err(CommandError::usage(
            "--log - reads standard input, and something else does too",
        ));
    }
    let ids: Vec<String> = args
        .project
        .iter()
        .map(|argument| project_id(argument))
        .collect::<Result<_, _>>()?;
    if args.log.is_empty() && args.sources.offline {
        return Err(CommandError::usage(
            "--offline forbids to read the cluster's logs; give a log with --log",
        ));
    }
    let projects = ProjectArgs::default();
    let need = Need::in_memory(&projects, &ids);
    let need = (!ids.is_empty()).then_some(need);
    let mut sources = args.sources.read_for(ui, &WhatIfArgs::default(), need)?;
    if args.log.is_empty() {
        // The logs can be read without the template, only not compared with it.
        let template = sources.add_cluster(ui, connection, &args.sources, &projects, &ids, Purpose::Render);
        match template {
            Err(error) if error.exit != Exit::Interrupted => {
                ui.warning(&format!(
                    "the pods before patches cannot be compared: {}",
                    error.message
                ));
            }
            other => other?,
        }
    }
    let wanted = wanted(args, &sources.snapshot, ids)?;
    let site = site_with(&sources, &args.sources, Default::default(), false)?;
    let mut run = Run {
        ui,
        args,
        judge: Judge::new(&site, &sources.snapshot, args.show_secrets),
        wanted,
        out: ui.stdout(),
        logs: Vec::new(),
        starts: Vec::new(),
        errors: Vec::new(),
        unreadable: Vec::new(),
        matched: 0,
        unreadable_count: 0,
        differs: false,
        incomplete: false,
        has_pods: false,
        printed: false,
    };
    if args.log.is_empty() {
        run.read_cluster(connection, stdin > 0 || sources_stdin)?;
    }
    for file in &args.log {
        run.read_file(file)?;
    }
    run.finish()
}

/// The projects to tell of; `None` for all.
fn wanted(
    args: &Args,
    snapshot: &Snapshot,
    ids: Vec<String>,
) -> Result<Option<HashSet<String>>, CommandError> {
    if let Some(license) = &args.with_license {
        if !snapshot.has_projects {
            return Err(CommandError::usage("--with-license needs a source of projects")
                .hint("give a snapshot file with `projects` by -f, or --example"));
        }
        let license = resolve_license(snapshot, license, "--with-license", false)?;
        let rows = snapshot.projects.iter().filter(|row| holds(row, &license));
        return Ok(Some(rows.map(|row| row.project_id.to_string()).collect()));
    }
    Ok((!ids.is_empty()).then(|| ids.into_iter().collect()))
}

struct Run<'a> {
    ui: &'a Ui,
    args: &'a Args,
    judge: Judge<'a>,
    wanted: Option<HashSet<String>>,
    out: Output,
    logs: Vec<Finished>,
    /// For `-o json`.
    starts: Vec<Value>,
    errors: Vec<Value>,
    unreadable: Vec<Value>,
    /// Starts and errors that were told.
    matched: usize,
    unreadable_count: usize,
    differs: bool,
    /// Whether a log could not be read to its end.
    incomplete: bool,
    /// Whether there are pods whose logs should be read.
    has_pods: bool,
    printed: bool,
}

/// A log while it is read.
struct Reading {
    origin: Origin,
    reader: Reader,
    collector: Collector,
}

impl Reading {
    fn new(origin: Origin) -> Self {
        Self {
            origin,
            reader: Reader::default(),
            collector: Collector::default(),
        }
    }

    fn feed(&mut self, chunk: &[u8], told: &mut Vec<Told>) {
        let collector = &mut self.collector;
        self.reader
            .feed(chunk, &mut |item| collector.take(item, &mut |new| told.push(new)));
    }

    fn finish(mut self, told: &mut Vec<Told>) -> Finished {
        let collector = &mut self.collector;
        self.reader
            .finish(&mut |item| collector.take(item, &mut |new| told.push(new)));
        self.collector.finish(&mut |new| told.push(new));
        Finished {
            origin: self.origin,
            lines: self.reader.lines(),
            bytes: self.reader.bytes(),
            markers: self.reader.markers(),
            times: self.reader.times(),
        }
    }
}

/// Why a log was not read to its end.
enum Broken {
    Request(RequestError),
    Command(CommandError),
}

impl From<RequestError> for Broken {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<CommandError> for Broken {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

/// The logs of a pod, if it is one of manage-action.
fn origins(pod: &Value) -> Vec<Origin> {
    let name = pod
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !name.starts_with("manage-action-") {
        return Vec::new();
    }
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let containers = containers.into_iter().flatten();
    let names = containers.filter_map(|container| container.get("name")?.as_str());
    let restarted = |container: &str| {
        let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array);
        let own = statuses
            .into_iter()
            .flatten()
            .find(|status| status.get("name").and_then(Value::as_str) == Some(container));
        own.and_then(|status| status.get("restartCount")?.as_u64())
            .unwrap_or(0)
            > 0
    };
    names
        .flat_map(|container| {
            let origin = |previous: bool| Origin {
                name: format!("{name}/{container}{}", if previous { " (previous)" } else { "" }),
                container: Some((name.to_owned(), container.to_owned(), previous)),
            };
            let previous = restarted(container).then(|| origin(true));
            previous.into_iter().chain([origin(false)])
        })
        .collect()
}

impl Run<'_> {
    fn read_file(&mut self, file: &std::path::Path) -> Result<(), CommandError> {
        let (name, mut input): (String, Box<dyn Read>) = if file.as_os_str() == "-" {
            ("standard input".to_owned(), Box::new(std::io::stdin().lock()))
        } else {
            let name = file.display().to_string();
            let opened =
                File::open(file).map_err(|error| CommandError::usage(format!("--log {name}: {error}")))?;
            (name, Box::new(opened))
        };
        let origin = Origin {
            name: name.clone(),
            container: None,
        };
        let mut reading = Reading::new(origin.clone());
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = match input.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(CommandError::usage(format!("--log {name}: {error}"))),
            };
            let mut told = Vec::new();
            reading.feed(chunk.get(..count).unwrap_or_default(), &mut told);
            self.tell_all(&origin, told)?;
        }
        self.end(reading)
    }

    /// The logs of all containers of the pods manage-action-…, those of containers that ended first.
    fn read_cluster(&mut self, connection: &ConnectionArgs, stdin_used: bool) -> Result<(), CommandError> {
        let cluster = connection.connect(self.ui, stdin_used)?;
        let session = cluster.session();
        let pods_path = format!("/api/v1/namespaces/{}/pods", session.namespace());
        let pods = cluster
            .run(session.list(&pods_path, &[("labelSelector", "group=manage")]))?
            .value;
        for origin in pods.iter().flat_map(origins) {
            self.has_pods = true;
            let Some((pod, container, previous)) = origin.container.clone() else {
                continue;
            };
            let (since, tail) = (self.args.since, self.args.tail);
            let (since, tail) = (since.map(|n| n.to_string()), tail.map(|n| n.to_string()));
            let mut query = vec![("container", &*container), ("timestamps", "true")];
            query.extend(previous.then_some(("previous", "true")));
            query.extend(since.as_deref().map(|seconds| ("sinceSeconds", seconds)));
            query.extend(tail.as_deref().map(|lines| ("tailLines", lines)));
            let path = format!("{pods_path}/{pod}/log");
            match self.read_pod(&cluster, &path, &query, &origin) {
                // There is no such log (any more): the container has not started, or its log was rotated away.
                Err(Broken::Request(RequestError::Status(status))) if matches!(status.code, 400 | 404) => {
                    if !previous {
                        self.ui
                            .note(&format!("{pod}/{container}: {}", escape::line(&status.message)));
                    }
                }
                Err(Broken::Request(error @ RequestError::Interrupted)) => return Err(error.into()),
                // The other pods' logs may hold what is looked for.
                Err(Broken::Request(error)) => {
                    self.incomplete = true;
                    self.ui.plain(&format!("{pod}/{container}: {error}"));
                    if let Some(hint) = error.hint() {
                        self.ui.hint(&hint);
                    }
                }
                Err(Broken::Command(error)) => return Err(error),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn read_pod(
        &mut self,
        cluster: &Cluster,
        path: &str,
        query: &[(&str, &str)],
        origin: &Origin,
    ) -> Result<(), Broken> {
        let mut stream = cluster.run(cluster.session().stream(path, query))?;
        let mut reading = Reading::new(origin.clone());
        let broken = loop {
            match cluster.run(stream.next()) {
                None => break None,
                Some(Err(error)) => break Some(error),
                Some(Ok(chunk)) => {
                    let mut told = Vec::new();
                    reading.feed(&chunk, &mut told);
                    self.tell_all(origin, told)?;
                }
            }
        };
        // What came before a broken connection is told all the same.
        self.end(reading)?;
        broken.map_or(Ok(()), |error| Err(error.into()))
    }

    fn end(&mut self, reading: Reading) -> Result<(), CommandError> {
        let mut told = Vec::new();
        let read = reading.finish(&mut told);
        self.tell_all(&read.origin, told)?;
        self.logs.push(read);
        Ok(())
    }

    fn is_wanted(&self, project_id: &str) -> bool {
        self.wanted
            .as_ref()
            .is_none_or(|wanted| wanted.contains(project_id))
    }

    fn tell_all(&mut self, origin: &Origin, told: Vec<Told>) -> Result<(), CommandError> {
        for told in told {
            match told {
                Told::Start(start) => {
                    if self.is_wanted(&start.project_id) {
                        let judged = self.judge.start(*start);
                        self.start(origin, &judged)?;
                    }
                }
                Told::Error { project_id, line } => {
                    if self.is_wanted(&project_id) {
                        self.lone_error(origin, &project_id, &line)?;
                    }
                }
                Told::Unreadable(unreadable) => {
                    let names = &unreadable.uuids;
                    if names.is_empty() || names.iter().any(|id| self.is_wanted(id)) {
                        self.unreadable(origin, &unreadable)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, origin: &Origin, judged: &Judged) -> Result<(), CommandError> {
        self.matched += 1;
        self.differs |= judged.differs();
        match self.args.output {
            Format::Text => {
                let text = self.start_text(origin, judged);
                self.block(&text)?;
            }
            _ => {
                let mut report = judged.report();
                report.extend(origin.report());
                self.entry("start", report)?;
            }
        }
        Ok(())
    }

    fn lone_error(&mut self, origin: &Origin, project_id: &str, line: &Line) -> Result<(), CommandError> {
        self.matched += 1;
        let told = self.judge.lone_error(project_id, line);
        if self.args.output == Format::Text {
            let mut text = format!("project {project_id}  an error without a record of its start\n");
            text.push_str(&fold(&format!("  in {}", escape::line(&origin.name)), 4));
            error_text(&mut text, &told);
            return self.block(&text);
        }
        let mut report = told.report();
        report.extend(origin.report());
        report.insert("project_id".to_owned(), json!(project_id));
        self.entry("error", report)
    }

    fn unreadable(&mut self, origin: &Origin, unreadable: &Unreadable) -> Result<(), CommandError> {
        self.unreadable_count += 1;
        let lines = lines(unreadable.span.first, unreadable.span.last);
        let marker = unreadable.marker.text();
        if self.args.output != Format::Text {
            let mut report = origin.report();
            report.insert("marker".to_owned(), json!(marker));
            report.insert(
                "lines".to_owned(),
                json!([unreadable.span.first, unreadable.span.last]),
            );
            report.insert("why".to_owned(), json!(unreadable.why));
            self.entry("unreadable", report)?;
        }
        if self.unreadable_count <= MOST_UNREADABLE {
            self.ui.warning(&format!(
                "{}, {lines}: cannot read {marker}: {}",
                escape::line(&origin.name),
                escape::line(&unreadable.why)
            ));
        }
        Ok(())
    }

    fn entry(&mut self, kind: &str, mut report: Map<String, Value>) -> Result<(), CommandError> {
        if self.args.output == Format::Jsonl {
            report.insert("kind".to_owned(), json!(kind));
            let text = json_output::compact(&Value::Object(report));
            self.out.text(&text)?;
            self.out.text("\n")?;
            return Ok(());
        }
        match kind {
            "start" => self.starts.push(Value::Object(report)),
            "error" => self.errors.push(Value::Object(report)),
            _ => self.unreadable.push(Value::Object(report)),
        }
        Ok(())
    }

    fn block(&mut self, text: &str) -> Result<(), CommandError> {
        if self.printed {
            self.out.text("\n")?;
        }
        self.printed = true;
        self.out.text(text)?;
        Ok(())
    }

    fn finish(mut self) -> Result<Exit, CommandError> {
        let logs: Vec<Map<String, Value>> = self.logs.iter().map(Finished::report).collect();
        match self.args.output {
            Format::Text => {}
            Format::Json => {
                let take = std::mem::take::<Vec<Value>>;
                let report = json!({
                    "starts": take(&mut self.starts), "errors": take(&mut self.errors),
                    "unreadable": take(&mut self.unreadable), "logs": logs,
                });
                self.out.text(&json_output::pretty(&report))?;
            }
            Format::Jsonl => {
                for log in logs {
                    self.entry("log", log)?;
                }
            }
        }
        self.out.finish()?;
        if self.unreadable_count > MOST_UNREADABLE {
            self.ui.warning(&format!(
                "{} more records cannot be read",
                self.unreadable_count - MOST_UNREADABLE
            ));
        }
        let markers: u64 = self.logs.iter().map(|log| log.markers).sum();
        if self.matched == 0 {
            let what = match &self.wanted {
                None => "no start and no error of a project".to_owned(),
                Some(wanted) if wanted.len() == 1 => {
                    let id = wanted.iter().next().map_or("", String::as_str);
                    format!("no start of project {id} and no error that names it")
                }
                Some(wanted) => format!(
                    "no start of these {} projects and no error that names one",
                    wanted.len()
                ),
            };
            let read: String = self.logs.iter().map(|log| format!("\n{}", log.text())).collect();
            let hint = if self.logs.is_empty() && self.has_pods {
                "the pods manage-action-… are there, and none of their logs can be read; see above why"
            } else if self.logs.is_empty() {
                "no pod named manage-action-… with the label group=manage is in the namespace; give CoCalc's with -n"
            } else if markers == 0 {
                HOW_TO_SET
            } else {
                "start the project and look again; --since and --tail leave out what is older"
            };
            if self.logs.is_empty() {
                self.ui.error("there is no log to read", Some(hint));
            } else {
                self.ui
                    .error(&format!("the logs hold {what}; read were:{read}"), Some(hint));
            }
            return Ok(if self.incomplete { Exit::Usage } else { Exit::No });
        }
        if markers == 0 {
            self.ui.note(&format!(
                "the logs hold no record of a pod; to have them, {HOW_TO_SET}"
            ));
        }
        Ok(match (self.incomplete, self.differs) {
            (true, _) => Exit::Usage,
            (false, true) => Exit::No,
            (false, false) => Exit::Done,
        })
    }

    fn start_text(&self, origin: &Origin, judged: &Judged) -> String {
        let start = &judged.start;
        let id = if start.project_id.is_empty() {
            "of unknown UUID"
        } else {
            &start.project_id
        };
        let time = start.time.map_or_else(String::new, |time| format!("  {time}"));
        let mut text = format!("project {}{time}\n", escape::line(id));
        let place = format!(
            "  in {}, {}",
            escape::line(&origin.name),
            lines(start.span.first, start.span.last)
        );
        text.push_str(&fold(&place, 4));
        if start.replaced {
            text.push_str("  bytes that are not UTF-8 are shown as U+FFFD\n");
        }
        if let Ok(replay) = &judged.replay {
            self.operations_text(&mut text, judged, replay);
        }
        if let (Some(before), Some(after)) = (&judged.before, &judged.after) {
            let diff = self.diff_text(
                judged,
                (before, "project_pod_before"),
                (after, "project_pod"),
                true,
            );
            text.push_str(if diff.is_empty() {
                "  patching changed nothing\n"
            } else {
                &diff
            });
        }
        self.replay_text(&mut text, judged);
        self.template_text(&mut text, judged);
        for told in &judged.errors {
            error_text(&mut text, told);
        }
        if start.more_errors > 0 {
            let _ = writeln!(text, "  error     {} more", start.more_errors);
        }
        text
    }

    fn operations_text(&self, text: &mut String, judged: &Judged, replay: &Replay) {
        if replay.operations.is_empty() {
            text.push_str("  no operations\n");
        }
        let mut last: Option<&str> = None;
        let whose = |i: usize| judged.owners.get(i).and_then(Option::as_ref);
        for (i, (operation, effect)) in replay.operations.iter().zip(&replay.effects).enumerate() {
            let license = whose(i).map_or("", |owner| &owner.license);
            let starts_patch = whose(i).is_some_and(|owner| owner.operation == 0);
            if last != Some(license) || starts_patch {
                let name = match whose(i) {
                    Some(owner) => {
                        let mut name = license_name(&owner.title, &owner.license);
                        for other in owner.or.iter().take(3) {
                            let _ = write!(name, " or {}", other.get(..8).unwrap_or(other));
                        }
                        name
                    }
                    None if self.judge.knows_licenses() => "of no license that the sources know".to_owned(),
                    None => "licenses are not known; give them with -f".to_owned(),
                };
                text.push_str(&fold(&format!("  {}", escape::line(&name)), 4));
            }
            last = Some(license);
            let line = format!(
                "    {}  {} {}: {}",
                i + 1,
                escape::line(&operation.op()),
                escape::line(&operation.path()),
                effect.as_str()
            );
            text.push_str(&fold(&line, 8));
        }
    }

    /// A diff, with the operation that wrote a line where `after` is the patched pod.
    fn diff_text(
        &self,
        judged: &Judged,
        (before, before_label): (&Value, &str),
        (after, after_label): (&Value, &str),
        patched: bool,
    ) -> String {
        let documents = Documents {
            before,
            before_label,
            after,
            after_label,
        };
        let writer = |side: Side, path: &[PathPart<'_>]| -> Option<String> {
            let replay = judged
                .replay
                .as_ref()
                .ok()
                .filter(|_| patched && side == Side::After)?;
            let keys: Vec<crate::json_patch::Key<'_>> = path
                .iter()
                .map(|part| match part {
                    PathPart::Name(name) => crate::json_patch::Key::Name(name),
                    PathPart::Index(index) => crate::json_patch::Key::Index(*index),
                })
                .collect();
            let stamp = replay.document.writer_of(&keys).filter(|stamp| *stamp > 0)?;
            Some(format!("op {stamp}"))
        };
        let writers = |side: Side, path: &[PathPart<'_>]| writer(side, path).into_iter().collect();
        diff::unified(&documents, &writers, self.ui.color_stdout())
    }

    fn replay_text(&self, text: &mut String, judged: &Judged) {
        let verdict = match &judged.replay {
            Ok(replay) => &replay.verdict,
            Err(verdict) => verdict,
        };
        let failure = judged
            .replay
            .as_ref()
            .ok()
            .and_then(|replay| replay.failure.as_ref());
        let failure = failure.map_or_else(String::new, |failure| {
            format!(
                "operation {}: {}: {}",
                failure.operation + 1,
                failure.name.unwrap_or(failure.class.name()),
                escape::line(&failure.message)
            )
        });
        let told = match verdict {
            Verdict::Same => "our application of the patch set gives the same pod".to_owned(),
            Verdict::SameIf { assumption, value } => format!(
                "ours fails at {failure}; the log's pod is what CoCalc sends with assumptions.{assumption}: {value}; \
                 set that in a snapshot file"
            ),
            Verdict::Differs { .. } if failure.is_empty() => {
                "our application of the patch set gives another pod:".to_owned()
            }
            Verdict::Differs { .. } => format!("ours fails at {failure}, and CoCalc's does not:"),
            Verdict::BothFail => format!("ours fails too, and the log has no result: {failure}"),
            Verdict::NoResult => "ours succeeds; the log has no result".to_owned(),
            Verdict::Incomplete(why) => format!("not done: {why}"),
        };
        item(text, "replay", &told);
        if let Verdict::Differs { ours, logged } = verdict {
            text.push_str(&self.diff_text(judged, (ours, "ours"), (logged, "project_pod"), false));
            item(
                text,
                "",
                "either our emulation is wrong or this CoCalc has another version of fast-json-patch: please send \
                 this report in",
            );
        }
    }

    fn template_text(&self, text: &mut String, judged: &Judged) {
        match &judged.template {
            None => {}
            Some(Err(error)) => item(
                text,
                "template",
                &format!("not compared: {}", escape::line(error)),
            ),
            Some(Ok(found)) if found.is_empty() => {
                item(
                    text,
                    "template",
                    "the pod that the sources give before patches is the same",
                );
            }
            Some(Ok(found)) => {
                let s = if found.len() == 1 { "" } else { "s" };
                item(
                    text,
                    "template",
                    &format!(
                        "the pod that the sources give before patches has {} difference{s}:",
                        found.len()
                    ),
                );
                let shown = |value: &Option<Value>| match value {
                    None => "absent".to_owned(),
                    Some(value) => {
                        let whole = json_output::compact(value);
                        match whole.char_indices().nth(60) {
                            Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
                            None => whole,
                        }
                    }
                };
                for difference in found.iter().take(MOST_DIFFERENCES) {
                    let line = format!(
                        "{}: ours {}, logged {}",
                        escape::line(&field_path(&difference.path)),
                        shown(&difference.ours),
                        shown(&difference.logged)
                    );
                    item(text, "", &line);
                }
                if found.len() > MOST_DIFFERENCES {
                    item(text, "", &format!("and {} more", found.len() - MOST_DIFFERENCES));
                }
                for spoken in &judged.assumptions {
                    let fields: Vec<&str> = spoken.fields.iter().take(3).map(String::as_str).collect();
                    let more = match spoken.fields.len().saturating_sub(fields.len()) {
                        0 => String::new(),
                        more => format!(" and {more} more"),
                    };
                    let line = format!(
                        "assumptions.{} would give what the log has in {}{more}",
                        spoken.setting,
                        fields.join(", ")
                    );
                    item(text, "", &escape::line(&line));
                }
            }
        }
    }
}

impl Finished {
    fn report(&self) -> Map<String, Value> {
        let mut map = self.origin.report();
        map.insert("lines_read".to_owned(), json!(self.lines));
        map.insert("bytes_read".to_owned(), json!(self.bytes));
        map.insert("records".to_owned(), json!(self.markers));
        let (from, to) = self.times.unzip();
        map.insert("from".to_owned(), json!(from.map(|time| time.to_string())));
        map.insert("to".to_owned(), json!(to.map(|time| time.to_string())));
        map
    }

    fn text(&self) -> String {
        let span = match self.times {
            Some((from, to)) => format!(", {from} to {to}"),
            None => String::new(),
        };
        let s = if self.lines == 1 { "" } else { "s" };
        format!(
            "{}: {} line{s}{span}",
            escape::line(&self.origin.name),
            self.lines
        )
    }
}

fn error_text(text: &mut String, told: &ErrorTold) {
    let explanation = &told.explanation;
    let time = told
        .line
        .time
        .map_or_else(String::new, |time| format!(", {time}"));
    item(text, "error", &format!("line {}{time}", told.line.number));
    item(text, "", &escape::line(&explanation.message));
    for blame in &told.stopped_by {
        item(text, "", &format!("by {}", escape::line(&blame_text(blame))));
    }
    for sentence in &explanation.sentences {
        item(text, "", &escape::line(sentence));
    }
    for (fault, blame) in explanation.faults.iter().zip(&told.blame) {
        if !blame.is_empty() {
            item(text, "", &escape::line(&fault.field));
        }
        for blame in blame {
            item(text, "", &format!("  by {}", escape::line(&blame_text(blame))));
        }
    }
}

/// A line of a block: a word, then a text that is folded behind it.
fn item(text: &mut String, word: &str, told: &str) {
    text.push_str(&fold(&format!("  {word:<10}{told}"), 12));
}

fn fold(text: &str, indent: usize) -> String {
    // The blanks at its start are no place to fold at.
    let start = text.len() - text.trim_start().len();
    let (blanks, words) = text.split_at(start);
    let folded = escape::fold(words, WIDTH - start, indent.saturating_sub(start));
    let margin = " ".repeat(start);
    folded
        .lines()
        .enumerate()
        .map(|(i, line)| format!("{}{line}\n", if i == 0 { blanks } else { &margin }))
        .collect()
}

fn lines(first: u64, last: u64) -> String {
    if first == last {
        format!("line {first}")
    } else {
        format!("lines {first} to {last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_units() {
        assert_eq!(seconds("30m"), Ok(1800));
        assert_eq!(seconds("1h30m5s"), Ok(5405));
        assert_eq!(seconds("2d"), Ok(172_800));
        for text in ["", "5", "m", "1w", "-1h", "0s", "99999999999999999999d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_item_is_folded_behind_its_word() {
        let mut text = String::new();
        item(&mut text, "replay", &"word ".repeat(20));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("  replay    word") && lines[1].starts_with("            word"));
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
    }
}
