//! Which mounts, types, devices and interfaces are sampled: globs that leave out, and globs that,
//! once there are any, are the only ones to let in.

use glob::{MatchOptions, Pattern};

/// As names are on this system: Windows doesn't tell `c:\` from `C:\`.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: cfg!(not(windows)),
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// Two lists of globs for one kind of name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Globs {
    /// Empty: everything is let in.
    pub(super) include: Vec<Pattern>,
    /// What is left out of that.
    pub(super) exclude: Vec<Pattern>,
}

impl Globs {
    /// Whether something of these names is sampled; the names are those of one thing.
    pub(super) fn admit(&self, names: &[&str]) -> bool {
        self.let_in(names) && !hit(&self.exclude, names)
    }

    /// Whether it is among what is let in, whatever else leaves it out.
    pub(super) fn let_in(&self, names: &[&str]) -> bool {
        self.include.is_empty() || hit(&self.include, names)
    }
}

fn hit(globs: &[Pattern], names: &[&str]) -> bool {
    globs.iter().any(|glob| names.iter().any(|name| glob.matches_with(name, OPTIONS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(include: &[&str], exclude: &[&str]) -> Globs {
        let list = |globs: &[&str]| globs.iter().map(|glob| Pattern::new(glob).unwrap()).collect();
        Globs { include: list(include), exclude: list(exclude) }
    }

    #[test]
    fn without_an_include_list_everything_is_in() {
        assert!(globs(&[], &["lo"]).admit(&["eth0"]));
        assert!(!globs(&[], &["lo"]).admit(&["lo"]));
    }

    #[test]
    fn include_list_is_the_only_way_in_and_exclude_still_counts() {
        let globs = globs(&["eth*", "wl*"], &["eth1"]);
        assert!(globs.admit(&["eth0"]) && globs.admit(&["wlan0"]));
        assert!(!globs.admit(&["eth1"]) && !globs.admit(&["docker0"]));
    }

    #[test]
    fn names_of_windows_are_matched_without_their_case_and_with_their_backslashes() {
        let globs = globs(&[], &[r"c:\data\*", "Loopback Pseudo-Interface *"]);
        assert_eq!(globs.admit(&[r"C:\Data\x\"]), cfg!(not(windows)));
        assert!(!globs.admit(&[r"c:\data\x\y\"]));
        assert!(globs.admit(&[r"c:\databases\"]));
        assert!(!globs.admit(&["Loopback Pseudo-Interface 1"]));
    }
}
