//! `collector service`, on Windows: the agent under the system's service control manager. A stop by
//! the manager or the system's shutdown is what SIGTERM is elsewhere, a change of parameters what
//! SIGHUP is. Compiled, not yet run.

use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::watch;
use windows_service::{
    define_windows_service,
    service::{
        ServiceAccess, ServiceControl, ServiceControlAccept, ServiceErrorControl, ServiceExitCode,
        ServiceInfo, ServiceStartType, ServiceState, ServiceStatus, ServiceType,
    },
    service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle},
    service_dispatcher,
    service_manager::{ServiceManager, ServiceManagerAccess},
};

use super::{ConfigArgs, code, run};
use crate::{
    agent::{Asked, News, Start, Supervisor},
    telemetry,
};

const NAME: &str = "collector";
const KIND: ServiceType = ServiceType::OWN_PROCESS;
/// How long the manager waits for a start or a stop before it takes it for hanging.
const START_TIME: Duration = Duration::from_mins(5);
const STOP_TIME: Duration = Duration::from_secs(20);
/// The password-less account with the fewest rights that still may use the network.
const ACCOUNT: &str = r"NT AUTHORITY\LocalService";

/// What `service` does.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Install the service; it starts with the system, as LocalService
    Install(ConfigArgs),
    /// Remove the service; the queue stays
    Uninstall,
    /// What the service runs; not for the command line
    Run(ConfigArgs),
}

/// Runs a command.
pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Install(args) => install(&args),
        Command::Uninstall => uninstall(),
        Command::Run(args) => dispatch(args),
    }
}

/// The configuration is judged first: a service that can't start helps nobody.
fn install(args: &ConfigArgs) -> anyhow::Result<()> {
    let file = std::path::absolute(args.load()?.file)?;
    let mut arguments: Vec<OsString> = ["service", "run", "--config"].map(OsString::from).into();
    arguments.push(file.into());
    if let Some(env_file) = &args.env_file {
        arguments.extend(["--env-file".into(), std::path::absolute(env_file)?.into()]);
    }
    let access = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
    let service = ServiceInfo {
        name: NAME.into(),
        display_name: "Collector".into(),
        service_type: KIND,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: std::env::current_exe()?,
        launch_arguments: arguments,
        dependencies: Vec::new(),
        account_name: Some(ACCOUNT.into()),
        account_password: None,
    };
    let manager = ServiceManager::local_computer(None::<&str>, access)?;
    let service = manager.create_service(&service, ServiceAccess::CHANGE_CONFIG)?;
    service.set_description("Store-and-forward agent for host metrics")?;
    Ok(())
}

/// It goes once it has stopped and nobody looks at it any more.
fn uninstall() -> anyhow::Result<()> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
    let access = ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE;
    let service = manager.open_service(NAME, access)?;
    service.delete()?;
    if service.query_status()?.current_state != ServiceState::Stopped {
        service.stop()?;
    }
    Ok(())
}

/// The system calls [`serve`] without a way to hand anything over.
static ARGUMENTS: OnceLock<ConfigArgs> = OnceLock::new();

define_windows_service!(service_main, serve);

/// Blocks until the service has stopped.
fn dispatch(args: ConfigArgs) -> anyhow::Result<()> {
    ARGUMENTS.get_or_init(|| args);
    Ok(service_dispatcher::start(NAME, service_main)?)
}

/// The service, on a thread of the system's.
fn serve(_: Vec<OsString>) {
    let (ask, asked) = watch::channel(None);
    let control = move |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            ask.send_replace(Some(Asked::Stop));
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::ParamChange => {
            ask.send_if_modified(|asked| {
                let stops = *asked == Some(Asked::Stop);
                *asked = Some(if stops { Asked::Stop } else { Asked::Reload });
                !stops
            });
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    // Without this handle nobody can be told.
    let Ok(handle) = service_control_handler::register(NAME, control) else { return };
    let handle = Arc::new(handle);
    tell(&handle, ServiceState::StartPending, 0);
    let done = ARGUMENTS.get().map_or(Ok(()), |args| serve_until(args, asked, &handle));
    let code = done.as_ref().map_or_else(code, |()| 0);
    tell(&handle, ServiceState::Stopped, code);
}

fn serve_until(
    args: &ConfigArgs,
    asked: watch::Receiver<Option<Asked>>,
    handle: &Arc<ServiceStatusHandle>,
) -> anyhow::Result<()> {
    enter_home(args)?;
    let config = args.load()?;
    let log = telemetry::init(&config.telemetry)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let handle = Arc::clone(handle);
    let supervisor = Supervisor::new(
        move |news| match news {
            News::Ready => tell(&handle, ServiceState::Running, 0),
            News::Stopping => tell(&handle, ServiceState::StopPending, 0),
            // The manager of Windows knows no such things.
            News::Reloading | News::Status(_) | News::Alive => {}
        },
        None,
    );
    let start = Start {
        receiver: None,
        env_file: args.env_file.clone(),
        log: log.threshold(),
        supervisor: Some(supervisor),
        asked: Some(asked),
    };
    let done = run::run_until_stopped(config, start);
    if let Err(error) = &done {
        tracing::error!(critical = true, "{error:#}");
    }
    done
}

/// Relative paths count from the directory of the configuration: a service begins in the system's.
fn enter_home(args: &ConfigArgs) -> io::Result<()> {
    let home = args.config.as_ref().and_then(|file| file.parent().map(PathBuf::from));
    home.map_or(Ok(()), std::env::set_current_dir)
}

fn tell(handle: &ServiceStatusHandle, state: ServiceState, code: u8) {
    let (controls, wait_hint) = match state {
        ServiceState::Running => {
            let stops = ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN;
            (stops | ServiceControlAccept::PARAM_CHANGE, Duration::ZERO)
        }
        ServiceState::StartPending => (ServiceControlAccept::empty(), START_TIME),
        ServiceState::StopPending => (ServiceControlAccept::empty(), STOP_TIME),
        _ => (ServiceControlAccept::empty(), Duration::ZERO),
    };
    let exit_code = match code {
        0 => ServiceExitCode::Win32(0),
        code => ServiceExitCode::ServiceSpecific(code.into()),
    };
    let status = ServiceStatus {
        service_type: KIND,
        current_state: state,
        controls_accepted: controls,
        exit_code,
        checkpoint: 0,
        wait_hint,
        process_id: None,
    };
    if let Err(error) = handle.set_service_status(status) {
        tracing::warn!(%error, "the service control manager can't be told");
    }
}
