//! TensorZero's gateway, bare: no keys, no budgets, no database. Its Python package carries it.

use std::net::SocketAddr;

use steward_events::BoxError;

use super::{Peer, Start};
use crate::load::Call;
use crate::part::Part;

/// Starts the gateway that the package carries, says where it listens, and stays.
const PROGRAM: &str = "\
import signal, sys, tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False)
print('ready on', gateway.base_url, flush=True)
signal.pause()
";

/// Where it takes what OpenAI's clients send.
const PATH: &str = "/openai/v1/chat/completions";

pub(super) async fn start(Start { program, folder, upstream }: &Start<'_>) -> Result<Peer, BoxError> {
    let configuration = folder.join("tensorzero.toml");
    std::fs::write(
        &configuration,
        format!(
            "[gateway]\nobservability.enabled = false\ndisable_pseudonymous_usage_analytics = true\n\n\
             [models.mock]\nrouting = [\"mock\"]\n\n\
             [models.mock.providers.mock]\ntype = \"openai\"\nmodel_name = \"mock\"\n\
             api_base = \"http://{}/v1/\"\napi_key_location = \"none\"\n",
            upstream.address
        ),
    )?;
    let (program, configuration) = (program.to_string_lossy(), configuration.to_string_lossy());
    let mut part = Part::start_program(folder, "tensorzero", &program, &["-c", PROGRAM, &configuration])?;
    let address = part.wait(async |part: &mut Part| Ok(address(&part.said())));
    let address = address.await?;
    let call = |stream| Call::post(address, PATH, "none", "tensorzero::model_name::mock", stream);
    Ok(Peer { part, calls: [call(false), call(true)] })
}

/// Where it says that it listens.
fn address(said: &str) -> Option<SocketAddr> {
    let line = said.lines().find_map(|line| line.strip_prefix("ready on http://"))?;
    line.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_address_is_read_from_what_it_says() {
        let said = "some warning\nready on http://127.0.0.1:43953/openai/v1\n";
        assert_eq!(address(said), Some("127.0.0.1:43953".parse().unwrap()));
        assert_eq!(address("ready on"), None);
    }
}
