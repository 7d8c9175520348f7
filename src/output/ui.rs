//! The only owner of stdout, stderr and colour.
//!
//! Stdout carries the result alone, written through [`Output`]. All else goes to stderr through [`Ui`], which
//! escapes what others wrote and prefixes each message, so that a text with a newline cannot pose as a message
//! of the tool. A reader of stdout that has seen enough (`| head`) is no failure: its [`OutputError`] is told
//! apart from a full disk.

use std::{
    io::{self, BufWriter, Write},
    time::{Duration, Instant},
};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};

use super::escape;

/// When to colour (`--color`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always, into files and pipes too.
    Always,
    /// Never.
    Never,
}

/// Why the result could not be written to stdout.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Whoever reads stdout closed it. No failure: the caller ends at once, without a word, with exit code 0.
    #[error("the reader of the standard output closed it")]
    Closed,
    /// Anything else, such as a full disk.
    #[error("cannot write to the standard output ({0}); what was printed is incomplete")]
    Failed(io::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Failed(error)
        }
    }
}

/// The result's way out: buffered and, for stdout, locked for as long as it lives.
///
/// What is written must be clean already, as all formats of [`crate::output`] are. It implements [`Write`]; `?`
/// on its errors gives an [`OutputError`]. Call [`Output::finish`] at the end: errors when it is merely dropped
/// are lost.
pub struct Output {
    inner: BufWriter<Box<dyn Write>>,
}

impl Output {
    fn new(inner: Box<dyn Write>) -> Self {
        Self {
            inner: BufWriter::with_capacity(64 * 1024, inner),
        }
    }

    /// Writes a text as it is.
    ///
    /// # Errors
    /// See [`OutputError`].
    pub fn text(&mut self, text: &str) -> Result<(), OutputError> {
        Ok(self.inner.write_all(text.as_bytes())?)
    }

    /// Writes out what is still held back.
    ///
    /// # Errors
    /// See [`OutputError`].
    pub fn finish(mut self) -> Result<(), OutputError> {
        Ok(self.inner.flush()?)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Stdout, stderr and whether they are coloured.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    color_stdout: bool,
    color_stderr: bool,
    /// Columns of the terminal, where stdout or stderr is one.
    stdout_width: Option<usize>,
    stderr_width: Option<usize>,
}

impl Ui {
    /// Looks at the terminal and the environment once.
    pub fn new(color: ColorChoice) -> Self {
        let on = |auto: anstream::ColorChoice| match color {
            ColorChoice::Auto => auto != anstream::ColorChoice::Never,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        Self {
            color_stdout: on(AutoStream::choice(&io::stdout())),
            color_stderr: on(AutoStream::choice(&io::stderr())),
            stdout_width: width(terminal_size::terminal_size_of(io::stdout())),
            stderr_width: width(terminal_size::terminal_size_of(io::stderr())),
        }
    }

    /// Whether the result on stdout is to be coloured.
    pub fn color_stdout(&self) -> bool {
        self.color_stdout
    }

    /// Columns of the terminal that stdout is, if it is one.
    pub fn stdout_width(&self) -> Option<usize> {
        self.stdout_width
    }

    /// Stdout, buffered and locked.
    pub fn stdout(&self) -> Output {
        Output::new(Box::new(stream(io::stdout().lock(), self.color_stdout)))
    }

    /// `warning: TEXT` on stderr.
    pub fn warning(&self, text: &str) {
        self.message(&Prefix::WARNING, text);
    }

    /// `note: TEXT` on stderr.
    pub fn note(&self, text: &str) {
        self.message(&Prefix::NOTE, text);
    }

    /// `error: TEXT` on stderr, and below it `hint: HINT`.
    pub fn error(&self, text: &str, hint: Option<&str>) {
        self.message(&Prefix::ERROR, text);
        if let Some(hint) = hint {
            self.hint(hint);
        }
    }

    /// `hint: TEXT` on stderr.
    pub fn hint(&self, text: &str) {
        self.message(&Prefix::HINT, text);
    }

    /// `Warning: TEXT` on stderr, as kubectl prints what the API server warns of.
    pub fn server_warning(&self, text: &str) {
        self.message(&Prefix::SERVER_WARNING, text);
    }

    /// A line on stderr that is clean and of its width already.
    pub fn clean_line(&self, text: &str) {
        self.stderr(&format!("{text}\n"));
    }

    /// The same for what a reader's eye should find first.
    pub fn head_line(&self, text: &str) {
        self.styled_line(Style::new().bold(), text);
    }

    /// The same for what can be done.
    pub fn hint_line(&self, text: &str) {
        self.styled_line(AnsiColor::Green.on_default(), text);
    }

    fn styled_line(&self, style: Style, text: &str) {
        if self.color_stderr {
            self.stderr(&format!("{style}{text}{style:#}\n"));
        } else {
            self.clean_line(text);
        }
    }

    /// A count of what is done, on stderr where that is a terminal.
    pub fn progress(&self, total: usize) -> Progress {
        Progress {
            ui: *self,
            total,
            done: 0,
            shown: false,
            on: io::IsTerminal::is_terminal(&io::stderr()) && self.stderr_width.is_some(),
            last: Instant::now(),
        }
    }

    /// A text without prefix on stderr: kubectl's own words, a summary. Newlines stay, all else is escaped.
    pub fn plain(&self, text: &str) {
        let mut text = escape::terminal(text).into_owned();
        if let Some(width) = self.stderr_width {
            text = escape::fold(&text, width, 2);
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.stderr(&text);
    }

    fn message(&self, prefix: &Prefix, text: &str) {
        self.stderr(&prefix.line(text, self.color_stderr, self.stderr_width));
    }

    fn stderr(&self, text: &str) {
        // There is nowhere left to tell that stderr cannot be written to.
        let _ = stream(io::stderr().lock(), self.color_stderr).write_all(text.as_bytes());
    }
}

/// On Windows anstream translates colours for consoles that know no escapes; everywhere else, and without
/// colour, the bytes pass as they are.
fn stream<S: anstream::stream::RawStream>(raw: S, color: bool) -> AutoStream<S> {
    if color {
        AutoStream::always(raw)
    } else {
        AutoStream::always_ansi(raw)
    }
}

/// Columns of a terminal; below 40 nothing is folded any more.
fn width(size: Option<(terminal_size::Width, terminal_size::Height)>) -> Option<usize> {
    size.map(|(terminal_size::Width(columns), _)| usize::from(columns))
        .filter(|columns| *columns >= 40)
}

/// A line that is written anew as the work goes on, and gone when it ends.
pub struct Progress {
    ui: Ui,
    total: usize,
    done: usize,
    shown: bool,
    on: bool,
    last: Instant,
}

/// How often it is written at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

impl Progress {
    /// Takes the line away, so that another one can be written.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            self.ui.stderr("\r\u{1b}[K");
        }
    }

    /// One more is done.
    pub fn advance(&mut self) {
        self.done += 1;
        if !self.on || (self.last.elapsed() < PROGRESS_EVERY && self.done > 1) {
            return;
        }
        self.last = Instant::now();
        self.shown = true;
        self.ui.stderr(&self.line());
    }

    fn line(&self) -> String {
        const WIDTH: usize = 30;
        let full = (self.done * WIDTH)
            .checked_div(self.total)
            .unwrap_or(WIDTH)
            .min(WIDTH);
        format!(
            "\r[{}{}] {} of {}\u{1b}[K",
            "=".repeat(full),
            " ".repeat(WIDTH - full),
            self.done,
            self.total
        )
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

struct Prefix {
    word: &'static str,
    style: Style,
}

impl Prefix {
    const WARNING: Self = Self::new("warning:", AnsiColor::Yellow);
    const SERVER_WARNING: Self = Self::new("Warning:", AnsiColor::Yellow);
    const NOTE: Self = Self::new("note:", AnsiColor::Cyan);
    const ERROR: Self = Self::new("error:", AnsiColor::Red);
    const HINT: Self = Self::new("hint:", AnsiColor::Green);

    const fn new(word: &'static str, color: AnsiColor) -> Self {
        Self {
            word,
            style: color.on_default().bold(),
        }
    }

    /// The message with its newline. Its second and later lines are indented: at the start of a line stands
    /// only what the tool itself says.
    fn line(&self, text: &str, color: bool, width: Option<usize>) -> String {
        let text = escape::terminal(text.trim_end_matches('\n')).replace('\n', "\n  ");
        // The prefix takes its part of the first line.
        let text = match width {
            Some(width) => {
                let whole = escape::fold(&format!("{} {text}", self.word), width, 2);
                whole.get(self.word.len() + 1..).map_or(text, str::to_owned)
            }
            None => text,
        };
        let Self { word, style } = self;
        if color {
            format!("{style}{word}{style:#} {text}\n")
        } else {
            format!("{word} {text}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_prefixed_escaped_and_cannot_pose_as_another_one() {
        assert_eq!(
            Prefix::WARNING.line("license \u{1b}[31m\"x\"\nerror: all is lost\n", false, None),
            "warning: license ^[[31m\"x\"\n  error: all is lost\n"
        );
        assert_eq!(
            Prefix::ERROR.line("no template", true, None),
            "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m no template\n"
        );
    }

    #[test]
    fn colour_is_as_the_user_chose() {
        assert!(Ui::new(ColorChoice::Always).color_stdout());
        assert!(!Ui::new(ColorChoice::Never).color_stdout());
    }

    #[test]
    fn a_reader_that_went_away_is_told_apart_from_a_failure() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut output = Output::new(Box::new(writer));
        output.text("held back").unwrap();
        assert!(matches!(output.finish(), Err(OutputError::Closed)));

        let mut output = Output::new(Box::new(io::pipe().map(|(_, writer)| writer).unwrap()));
        let error = output.text(&"x".repeat(1 << 20)).unwrap_err();
        assert!(matches!(error, OutputError::Closed));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_that_says_so() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut output = Output::new(Box::new(full));
        output.text("text").unwrap();
        let error = output.finish().unwrap_err();
        assert!(matches!(error, OutputError::Failed(_)));
        assert!(
            error
                .to_string()
                .starts_with("cannot write to the standard output (")
        );
    }

    #[test]
    fn what_is_written_arrives_whole_and_in_order() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut output = Output::new(Box::new(writer));
        output.text("a: 1\n").unwrap();
        writeln!(output, "b: {}", 2).unwrap();
        output.finish().unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert_eq!(text, "a: 1\nb: 2\n");
    }
}
