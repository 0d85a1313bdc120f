//! `steward route explain`: where a call would go, and why.

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::quantity::Tokens;
use steward_queries::{RouteExplanation, RouteQuery};

use crate::client::Client;
use crate::output;

pub(super) async fn explain(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let model = matches.get_one::<String>("model").ok_or("model is missing")?;
    let query = RouteQuery {
        model: model.parse()?,
        tags: matches.get_many::<String>("tag").unwrap_or_default().cloned().collect(),
        input_tokens: Tokens(matches.get_one::<u64>("input-tokens").copied().unwrap_or_default()),
        output_tokens: matches.get_one::<u64>("output-tokens").copied().map(Tokens),
        min_position: None,
    };
    let explanation: RouteExplanation = client.query(&client.tenant()?, "route", "explain", &query).await?;
    if json {
        return output::json(&explanation);
    }
    let RouteExplanation { policy, inherited, targets, notes } = explanation;
    let rows = targets.into_iter().map(|row| {
        let place = row.place.map_or_else(|| "-".to_owned(), |place| place.to_string());
        vec![place, row.target.to_string(), row.reason]
    });
    output::say_lines(&output::table(&["TRIED", "TARGET", "WHY"], &[], rows));
    let whose = if inherited { "the platform's" } else { "the tenant's own" };
    println!("The route is {whose}; its policy is {}.", policy.as_str());
    output::say_lines(&notes.join("\n"));
    println!("Each gateway knows for itself which targets fail now, and asks those last; its metrics tell.");
    Ok(())
}
