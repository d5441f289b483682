//! The trait [`Sampler`], its options, and the samplers of the enabled groups; one file a group
//! below. What the platforms differ in sits behind `platform`; the files of the groups only
//! choose, compare with the previous reading and fill in rates. Nothing here waits or spawns, but for
//! file systems that may not answer (`disk/probe.rs`).

use std::{borrow::Cow, io};

use glob::Pattern;

use crate::sample::{Group, Metrics};

mod cpu;
mod disk;
mod filter;
mod memory;
mod network;
mod own;
mod partial;
mod platform;
mod rate;
mod root;

#[cfg(all(fuzzing, target_os = "linux"))]
pub use platform::fuzzing;
#[cfg(fuzzing)]
pub use platform::parse_foreign;

use filter::Globs;
pub use own::{Tell, own};
pub use root::HostRoot;

/// What the samplers leave out or add.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Where the host's files are; Linux only.
    pub host_root: HostRoot,
    /// Figures of each logical CPU.
    pub per_cpu: bool,
    /// The only file-system types to sample, unless empty.
    pub include_types: Vec<Pattern>,
    /// File-system types left out; never the root's.
    pub exclude_types: Vec<Pattern>,
    /// The only mount points to sample, unless empty.
    pub include_mounts: Vec<Pattern>,
    /// Mount points left out.
    pub exclude_mounts: Vec<Pattern>,
    /// The only block devices to sample, with the file systems on them, unless empty.
    pub include_devices: Vec<Pattern>,
    /// Block devices left out, with the file systems on them but the root's.
    pub exclude_devices: Vec<Pattern>,
    /// The only interfaces to sample, unless empty.
    pub include_interfaces: Vec<Pattern>,
    /// Interfaces left out.
    pub exclude_interfaces: Vec<Pattern>,
    /// Counts of sockets by state.
    pub connections: bool,
}

/// Reads the figures of one group.
pub trait Sampler: Send {
    /// The group that [`sample`](Self::sample) reads.
    fn group(&self) -> Group;

    /// Takes a reading. Blocks for as long as the system does, which is short: what lives on a
    /// network and doesn't answer is given up after two seconds.
    ///
    /// Rates and utilisations are those since the previous successful call, over the time that has
    /// truly passed; the first call has none. An error means that the group has no sample this
    /// time; the next call may succeed.
    fn sample(&mut self) -> Result<Metrics, SampleError>;
}

/// File systems that may hang for ever are asked by `program argument` from now on, which must do what
/// [`ask_file_systems`] does. Without it a thread asks, which keeps the process from ending.
#[cfg(unix)]
pub fn ask_by(program: std::path::PathBuf, argument: &'static str) {
    disk::helper::set_program(program, argument);
}

/// What a process does that [`ask_by`] has announced: answers `questions` until there are no more.
#[cfg(unix)]
pub fn ask_file_systems(questions: impl io::BufRead, answers: impl io::Write) -> io::Result<()> {
    disk::helper::serve(questions, answers)
}

/// Why a group has no sample this time.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The system refuses the figures.
    #[error("can't read {what}")]
    Read {
        /// The file or the call.
        what: Cow<'static, str>,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives something else than it should.
    #[error("{what} isn't as expected")]
    Malformed {
        /// The file or the call.
        what: Cow<'static, str>,
    },
}

impl SampleError {
    /// The system's refusal of `what`.
    fn read(what: impl Into<Cow<'static, str>>, source: impl Into<io::Error>) -> Self {
        Self::Read { what: what.into(), source: source.into() }
    }
}

/// The samplers of `groups`, in their order, but for the agent's own, which is [`own`]'s. Reads nothing
/// yet, so it can't fail.
pub fn build(options: &Options, groups: impl IntoIterator<Item = Group>) -> Vec<Box<dyn Sampler>> {
    groups.into_iter().filter_map(|group| sampler(group, options)).collect()
}

fn sampler(group: Group, options: &Options) -> Option<Box<dyn Sampler>> {
    let root = &options.host_root;
    let globs = |include: &[Pattern], exclude: &[Pattern]| Globs {
        include: include.to_vec(),
        exclude: exclude.to_vec(),
    };
    Some(match group {
        Group::Agent => return None,
        Group::Cpu => Box::new(cpu::CpuSampler::new(root, options.per_cpu)),
        Group::Memory => Box::new(memory::MemorySampler::new(root)),
        Group::Disk => {
            let filter = disk::Filter {
                types: globs(&options.include_types, &options.exclude_types),
                mounts: globs(&options.include_mounts, &options.exclude_mounts),
                devices: globs(&options.include_devices, &options.exclude_devices),
            };
            Box::new(disk::DiskSampler::new(root, filter))
        }
        Group::Network => {
            let filter = globs(&options.include_interfaces, &options.exclude_interfaces);
            Box::new(network::NetworkSampler::new(root, filter, options.connections))
        }
    })
}
