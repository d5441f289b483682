//! Files: which are looked for, what their modes allow, what is wrong with them. Judging creates
//! nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use collector::config::load;
use tempfile::TempDir;

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let _ = mode;
        path
    }
}

fn refused(file: &Path, env_file: Option<&Path>) -> String {
    load(Some(file), env_file).expect_err("must be refused").to_string()
}

#[test]
fn a_missing_file_is_named() {
    let home = Home::new();
    let (missing, good) = (home.0.path().join("missing"), home.write("c.yaml", "", 0o600));
    assert!(refused(&missing, None).contains("missing: there is no such file"));
    assert!(refused(&good, Some(&missing)).contains("missing: there is no such file"));
}

#[test]
fn without_a_file_the_message_names_both_places() {
    // The working directory of a test is the package's, whose `config/` holds the shipped file.
    assert_eq!(load(None, None).unwrap().file, Path::new("config/collector-config.yaml"));
}

#[test]
fn judging_creates_nothing() {
    let home = Home::new();
    let buffer = home.0.path().join("buffer");
    let log = home.0.path().join("collector.log");
    let text = format!(
        "buffer: {{directory: '{}'}}\nlogging: {{file: '{}'}}\n",
        buffer.display(),
        log.display()
    );
    let config = load(Some(&home.write("c.yaml", &text, 0o600)), None).unwrap();
    assert_eq!(config.socket, buffer.join("control.sock"));
    assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 1);
}

#[test]
fn the_env_file_is_read_and_its_broken_line_named() {
    let home = Home::new();
    let file = home.write("c.yaml", "collector: {hostname: '${COLLECTOR_TEST_HOST}'}", 0o600);
    let env = home.write("env", "COLLECTOR_TEST_HOST=web-1\n", 0o600);
    assert_eq!(load(Some(&file), Some(&env)).unwrap().hostname, "web-1");
    let env = home.write("env", "A=b\ncanary\n", 0o600);
    let message = refused(&file, Some(&env));
    assert!(message.contains("env:2: expected NAME=value"), "{message}");
    assert!(!message.contains("canary"), "{message}");
}

#[test]
fn a_key_file_is_judged_and_never_shown() {
    let home = Home::new();
    let key = home.0.path().join("key");
    let file =
        home.write("c.yaml", &format!("collector: {{api_key_file: '{}'}}", key.display()), 0o600);
    for (text, part) in [
        ("", "the key in the file is empty"),
        (" \n", "the key in the file is empty"),
        ("canary\ncanary", "control character"),
        ("canaryé", "ASCII"),
    ] {
        home.write("key", text, 0o600);
        let message = refused(&file, None);
        assert!(message.contains(part) && !message.contains("canary"), "{message}");
    }
    home.write("key", "canary\r\n", 0o600);
    let config = load(Some(&file), None).unwrap();
    assert!(config.http.api_key.is_some() && config.warnings.is_empty(), "{:?}", config.warnings);
}

#[cfg(unix)]
mod unix {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    /// The warnings of a good configuration.
    fn warnings(file: &Path, env_file: Option<&Path>) -> Vec<String> {
        load(Some(file), env_file).unwrap().warnings
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_host_root_without_a_host_is_told() {
        let home = Home::new();
        let warned = |root: &str| {
            let text = format!("metrics: {{host_root: '{root}'}}");
            warnings(&home.write("c.yaml", &text, 0o600), None)
        };
        assert_eq!(
            warned("/no-such-host"),
            ["metrics.host_root: there is no directory /no-such-host/proc"]
        );
        assert_eq!(warned("/"), [""; 0]);
    }

    #[test]
    fn a_file_that_holds_the_key_should_not_be_readable_by_every_user() {
        let home = Home::new();
        let reference = "collector: {api_key: '${COLLECTOR_TEST_KEY}'}";
        let literal = "collector: {api_key: canary}";
        let secret_env = home.write("secret.env", "COLLECTOR_TEST_KEY=canary", 0o600);
        let open_env = home.write("open.env", "COLLECTOR_TEST_KEY=canary", 0o644);
        let open_key = home.write("key", "canary", 0o644);
        let by_file = format!("collector: {{api_key_file: '{}'}}", open_key.display());
        for (text, mode, env, expected) in [
            (literal, 0o644, None, Some("c.yaml: holds the API key")),
            (literal, 0o640, None, None),
            (literal, 0o600, None, None),
            (reference, 0o644, Some(&secret_env), None),
            (reference, 0o644, Some(&open_env), Some("open.env: holds the API key")),
            (&by_file, 0o644, None, Some("key: holds the API key")),
            ("collector: {api_key: ''}", 0o644, None, None),
            ("collector: {api_key: '${NONE:-canary}'}", 0o644, None, Some("c.yaml: holds")),
        ] {
            let file = home.write("c.yaml", text, mode);
            let warnings = warnings(&file, env.map(PathBuf::as_path));
            assert_eq!(warnings.len(), usize::from(expected.is_some()), "{text} {warnings:?}");
            assert!(expected.is_none_or(|part| warnings[0].contains(part)), "{warnings:?}");
        }
    }

    #[test]
    fn what_every_user_may_write_is_refused() {
        let home = Home::new();
        let good = home.write("good.yaml", "", 0o600);
        let open = home.write("open", "", 0o666);
        assert!(refused(&open, None).contains("every user may write to it"));
        assert!(refused(&good, Some(&open)).contains("every user may write to it"));
        let key = format!("collector: {{api_key_file: '{}'}}", open.display());
        assert!(refused(&home.write("c.yaml", &key, 0o600), None).contains("every user may write"));
        let group = home.write("group.yaml", "", 0o660);
        assert_eq!(load(Some(&group), None).unwrap().warnings, [""; 0]);
    }

    #[test]
    fn a_buffer_that_every_user_may_write_to_is_warned_of_and_a_shared_one_refused() {
        let home = Home::new();
        let buffer = home.0.path().join("buffer");
        fs::create_dir(&buffer).unwrap();
        fs::set_permissions(&buffer, Permissions::from_mode(0o777)).unwrap();
        let text = format!("buffer: {{directory: '{}'}}", buffer.display());
        let warnings = warnings(&home.write("c.yaml", &text, 0o600), None);
        assert!(warnings[0].contains("every user may write to"), "{warnings:?}");
        fs::set_permissions(&buffer, Permissions::from_mode(0o1777)).unwrap();
        let message = refused(&home.write("c.yaml", &text, 0o600), None);
        assert!(message.contains("must be a directory of the queue's own"), "{message}");
    }

    #[test]
    fn a_fifo_or_a_directory_is_refused_without_waiting() {
        let home = Home::new();
        assert!(refused(home.0.path(), None).contains("isn't a regular file"));
        assert!(refused(Path::new("/dev/zero"), None).contains("isn't a regular file"));
        let fifo = home.0.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        if made.is_ok_and(|status| status.success()) {
            assert!(refused(&fifo, None).contains("isn't a regular file"));
        }
    }

    #[test]
    fn a_socket_path_that_no_socket_can_have_is_refused() {
        let long = "x".repeat(108);
        let message = super::super::judge(format!("control: {{socket: /{long}}}")).unwrap_err();
        assert!(message.to_string().contains("c.yaml:1: control.socket: is too long"), "{message}");
        let message = super::super::judge(format!("buffer: {{directory: /{long}}}")).unwrap_err();
        assert!(message.to_string().contains("set control.socket"), "{message}");
    }
}
