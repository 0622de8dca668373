//! How a command fails: one line on stderr and an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

/// Exit code for bad input.
pub(crate) const BAD_INPUT: u8 = 2;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for makes no sense or cannot be had here. Exit code 2.
    BadInput(String),
    /// A check failed. Exit code 1.
    Failed(String),
    /// A program could not be started. The exit code is what a shell gives.
    Command { message: String, code: u8 },
    /// Standard output could not be written. Exit code 1; but 0 when the reader has closed it, who has what he wanted.
    Output(io::Error),
}

/// A [`Failure::BadInput`]; `message` names what was wrong and what is accepted.
pub(crate) fn bad_input(message: impl Into<String>) -> Failure {
    Failure::BadInput(message.into())
}

/// A [`Failure::Failed`].
pub(crate) fn failed(message: impl Into<String>) -> Failure {
    Failure::Failed(message.into())
}

/// What went wrong, without the number that std adds.
pub(crate) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self::Output(e)
    }
}

impl Failure {
    /// Writes the line and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (message, code) = match self {
            Self::BadInput(message) => (message, BAD_INPUT),
            Self::Failed(message) => (message, 1),
            Self::Command { message, code } => (message, code),
            Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Output(e) => (format!("cannot write to standard output: {e}"), 1),
        };
        // `eprintln!` panics when stderr is closed.
        let _ = writeln!(io::stderr(), "gort: {message}");
        ExitCode::from(code)
    }
}
