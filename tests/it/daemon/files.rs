//! Who may read what the daemon leaves on the disk.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::json;

use crate::support::{
    process::{Home, wait_until},
    server::{Mode, Server},
};

fn assert_private(path: &Path) {
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        let Ok(metadata) = entry.metadata() else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_dir() {
            assert_eq!(mode, 0o700, "{}", entry.path().display());
            assert_private(&entry.path());
        } else {
            assert_eq!(mode, 0o600, "{}", entry.path().display());
        }
    }
}

#[test]
fn everything_below_the_directory_is_the_owners_alone() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[("buffer.directory", json!("var/queue"))]);
    let daemon = home.daemon();
    wait_until("delivery", || server.count() >= 8);
    let directory = home.path("var/queue");
    assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(directory.join("control.sock").exists());
    assert_private(&directory);
    assert_eq!(daemon.stop().code, Some(0));
    assert_private(&directory);
}
