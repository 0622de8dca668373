//! Says in one line what clap says in a paragraph: what was wrong with the arguments, and what is accepted.

use std::error::Error;
use std::fmt::Write;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// One line about `error`, which came from parsing this process's arguments with `root`.
pub(crate) fn explain(error: &clap::Error, root: Command) -> String {
    let command = named_command(root, std::env::args_os().skip(1).filter_map(|a| a.into_string().ok()));
    let arg = text(error, ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let mut line = format!("unknown argument {}; {}", quoted(&arg), options(&command));
            let hint = text(error, ContextKind::SuggestedArg);
            if !hint.is_empty() {
                let _ = write!(line, " (did you mean {hint}?)");
            }
            line
        }
        ErrorKind::InvalidSubcommand => {
            let name = text(error, ContextKind::InvalidSubcommand);
            format!("unknown command {}; {}", quoted(&name), commands(&command))
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("no command given; {}; gort --help has examples", commands(&command))
        }
        ErrorKind::ValueValidation => {
            let value = text(error, ContextKind::InvalidValue);
            let why = error.source().map_or_else(|| "not accepted".to_owned(), ToString::to_string);
            format!("{} {} is {why}", option_name(&arg), quoted(&value))
        }
        ErrorKind::InvalidValue => {
            let value = text(error, ContextKind::InvalidValue);
            match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(all)) if !value.is_empty() => {
                    format!("{} {} is not one of {}", option_name(&arg), quoted(&value), all.join(", "))
                }
                _ => format!("{} needs a value", option_name(&arg)),
            }
        }
        ErrorKind::TooManyValues => format!("{} takes no value", option_name(&arg)),
        ErrorKind::MissingRequiredArgument => format!("{} is needed as well", option_name(&arg)),
        ErrorKind::ArgumentConflict => {
            let other = text(error, ContextKind::PriorArg);
            if option_name(&arg) == option_name(&other) {
                return format!("{} may be given once", option_name(&arg));
            }
            format!("{} and {} exclude each other", option_name(&arg), option_name(&other))
        }
        _ => {
            let paragraph = error.to_string();
            let line = paragraph.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    }
}

/// The command that the arguments name, or the root.
fn named_command(root: Command, args: impl Iterator<Item = String>) -> Command {
    let mut full = root;
    full.build();
    for arg in args {
        if let Some(sub) = full.find_subcommand(&arg) {
            return sub.clone();
        }
    }
    full
}

fn text(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(s)) => s.clone(),
        Some(ContextValue::Strings(all)) => all.first().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// `--len` of `--len <N>`, of `--len=<N>` and of `--len[=<N>]`.
fn option_name(arg: &str) -> &str {
    arg.split([' ', '=', '[']).next().unwrap_or(arg)
}

/// In quotes, and on one line whatever it is.
fn quoted(s: &str) -> String {
    format!("'{}'", s.escape_debug())
}

fn options(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or("gort");
    let all: Vec<String> =
        command.get_arguments().filter_map(|a| Some(format!("--{}", a.get_long()?))).collect();
    format!("{name} takes {}", all.join(", "))
}

fn commands(command: &Command) -> String {
    let all: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    format!("commands are {}", all.join(", "))
}
