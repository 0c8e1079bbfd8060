//! Loads the config as the daemon and the commands use it: in addition to the checks of `config`,
//! templates are rendered with sample events.

use crate::config::config_file_trust::ConfigFile;
use crate::config::environment::Environment;
use crate::config::error::{ConfigError, Problem};
use crate::config::file;
use crate::config::settings::{
    ChannelKind, ChannelSettings, FormatSettings, Settings, TemplateSettings,
};
use crate::domain::event::EventKind;
use crate::notify::format::samples;
use crate::notify::format::template::{Template, TemplateError};

/// Reads the config and its drop-ins, and renders every template with a sample of each event that
/// its channel receives.
///
/// # Errors
/// When the config cannot be read; otherwise with all of its problems.
pub fn load(config: &ConfigFile, environment: &Environment) -> Result<Settings, ConfigError> {
    let settings = file::load(config, environment)?;
    let problems: Vec<Problem> = settings.channels.values().flat_map(problems).collect();
    if problems.is_empty() { Ok(settings) } else { Err(ConfigError::Problems(problems)) }
}

pub(crate) fn template(settings: &TemplateSettings) -> Template {
    Template { tree: settings.tree.clone(), content_type: settings.content_type.clone() }
}

fn problems(channel: &ChannelSettings) -> Vec<Problem> {
    let ChannelKind::Webhook(webhook) = &channel.kind else { return Vec::new() };
    let FormatSettings::Template(settings) = &webhook.format else { return Vec::new() };
    let is_notified = |kind: EventKind| {
        let operational = channel.operator && EventKind::OPERATIONAL.contains(&kind);
        kind == EventKind::TestPing || operational || channel.events.contains(&kind)
    };
    let events: Vec<_> =
        samples::all().into_iter().filter(|event| is_notified(event.kind)).collect();
    let problem = |fault: TemplateError| Problem {
        file: settings.location.file.to_path_buf(),
        line: Some(settings.lines.get(&fault.path).copied().unwrap_or(settings.location.line)),
        key: format!("channels.{}.template{}", channel.name, fault.path),
        message: fault.message,
        help: Some(HELP.to_owned()),
        unreadable: false,
    };
    template(settings).check(&events).into_iter().map(problem).collect()
}

const HELP: &str = "docs/formats.md lists the fields of a template; use \
    `{{ x if x is defined else none }}` for a field that may be missing";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(channel: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let head = "argil.api_key = 'key'\n[channels.ops]\ntype = 'webhook'\n\
                    url = 'https://example.com'\nformat = 'template'\n";
        std::fs::write(&path, format!("{head}{channel}")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        let problems = match load(&ConfigFile::named(&path), &Environment::default()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        let problems = problems.replace(path.to_str().unwrap(), "config.toml");
        assert_eq!(problems.replace(&format!("\n  help: {HELP}"), ""), expected, "for {channel}");
    }

    #[test]
    fn templates_are_checked_when_the_config_is_read() {
        check("template = { a = '{{ title }}', b = '{{ data }}' }", "");
        check(
            "[channels.ops.template]\na = '{{ headlin }}'\nb = [1,\n '{{ nope( }}']\n",
            "config.toml:7: `channels.ops.template.a` uses an undefined name, for `avatar.ready`\n\
             config.toml:9: `channels.ops.template.b[1]` cannot be rendered: syntax error: \
             unexpected `}`",
        );
    }

    #[test]
    fn a_template_is_checked_with_the_events_of_its_channel() {
        let only_transitions =
            "template = { a = '{{ data.status if type != \"test.ping\" else none }}' }";
        check(only_transitions, "");
        check(
            &format!("operator = true\n{only_transitions}"),
            "config.toml:7: `channels.ops.template.a` uses an undefined name, for \
             `account.unavailable`",
        );
        check(
            "template = '{{ data.status }}'",
            "config.toml:6: `channels.ops.template` uses an undefined name, for `test.ping`",
        );
    }
}
