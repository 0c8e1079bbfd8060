//! `avatar-watch man`: the manual pages, made from the command line's own help and from the example
//! config, so that neither can say something else. The one home of `clap_mangen` and `roff`.

use std::fs;
use std::io;
use std::path::Path;

use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::cli::args::{self, ManArgs};
use crate::cli::exit::Exit;
use crate::cli::output::{line, print, print_error, print_failure};
use crate::files::write;

/// One page.
struct Page {
    /// Such as `avatar-watch-run`.
    name: String,
    /// Of the manual.
    section: &'static str,
    /// In roff.
    text: String,
}

/// Prints a page, or writes all of them into a folder.
pub fn man(args: &ManArgs) -> Exit {
    let pages = match pages() {
        Ok(pages) => pages,
        Err(error) => {
            print_failure(&error);
            return Exit::Disk;
        }
    };
    if let Some(folder) = &args.out {
        return match write(&pages, folder) {
            Ok(()) => Exit::Good,
            Err(error) => {
                let folder = folder.display();
                print_error(&format!("avatar-watch: cannot write into `{folder}`: {error}"));
                Exit::Bad
            }
        };
    }
    if args.list {
        pages.iter().for_each(|page| line(&page.name));
        return Exit::Good;
    }
    let name = args.page.as_deref().unwrap_or(MAIN_PAGE);
    match pages.iter().find(|page| page.name == name) {
        Some(page) => {
            print(&page.text);
            Exit::Good
        }
        None => {
            print_error(&format!(
                "avatar-watch: no page has the name `{name}`\n  \
                 help: `avatar-watch man --list` names all"
            ));
            Exit::Problems
        }
    }
}

fn write(pages: &[Page], folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    pages.iter().try_for_each(|page| {
        let path = folder.join(format!("{}.{}", page.name, page.section));
        write::replace(&path, page.text.as_bytes(), write::PUBLIC)
    })
}

/// A page for each command, and one for the config.
fn pages() -> io::Result<Vec<Page>> {
    let mut grammar = args::command().disable_help_subcommand(true);
    grammar.build();
    let mut waiting = vec![grammar];
    let mut pages = Vec::new();
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().cloned());
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        let mut text = Vec::new();
        Man::new(command).section(COMMANDS).source(SOURCE).manual(MANUAL).render(&mut text)?;
        let see_also = see_also(if name == MAIN_PAGE { CONFIG } else { MAIN });
        let text = format!("{}{}", String::from_utf8_lossy(&text), see_also.to_roff());
        pages.push(Page { name, section: COMMANDS, text });
    }
    pages.push(config_page());
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pages)
}

fn config_page() -> Page {
    let mut page = Roff::new();
    page.control("TH", [CONFIG_PAGE, FILES, "", SOURCE, MANUAL]);
    page.control("SH", ["NAME"]);
    page.text([roman("avatar-watch.toml - what avatar-watch watches, and whom it tells")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "A TOML file, read whole or not at all: a key that is unknown or a value that is wrong \
         keeps the daemon from starting, and a running one from taking it. `avatar-watch check` \
         names every problem with its line. The daemon reads it again on SIGHUP.",
    )]);
    page.control("SH", ["EVERY KEY"]);
    page.text([roman("What stands behind a `#` in the first column is what holds without it.")]);
    page.control("EX", [""; 0]);
    for line in EXAMPLE.lines() {
        page.text([roman(line)]);
    }
    page.control("EE", [""; 0]);
    page.control("SH", ["FILES"]);
    for (path, words) in PLACES {
        page.control("TP", [""; 0]);
        page.text([bold(path)]);
        page.text([roman(words)]);
    }
    let text = format!("{}{}", page.render(), see_also(MAIN).to_roff());
    Page { name: CONFIG_PAGE.to_owned(), section: FILES, text }
}

fn see_also((name, section): (&str, &str)) -> Roff {
    let mut end = Roff::new();
    end.control("SH", ["SEE ALSO"]);
    end.text([bold(name), roman(format!("({section})"))]);
    end
}

const EXAMPLE: &str = include_str!("../../../config.example.toml");
const MAIN_PAGE: &str = "avatar-watch";
const CONFIG_PAGE: &str = "avatar-watch.toml";
const COMMANDS: &str = "8";
const FILES: &str = "5";
const MAIN: (&str, &str) = (MAIN_PAGE, COMMANDS);
const CONFIG: (&str, &str) = (CONFIG_PAGE, FILES);
const SOURCE: &str = concat!("avatar-watch ", env!("CARGO_PKG_VERSION"));
const MANUAL: &str = "avatar-watch";
const PLACES: [(&str, &str); 4] = [
    (
        "./avatar-watch.toml",
        "read when neither --config nor AVATAR_WATCH_CONFIG names another. It and its folder have \
         to belong to you or to root, and others may not write to them; all that a config names is \
         held to the same.",
    ),
    ("/etc/avatar-watch/config.toml", "read when that is not there; the service's."),
    ("avatars.d/*.toml", "beside the config: further avatars."),
    ("/etc/avatar-watch/credentials/", "the secrets that systemd hands to the service."),
];
