//! `avatar-watch man`: manual pages, generated from the help of the command line and from the
//! example config. `clap_mangen` and `roff` are used only here.

use std::fs;
use std::io;
use std::path::Path;

use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::cli::args::{self, ManArgs};
use crate::cli::exit::Exit;
use crate::cli::output::{failed, line, print, print_error};
use crate::files::write;

struct Page {
    /// Such as `avatar-watch-run`.
    name: String,
    /// The section of the manual.
    section: &'static str,
    /// The text in roff.
    text: String,
}

pub(crate) fn man(args: &ManArgs) -> Exit {
    let pages = match pages() {
        Ok(pages) => pages,
        Err(error) => return failed(&error, Exit::Disk),
    };
    if let Some(folder) = &args.out {
        return match write(&pages, folder) {
            Ok(()) => Exit::Ok,
            Err(error) => {
                let folder = folder.display();
                print_error(&format!("avatar-watch: cannot write into `{folder}`: {error}"));
                Exit::Failed
            }
        };
    }
    if args.list {
        pages.iter().for_each(|page| line(&page.name));
        return Exit::Ok;
    }
    let name = args.page.as_deref().unwrap_or(MAIN_PAGE);
    match pages.iter().find(|page| page.name == name) {
        Some(page) => {
            print(&page.text);
            Exit::Ok
        }
        None => {
            print_error(&format!(
                "avatar-watch: no manual page `{name}`\n  \
                 help: `avatar-watch man --list` lists all"
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

/// One page per command, and one for the config.
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
    page.text([roman("avatar-watch.toml - configuration file of avatar-watch")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "A TOML file. It is applied as a whole or not at all: with an unknown key or an invalid \
         value the daemon does not start, and a running daemon keeps its active config. \
         `avatar-watch check` prints every problem with its line. SIGHUP makes the daemon reload \
         the file.",
    )]);
    page.control("SH", ["KEYS"]);
    page.text([roman("Lines that begin with `#` show optional keys with their default values.")]);
    page.control("EX", [""; 0]);
    for line in EXAMPLE.lines() {
        page.text([roman(line)]);
    }
    page.control("EE", [""; 0]);
    page.control("SH", ["FILES"]);
    for (path, description) in PATHS {
        page.control("TP", [""; 0]);
        page.text([bold(path)]);
        page.text([roman(description)]);
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
const PATHS: [(&str, &str); 4] = [
    (
        "./avatar-watch.toml",
        "Default config, unless --config or AVATAR_WATCH_CONFIG names another. The file and its \
         folder must belong to you or to root and must not be writable for others; the same \
         applies to all files that a config names.",
    ),
    (
        "/etc/avatar-watch/config.toml",
        "Config of the service; used if ./avatar-watch.toml does not exist.",
    ),
    ("avatars.d/*.toml", "Further avatars, beside the config."),
    ("/etc/avatar-watch/credentials/", "Secrets that systemd passes to the service."),
];
