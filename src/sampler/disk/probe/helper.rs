//! A process that asks file systems, started from this same program. While it hangs in the kernel,
//! where no signal reaches it, its parent can still end and take its locks along.
//!
//! Questions are paths that end with a zero byte; each answer is a line of JSON.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Write},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

use crate::sampler::{disk::Usage, platform};

static PROGRAM: OnceLock<(PathBuf, &'static str)> = OnceLock::new();

/// What a file system says, or the number of the system's error.
type Answer = Result<Usage, Option<i32>>;

/// From now on, `program` with `argument` does what [`serve`] does.
pub(in crate::sampler) fn set_program(program: PathBuf, argument: &'static str) {
    // Whoever said it first is as right.
    PROGRAM.get_or_init(|| (program, argument));
}

/// What can be started to ask, and how.
pub(super) fn program() -> Option<(&'static Path, &'static str)> {
    PROGRAM.get().map(|(program, argument)| (&**program, *argument))
}

/// The process, as its parent has it. Dropping it waits for its end, which comes with the last answer.
pub(super) struct Helper {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// To be called by the thread that asks: on Linux the process is killed when that thread ends.
    pub(super) fn start((program, argument): (&Path, &str)) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg(argument)
            .env_clear()
            // A Ctrl-C on the terminal is for the parent, which lets go of it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let answers = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, answers: BufReader::new(answers) })
    }

    /// Waits for the answer for as long as it takes; `None` when the process has ended.
    pub(super) fn ask(&mut self, path: &Path) -> Option<io::Result<Usage>> {
        let question = [path.as_os_str().as_bytes(), &[0]].concat();
        self.child.stdin.as_mut()?.write_all(&question).ok()?;
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        let answer: Answer = serde_json::from_str(&line).ok()?;
        Some(answer.map_err(|number| {
            number.map_or_else(|| io::ErrorKind::Other.into(), io::Error::from_raw_os_error)
        }))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Closes its questions first. That there is nothing to wait for is as good.
        self.child.wait().ok();
    }
}

/// Answers until there are no more questions. Ends with its parent at the latest.
pub(in crate::sampler) fn serve(questions: impl BufRead, answers: impl Write) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    answer_all(questions, answers)
}

fn answer_all(questions: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    for path in questions.split(0) {
        let usage = platform::usage(Path::new(OsStr::from_bytes(&path?)));
        let answer: Answer = usage.map_err(|error| error.raw_os_error());
        serde_json::to_writer(&mut answers, &answer)?;
        answers.write_all(b"\n")?;
        answers.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(questions: &[u8]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for path in questions.split_inclusive(|&byte| byte == 0) {
            let mut line = Vec::new();
            answer_all(path, &mut line).unwrap();
            answers.push(serde_json::from_slice(&line).unwrap());
        }
        answers
    }

    #[test]
    fn each_path_has_its_answer_and_what_the_system_refuses_its_number() {
        let answers = answers(b"/\0/no/such/\xff\0");
        assert!(answers[0].is_ok_and(|usage| usage.total > 0));
        assert_eq!(answers[1], Err(Some(rustix::io::Errno::NOENT.raw_os_error())));
    }

    #[test]
    fn process_that_has_ended_has_no_answer() {
        let mut helper = Helper::start((Path::new("/bin/true"), "")).unwrap();
        assert!(helper.ask(Path::new("/")).is_none());
    }

    #[test]
    fn program_that_isn_t_there_is_an_error() {
        assert!(Helper::start((Path::new("/no/such/program"), "")).is_err());
    }
}
