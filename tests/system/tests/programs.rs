//! How the programs present themselves, and how they refuse wrong settings.

use anyhow::{Context as _, Result};
use chat_system::{
    invocation::{Ended, Invocation},
    program::workspace,
};

const PROGRAMS: [&str; 3] = ["api", "worker", "sync"];

#[tokio::test]
async fn each_program_has_help_and_a_version() -> Result<()> {
    for name in PROGRAMS {
        let help = Invocation::of(name)?.argument("--help").run().await?;
        assert_eq!(help.code, Some(0), "{help:?}");
        assert!(
            help.stdout.contains("Usage: ") && help.stdout.contains("--config"),
            "{help:?}"
        );
        let version = Invocation::of(name)?.argument("--version").run().await?;
        assert_eq!(version.code, Some(0), "{version:?}");
        assert!(
            version.stdout.contains(env!("CARGO_PKG_VERSION")),
            "{version:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_help_documents_each_setting() -> Result<()> {
    let help = Invocation::of("api")?.argument("--help").run().await?;
    for setting in ["CHAT_LISTEN", "CHAT_DATA", "CHAT_ADMIN", "CHAT_ADMIN_KEY"] {
        assert!(
            help.stdout.contains(setting),
            "{setting} is not in {}",
            help.stdout
        );
    }
    Ok(())
}

#[tokio::test]
async fn worker_and_sync_leave_the_embedded_set_to_api() -> Result<()> {
    for name in ["worker", "sync"] {
        let ended = Invocation::of(name)?.run().await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let output = ended.output();
        assert!(
            output.contains("embedded") && output.contains("api"),
            "{name}: {output}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn dead_letters_of_the_embedded_set_are_left_to_api() -> Result<()> {
    for (arguments, code) in [
        (&["list"][..], 1),
        (&["list", "--json"], 1),
        (&["replay", "an-id", "--force"], 1),
        (&["replay", "--all"], 1),
        (&["drop", "an-id", "another"], 1),
        (&[], 2),
        (&["replay"], 2),
        (&["drop"], 2),
        (&["drop", "--all"], 2),
    ] {
        let worker = Invocation::of("worker")?.argument("dead-letters");
        let worker = arguments.iter().fold(worker, Invocation::argument);
        let ended = worker.run().await?;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        if code == 1 {
            let named = ["embedded", "api", "/api/v1/admin/dead-letters"];
            expect_sentence(&ended, &named)?;
        }
    }
    // Settings may follow the innermost subcommand, too.
    let worker = Invocation::of("worker")?.argument("dead-letters");
    let worker = worker.argument("list").argument("--counter-url");
    let refused = worker.argument("gopher://localhost").run().await?;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    expect_sentence(&refused, &["--counter-url"])
}

#[tokio::test]
async fn a_wrong_setting_stops_the_start_with_a_sentence_that_names_it() -> Result<()> {
    for (name, value) in [
        ("CHAT_LISTEN", "nonsense"),
        ("CHAT_ADMIN", "perhaps"),
        ("CHAT_REPOSITORY_URL", "gopher://localhost"),
    ] {
        let refused = Invocation::of("api")?.with(name, value).run().await?;
        expect_sentence(&refused, &[name])?;
    }
    for (text, named) in [
        ("colour = \"red\"", "colour"),
        ("listen = \"nonsense\"", "listen"),
        ("listen = 5", "listen"),
    ] {
        let refused = Invocation::of("api")?.with_config(text)?.run().await?;
        expect_sentence(&refused, &[named])?;
    }
    let refused = Invocation::of("api")?
        .with_config("listen = ")?
        .run()
        .await?;
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    assert!(refused.stderr.contains("chat.toml"), "{refused:?}");
    let refused = Invocation::of("api")?
        .argument("--config")
        .argument("nowhere.toml")
        .run()
        .await?;
    expect_sentence(&refused, &["nowhere.toml"])
}

#[tokio::test]
async fn an_open_address_without_a_key_is_refused_with_both_ways_out() -> Result<()> {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let refused = Invocation::of("api")?
            .with("CHAT_LISTEN", listen)
            .run()
            .await?;
        expect_sentence(&refused, &["CHAT_ADMIN_KEY", "CHAT_ADMIN=open"])?;
    }
    Ok(())
}

#[tokio::test]
async fn the_printed_document_is_the_committed_one() -> Result<()> {
    let printed = Invocation::of("api")?
        .argument("print-openapi")
        .run()
        .await?;
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let file = workspace().join("bins/api/openapi.json");
    let committed = std::fs::read_to_string(&file).context("reading bins/api/openapi.json")?;
    let differs = printed
        .stdout
        .lines()
        .zip(committed.lines())
        .find(|(one, other)| one != other);
    assert_eq!(
        differs, None,
        "renew it: cargo run --bin api print-openapi > bins/api/openapi.json"
    );
    assert_eq!(
        printed.stdout.trim_end(),
        committed.trim_end(),
        "one of them is longer"
    );
    Ok(())
}

/// Checks that the program refused to start with one sentence that names all of `named`.
fn expect_sentence(ended: &Ended, named: &[&str]) -> Result<()> {
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    let mut lines = ended
        .stderr
        .lines()
        .map(str::trim)
        .filter(|line| !is_hint(line));
    let sentence = lines
        .next()
        .with_context(|| format!("nothing was said: {ended:?}"))?;
    for name in named {
        assert!(
            sentence.contains(name),
            "`{name}` is not named in: {sentence}"
        );
    }
    assert_eq!(
        lines.next(),
        None,
        "more than one sentence: {}",
        ended.stderr
    );
    Ok(())
}

/// Tells whether a line is one that the parser of flags adds below its sentence.
fn is_hint(line: &str) -> bool {
    line.is_empty() || line.starts_with("[possible values") || line.starts_with("For more info")
}
