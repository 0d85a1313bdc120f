//! One role a process: `steward bus | aggregates | projectors | workers | gateway`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use steward_events::BoxError;
use steward_jetstream::server::Supervised;
use tokio::net::TcpListener;

use crate::compose::{self, Installation, Process, Tier};
use crate::config::Config;

pub(super) async fn run(role: &str, mut config: Config, matches: &ArgMatches) -> Result<(), BoxError> {
    if role == "gateway" {
        override_listen(&mut config, matches)?;
    }
    let mut process = Process::new(role, config.clone())?;
    if role == "bus" {
        let joins = matches.get_one::<PathBuf>("join");
        return match joins {
            Some(first) => further_node(process, first).await,
            None => Box::pin(bus(process)).await,
        };
    }
    let installation = Installation::find(&config);
    let mut yet_to_ask = None;
    match role {
        "aggregates" => {
            let only: Vec<String> = matches.get_many::<String>("only").unwrap_or_default().cloned().collect();
            compose::aggregates(&installation, &mut process, &only).await?;
            process.serve_health().await?;
        }
        "projectors" => {
            let store = matches.get_one::<String>("store").map(std::path::PathBuf::from);
            yet_to_ask = Some(compose::projectors(&installation, &mut process, store).await?);
            process.serve_health().await?;
        }
        "workers" => {
            compose::workers(&installation, &mut process).await?;
            process.serve_health().await?;
        }
        _ => {
            let listener = bind(config.gateway.listen).await?;
            compose::gateway(&installation, &mut process, listener).await?;
            process.serve_health().await?;
        }
    }
    let ready = async {
        if let Some(yet_to_ask) = &mut yet_to_ask {
            // An error would say that nobody counts any more, and then the process ends.
            let _ = yet_to_ask.wait_for(|count| *count == 0).await;
        }
        println!("steward {role}: ready on {}", installation.url());
    };
    process.run(ready).await
}

/// The server, its streams and the first events; then it waits.
async fn bus(mut process: Process) -> Result<(), BoxError> {
    let config = process.config.clone();
    let server = compose::own_server(&config).await?;
    let installation = Installation::on(&server, &config);
    let server = server.supervise();
    process.health.check("nats-server", server.check());
    compose::outlive_full_disks(&mut process, &server)?;
    let version = compose::provision(&installation, &config).await?;
    compose::bootstrap(&installation, &process).await?;
    println!("steward bus: nats-server {version} ready on {}", installation.url());
    until_stopped(process, server).await
}

/// One more server in the cluster of the one that made the streams and the first events.
async fn further_node(mut process: Process, first: &Path) -> Result<(), BoxError> {
    let config = process.config.clone();
    if config.bus.cluster.is_none() {
        return Err("--join needs [bus.cluster] with node, port and ports in the configuration".into());
    }
    compose::join_cluster(first, &config)?;
    let server = compose::own_server(&config).await?;
    let url = server.url().to_owned();
    let server = server.supervise();
    process.health.check("nats-server", server.check());
    compose::outlive_full_disks(&mut process, &server)?;
    println!("steward bus: nats-server ready on {url}, in the cluster of {}", first.display());
    until_stopped(process, server).await
}

async fn until_stopped(mut process: Process, server: Supervised) -> Result<(), BoxError> {
    process.serve_health().await?;
    let shutdown = process.core.clone();
    process.spawn(Tier::Core, "bus", async move {
        shutdown.cancelled().await;
        Ok::<(), BoxError>(())
    });
    let outcome = process.run(std::future::ready(())).await;
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
