//! The built-in receiver beside the agent, to try things out: where it may listen, and that it takes
//! just what the agent sends.

use std::net::SocketAddr;

use tokio::net::lookup_host;

use super::{AgentError, tasks::Task};
use crate::{
    config::Config,
    receiver::{self, Receiver},
    transport::http::BuildError,
};

/// The host and port of `server_url`, for the built-in receiver: `localhost` or a loopback address
/// over plain HTTP. The error is the address that isn't.
pub fn loopback(config: &Config) -> Result<String, String> {
    let url = &config.http.url;
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_loopback || url.scheme_str() != Some("http") {
        return Err(format!("{}://{host}", url.scheme_str().unwrap_or_default()));
    }
    Ok(format!("{host}:{}", url.port_u16().unwrap_or(80)))
}

/// Starts the built-in receiver.
pub(super) async fn receive(config: &Config, address: &str) -> Result<Task<()>, AgentError> {
    let unknown = || AgentError::NotLoopback(address.to_owned());
    let found = lookup_host(address).await.map_err(|_| unknown())?;
    // IPv4 first: the client tries both, other tools may not.
    let mut found: Vec<SocketAddr> = found.filter(|address| address.ip().is_loopback()).collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let listen = *found.first().ok_or_else(unknown)?;
    let receiver = Receiver::bind(receiver_options(config, listen)?);
    let receiver = receiver.await.map_err(AgentError::Receiver)?;
    tracing::info!(address = %receiver.local_addr(), "the built-in receiver listens");
    Ok(Task::spawn("receive", |mut stopped| async move {
        let stop = async move {
            // A sender that is gone stops it as well.
            stopped.wait_for(|stop| *stop).await.ok();
        };
        let totals = receiver.serve(stop).await;
        tracing::info!(%totals, "the built-in receiver stops");
    }))
}

/// It takes what the agent sends: at this path, with the key in this header.
fn receiver_options(config: &Config, listen: SocketAddr) -> Result<receiver::Options, BuildError> {
    let path = config.http.url.path().to_owned();
    let mut options = receiver::Options { path, ..receiver::Options::new(listen) };
    if let Some(key) = &config.http.api_key {
        options.api_key = Some(key.secret()?);
        options.key_header = key.header.clone();
    }
    Ok(options)
}
