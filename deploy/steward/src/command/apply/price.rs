//! `price` of a model in company.toml: rates as people write them, `$1.00/M` for a million tokens.

use serde::Deserialize;
use serde_json::{Value, json};
use steward_events::BoxError;
use steward_events::event::{Hours, PriceVariant, Rates, ServiceTier, TargetId};
use steward_events::quantity::{NanoDollars, PicoDollarsPerToken, Tokens};
use steward_events::timestamp::Timestamp;

use crate::command::options::pico_a_token;

/// A table that holds rates beside other fields: each field by its name, so that a slip is named.
macro_rules! with_rates {
    ($(#[$doc:meta])* struct $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$attribute])* $field: $type,)*
            input: String,
            output: String,
            cached: Option<String>,
            cache_write: Option<String>,
            cache_write_1h: Option<String>,
            reasoning: Option<String>,
            audio_input: Option<String>,
            audio_output: Option<String>,
            image: Option<NanoDollars>,
            search: Option<NanoDollars>,
            call: Option<NanoDollars>,
        }

        impl $name {
            fn rates(&self) -> Result<Rates, BoxError> {
                let a_token = |text: &String| pico_a_token(text).map(PicoDollarsPerToken);
                let may = |text: &Option<String>| text.as_ref().map(a_token).transpose();
                let input = a_token(&self.input)?;
                Ok(Rates {
                    input,
                    cached: may(&self.cached)?.unwrap_or(input),
                    output: a_token(&self.output)?,
                    cache_write: may(&self.cache_write)?,
                    cache_write_1h: may(&self.cache_write_1h)?,
                    reasoning: may(&self.reasoning)?,
                    audio_input: may(&self.audio_input)?,
                    audio_output: may(&self.audio_output)?,
                    image: self.image,
                    search: self.search,
                    call: self.call,
                })
            }
        }
    };
}

with_rates! {
    /// What a model costs from a day on.
    struct Price {
        from: toml::value::Datetime,
        until: Option<toml::value::Datetime>,
        source: Option<String>,
        target: Option<TargetId>,
        #[serde(default)]
        variants: Vec<Variant>,
    }
}

with_rates! {
    /// What some of its calls cost.
    struct Variant {
        context_above: Option<Tokens>,
        tier: Option<ServiceTier>,
        #[serde(default)]
        hours: Vec<Hours>,
    }
}

impl Variant {
    fn variant(&self) -> Result<PriceVariant, BoxError> {
        let Self { context_above, tier, hours, .. } = self;
        Ok(PriceVariant { context_above: *context_above, tier: *tier, hours: hours.clone(), rates: self.rates()? })
    }
}

/// A price of a model from a moment on, as commands and lists have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Priced {
    /// First moment at which it applies.
    pub(crate) from: Timestamp,
    /// First moment at which it does not apply any more.
    pub(crate) until: Option<Timestamp>,
    /// The rates of calls to which no variant applies.
    pub(crate) rates: Rates,
    /// Other rates for some calls.
    pub(crate) variants: Vec<PriceVariant>,
    /// Who says so.
    pub(crate) source: Option<String>,
    /// Whose calls it is for, if it is for those of one target only.
    pub(crate) target: Option<TargetId>,
}

/// What tells a price from others, and its name for people.
pub(crate) fn price_id(model: &str, from: Timestamp, target: Option<&TargetId>) -> (Value, String) {
    let at = target.map_or_else(String::new, |target| format!(" at {target}"));
    (json!({ "model": model, "from": from, "target": target }), format!("{model}{at} from {from}"))
}

impl Priced {
    /// What tells it from other prices, and its name for people.
    pub(crate) fn id(&self, model: &str) -> (Value, String) {
        price_id(model, self.from, self.target.as_ref())
    }

    /// Its fields as commands take them.
    pub(crate) fn fields(&self) -> Value {
        let Self { until, rates, variants, source, .. } = self;
        json!({ "until": until, "price": rates, "variants": variants, "source": source })
    }

    /// True if both charge the same, whenever they apply and whoever says so.
    pub(crate) fn charges_as(&self, other: &Self) -> bool {
        (&self.rates, &self.variants) == (&other.rates, &other.variants)
    }
}

impl Price {
    /// What the table says.
    pub(crate) fn priced(&self) -> Result<Priced, BoxError> {
        let moment = |at: &toml::value::Datetime| at.to_string().parse::<Timestamp>();
        let until = self.until.as_ref().map(moment).transpose()?;
        let variants = self.variants.iter().map(Variant::variant).collect::<Result<Vec<_>, _>>()?;
        let (source, target) = (self.source.clone(), self.target.clone());
        Ok(Priced { from: moment(&self.from)?, until, rates: self.rates()?, variants, source, target })
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::SetPrice;

    use super::*;

    #[test]
    fn every_price_field_is_read_as_the_command_takes_it() {
        let price: Price = toml::from_str(
            r#"
            from = 2026-11-01
            until = 2027-01-01
            input = "$2.00/M"
            cached = "$0.10/M"
            output = "$10.00/M"
            cache_write = "$2.50/M"
            search = "$0.01"
            source = "the provider's page of 2026-11-29"
            variants = [
                { context_above = 272000, input = "$4.00/M", cached = "$0.20/M", output = "$15.00/M" },
                { tier = "flex", input = "$1.00/M", output = "$5.00/M" },
                { hours = [{ days = ["monday"], from = "01:00", to = "04:00" }], input = "$4.00/M", output = "$20.00/M" },
            ]
        "#,
        )
        .unwrap();
        let priced = price.priced().unwrap();
        let mut body = priced.fields();
        (body["model"], body["from"]) = (json!("sol"), json!(priced.from));
        let set: SetPrice = serde_json::from_value(body).unwrap();
        assert_eq!(set.price.cache_write, Some(PicoDollarsPerToken(2_500_000)));
        assert_eq!(set.price.search, Some(NanoDollars(10_000_000)));
        assert_eq!(set.variants[0].rates.cached, PicoDollarsPerToken(200_000));
        assert_eq!(set.variants[1].rates.cached, PicoDollarsPerToken(1_000_000), "as input, if it is left out");
        assert_eq!(set.variants[2].hours[0].from.to_string(), "01:00");
        assert_eq!(set.price.reasoning, None);
    }

    #[test]
    fn a_slip_in_a_price_is_named() {
        for text in
            ["from = 2026-11-01\ninput = \"$1.00/M\"\noutput = \"$1.00/M\"\nimages = \"$1.00\"", "input = \"$1.00/M\""]
        {
            assert!(toml::from_str::<Price>(text).is_err(), "{text}");
        }
    }
}
