//! The providers that LiteLLM's model names begin with: what each speaks, where it is, and where its key is by default.

use steward_events::event::ProviderKind;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vendor {
    /// Its prefix: `azure` of `azure/gpt-5`.
    pub(super) prefix: &'static str,
    /// What it speaks, by the name of a provider's kind. A build may not have that kind.
    kind: &'static str,
    /// Its public address; none if each customer has another.
    pub(super) base: Option<&'static str>,
    /// What our base URLs have behind LiteLLM's.
    pub(super) suffix: &'static str,
    /// The variable in which LiteLLM finds its key if none is said; none if it needs no key.
    pub(super) key: Option<&'static str>,
}

const fn vendor(
    prefix: &'static str,
    kind: &'static str,
    base: Option<&'static str>,
    suffix: &'static str,
    key: Option<&'static str>,
) -> Vendor {
    Vendor { prefix, kind, base, suffix, key }
}

const VENDORS: &[Vendor] = &[
    vendor("openai", "openai", Some("https://api.openai.com/v1"), "", Some("OPENAI_API_KEY")),
    vendor("azure", "azure", None, "", Some("AZURE_API_KEY")),
    vendor("anthropic", "anthropic", Some("https://api.anthropic.com"), "/v1", Some("ANTHROPIC_API_KEY")),
    vendor("gemini", "gemini", Some("https://generativelanguage.googleapis.com"), "/v1beta", Some("GEMINI_API_KEY")),
    vendor("bedrock", "bedrock", None, "", Some("AWS_BEARER_TOKEN_BEDROCK")),
    vendor("groq", "openai", Some("https://api.groq.com/openai/v1"), "", Some("GROQ_API_KEY")),
    vendor("mistral", "openai", Some("https://api.mistral.ai/v1"), "", Some("MISTRAL_API_KEY")),
    vendor("deepseek", "openai", Some("https://api.deepseek.com/v1"), "", Some("DEEPSEEK_API_KEY")),
    vendor("xai", "openai", Some("https://api.x.ai/v1"), "", Some("XAI_API_KEY")),
    vendor("openrouter", "openai", Some("https://openrouter.ai/api/v1"), "", Some("OPENROUTER_API_KEY")),
    vendor("together_ai", "openai", Some("https://api.together.xyz/v1"), "", Some("TOGETHERAI_API_KEY")),
    vendor("fireworks_ai", "openai", Some("https://api.fireworks.ai/inference/v1"), "", Some("FIREWORKS_AI_API_KEY")),
    vendor("perplexity", "openai", Some("https://api.perplexity.ai"), "", Some("PERPLEXITYAI_API_KEY")),
    vendor("cerebras", "openai", Some("https://api.cerebras.ai/v1"), "", Some("CEREBRAS_API_KEY")),
    vendor("deepinfra", "openai", Some("https://api.deepinfra.com/v1/openai"), "", Some("DEEPINFRA_API_KEY")),
    vendor("nvidia_nim", "openai", Some("https://integrate.api.nvidia.com/v1"), "", Some("NVIDIA_NIM_API_KEY")),
    vendor("ollama", "openai", Some("http://localhost:11434"), "/v1", None),
    vendor("ollama_chat", "openai", Some("http://localhost:11434"), "/v1", None),
    vendor("hosted_vllm", "openai", None, "", None),
    vendor("lm_studio", "openai", None, "", None),
    vendor("litellm_proxy", "openai", None, "", None),
];

/// Whose a model is that is named without a provider.
const BARE: &[(&str, &str)] = &[
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("text-embedding-", "openai"),
    ("claude-", "anthropic"),
];

impl Vendor {
    /// What it speaks; none if this build does not know that.
    pub(super) fn kind(&self) -> Option<ProviderKind> {
        ProviderKind::ALL.iter().copied().find(|kind| kind.as_str() == self.kind)
    }

    /// The name of what it speaks.
    pub(super) const fn kind_name(&self) -> &'static str {
        self.kind
    }
}

/// Whose model this is, and its name there: `azure/gpt-5` is `gpt-5` at azure. `said` is what the file names as provider
/// beside the model.
///
/// # Errors
/// What to do about a model of which that is not known.
pub(super) fn find(model: &str, said: Option<&str>) -> Result<(&'static Vendor, String), String> {
    let named = |prefix: &str| VENDORS.iter().find(|vendor| vendor.prefix == prefix);
    if let Some(said) = said {
        let vendor = named(said).ok_or_else(|| unknown(said))?;
        let upstream = model.strip_prefix(said).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model);
        return Ok((vendor, upstream.to_owned()));
    }
    if let Some((prefix, upstream)) = model.split_once('/') {
        return named(prefix).map(|vendor| (vendor, upstream.to_owned())).ok_or_else(|| unknown(prefix));
    }
    let bare = BARE.iter().find(|(start, _)| model.starts_with(start)).and_then(|(_, prefix)| named(prefix));
    bare.map(|vendor| (vendor, model.to_owned())).ok_or_else(|| {
        "it does not say which provider's it is; write it with its provider, e.g. openai/NAME".to_owned()
    })
}

fn unknown(prefix: &str) -> String {
    let prefix: String = prefix.chars().take(40).collect();
    format!(
        "{prefix} is no provider that this import knows; if it speaks OpenAI's API, write openai/NAME with its api_base"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_says_its_provider() {
        let found = |model, said| find(model, said).map(|(vendor, upstream)| (vendor.prefix, upstream));
        assert_eq!(found("azure/my/deployment", None).unwrap(), ("azure", "my/deployment".to_owned()));
        assert_eq!(found("gpt-6.1-sol", None).unwrap(), ("openai", "gpt-6.1-sol".to_owned()));
        assert_eq!(found("claude-opus-5-5", None).unwrap(), ("anthropic", "claude-opus-5-5".to_owned()));
        assert_eq!(found("Org/model", Some("hosted_vllm")).unwrap(), ("hosted_vllm", "Org/model".to_owned()));
        assert_eq!(found("openai/x", Some("openai")).unwrap(), ("openai", "x".to_owned()));
        assert!(found("vertex_ai/gemini", None).unwrap_err().contains("vertex_ai"));
        assert!(found("llama-9", None).unwrap_err().contains("openai/NAME"));
    }

    #[test]
    fn each_prefix_stands_once_and_openai_is_built_in() {
        let mut prefixes: Vec<_> = VENDORS.iter().map(|vendor| vendor.prefix).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        assert_eq!(prefixes.len(), VENDORS.len());
        assert!(VENDORS[0].kind().is_some());
    }
}
