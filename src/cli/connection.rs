//! kubectl's own flags: how to reach the cluster.
//!
//! They are accepted in any position after the plugin's name. kubectl's `--username` and `--password` are left out:
//! API servers dropped basic authentication in Kubernetes 1.19, and a password does not belong on a command line.

use std::{ffi::OsStr, io::IsTerminal as _, path::PathBuf, sync::Arc, time::Duration};

use clap::{
    ArgAction, Args,
    builder::{OsStringValueParser, TypedValueParser},
};

use secrecy::ExposeSecret as _;

use super::{CommandError, Exit};
use crate::{
    cluster::{Cluster, Log, Options, Warnings, parse_timeout},
    output::ui::Ui,
};

/// Kubernetes options
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Kubernetes options")]
pub(super) struct ConnectionArgs {
    /// The kubeconfig to use
    ///
    /// Without it the files that KUBECONFIG lists, else ~/.kube/config, else, in a pod, its service account.
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,

    /// The namespace in which CoCalc runs its projects [default: the context's, else default]
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,

    /// The cluster of the kubeconfig to use
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    cluster: Option<String>,

    /// The user of the kubeconfig to use
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    user: Option<String>,

    /// The address of the API server
    #[arg(short, long, global = true, hide_short_help = true, value_name = "URL")]
    server: Option<String>,

    /// The name that the API server's certificate must have, if it is not the host's
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    tls_server_name: Option<String>,

    /// Do not check the API server's certificate: the connection is then not private
    #[arg(long, global = true, hide_short_help = true, action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL",
          hide_default_value = true, hide_possible_values = true)]
    insecure_skip_tls_verify: bool,

    /// The certificate authority of the API server
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_parser = path())]
    certificate_authority: Option<PathBuf>,

    /// A client certificate; needs --client-key
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_parser = path())]
    client_certificate: Option<PathBuf>,

    /// The key of the client certificate
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_parser = path())]
    client_key: Option<PathBuf>,

    /// A bearer token
    #[arg(long, global = true, hide_short_help = true, value_name = "TOKEN")]
    token: Option<Hidden>,

    /// Ask as this user: a name, or system:serviceaccount:NAMESPACE:NAME
    #[arg(long = "as", global = true, hide_short_help = true, value_name = "NAME")]
    impersonate: Option<String>,

    /// Ask as a user with this UID
    #[arg(long = "as-uid", global = true, hide_short_help = true, value_name = "UID")]
    impersonate_uid: Option<String>,

    /// Ask as a member of this group (can be repeated)
    #[arg(
        long = "as-group",
        global = true,
        hide_short_help = true,
        value_name = "GROUP"
    )]
    impersonate_groups: Vec<String>,

    /// Ask as a user with this attribute (can be repeated)
    #[arg(long = "as-user-extra", global = true, hide_short_help = true, value_name = "KEY=VALUE",
          value_parser = key_and_value)]
    impersonate_user_extra: Vec<(String, String)>,

    /// How long to wait for one answer, for example 5s or 2m [default: 60s]
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME", value_parser = timeout)]
    request_timeout: Option<Timeout>,

    /// Ask the API server not to compress its answers
    #[arg(long, global = true, hide_short_help = true, action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL",
          hide_default_value = true, hide_possible_values = true)]
    disable_compression: bool,

    /// Say more on stderr: 6 each request, 8 and more what was sent and answered, with secrets masked
    #[arg(
        short,
        long = "v",
        global = true,
        hide_short_help = true,
        value_name = "LEVEL"
    )]
    v: Option<u32>,

    /// End with exit code 1 if the API server warned of something
    #[arg(long, global = true, hide_short_help = true, action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL",
          hide_default_value = true, hide_possible_values = true)]
    warnings_as_errors: bool,

    #[command(flatten)]
    without_meaning: WithoutMeaning,

    #[arg(skip)]
    warnings: Warnings,
}

/// Flags that users have in their aliases.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Kubernetes options")]
struct WithoutMeaning {
    /// Taken as kubectl takes it, without effect: nothing is cached
    #[arg(long, global = true, hide_short_help = true, value_name = "FOLDER", value_parser = path())]
    cache_dir: Option<PathBuf>,

    /// Taken as kubectl takes it, without effect: kubectl's preferences hold nothing for plugins
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_parser = path())]
    kuberc: Option<PathBuf>,

    /// Taken as kubectl takes it, without effect: only /version of the API server is looked at, before a dry run
    #[arg(long, global = true, hide_short_help = true, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    match_server_version: Option<bool>,

    /// Taken as kubectl takes it, without effect
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    profile: Option<String>,

    /// Taken as kubectl takes it, without effect
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_parser = path())]
    profile_output: Option<PathBuf>,

    /// Taken as kubectl takes it, without effect: nothing is held back
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME")]
    log_flush_frequency: Option<String>,

    /// Taken as kubectl takes it, without effect
    #[arg(long, global = true, hide_short_help = true, value_name = "PATTERN=LEVEL,…")]
    vmodule: Option<String>,
}

/// A secret of the command line, which no message repeats.
#[derive(Clone)]
struct Hidden(secrecy::SecretString);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

#[derive(Clone, Copy, Debug)]
struct Timeout(Option<Duration>);

fn timeout(text: &str) -> Result<Timeout, String> {
    parse_timeout(text).map(Timeout)
}

/// A path that may be empty, which means for kubectl that the flag is not given.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

fn given<T: Clone + AsRef<OsStr>>(value: Option<&T>) -> Option<T> {
    value.filter(|value| !value.as_ref().is_empty()).cloned()
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it must be KEY=VALUE".to_owned()),
    }
}

impl ConnectionArgs {
    /// What no single flag can tell.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        let wrong = |message: &str| Err(CommandError::usage(message));
        match (
            given(self.client_certificate.as_ref()),
            given(self.client_key.as_ref()),
        ) {
            (Some(_), None) => return wrong("--client-certificate needs --client-key"),
            (None, Some(_)) => return wrong("--client-key needs --client-certificate"),
            _ => {}
        }
        if self.insecure_skip_tls_verify && given(self.certificate_authority.as_ref()).is_some() {
            return wrong("--insecure-skip-tls-verify and --certificate-authority exclude each other");
        }
        Ok(())
    }

    /// The flags as the library takes them. `stdin_used` says that standard input is or was read for something
    /// else, so that no credential plugin may ask on it.
    pub(super) fn options(&self, stdin_used: bool) -> Result<Options, CommandError> {
        self.check()?;
        Ok(Options {
            kubeconfig: given(self.kubeconfig.as_ref()),
            context: given(self.context.as_ref()),
            cluster: given(self.cluster.as_ref()),
            user: given(self.user.as_ref()),
            namespace: given(self.namespace.as_ref()),
            server: given(self.server.as_ref()),
            tls_server_name: given(self.tls_server_name.as_ref()),
            insecure_skip_tls_verify: self.insecure_skip_tls_verify,
            certificate_authority: given(self.certificate_authority.as_ref()),
            client_certificate: given(self.client_certificate.as_ref()),
            client_key: given(self.client_key.as_ref()),
            token: self
                .token
                .clone()
                .map(|Hidden(token)| token)
                .filter(|token| !token.expose_secret().is_empty()),
            impersonate: given(self.impersonate.as_ref()),
            impersonate_uid: given(self.impersonate_uid.as_ref()),
            impersonate_groups: self.impersonate_groups.clone(),
            impersonate_user_extra: self.impersonate_user_extra.clone(),
            request_timeout: self.request_timeout.and_then(|Timeout(timeout)| timeout),
            disable_compression: self.disable_compression,
            interactive: !stdin_used && std::io::stdin().is_terminal(),
            log: None,
            warnings: self.warnings.clone(),
        })
    }

    /// Connects. Until this call no kubeconfig is read and no runtime is built.
    pub(super) fn connect(&self, ui: &Ui, stdin_used: bool) -> Result<Cluster, CommandError> {
        let mut options = self.options(stdin_used)?;
        let ui = *ui;
        options.log = Some(Log {
            level: self.v.unwrap_or(0),
            write: Arc::new(move |text| ui.plain(text)),
        });
        Ok(Cluster::connect(&options)?)
    }

    /// What `--warnings-as-errors` makes of an end.
    pub(super) fn verdict(&self, ui: &Ui, exit: Exit) -> Exit {
        let count = self.warnings.count();
        if count == 0 || !self.warnings_as_errors {
            return exit;
        }
        let plural = if count == 1 { "" } else { "s" };
        ui.error(&format!("{count} warning{plural} received"), None);
        exit.worst(Exit::No)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::super::Cli;
    use super::*;

    fn options(line: &str) -> Options {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        cli.connection.options(true).unwrap()
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_taken_before_and_after_the_command() {
        for line in [
            "kubectl-cocalc -n lab -s https://h:6443 --context c --as jane --as-group a --as-group b -v=6 version",
            "kubectl-cocalc version -n lab -s https://h:6443 --context c --as jane --as-group a --as-group b --v 6",
            "kubectl-cocalc -nlab --context=c version -s=https://h:6443 --as=jane --as-group=a --as-group=b -v 6",
        ] {
            let options = options(line);
            assert_eq!(options.namespace.as_deref(), Some("lab"), "{line}");
            assert_eq!(options.server.as_deref(), Some("https://h:6443"), "{line}");
            assert_eq!(options.context.as_deref(), Some("c"), "{line}");
            assert_eq!(options.impersonate.as_deref(), Some("jane"), "{line}");
            assert_eq!(options.impersonate_groups, ["a", "b"], "{line}");
            assert!(!options.interactive);
        }
    }

    #[test]
    fn of_a_flag_that_is_given_twice_the_last_one_counts() {
        let twice =
            options("kubectl-cocalc -n a --context c -n b version --context d --as-group x --as-group y");
        assert_eq!(twice.namespace.as_deref(), Some("b"));
        assert_eq!(twice.context.as_deref(), Some("d"));
        assert_eq!(twice.impersonate_groups, ["x", "y"]);
        for line in [
            "kubectl-cocalc render -o json -o yaml --insecure-skip-tls-verify --insecure-skip-tls-verify=false",
            "kubectl-cocalc quota --at 2026-01-01 --at 2026-02-01 --all --all",
            "kubectl-cocalc dry-run --max-requests 1 --max-requests 2 -q -q --fail-on error --fail-on note",
        ] {
            assert!(!options(line).insecure_skip_tls_verify, "{line}");
        }
    }

    #[test]
    fn kubectls_other_flags_are_taken() {
        let options = options(
            "kubectl-cocalc version --kubeconfig k --cluster c --user u --tls-server-name t \
             --insecure-skip-tls-verify --client-certificate x.crt --client-key x.key --token abc --as-uid 7 \
             --as-user-extra a=b --as-user-extra a=c=d --request-timeout 1m --disable-compression=true \
             --warnings-as-errors --cache-dir x --kuberc off --match-server-version --profile none \
             --profile-output p --log-flush-frequency 5s --vmodule x=3",
        );
        assert!(options.insecure_skip_tls_verify && options.disable_compression);
        assert_eq!(options.request_timeout, Some(Duration::from_secs(60)));
        assert_eq!(
            options.impersonate_user_extra[1],
            ("a".to_owned(), "c=d".to_owned())
        );
        assert_eq!(options.client_key.as_deref(), Some(std::path::Path::new("x.key")));
        assert!(!format!("{options:?}").contains("abc"));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_flag() {
        let refused = |line: &str| match Cli::try_parse_from(line.split(' ')) {
            Ok(cli) => cli.connection.check().unwrap_err().message,
            Err(error) => error.to_string(),
        };
        let wrong = refused("kubectl-cocalc version --client-certificate x.crt");
        assert_eq!(wrong, "--client-certificate needs --client-key");
        let wrong = refused("kubectl-cocalc version --client-key x.key");
        assert_eq!(wrong, "--client-key needs --client-certificate");
        let wrong = refused("kubectl-cocalc version --request-timeout soon");
        assert!(wrong.contains("--request-timeout") && wrong.contains("Invalid timeout value"));
        let wrong = refused("kubectl-cocalc version --as-user-extra x");
        assert!(wrong.contains("--as-user-extra") && wrong.contains("KEY=VALUE"));
    }

    #[test]
    fn warnings_are_errors_only_if_asked_for() {
        let ui = Ui::new(crate::output::ui::ColorChoice::Never);
        let verdict = |line: &str, warned: bool, exit: Exit| {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            if warned {
                cli.connection
                    .options(true)
                    .unwrap()
                    .warnings
                    .add("unknown field");
            }
            cli.connection.verdict(&ui, exit)
        };
        let flag = "kubectl-cocalc version --warnings-as-errors";
        assert_eq!(verdict(flag, true, Exit::Done), Exit::No);
        assert_eq!(verdict(flag, true, Exit::Usage), Exit::Usage);
        assert_eq!(verdict(flag, false, Exit::Done), Exit::Done);
        assert_eq!(verdict("kubectl-cocalc version", true, Exit::Done), Exit::Done);
    }

    #[test]
    fn short_help_shows_the_common_flags_and_long_help_all() {
        let help = |flag: &str| {
            let Err(help) = Cli::try_parse_from(["kubectl-cocalc", "version", flag]) else {
                panic!("no help");
            };
            help.to_string()
        };
        let short = help("-h");
        for shown in ["Kubernetes options:", "--context", "--kubeconfig", "--namespace"] {
            assert!(short.contains(shown), "{shown} is missing in {short}");
        }
        let rare = [
            "--server",
            "--token",
            "--as-group",
            "--request-timeout",
            "--cache-dir",
            "--vmodule",
            "--v <LEVEL>",
        ];
        for rare in rare {
            assert!(!short.contains(rare), "{rare} is in {short}");
            assert!(
                help("--help").contains(rare),
                "{rare} is missing in the long help"
            );
        }
    }
}
