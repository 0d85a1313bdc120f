//! One entry of `model_list`: a place where calls of a model go.

use steward_events::event::ProviderKind;

use super::super::costs::{self, Costs, Limits};
use super::super::decimal;
use super::super::notes::{Notes, Place};
use super::super::yaml::{Found, Section};
use super::values::{self, Values};
use super::vendor::{self, Vendor};

/// Where an upstream is and by which key: what makes one provider of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) kind: ProviderKind,
    /// What it is called there.
    pub(super) vendor: &'static str,
    pub(super) url: String,
    /// `env:NAME`, or none.
    pub(super) key: Option<String>,
}

/// One place where calls of a model go.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub(super) place: Place,
    /// The name that callers use.
    pub(super) model: String,
    pub(super) address: Address,
    /// The model's name at the provider.
    pub(super) upstream: String,
    /// The model of which the file says that this one is like it, in price and limits.
    pub(super) like: Option<String>,
    /// What the file itself says of its price.
    pub(super) costs: Option<Costs>,
    pub(super) limits: Limits,
    pub(super) share: Share,
}

/// How much of a model's calls go to a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Lower ones first.
    pub(super) order: Option<u64>,
    /// The most calls a minute.
    pub(super) calls: Option<u64>,
    /// The most tokens a minute.
    pub(super) tokens: Option<u64>,
}

/// What of `litellm_params` needs nothing here: it is for LiteLLM's own workings, or follows from the provider's kind.
const NEEDLESS: &[&str] = &["stream", "api_type", "use_in_pass_through", "merge_reasoning_content_in_choices"];

/// Reads one entry; none if it is left out, and why is in `notes`.
pub(super) fn read(entry: &Found<'_>, values: &Values<'_>, notes: &mut Notes) -> Option<Deployment> {
    let Some(mut section) = entry.section() else {
        notes.not(&entry.place, "left out, because it is not a table with model_name and litellm_params");
        return None;
    };
    let mut params = section.section("litellm_params", notes);
    values.add_credential(&mut params, notes);
    let mut info = section.section("model_info", notes);
    let Some((_, model)) = section.text("model_name", notes) else {
        notes.not(&entry.place, "left out, because it has no model_name");
        return None;
    };
    let Some((place, name)) = params.text("model", notes) else {
        notes.not(&entry.place, "left out, because its litellm_params name no model");
        return None;
    };
    if model.contains('*') || name.contains('*') {
        notes.not(&place, "left out: every model is named here; write one entry for each model that callers may use");
        return None;
    }
    let said = params.text("custom_llm_provider", notes).map(|(_, said)| said);
    let (vendor, upstream) = match vendor::find(name, said) {
        Ok(found) => found,
        Err(why) => {
            notes.not(&place, format!("left out: {why}"));
            return None;
        }
    };
    let Some(kind) = vendor.kind() else {
        let kind = vendor.kind_name();
        notes.not(&place, format!("left out: providers of the kind {kind} are not supported by this build"));
        return None;
    };
    let share = share(&mut section, &mut params, notes);
    let url = values.url(vendor, &mut params, &place, notes)?;
    let key = values::key(vendor, &url, &mut params, notes);
    let like = info.text("base_model", notes).map(|(_, like)| like.rsplit('/').next().unwrap_or(like).to_owned());
    let (costs, limits) = (costs(&mut [&mut info, &mut params], notes), limits(&mut [&mut info, &mut params]));
    let upstream = upstream_name(vendor, &upstream);
    tell_rest(section, params, notes);
    let address = Address { kind, vendor: vendor.prefix, url, key };
    Some(Deployment {
        place: entry.place.clone(),
        model: model.to_owned(),
        address,
        upstream,
        like,
        costs,
        limits,
        share,
    })
}

/// Of Bedrock's names LiteLLM's hints are not part: which API, which region.
fn upstream_name(vendor: &Vendor, upstream: &str) -> String {
    let plain = if vendor.prefix == "bedrock" { upstream.rsplit('/').next() } else { None };
    plain.unwrap_or(upstream).to_owned()
}

fn share(section: &mut Section<'_>, params: &mut Section<'_>, notes: &mut Notes) -> Share {
    let mut number = |name: &str| {
        let count = |found: &Found<'_>| found.number().and_then(decimal::count);
        let wanted = "a whole number";
        let of_entry = section.take_as(name, (wanted, count), notes);
        of_entry.or_else(|| params.take_as(name, (wanted, count), notes)).map(|(_, number)| number)
    };
    let share = Share { order: number("order"), calls: number("rpm"), tokens: number("tpm") };
    if let Some(found) = params.take("weight").or_else(|| section.take("weight")) {
        notes.partly(
            &found.place,
            "a route's targets are tried in the order of the file; put the one first that most calls shall go to",
        );
    }
    share
}

/// The costs that stand in these sections.
fn costs(sections: &mut [&mut Section<'_>], notes: &mut Notes) -> Option<Costs> {
    let mut found: Vec<(String, Found<'_>)> = Vec::new();
    for section in sections {
        for name in section.names(costs::is_cost) {
            found.extend(section.take(&name).map(|cost| (name, cost)));
        }
    }
    let (_, first) = found.first()?;
    let place = first.place.clone();
    let amounts = found.iter().map(|(name, cost)| (name.as_str(), cost.number().unwrap_or("no amount")));
    match costs::read(amounts) {
        Ok(Some(costs)) => {
            for remark in &costs.remarks {
                notes.partly(&place, remark.clone());
            }
            Some(costs)
        }
        Ok(None) => {
            notes.not(&place, "left out: only prices of tokens can be the price of a model; say them in company.toml");
            None
        }
        Err(why) => {
            notes.not(&place, format!("left out: {why}"));
            None
        }
    }
}

fn limits(sections: &mut [&mut Section<'_>]) -> Limits {
    let mut limits = Limits::default();
    let [info, params] = sections else { return limits };
    for name in ["max_input_tokens", "max_output_tokens", "max_tokens"] {
        if let Some(number) = info.take(name).as_ref().and_then(Found::number) {
            limits.read(name, number);
        }
    }
    // In litellm_params it is what a call asks for that does not say it.
    if let Some(number) = params.take("max_tokens").as_ref().and_then(Found::number) {
        let mut asked = Limits::default();
        asked.read("max_tokens", number);
        limits = limits.or(asked);
    }
    limits
}

/// What nobody read of an entry.
fn tell_rest(section: Section<'_>, params: Section<'_>, notes: &mut Notes) {
    let is_known = |name: &str| NEEDLESS.contains(&name);
    for (name, found) in params.rest().into_iter().filter(|(name, _)| !is_known(name)) {
        let says = match name {
            "api_version" => "left out: the provider's kind says which version of the API is spoken",
            "timeout" | "stream_timeout" | "request_timeout" => {
                "left out: time-outs are settings of the gateway, [gateway.providers]"
            }
            "max_retries" | "num_retries" => "left out: a call goes to the next target of the route instead",
            "max_budget" | "budget_duration" => {
                "left out: a budget of a model belongs to a tenant, budget = { limit, per, model } in company.toml"
            }
            "tags" => "left out: routes by tag are not imported; give the model another name for each tag",
            "azure_ad_token" | "tenant_id" | "client_id" | "client_secret" | "aws_role_name" | "aws_profile_name" => {
                "left out: only a key by reference is sent to a provider; see its key in company.toml"
            }
            "organization" | "headers" | "extra_headers" | "default_headers" => {
                "left out: no header of this name is sent"
            }
            _ => "left out: what a call asks for, its callers say themselves",
        };
        notes.not(&found.place, says);
    }
    for (_, found) in section.rest() {
        notes.not(&found.place, "left out: a model has no such setting here");
    }
}
