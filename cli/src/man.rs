//! `man`: writes the manual pages, from the same description as the help.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Command;

use crate::exit::{CANNOT_CREATE, Failure};

/// The parts of the help that are sections in a manual page.
const SECTIONS: [&str; 3] = ["Exit status", "Environment", "Columns"];

/// Write the manual pages
///
/// Without --to, one page to standard output: `shmlock man run | man -l -`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The verb of the page [default: the page of the whole program]
    verb: Option<String>,

    /// Write all pages into this directory, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    to: Option<PathBuf>,
}

impl Args {
    pub(crate) fn perform(&self, program: Command) -> Result<u8, Failure> {
        let mut all = program.disable_help_subcommand(true);
        all.build(); // also names the verbs "shmlock-run" and so on
        let mut pages = vec![("shmlock", all.clone())];
        pages.extend(all.get_subcommands().map(|verb| (verb.get_name(), verb.clone())));
        if let Some(directory) = &self.to {
            for (_, command) in pages {
                let path = directory.join(format!("{}.1", full_name(&command)));
                std::fs::write(&path, page(command)?).map_err(|error| {
                    let line =
                        format!("cannot write {}: {error}; check the directory", path.display());
                    Failure::new(CANNOT_CREATE, line)
                })?;
            }
            return Ok(0);
        }
        let wanted = self.verb.as_deref().unwrap_or("shmlock");
        let Some((_, command)) = pages.into_iter().find(|(name, _)| *name == wanted) else {
            return Err(Failure::usage(format!(
                "there is no verb {wanted:?}; `shmlock --help` lists them"
            )));
        };
        stdout().write_all(&page(command)?)?;
        Ok(0)
    }
}

fn full_name(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

fn page(mut command: Command) -> std::io::Result<Vec<u8>> {
    let (title, usage) = (full_name(&command), command.render_usage().to_string());
    let mut text = Vec::new();
    let version = concat!("shmlock ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(with_other_names(command))
        .title(title)
        .source(version)
        .render(&mut text)?;
    Ok(in_sections(&with_usage(&String::from_utf8_lossy(&text), &usage)).into_bytes())
}

/// Adds the other names of an option to its description, as in the help; `clap_mangen` omits them.
fn with_other_names(command: Command) -> Command {
    command.mut_args(|arg| {
        let names = arg.get_visible_aliases().unwrap_or_default().join(", --");
        match arg.get_help().map(|help| format!("{help}; also --{names}")) {
            Some(help) if !names.is_empty() => arg.help(help),
            _ => arg,
        }
    })
}

/// Replaces the synopsis by the usage of the help. `clap_mangen` omits a second form of the command
/// line and the values of options. man(7).
fn with_usage(page: &str, usage: &str) -> String {
    const TITLE: &str = ".SH SYNOPSIS\n";
    let Some((before, synopsis)) = page.split_once(TITLE) else { return page.to_owned() };
    let after = synopsis.find(".SH ").map_or("", |end| &synopsis[end..]);
    let lines: Vec<_> = usage.trim_start_matches("Usage:").lines().map(str::trim).collect();
    format!("{before}{TITLE}.nf\n{}\n.fi\n{after}", lines.join("\n").replace('-', "\\-"))
}

/// Makes sections of the text after the options, and lists of its lists. man(7).
fn in_sections(page: &str) -> String {
    let Some((before, extra)) = page.split_once(".SH EXTRA\n") else { return page.to_owned() };
    let mut sections = String::from(before);
    if !SECTIONS.iter().any(|title| extra.starts_with(title)) {
        sections.push_str(".SH NOTES\n");
    }
    for line in extra.lines() {
        let section = SECTIONS.iter().find(|title| line.strip_suffix(':') == Some(title));
        let item = line.strip_prefix("  ").and_then(|item| item.split_once("  "));
        match (section, item) {
            (Some(title), _) => sections.extend([".SH \"", &title.to_uppercase(), "\"\n"]),
            // A continuation of the line before.
            (None, Some((tag, text))) if tag.trim().is_empty() => {
                sections.extend([text.trim(), "\n"]);
            }
            (None, Some((tag, text))) => sections.extend([".TP\n", tag, "\n", text.trim(), "\n"]),
            (None, None) => sections.extend([line, "\n"]),
        }
    }
    sections
}
