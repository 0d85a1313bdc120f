//! What a tenant at full load does to another tenant's slow caller at the same gateway.

use std::time::{Duration, Instant};

use steward_events::BoxError;

use super::company::Company;
use super::figures::Figures;
use super::gateway::CONNECTIONS;
use super::load::{Call, Line, drive};
use super::sample::{Sample, nanos};
use super::system::System;
use super::{Effort, Progress};

/// Between two calls of the slow caller.
const PAUSE: Duration = Duration::from_millis(10);

/// Measures the slow caller of `quiet` with and without the load of `loud`.
pub(super) async fn measure(
    system: &System,
    loud: &Company,
    quiet: &Company,
    effort: &Effort,
    progress: &Progress,
) -> Result<Figures, BoxError> {
    let gateway = system.gateways.first().ok_or("there is no gateway")?;
    let (load, slow) = (loud.call(gateway, false), quiet.call(gateway, false));
    drive(&load, CONNECTIONS, effort.span / 2).await?;
    call_slowly(&slow, effort.span / 2).await?;
    let mut runs = Vec::new();
    for run in 1..=effort.runs {
        progress.say(&format!("neighbour: run {run} of {}", effort.runs));
        let alone = call_slowly(&slow, effort.span).await?;
        let (loaded, beside) = tokio::join!(drive(&load, CONNECTIONS, effort.span), call_slowly(&slow, effort.span));
        let (loaded, beside) = (loaded?, beside?);
        let mut figures = Figures::default();
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let (alone, beside) = (alone.quantile_us(quantile), beside.quantile_us(quantile));
            figures.set(&format!("neighbour.alone_{name}_us"), alone);
            figures.set(&format!("neighbour.beside_{name}_us"), beside);
            figures.set(&format!("neighbour.queue_wait_{name}_us"), beside - alone);
        }
        figures.set("neighbour.own_load_p50_us", loaded.whole.quantile_us(0.5));
        runs.push(figures);
    }
    Ok(Figures::of_runs(&runs))
}

async fn call_slowly(call: &Call, span: Duration) -> Result<Sample, BoxError> {
    let mut line = Line::connect(call.address).await?;
    let (began, mut took) = (Instant::now(), Vec::new());
    while began.elapsed() < span {
        let answer = line.call(&call.bytes).await?;
        if answer.status != 200 {
            return Err(format!("the slow caller was answered {}: {}", answer.status, line.body()).into());
        }
        took.push(nanos(answer.whole));
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Sample::of_nanos(took))
}
