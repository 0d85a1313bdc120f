//! What of LiteLLM's settings beside models and people becomes what, or what to do instead.

use super::super::notes::Notes;
use super::super::yaml::{Found, Section};

/// Settings of `router_settings`, `litellm_settings`, `general_settings` and the top, and what to do instead.
const INSTEAD: &[(&str, &str)] = &[
    ("routing_strategy", "a route's targets are tried in the order of the file"),
    ("num_retries", "a call goes to the next target of its route instead, with a reservation of its own"),
    ("max_fallbacks", "the targets of a route are all that are tried"),
    ("allowed_fails", "the gateway looks after its targets itself"),
    ("cooldown_time", "the gateway looks after its targets itself"),
    (
        "context_window_fallbacks",
        "calls that are too long are refused with context_length_exceeded; callers name a model that reads more",
    ),
    ("content_policy_fallbacks", "a refusal by the provider is the answer"),
    ("default_fallbacks", "say for each model where its calls go: route in company.toml"),
    ("timeout", "time-outs are settings of the gateway: [gateway.providers]"),
    ("request_timeout", "time-outs are settings of the gateway: [gateway.providers]"),
    ("stream_timeout", "time-outs are settings of the gateway: [gateway.providers]"),
    ("redis_host", "gateways share budgets over the bus; no Redis is needed"),
    ("redis_port", "gateways share budgets over the bus; no Redis is needed"),
    ("redis_password", "gateways share budgets over the bus; no Redis is needed"),
    ("redis_url", "gateways share budgets over the bus; no Redis is needed"),
    ("cache", "a cache of answers is not imported; see docs/FEATURES.md"),
    ("cache_params", "a cache of answers is not imported; see docs/FEATURES.md"),
    ("drop_params", "what a provider does not know is passed on, and refused by the provider"),
    (
        "success_callback",
        "every call is in the log: steward replay, steward cost, and the exports of traces and metrics",
    ),
    ("failure_callback", "every refusal is in the log: steward replay"),
    ("callbacks", "every call is in the log: steward replay, steward cost, and the exports of traces and metrics"),
    ("set_verbose", "levels of log lines are a setting: docs/CONFIGURATION.md"),
    ("json_logs", "log lines are structured; their form is a setting: docs/CONFIGURATION.md"),
    ("provider_budget_config", "a budget counts a tenant, project, principal, key, model or agent, and no provider"),
    ("default_internal_user_params", "write a budget with principal = NAME for each person in company.toml"),
    ("default_team_settings", "every call is in the log, whatever its team"),
    ("master_key", "the operator's key takes its place: steward up makes it at its first start"),
    ("database_url", "the log is the only store; nothing has to be set up"),
    ("store_model_in_db", "models are always in the log: steward model list"),
    ("alerting", "rules for alerts are in observability/prometheus"),
    ("alerting_threshold", "rules for alerts are in observability/prometheus"),
    ("proxy_batch_write_at", "each call is recorded before its answer ends"),
    ("max_parallel_requests", "see the limits of the gateway in docs/CONFIGURATION.md"),
    ("global_max_parallel_requests", "see the limits of the gateway in docs/CONFIGURATION.md"),
    ("environment_variables", "set variables where the gateway is started"),
    ("include", "import each file that it names"),
    ("guardrails", "guardrails are not imported"),
    ("mcp_servers", "tools are not imported"),
    ("vector_store_registry", "vector stores are not imported"),
];

/// The settings in which fallbacks and aliases stand, taken apart after the models.
pub(super) struct Rest<'n> {
    sections: Vec<Section<'n>>,
    top: Section<'n>,
}

impl<'n> Rest<'n> {
    pub(super) fn of(mut top: Section<'n>, notes: &mut Notes) -> Self {
        let names = ["router_settings", "litellm_settings", "general_settings"];
        let sections = names.map(|name| top.section(name, notes)).into();
        Self { sections, top }
    }

    /// What stands under `name` in any of them, each time.
    pub(super) fn take(&mut self, name: &str) -> Vec<Found<'n>> {
        self.sections.iter_mut().filter_map(|section| section.take(name)).collect()
    }

    /// What stands under `name` at the top.
    pub(super) const fn top(&mut self) -> &mut Section<'n> {
        &mut self.top
    }

    /// Tells what nobody took.
    pub(super) fn tell(self, notes: &mut Notes) {
        for (name, found) in self.sections.into_iter().chain([self.top]).flat_map(Section::rest) {
            let instead = INSTEAD.iter().find(|(known, _)| *known == name);
            let says = instead
                .map_or("this import does not know it; see docs/CONFIGURATION.md for what can be set", |(_, says)| {
                    says
                });
            notes.not(&found.place, format!("left out: {says}"));
        }
    }
}

/// The entries of `fallbacks`: a model and the models to which its calls go that fail.
pub(super) fn fallbacks<'n>(found: &Found<'n>, notes: &mut Notes) -> Vec<(&'n str, Vec<&'n str>, Found<'n>)> {
    let mut all = Vec::new();
    for item in found.items().unwrap_or_default() {
        for (model, to) in item.entries().unwrap_or_default() {
            match to.texts() {
                Some(texts) => all.push((model, texts, to)),
                None => notes.not(&to.place, "left out, because it is not a list of models"),
            }
        }
    }
    if all.is_empty() {
        notes.not(&found.place, "left out, because it is not a list such as [{a: [b, c]}]");
    }
    all
}

/// The entries of `model_group_alias`: another name and the model.
pub(super) fn aliases<'n>(found: &Found<'n>, notes: &mut Notes) -> Vec<(&'n str, &'n str, Found<'n>)> {
    let mut all = Vec::new();
    for (name, of) in found.entries().unwrap_or_default() {
        let mut table = of.section();
        let model = of.text().or_else(|| table.as_mut()?.text("model", notes).map(|(_, model)| model));
        let Some(model) = model else {
            notes.not(&of.place, "left out, because it names no model");
            continue;
        };
        if table.is_some_and(|mut table| table.take("hidden").is_some()) {
            notes.partly(&of.place, "it is not hidden: whoever may call a model sees it in the list of models");
        }
        all.push((name, model, of));
    }
    all
}
