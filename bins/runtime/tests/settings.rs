//! Settings: what they stand for, and how wrong ones are refused.

use std::{path::PathBuf, time::Duration};

use chat_runtime::settings::{
    Admin, Arguments, Backend, Given, LogForm, Secret, Settings, SettingsError,
};
use clap::{ArgMatches, Args as _};

fn matches(arguments: &[&str]) -> ArgMatches {
    // The environment of whoever runs the tests must not matter.
    let command = Arguments::augment_args(clap::Command::new("test"))
        .mut_args(|argument| argument.env(None::<&'static str>));
    command.get_matches_from([&["test"], arguments].concat())
}

fn settings(arguments: &[&str]) -> Result<Settings, SettingsError> {
    Settings::try_from_given(&Given::try_new(&matches(arguments))?)
}

fn refusal(arguments: &[&str]) -> String {
    let sentence = settings(arguments).expect_err("it is wrong").to_string();
    assert!(!sentence.contains('\n'), "{sentence}");
    sentence
}

#[test]
fn the_defaults_are_a_whole_system() {
    let settings = settings(&[]).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(
        settings.backend,
        Backend::Embedded {
            folder: PathBuf::from("./data"),
            search: None,
        }
    );
    assert_eq!(settings.admin, Admin::Local);
    assert_eq!(settings.log_form, LogForm::Auto);
    assert_eq!(settings.audit_interval, Duration::from_mins(10));
    assert_eq!(settings.retention, Duration::from_hours(720));
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    for (arguments, named) in [
        (["--listen", "nonsense"], "--listen"),
        (["--listen", ""], "--listen"),
        (["--admin", "perhaps"], "--admin"),
        (["--admin", "key"], "CHAT_ADMIN_KEY"),
        (["--admin-key", "näh"], "--admin-key"),
        (["--log", "info,=="], "--log"),
        (["--log-form", "xml"], "--log-form"),
        (["--shutdown-seconds", "-1"], "--shutdown-seconds"),
        (["--retention-days", "0"], "--retention-days"),
        (["--max-connections", "many"], "--max-connections"),
        (["--sync-seconds", "3601"], "--sync-seconds"),
        (["--repository-url", "gopher://x"], "--repository-url"),
        (["--repository-url", "amqp://x"], "--repository-url"),
        (["--counter-url", "redis://x"], "CHAT_COUNTER_URL"),
        (["--counter-url", "redis:x"], "--counter-url"),
        (["--counter-url", "redis:///0"], "--counter-url"),
        (["--queue-url", "redis://host:port"], "--queue-url"),
        (["--repository-url", "mysql://u:p@h"], "--repository-url"),
        (["--repository-url", "mysql://u:p@h/"], "--repository-url"),
        (
            ["--repository-url", "mysql://u:p#w@h/d"],
            "--repository-url",
        ),
        (["--metrics-listen", "9101"], "--metrics-listen"),
        (["--shards", "0"], "--shards"),
        (["--wait-for", "soon"], "--wait-for"),
        (["--search-shards", "0"], "--search-shards"),
        (["--name", "a b"], "--name"),
        (["--backlog-megabytes", "0"], "--backlog-megabytes"),
        (["--queue-url", "sqlite:elsewhere"], "--queue-url"),
    ] {
        let sentence = refusal(&[&arguments.join("=")]);
        assert!(sentence.contains(named), "{sentence}");
    }
}

#[test]
fn a_malformed_url_is_not_repeated() {
    let sentence = refusal(&["--repository-url=mysql://u:hunter2#@h/d"]);
    assert!(!sentence.contains("hunter2"), "{sentence}");
}

#[test]
fn servers_are_all_or_none_and_their_passwords_are_not_shown() {
    let live = [
        "--repository-url=mysql://u:hunter2@h/d",
        "--counter-url=redis://:hunter2@h",
        "--queue-url=redis://:hunter2@h",
        "--search-url=https://u:hunter2@h",
    ];
    let shown = format!("{:?}", settings(&live).unwrap().backend);
    assert!(shown.starts_with("Live"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    for queue in ["amqp://u:hunter2@h/%2f", "amqps://u:hunter2@h:5671/chat"] {
        let queue = format!("--queue-url={queue}");
        let apart = settings(&[live[0], live[1], &queue, live[3]]).unwrap();
        let Backend::Live(servers) = &apart.backend else {
            panic!("{:?}", apart.backend);
        };
        assert!(servers.queue.is_some());
        let shown = format!("{:?}", apart.backend);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let [counter, queue] = ["counter", "queue"]
        .map(|it| format!("--{it}-url=rediss+cluster://:hunter2@h:7000?node=i:7001"));
    let shown = settings(&[live[0], &counter, &queue, live[3]]).unwrap();
    let shown = format!("{:?}", shown.backend);
    assert!(shown.starts_with("Live"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    for (others, sentence) in [
        (&live[1..], "mixture"),
        (&live[..2], "mixture"),
        (&live[..3], "mixture"),
        (&live[3..], "mixture"),
        (
            &[live[0], live[1], live[2], "--search-url=tantivy"],
            "mixture",
        ),
        (
            &[
                live[0],
                live[1],
                live[3],
                "--queue-url=redis://:hunter2@other",
            ],
            "the same as CHAT_COUNTER_URL, or",
        ),
    ] {
        let refused = refusal(others);
        assert!(refused.contains(sentence), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn the_embedded_set_lies_in_the_folder_that_the_urls_name() {
    let urls = [
        "--repository-url=sqlite:/x",
        "--counter-url=sqlite:///x",
        "--queue-url=sqlite:/x",
    ];
    let folder = PathBuf::from("/x");
    // The others lie where the repository does, unless they are named themselves.
    for named in [&urls[..], &urls[..1]] {
        let folder = folder.clone();
        assert_eq!(
            settings(named).unwrap().backend,
            Backend::Embedded {
                folder,
                search: None
            }
        );
    }
}

#[test]
fn the_search_index_may_lie_elsewhere() {
    let settings = settings(&["--search-url=tantivy:/fast"]).unwrap();
    assert_eq!(
        settings.backend,
        Backend::Embedded {
            folder: PathBuf::from("./data"),
            search: Some(PathBuf::from("/fast")),
        }
    );
    let mixed = refusal(&["--search-url=http://h"]);
    assert!(mixed.contains("mixture"), "{mixed}");
}

#[test]
fn the_key_decides_who_is_an_admin() {
    let key = Admin::Key(Secret::new("open sesame"));
    for (arguments, admin) in [
        (vec!["--admin-key=open sesame"], &key),
        (vec!["--admin-key=open sesame", "--listen=0.0.0.0:80"], &key),
        (vec!["--admin-key=open sesame", "--admin=key"], &key),
        (
            vec!["--admin-key=open sesame", "--admin=open"],
            &Admin::Open,
        ),
        (vec!["--admin=off", "--listen=0.0.0.0:80"], &Admin::Off),
        (vec!["--admin=open", "--listen=0.0.0.0:80"], &Admin::Open),
        (vec!["--listen=[::1]:80"], &Admin::Local),
        (
            vec!["--admin-key=open sesame", "--admin=local"],
            &Admin::Local,
        ),
    ] {
        assert_eq!(&settings(&arguments).unwrap().admin, admin, "{arguments:?}");
    }
    for listen in [
        "--listen=0.0.0.0:80",
        "--listen=[::]:80",
        "--listen=192.0.2.1:80",
    ] {
        let sentence = refusal(&[listen]);
        assert!(sentence.contains("CHAT_ADMIN_KEY") && sentence.contains("CHAT_ADMIN=open"));
    }
}

#[test]
fn secrets_are_not_shown() {
    let settings = settings(&["--admin-key=s3cret", "--search-api-key=s3cret"]).unwrap();
    assert!(!format!("{settings:?}").contains("s3cret"));
}
