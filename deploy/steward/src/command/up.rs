//! `steward up`: everything in one process, with a nats-server of its own.

use std::io::IsTerminal;
use std::time::Instant;

use clap::ArgMatches;
use steward_events::BoxError;

use crate::compose::{self, Installation, Process};
use crate::config::{Config, Durability};

pub(super) async fn run(mut config: Config, matches: &ArgMatches) -> Result<(), BoxError> {
    let began = Instant::now();
    super::role::override_listen(&mut config, matches)?;
    if !config.bus.is_own() {
        return Err("`steward up` runs its own nats-server; for another bus run each role: steward aggregates, projectors, workers, gateway".into());
    }
    let mut process = Process::new("up", config.clone())?;
    // Bound first: two installations on one address are told before anything is made.
    let listener = super::role::bind(config.gateway.listen).await?;
    let server = compose::own_server(&config).await?;
    let installation = Installation::on(&server, &config);
    let server = server.supervise();
    process.health.check("nats-server", server.check());
    compose::outlive_full_disks(&mut process, &server)?;
    let version = compose::provision(&installation, &config).await?;
    let keys = compose::bootstrap(&installation, &process).await?;
    compose::aggregates(&installation, &mut process, &[]).await?;
    // Its views are built beside the rest; readiness says when they answer.
    compose::projectors(&installation, &mut process, None).await?;
    compose::workers(&installation, &mut process).await?;
    compose::gateway(&installation, &mut process, listener).await?;
    process.serve_health().await?;
    banner(&config, &installation, &version, &keys, began);
    let outcome = process.run(std::future::ready(())).await;
    server.stop().await?;
    outcome
}

fn banner(config: &Config, installation: &Installation, version: &str, keys: &compose::Keys, began: Instant) {
    let durability = match config.durability {
        Durability::ProcessCrash => "process-crash",
        Durability::Strict => "strict",
    };
    println!(
        "steward {}   data {}   bus {} (ours: nats-server {version}, {} replica, durability {durability})",
        env!("CARGO_PKG_VERSION"),
        config.data.display(),
        installation.url(),
        config.bus.replicas,
    );
    println!("  gateway   http://{}   ready in {:.1} s", config.gateway.listen, began.elapsed().as_secs_f32());
    if keys.made {
        let kept = config.operator_key_file();
        // Journals and logs of containers keep what is printed: a secret is for people's eyes only.
        if std::io::stdout().is_terminal() {
            println!("  operator key (shown once, kept in {}): {}", kept.display(), keys.operator);
        } else {
            println!("  operator key in {}: keep a copy where only operators read it", kept.display());
        }
        println!(
            "  master key in {}: keep a copy; without this key sealed content cannot be opened",
            config.master_key_file().display()
        );
        println!(
            "  checkpoint key in {}: keep a copy; without this key histories are signed with another one (steward audit key)",
            config.transparency_key_file().display()
        );
        println!("  next: steward apply company.toml");
    }
}
