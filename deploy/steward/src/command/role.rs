//! One role a process: `steward bus | aggregates | projectors | workers | gateway`.

use std::net::SocketAddr;

use clap::ArgMatches;
use steward_events::BoxError;
use tokio::net::TcpListener;

use crate::compose::{self, Installation, Process, Tier};
use crate::config::Config;

pub(super) async fn run(role: &str, mut config: Config, matches: &ArgMatches) -> Result<(), BoxError> {
    if role == "gateway" {
        override_listen(&mut config, matches)?;
    }
    let mut process = Process::new(role, config.clone())?;
    if role == "bus" {
        return bus(process).await;
    }
    let installation = Installation::find(&config)?;
    match role {
        "aggregates" => {
            let only: Vec<String> = matches.get_many::<String>("only").unwrap_or_default().cloned().collect();
            compose::aggregates(&installation, &mut process, &only).await?;
            process.serve_health().await?;
        }
        "projectors" => {
            let store = matches.get_one::<String>("store").map(std::path::PathBuf::from);
            compose::projectors(&installation, &mut process, store).await?;
            process.serve_health().await?;
        }
        "workers" => {
            compose::workers(&installation, &mut process).await?;
            process.serve_health().await?;
        }
        _ => {
            let listener = bind(config.gateway.listen).await?;
            compose::gateway(&installation, &mut process, listener).await?;
        }
    }
    println!("steward {role}: ready on {}", installation.url());
    process.run().await
}

/// The server, its streams and the first facts; then it waits.
async fn bus(mut process: Process) -> Result<(), BoxError> {
    let config = process.config.clone();
    let server = compose::own_server(&config).await?;
    let installation = Installation::on(&server, &config);
    let server = server.supervise();
    process.health.check("nats-server", server.check());
    let version = compose::provision(&installation, &config).await?;
    compose::bootstrap(&installation, &process).await?;
    process.serve_health().await?;
    let shutdown = process.core.clone();
    process.spawn(Tier::Core, "bus", async move {
        shutdown.cancelled().await;
        Ok::<(), BoxError>(())
    });
    println!("steward bus: nats-server {version} ready on {}", installation.url());
    let outcome = process.run().await;
    server.stop().await?;
    outcome
}

/// `--listen` wins over the configuration.
pub(super) fn override_listen(config: &mut Config, matches: &ArgMatches) -> Result<(), BoxError> {
    if let Ok(Some(text)) = matches.try_get_one::<String>("listen") {
        config.gateway.listen = text
            .parse::<SocketAddr>()
            .map_err(|_| format!("--listen {text:?} is not an address such as 127.0.0.1:8080"))?;
    }
    Ok(())
}

/// A listener, or why not and what to do.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, BoxError> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}; choose another with --listen or gateway.listen in steward.toml")
            .into()
    })
}
