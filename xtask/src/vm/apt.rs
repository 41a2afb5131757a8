//! Packages of any Debian suite, without root and without a trace in the machine's own apt:
//! suites and package names in, .deb files out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::files;
use crate::shell::{cmd, output};

const SOURCES: &str = "/etc/apt/sources.list.d/debian.sources";

/// Which packages apt takes for installed when it looks for what is missing.
pub enum Installed {
    Nothing,
    OfThisMachine,
}

/// An apt with sources, lists and cache of its own in one folder.
pub struct Apt {
    folder: PathBuf,
}

/// Where this machine gets Debian from.
#[derive(Debug, PartialEq)]
struct Mirrors {
    main: String,
    security: Option<String>,
    keyring: String,
}

pub fn unavailable() -> Option<String> {
    if !Path::new(SOURCES).exists() {
        return Some(format!("not a Debian with `{SOURCES}`"));
    }
    ["apt-get", "dpkg-deb"]
        .into_iter()
        .find(|tool| cmd(tool, ["--version"]).output().is_err())
        .map(|tool| format!("`{tool}` is not installed"))
}

impl Apt {
    /// Sets up an apt for `suites` (a name that ends in `-security` comes from that archive) and
    /// fetches their package lists.
    pub fn new(folder: PathBuf, suites: &[String], installed: Installed) -> Result<Self> {
        let text = fs::read_to_string(SOURCES).with_context(|| format!("read `{SOURCES}`"))?;
        let mirrors = mirrors(&text).with_context(|| format!("`{SOURCES}` names no mirror"))?;
        for below in ["lists/partial", "cache/archives/partial", "debs"] {
            files::make_folder(&folder.join(below))?;
        }
        let mut list = String::new();
        for suite in suites {
            let uri = match (suite.ends_with("-security"), &mirrors.security) {
                (false, _) => &mirrors.main,
                (true, Some(security)) => security,
                (true, None) => continue,
            };
            list += &format!("deb [target=Packages signed-by={}] {uri} {suite} main\n", mirrors.keyring);
        }
        files::write(&folder.join("sources.list"), list.as_bytes())?;
        files::write(&folder.join("nothing"), b"")?;
        let here = folder.display();
        let status = match installed {
            Installed::Nothing => format!("{here}/nothing"),
            Installed::OfThisMachine => "/var/lib/dpkg/status".into(),
        };
        let conf = format!(
            "Dir::Etc::SourceList \"{here}/sources.list\";\n\
             Dir::Etc::SourceParts \"-\";\n\
             Dir::Etc::Preferences \"-\";\n\
             Dir::Etc::PreferencesParts \"-\";\n\
             Dir::State \"{here}\";\n\
             Dir::State::Status \"{status}\";\n\
             Dir::Cache \"{here}/cache\";\n\
             APT::Architecture \"amd64\";\n\
             APT::Architectures {{ \"amd64\"; }};\n\
             APT::Sandbox::User \"\";\n\
             APT::Install-Recommends \"false\";\n\
             Acquire::Retries \"3\";\n\
             Debug::NoLocking \"true\";\n"
        );
        files::write(&folder.join("apt.conf"), conf.as_bytes())?;
        let apt = Self { folder };
        output(&mut apt.command("apt-get", &["-qq", "update"]))?;
        Ok(apt)
    }

    /// One field of the newest version of `package`.
    pub fn field(&self, package: &str, field: &str) -> Result<String> {
        let said = output(&mut self.command("apt-cache", &["show", "--no-all-versions", package]))?;
        let value = said.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
        value.map(str::to_owned).ok_or_else(|| anyhow!("`{package}` has no field `{field}`"))
    }

    /// Downloads exactly these packages.
    pub fn download(&self, packages: &[String]) -> Result<Vec<PathBuf>> {
        let debs = self.folder.join("debs");
        let mut command = self.command("apt-get", &["-qq", "download"]);
        output(command.args(packages).current_dir(&debs))?;
        debs_in(&debs)
    }

    /// Downloads `package` from `suite`, installed or not, and everything it needs that is not installed.
    pub fn download_with_needs(&self, package: &str, suite: &str) -> Result<Vec<PathBuf>> {
        let args = ["-qq", "-y", "--download-only", "--reinstall", "-t", suite, "install", package];
        output(&mut self.command("apt-get", &args))?;
        debs_in(&self.folder.join("cache/archives"))
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = cmd(program, args);
        command.env("APT_CONFIG", self.folder.join("apt.conf")).env("LC_ALL", "C");
        command
    }
}

fn debs_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut debs = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read `{}`", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            debs.push(path);
        }
    }
    Ok(debs)
}

/// Reads deb822: stanzas of `Field: value` lines with blank lines between them.
fn mirrors(text: &str) -> Option<Mirrors> {
    let (mut main, mut security) = (None, None);
    for stanza in text.split("\n\n") {
        let field = |name| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let (Some(uris), Some(suites)) = (field("URIs"), field("Suites")) else {
            continue;
        };
        let uri = uris.split_whitespace().next()?.to_owned();
        let keyring = field("Signed-By").unwrap_or("/usr/share/keyrings/debian-archive-keyring.gpg");
        if suites.split_whitespace().all(|suite| suite.ends_with("-security")) {
            security.get_or_insert(uri);
        } else {
            main.get_or_insert((uri, keyring.to_owned()));
        }
    }
    let (main, keyring) = main?;
    Some(Mirrors { main, security, keyring })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_come_from_the_stanzas_of_the_machine() {
        let text = "Types: deb\n# a comment\nURIs: http://one.test/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /a.gpg\n\n\
                    Types: deb\nURIs: http://two.test/sec\nSuites: bookworm-security\n";
        let expected = Mirrors {
            main: "http://one.test/debian".into(),
            security: Some("http://two.test/sec".into()),
            keyring: "/a.gpg".into(),
        };
        assert_eq!(mirrors(text), Some(expected));
    }

    #[test]
    fn mirrors_without_a_main_suite_are_none() {
        assert_eq!(mirrors("Types: deb\nURIs: http://two.test\nSuites: x-security\n"), None);
        assert_eq!(mirrors(""), None);
    }
}
