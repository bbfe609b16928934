//! The shape of the workspace: who may depend on whom, what stands where, what is called what.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use chat_system::program::workspace;

/// The crates that bring I/O or a driver, which the domain does without.
const DRIVERS: [&str; 20] = [
    "anyhow",
    "axum",
    "clap",
    "deadpool",
    "elasticsearch",
    "fred",
    "hyper",
    "hyper-util",
    "lapin",
    "mysql_async",
    "poem",
    "poem-openapi",
    "redis",
    "reqwest",
    "rusqlite",
    "sqlx",
    "tantivy",
    "tokio-postgres",
    "tracing-subscriber",
    "ureq",
];

/// The names that the root may show; all but `docker-compose.yml` must be there.
const SHOWN: [&str; 8] = [
    "Cargo.toml",
    "README.md",
    "adapters",
    "bins",
    "chat-core",
    "docker-compose.yml",
    "migrations",
    "tests",
];

/// Modules of these names gather what belongs nowhere.
const EMPTY_NAMES: [&str; 7] = [
    "common", "helper", "helpers", "misc", "types", "util", "utils",
];

/// The lines that a file may have.
const LINES: usize = 500;

#[test]
fn the_domain_knows_no_other_crate_of_the_workspace_and_no_driver() -> Result<()> {
    let metadata = metadata()?;
    let core = package(&metadata, "chat-core")?;
    let own = dependencies_in_workspace(&metadata, core);
    assert!(own.is_empty(), "chat-core depends on {own:?}");
    let drivers: Vec<&str> = core
        .dependencies
        .iter()
        .map(|dependency| dependency.name.as_str())
        .filter(|name| DRIVERS.contains(name))
        .collect();
    assert!(drivers.is_empty(), "chat-core depends on {drivers:?}");
    Ok(())
}

#[test]
fn only_the_runtime_knows_adapters_and_adapters_know_the_domain_alone() -> Result<()> {
    let metadata = metadata()?;
    for package in metadata.workspace_packages() {
        let allowed: &[&str] = match package.name.as_str() {
            "chat-runtime" => continue,
            name if is_adapter(name) => &["chat-core"],
            "chat-api" | "chat-worker" | "chat-sync" => &["chat-core", "chat-runtime"],
            // Its tests compute the expected matches by the domain's own rules.
            "chat-system" => &["chat-core"],
            _ => &[],
        };
        for name in dependencies_in_workspace(&metadata, package) {
            assert!(
                allowed.contains(&name),
                "{} depends on {name}",
                package.name
            );
        }
    }
    let runtime = package(&metadata, "chat-runtime")?;
    for name in dependencies_in_workspace(&metadata, runtime) {
        assert!(
            name == "chat-core" || is_adapter(name),
            "chat-runtime depends on {name}"
        );
    }
    Ok(())
}

#[test]
fn an_adapter_is_named_after_its_folder() -> Result<()> {
    for package in metadata()?.workspace_packages() {
        let folder = package
            .manifest_path
            .parent()
            .context("a manifest lies in a folder")?;
        let above = folder.parent().and_then(|above| above.file_name());
        let name = folder.file_name().unwrap_or_default();
        match above {
            Some("adapters") => assert_eq!(*package.name, format!("chat-adapter-{name}")),
            Some("bins") => assert_eq!(*package.name, format!("chat-{name}")),
            _ => assert!(
                !is_adapter(&package.name),
                "{} lies in `{folder}`",
                package.name
            ),
        }
    }
    Ok(())
}

#[test]
fn the_root_shows_a_fixed_set_of_names() -> Result<()> {
    let names: BTreeSet<String> = files()?
        .iter()
        .filter_map(|file| file.iter().next())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    for name in &names {
        let is_known = SHOWN.contains(&name.as_str())
            || name == "Cargo.lock"
            || name.starts_with("LICENSE")
            || name.starts_with('.');
        assert!(is_known, "the root shows `{name}`");
    }
    for name in SHOWN.iter().filter(|name| **name != "docker-compose.yml") {
        assert!(names.contains(*name), "the root lacks `{name}`");
    }
    Ok(())
}

#[test]
fn no_module_has_an_empty_name() -> Result<()> {
    for file in rust_files()? {
        for part in &file.with_extension("") {
            let part = part.to_string_lossy();
            assert!(
                !EMPTY_NAMES.contains(&part.as_ref()),
                "`{}` says nothing",
                file.display()
            );
        }
        for line in read(&file)?.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some(at) = words.iter().position(|word| *word == "mod") else {
                continue;
            };
            let name = words
                .get(at + 1)
                .map_or("", |name| name.trim_end_matches([';', '{']));
            assert!(
                !EMPTY_NAMES.contains(&name),
                "`mod {name}` in `{}`",
                file.display()
            );
        }
    }
    Ok(())
}

#[test]
fn no_file_is_too_long_to_read() -> Result<()> {
    for file in rust_files()? {
        let lines = read(&file)?.lines().count();
        assert!(
            lines <= LINES,
            "`{}` has {lines} lines, at most {LINES} are read",
            file.display()
        );
    }
    Ok(())
}

/// `tests/run without-corpus` leaves out files by their names.
#[test]
fn the_corpus_is_loaded_only_by_the_files_that_say_so() -> Result<()> {
    let run = read(Path::new("tests/run"))?;
    let listed = run
        .lines()
        .find_map(|line| line.strip_prefix("corpus_tests=(")?.strip_suffix(')'))
        .context("tests/run lists the files that load the corpus")?;
    let listed: BTreeSet<String> = listed.split(' ').map(str::to_owned).collect();
    let mut loading = BTreeSet::new();
    for file in rust_files_below("tests/system/tests")? {
        // A live set loads it, too.
        let text = read(&file)?;
        let loads = ["Corpus::file()", "LiveSet::"]
            .iter()
            .any(|it| text.contains(it));
        if loads && !file.ends_with("tidy.rs") {
            let own = file.strip_prefix("tests/system/tests")?;
            let name = own.iter().next().map(Path::new).and_then(Path::file_stem);
            loading.insert(name.unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    assert_eq!(listed, loading);
    Ok(())
}

#[test]
fn each_law_of_a_port_is_a_test_of_the_contract_and_the_other_way_round() -> Result<()> {
    let mut laws = BTreeSet::new();
    for file in rust_files_below("chat-core/src/ports")? {
        for law in listed_laws(&read(&file)?) {
            assert!(laws.insert(law.clone()), "`{law}` is listed twice");
        }
    }
    assert!(!laws.is_empty(), "no port has a contract");
    let mut tests = BTreeSet::new();
    for file in rust_files_below("chat-core/src/contract")? {
        tests.extend(public_async_functions(&read(&file)?));
    }
    let untested: Vec<&String> = laws.difference(&tests).collect();
    assert!(untested.is_empty(), "laws without a test: {untested:?}");
    let unwritten: Vec<&String> = tests.difference(&laws).collect();
    assert!(unwritten.is_empty(), "tests without a law: {unwritten:?}");
    Ok(())
}

#[test]
fn links_lead_to_files_that_exist() -> Result<()> {
    for page in ["README.md", "migrations/README.md"] {
        let page = Path::new(page);
        let folder = workspace().join(page.parent().unwrap_or(Path::new("")));
        for link in relative_links(&read(page)?) {
            assert!(
                folder.join(&link).exists(),
                "`{}` links to `{link}`",
                page.display()
            );
        }
    }
    Ok(())
}

#[test]
fn no_test_that_can_run_on_every_set_is_left_out_there() -> Result<()> {
    let runner = read(Path::new(".config/nextest.toml"))?;
    let left_out: BTreeSet<&str> = runner
        .split("- binary(")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .collect();
    let folder = Path::new("tests/system/tests");
    let mut everywhere = BTreeSet::new();
    let mut all = BTreeSet::new();
    for file in rust_files_below("tests/system/tests")? {
        let name = file.strip_prefix(folder)?.with_extension("");
        let name = name.iter().next().context("a file has a name")?;
        let name = name.to_string_lossy().into_owned();
        // This call opens a system on the set that `CHAT_E2E` names.
        if read(&file)?.contains(concat!("Stage::", "open")) {
            everywhere.insert(name.clone());
        }
        all.insert(name);
    }
    for name in left_out {
        assert!(all.contains(name), "there are no tests of `{name}`");
        assert!(
            !everywhere.contains(name),
            "`{name}` has tests for every set, and is left out"
        );
    }
    Ok(())
}

#[test]
fn laws_are_found_in_the_contract_list_alone() {
    let port = "/// 1. `not_a_law`: before.\n/// # Contract\n///\n/// 1. `one`: a\n///    b `c`\n\
                /// 12. `two`: d\n/// # Errors\n/// 1. `neither`: e\ntrait X {}\n/// 3. `nor`: f\n";
    assert_eq!(listed_laws(port), ["one", "two"]);
    let contract = "pub async fn one(port: P) {\nasync fn private() {}\n    pub async fn method(&self)\n\
                    pub async fn two<T>(";
    assert_eq!(public_async_functions(contract), ["one", "two"]);
    let text = "[a](b.md#c) [d](https://e) [f](#g) ![h](i/j.png \"k\")";
    assert_eq!(relative_links(text), ["b.md", "i/j.png"]);
}

fn metadata() -> Result<Metadata> {
    MetadataCommand::new()
        .manifest_path(workspace().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("reading the workspace's metadata")
}

fn package<'a>(metadata: &'a Metadata, name: &str) -> Result<&'a Package> {
    let mut packages = metadata.workspace_packages().into_iter();
    packages
        .find(|package| *package.name == name)
        .with_context(|| format!("no package `{name}`"))
}

fn is_adapter(name: &str) -> bool {
    name.starts_with("chat-adapter-")
}

/// Returns the other crates of the workspace that `package` depends on, for whatever purpose.
fn dependencies_in_workspace<'a>(metadata: &Metadata, package: &'a Package) -> BTreeSet<&'a str> {
    let members: BTreeSet<String> = metadata
        .workspace_packages()
        .into_iter()
        .map(|member| member.name.to_string())
        .collect();
    package
        .dependencies
        .iter()
        .map(|dependency| dependency.name.as_str())
        .filter(|name| members.contains(*name) && *name != *package.name)
        .collect()
}

/// Returns the files that git tracks or does not ignore, relative to the root.
fn files() -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(workspace())
        .output()
        .context("asking git for the files")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = String::from_utf8(output.stdout).context("a file's name is no UTF-8")?;
    let files = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from);
    // A file whose deletion is not committed yet is still listed.
    Ok(files
        .filter(|file| workspace().join(file).exists())
        .collect())
}

fn rust_files() -> Result<Vec<PathBuf>> {
    let is_rust = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "rs");
    Ok(files()?.into_iter().filter(is_rust).collect())
}

fn rust_files_below(folder: &str) -> Result<Vec<PathBuf>> {
    Ok(rust_files()?
        .into_iter()
        .filter(|file| file.starts_with(folder))
        .collect())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(workspace().join(file))
        .with_context(|| format!("reading `{}`", file.display()))
}

/// Returns the names in the numbered list of each `# Contract` section.
fn listed_laws(source: &str) -> Vec<String> {
    let mut laws = Vec::new();
    let mut in_contract = false;
    for line in source.lines().map(str::trim_start) {
        let Some(text) = line.strip_prefix("///") else {
            in_contract = false;
            continue;
        };
        let text = text.trim_start();
        if text.starts_with('#') {
            in_contract = text == "# Contract";
        }
        let item = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
        if in_contract
            && item.len() < text.len()
            && let Some((law, _)) = item
                .strip_prefix(". `")
                .and_then(|rest| rest.split_once("`:"))
        {
            laws.push(law.to_owned());
        }
    }
    laws
}

fn public_async_functions(source: &str) -> Vec<String> {
    source
        .lines()
        .filter_map(|line| line.strip_prefix("pub async fn "))
        .filter_map(|rest| rest.split(['(', '<']).next())
        .map(str::to_owned)
        .collect()
}

fn relative_links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ', '#']).next())
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}
