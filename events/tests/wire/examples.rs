//! One example of every variant of every event. The `match` that [`variants!`] makes has no `_`: a new variant does not
//! compile until it stands here. A name `<aggregate>.<type>.<what>` is a further example of the same variant.

use std::num::{NonZeroU8, NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};
use steward_events::digest::{BodyHash, TreeHash};
use steward_events::event::*;
use steward_events::id::*;
use steward_events::quantity::*;
use steward_events::scope::{Scope, ScopeSet, Subject};
use steward_events::sealed::{DestroyedKey, KeyDigest, KeyOwner, Sealed};
use steward_events::sender::KeyRef;
use steward_events::shared::Shared;
use steward_events::timestamp::Timestamp;

/// 2026-11-23T10:00:00Z.
pub(crate) const AT: Timestamp = Timestamp(1_795_428_000_000_000);

macro_rules! variants {
    ($($pattern:pat => $name:literal: $example:expr;)*) => {
        /// The name of an event's variant.
        fn name_of(event: &Event) -> &'static str {
            match event {
                $($pattern => $name,)*
            }
        }

        /// The names of all variants.
        pub(crate) fn variants() -> Vec<&'static str> {
            vec![$($name),*]
        }

        /// An example of each variant, under the variant's name.
        fn one_each() -> Vec<(&'static str, Event)> {
            vec![$(($name, $example.into())),*]
        }
    };
}

/// All examples: name and event.
pub(crate) fn all() -> Vec<(&'static str, Event)> {
    let one_each = one_each();
    for (name, event) in &one_each {
        assert_eq!(*name, name_of(event), "the example stands under another variant");
    }
    one_each.into_iter().chain(further()).chain(further_channels()).collect()
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn principal() -> PrincipalId {
    PrincipalId::new("svc_7h2k").unwrap()
}

fn key() -> KeyId {
    KeyId::new("key_9kd2").unwrap()
}

fn project() -> ProjectId {
    ProjectId::new("support").unwrap()
}

fn flag() -> FlagId {
    FlagId::new("new-search").unwrap()
}

fn plan() -> PlanId {
    PlanId::new("starter").unwrap()
}

fn settings() -> TenantSettings {
    TenantSettings {
        timezone: "Europe/Berlin".to_owned(),
        display_name: "Acme Corp.".to_owned(),
        contact: "it@acme.example".to_owned(),
        description: String::new(),
    }
}

fn secret() -> SecretId {
    SecretId::new("openai").unwrap()
}

fn model() -> ModelId {
    ModelId::new("small").unwrap()
}

fn provider() -> ProviderId {
    ProviderId::new("local").unwrap()
}

fn agent() -> AgentId {
    AgentId::new("researcher").unwrap()
}

fn key_ref() -> KeyRef {
    KeyRef { tenant: tenant(), key: KeyId::new("key_2").unwrap() }
}

fn task() -> TaskId {
    TaskId::new("t_41").unwrap()
}

fn file() -> FileId {
    FileId::new("file-1").unwrap()
}

fn batch() -> BatchId {
    BatchId::new("batch_1").unwrap()
}

fn call() -> CallId {
    CallId::new("call_88").unwrap()
}

fn budget() -> BudgetId {
    BudgetId::new("budget_5e1").unwrap()
}

fn lease() -> LeaseId {
    LeaseId { holder: HolderId::new("gw_3m9x").unwrap(), number: 12 }
}

fn scope() -> Scope {
    "acme/support".parse().unwrap()
}

fn scopes() -> ScopeSet {
    ScopeSet {
        path: scope(),
        principal: principal(),
        key: key(),
        model: model(),
        agent: Some(agent()),
        task: Some(task()),
        line: None,
    }
}

fn scopes_bare() -> ScopeSet {
    ScopeSet { path: Scope::tenant(&tenant()), agent: None, task: None, ..scopes() }
}

/// Different in every component, and each of another width in bytes.
fn amounts(calls: u64) -> Amounts {
    Amounts { calls, tokens: Tokens(70_000), money: NanoDollars(5_000_000_000) }
}

fn tokens() -> TokenUsage {
    TokenUsage {
        input: Tokens(1_200),
        cached: Tokens(1_000),
        output: Tokens(90),
        reasoning: Tokens(30),
        ..TokenUsage::default()
    }
}

fn rates(times: u64) -> Rates {
    let [input, cached, output] = [1_000_000, 100_000, 4_000_000].map(|rate| PicoDollarsPerToken(rate * times));
    Rates { input, cached, output, ..Rates::default() }
}

fn context(scopes: ScopeSet) -> Shared<CallContext> {
    Shared::new(CallContext {
        scopes,
        operation: Operation::Chat,
        provider: provider(),
        upstream_model: "SmolLM2-135M".to_owned(),
        price: price_version(),
        purpose: Purpose::Asked,
    })
}

fn tags() -> Tags {
    Tags::new([("feature".to_owned(), "search".to_owned()), ("team".to_owned(), "support".to_owned())].into()).unwrap()
}

fn step_started(kind: StepKind) -> TaskEvent {
    TaskEvent::StepStarted { epoch: epoch(), step: StepNumber(1), kind }
}

/// A finish that says all that one can say.
fn finished_in_full() -> UsageEvent {
    UsageEvent::CallFinished {
        call: CallId::new("01kb7m3w2q8x4c6e9v5t1r0n7g").unwrap(),
        lease: lease(),
        context: Shared::new(CallContext { operation: Operation::Batch, ..(*context(scopes())).clone() }),
        tokens: TokenUsage {
            cache_write: Tokens(40),
            cache_write_1h: Tokens(50),
            audio_input: Tokens(60),
            audio_output: Tokens(7),
            images: 2,
            searches: 3,
            tier: ServiceTier::Batch,
            ..tokens()
        },
        cost: NanoDollars(1_290_000),
        variant: 2,
        unpriced: UnpricedSet::default(),
        source: AnswerSource::Shared { call: call() },
        saved: Saved { tokens: Tokens(1_290), money: NanoDollars(1_290_000) },
        savings: Savings::default(),
        used: amounts(1),
        late: amounts(1),
        outcome: CallOutcome::Completed,
        duration_ms: 1_900,
        tags: tags(),
    }
}

/// A call for which a provider was asked, and asked for less.
fn finished_with_savings() -> UsageEvent {
    let saving =
        |tokens, money, extra| Saving { tokens: Tokens(tokens), money: NanoDollars(money), extra: NanoDollars(extra) };
    let savings = Savings::from_iter([
        (SavingCause::PromptCache, saving(900, 810_000, 0)),
        (SavingCause::Compressed, saving(200, 200_000, 0)),
        (SavingCause::Trimmed, saving(4_000, 4_000_000, 7)),
    ]);
    UsageEvent::CallFinished {
        call: call(),
        lease: lease(),
        context: context(scopes_bare()),
        tokens: tokens(),
        cost: NanoDollars(1_290_000),
        variant: 0,
        unpriced: UnpricedSet::default(),
        source: AnswerSource::Provider,
        saved: Saved::default(),
        savings,
        used: amounts(1),
        late: amounts(0),
        outcome: CallOutcome::Completed,
        duration_ms: 1_900,
        tags: Tags::default(),
    }
}

/// A price that says all that one can say.
fn price_in_full() -> CatalogEvent {
    let rate = |times: u64| Some(PicoDollarsPerToken(1_000_000 * times));
    let full = Rates {
        cache_write: rate(2),
        cache_write_1h: rate(3),
        reasoning: rate(4),
        audio_input: rate(5),
        audio_output: rate(6),
        image: Some(NanoDollars(40_000_000)),
        search: Some(NanoDollars(10_000_000)),
        call: Some(NanoDollars(1_000)),
        ..rates(1)
    };
    let night = Hours { days: vec![Weekday::Monday, Weekday::Sunday], from: TimeOfDay(60), to: TimeOfDay::MIDNIGHT };
    let plain = PriceVariant { context_above: None, tier: None, hours: vec![], rates: rates(2) };
    CatalogEvent::PriceSet {
        model: model(),
        from: Timestamp(1_793_491_200_000_000),
        until: Some(Timestamp(1_798_761_600_000_000)),
        price: full,
        variants: vec![
            PriceVariant { context_above: Some(Tokens(272_000)), ..plain.clone() },
            PriceVariant { tier: Some(ServiceTier::Flex), hours: vec![night], ..plain },
        ],
        source: Some("https://provider.example/prices, read 2026-11-29".to_owned()),
        target: None,
    }
}

fn price_version() -> PriceVersion {
    PriceVersion { model: model(), from: Timestamp(1_793_491_200_000_000), target: None }
}

fn terms() -> LeaseTerms {
    LeaseTerms { cap_total: amounts(100), until: at(30), expires: at(40) }
}

fn window() -> WindowBounds {
    WindowBounds { budget: budget(), from: at(0), to: Some(at(86_400)) }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(AT.0 + seconds * 1_000_000)
}

fn rule() -> RuleId {
    RuleId::new("no-secrets").unwrap()
}

fn elevation() -> ElevationId {
    ElevationId::new("elv_01").unwrap()
}

fn denial() -> DenialSpec {
    DenialSpec {
        permissions: vec!["secret:*".parse().unwrap()],
        on: scope(),
        whom: Whom { everyone: false, principals: vec![principal()], roles: vec![RoleId::new("agent").unwrap()] },
        condition: None,
        unless: false,
        until: None,
        reason: reason(),
    }
}

fn full_condition() -> Condition {
    Condition {
        models: vec![],
        cost_max: None,
        hours: vec!["Mon-Fri 08:00-18:00 Europe/Berlin".parse().unwrap()],
        data_classes: vec![DataClass::new("public").unwrap()],
        tools: vec!["read-file".to_owned()],
        arguments: vec![
            ArgumentRule { at: "/path".to_owned(), prefix: Some("/data/".to_owned()), ..ArgumentRule::default() },
            ArgumentRule {
                at: "/mode".to_owned(),
                one_of: vec!["r".to_owned(), "rw".to_owned()],
                prefix: None,
                max: Some(10),
            },
        ],
    }
}

fn grant() -> GrantId {
    GrantId { to: principal(), role: RoleId::new("agent").unwrap(), on: scope() }
}

fn epoch() -> Epoch {
    Epoch(3)
}

/// Sealed content whose bytes are the same every time: real sealing draws a nonce.
fn sealed<T: Serialize + for<'de> Deserialize<'de>>(owner: KeyOwner) -> Sealed<T> {
    #[derive(Serialize)]
    struct AsRecorded {
        owner: KeyOwner,
        #[serde(with = "serde_bytes")]
        sealed: Vec<u8>,
    }
    let recorded = AsRecorded { owner, sealed: (0..40).collect() };
    rmp_serde::from_slice(&rmp_serde::to_vec_named(&recorded).unwrap()).unwrap()
}

fn of_tenant<T: Serialize + for<'de> Deserialize<'de>>() -> Sealed<T> {
    sealed(KeyOwner::Tenant(tenant()))
}

fn group() -> PrincipalId {
    PrincipalId::group(&tenant(), "support")
}

fn reason() -> String {
    "left the company".to_owned()
}

variants! {
    Event::Registry(RegistryEvent::TenantPlaced { .. }) => "registry.tenant_placed":
        RegistryEvent::TenantPlaced {
            tenant: tenant(),
            shard: Shard(3),
            timezone: "Europe/Berlin".to_owned(),
        };
    Event::Registry(RegistryEvent::TenantErased { .. }) => "registry.tenant_erased":
        RegistryEvent::TenantErased { tenant: tenant() };
    Event::Tenant(TenantEvent::Created { .. }) => "tenant.created":
        TenantEvent::Created { tenant: tenant(), timezone: "Europe/Berlin".to_owned() };
    Event::Tenant(TenantEvent::Suspended { .. }) => "tenant.suspended":
        TenantEvent::Suspended { reason: "the bill is open".to_owned() };
    Event::Tenant(TenantEvent::Resumed) => "tenant.resumed": TenantEvent::Resumed;
    Event::Tenant(TenantEvent::ErasureAsked { .. }) => "tenant.erasure_asked":
        TenantEvent::ErasureAsked { reason: reason() };
    Event::Tenant(TenantEvent::ErasureCancelled) => "tenant.erasure_cancelled": TenantEvent::ErasureCancelled;
    Event::Tenant(TenantEvent::Erased) => "tenant.erased": TenantEvent::Erased;
    Event::Tenant(TenantEvent::Destroyed { .. }) => "tenant.destroyed":
        TenantEvent::Destroyed {
            keys: vec![
                DestroyedKey { owner: KeyOwner::Tenant(tenant()), wrapped: Some(KeyDigest::of(b"wrapped")) },
                DestroyedKey { owner: KeyOwner::Person(tenant(), principal()), wrapped: None },
            ],
            contents: Some(3),
        };
    Event::Tenant(TenantEvent::SettingsChanged { .. }) => "tenant.settings_changed":
        TenantEvent::SettingsChanged { revision: 3, settings: settings(), back_to: Some(1) };
    Event::Tenant(TenantEvent::ProjectCreated { .. }) => "tenant.project_created":
        TenantEvent::ProjectCreated { project: project(), name: "Support".to_owned() };
    Event::Tenant(TenantEvent::ProjectRenamed { .. }) => "tenant.project_renamed":
        TenantEvent::ProjectRenamed { project: project(), name: "Customer care".to_owned() };
    Event::Tenant(TenantEvent::ProjectArchived { .. }) => "tenant.project_archived":
        TenantEvent::ProjectArchived { project: project(), reason: reason() };
    Event::Tenant(TenantEvent::ProjectRestored { .. }) => "tenant.project_restored":
        TenantEvent::ProjectRestored { project: project() };
    Event::Tenant(TenantEvent::FlagSet { .. }) => "tenant.flag_set":
        TenantEvent::FlagSet {
            flag: flag(),
            spec: FlagSpec { state: "25%".parse().unwrap(), on_for: vec![principal()], off_for: vec![] },
        };
    Event::Tenant(TenantEvent::FlagRemoved { .. }) => "tenant.flag_removed": TenantEvent::FlagRemoved { flag: flag() };
    Event::Tenant(TenantEvent::QuotaSet { .. }) => "tenant.quota_set":
        TenantEvent::QuotaSet { quota: QuotaKind::Agents, level: BudgetLevel::Platform, limit: 5 };
    Event::Tenant(TenantEvent::QuotaRemoved { .. }) => "tenant.quota_removed":
        TenantEvent::QuotaRemoved { quota: QuotaKind::CommandsPerMinute, level: BudgetLevel::Tenant };
    Event::Tenant(TenantEvent::PlanSet { .. }) => "tenant.plan_set": TenantEvent::PlanSet { plan: Some(plan()) };
    Event::Tenant(TenantEvent::PlanDefined { .. }) => "tenant.plan_defined":
        TenantEvent::PlanDefined {
            plan: plan(),
            revision: 2,
            spec: PlanSpec {
                quotas: vec![PlanQuota { quota: QuotaKind::Tasks, limit: 3 }],
                flags: vec![PlanFlag { flag: flag(), state: FlagState::ON }],
                budgets: vec![PlanBudget { limit: "$50".parse().unwrap(), per: Window::Month }],
            },
        };
    Event::Quota(QuotaEvent::PlaceTaken { .. }) => "quota.place_taken":
        QuotaEvent::PlaceTaken { quota: QuotaKind::Agents, id: StreamId::new("researcher").unwrap() };
    Event::Quota(QuotaEvent::PlaceReturned { .. }) => "quota.place_returned":
        QuotaEvent::PlaceReturned { quota: QuotaKind::Tasks, id: StreamId::new("t_1").unwrap() };
    Event::Identity(IdentityEvent::AccountCreated { .. }) => "identity.account_created":
        IdentityEvent::AccountCreated { principal: principal(), name: "support-bot".to_owned() };
    Event::Identity(IdentityEvent::UserInvited { .. }) => "identity.user_invited": {
        let person = PrincipalId::new("p_3m9x").unwrap();
        IdentityEvent::UserInvited { principal: person.clone(), profile: sealed(KeyOwner::Person(tenant(), person)) }
    };
    Event::Identity(IdentityEvent::OwnerSet { .. }) => "identity.owner_set":
        IdentityEvent::OwnerSet { account: principal(), owner: PrincipalId::new("p_3m9x").unwrap() };
    Event::Identity(IdentityEvent::UserChanged { .. }) => "identity.user_changed": {
        let person = PrincipalId::new("p_3m9x").unwrap();
        IdentityEvent::UserChanged { principal: person.clone(), profile: sealed(KeyOwner::Person(tenant(), person)) }
    };
    Event::Identity(IdentityEvent::UserEnabled { .. }) => "identity.user_enabled":
        IdentityEvent::UserEnabled { principal: principal(), reason: "came back".to_owned() };
    Event::Identity(IdentityEvent::UserDisabled { .. }) => "identity.user_disabled":
        IdentityEvent::UserDisabled { principal: principal(), reason: reason() };
    Event::Identity(IdentityEvent::KeyIssued { .. }) => "identity.key_issued":
        IdentityEvent::KeyIssued {
            key: key(),
            principal: principal(),
            hash: KeyHash::of("stw_acme_secret"),
            scope: scope(),
            models: vec![model(), ModelId::new("large").unwrap()],
            expires: Some(at(2_592_000)),
            agent: Some(agent()),
            task: Some(task()),
            permissions: vec![],
            parent: None,
            addresses: vec![],
            hours: vec![],
            line: None,
        };
    Event::Identity(IdentityEvent::KeyReplaced { .. }) => "identity.key_replaced":
        IdentityEvent::KeyReplaced { key: key(), by: KeyId::new("key_next").unwrap(), until: at(86_400) };
    Event::Identity(IdentityEvent::KeyRevoked { .. }) => "identity.key_revoked":
        IdentityEvent::KeyRevoked { key: key(), reason: reason() };
    Event::Identity(IdentityEvent::UserErased { .. }) => "identity.user_erased":
        IdentityEvent::UserErased { principal: principal(), reason: reason() };
    Event::Identity(IdentityEvent::UserKeyDestroyed { .. }) => "identity.user_key_destroyed":
        IdentityEvent::UserKeyDestroyed { principal: principal(), wrapped: Some(KeyDigest::of(b"wrapped")) };
    Event::Access(AccessEvent::RoleDefined { .. }) => "access.role_defined":
        AccessEvent::RoleDefined {
            role: RoleId::new("agent").unwrap(),
            permissions: vec!["model:invoke".parse().unwrap(), "task:*".parse().unwrap()],
            inherits: vec![RoleId::new("reader").unwrap()],
        };
    Event::Access(AccessEvent::RoleGranted { .. }) => "access.role_granted":
        AccessEvent::RoleGranted {
            grant: grant(),
            expires: Some(at(3_600)),
            condition: Some(Condition {
                models: vec![model()],
                cost_max: Some(NanoDollars(250_000_000)),
                ..Condition::default()
            }),
        };
    Event::Access(AccessEvent::GrantRevoked { .. }) => "access.grant_revoked":
        AccessEvent::GrantRevoked { grant: grant(), reason: reason() };
    Event::Access(AccessEvent::GroupDefined { .. }) => "access.group_defined":
        AccessEvent::GroupDefined {
            group: group(),
            name: "support".to_owned(),
            description: "answers customers".to_owned(),
        };
    Event::Access(AccessEvent::GroupJoined { .. }) => "access.group_joined":
        AccessEvent::GroupJoined { group: group(), member: principal() };
    Event::Access(AccessEvent::GroupLeft { .. }) => "access.group_left":
        AccessEvent::GroupLeft { group: group(), member: principal(), reason: reason() };
    Event::Access(AccessEvent::GroupRemoved { .. }) => "access.group_removed":
        AccessEvent::GroupRemoved { group: group(), reason: reason() };
    Event::Access(AccessEvent::RoleRemoved { .. }) => "access.role_removed":
        AccessEvent::RoleRemoved { role: RoleId::new("reader").unwrap(), reason: reason() };
    Event::Access(AccessEvent::DenialSet { .. }) => "access.denial_set":
        AccessEvent::DenialSet { denial: rule(), spec: denial() };
    Event::Access(AccessEvent::DenialRemoved { .. }) => "access.denial_removed":
        AccessEvent::DenialRemoved { denial: rule(), reason: reason() };
    Event::Access(AccessEvent::SeparationSet { .. }) => "access.separation_set":
        AccessEvent::SeparationSet {
            separation: rule(),
            spec: SeparationSpec {
                roles: vec![RoleId::new("payer").unwrap(), RoleId::new("approver").unwrap()],
                on: scope(),
                reason: reason(),
                existing: vec![principal()],
            },
        };
    Event::Access(AccessEvent::SeparationRemoved { .. }) => "access.separation_removed":
        AccessEvent::SeparationRemoved { separation: rule(), reason: reason() };
    Event::Access(AccessEvent::ElevationAllowed { .. }) => "access.elevation_allowed":
        AccessEvent::ElevationAllowed {
            rule: rule(),
            spec: ElevationRule {
                role: RoleId::new("owner").unwrap(),
                on: scope(),
                askers: vec![principal()],
                asker_roles: vec![RoleId::new("developer").unwrap()],
                approvers: vec![PrincipalId::new("p_3m9x").unwrap()],
                approver_roles: vec![RoleId::new("admin").unwrap()],
                self_approval: true,
                longest_s: 3_600,
            },
        };
    Event::Access(AccessEvent::ElevationDisallowed { .. }) => "access.elevation_disallowed":
        AccessEvent::ElevationDisallowed { rule: rule(), reason: reason() };
    Event::Access(AccessEvent::ElevationRequested { .. }) => "access.elevation_requested":
        AccessEvent::ElevationRequested {
            elevation: elevation(),
            request: ElevationRequest {
                rule: rule(),
                by: principal(),
                role: RoleId::new("owner").unwrap(),
                on: scope(),
                duration_s: 900,
                reason: reason(),
                lapses: at(86_400),
            },
        };
    Event::Access(AccessEvent::ElevationApproved { .. }) => "access.elevation_approved":
        AccessEvent::ElevationApproved {
            elevation: elevation(),
            by: principal(),
            until: at(900),
            self_approved: true,
            reason: reason(),
        };
    Event::Access(AccessEvent::ElevationRefused { .. }) => "access.elevation_refused":
        AccessEvent::ElevationRefused { elevation: elevation(), reason: reason() };
    Event::Access(AccessEvent::ElevationEnded { .. }) => "access.elevation_ended":
        AccessEvent::ElevationEnded { elevation: elevation(), reason: reason() };
    Event::Access(AccessEvent::ReviewStarted { .. }) => "access.review_started":
        AccessEvent::ReviewStarted {
            review: ReviewId::new("2026-q4").unwrap(),
            spec: ReviewSpec { on: scope(), due: at(2_592_000), reviewers: vec![principal()], revoke_unreviewed: true },
        };
    Event::Access(AccessEvent::GrantsConfirmed { .. }) => "access.grants_confirmed":
        AccessEvent::GrantsConfirmed {
            review: ReviewId::new("2026-q4").unwrap(),
            grants: vec![grant()],
            reason: reason(),
        };
    Event::Access(AccessEvent::ReviewClosed { .. }) => "access.review_closed":
        AccessEvent::ReviewClosed { review: ReviewId::new("2026-q4").unwrap(), unreviewed: 3, reason: reason() };
    Event::Access(AccessEvent::DataClassSet { .. }) => "access.data_class_set":
        AccessEvent::DataClassSet { scope: scope(), class: Some(DataClass::new("confidential").unwrap()) };
    Event::Access(AccessEvent::TrialStarted { .. }) => "access.trial_started":
        AccessEvent::TrialStarted { grant: grant(), until: at(3_600) };
    Event::Access(AccessEvent::TrialEnded { .. }) => "access.trial_ended":
        AccessEvent::TrialEnded {
            grant: grant(),
            until: at(3_600),
            permission: Some("budget:set".parse().unwrap()),
            scope: Some(scope()),
            reason: reason(),
        };
    Event::Ledger(LedgerEvent::BudgetSet { .. }) => "ledger.budget_set":
        LedgerEvent::BudgetSet {
            budget: budget(),
            key: BudgetKey {
                scope: scope(),
                level: Scope::everything(),
                subject: Some(Subject::Model(model())),
                unit: Unit::Money,
                window: Window::Day,
            },
            spec: BudgetSpec { limit: 5_000_000_000, hard: true, warn_percent: vec![50, 80] },
            window: window(),
        };
    Event::Ledger(LedgerEvent::BudgetRemoved { .. }) => "ledger.budget_removed":
        LedgerEvent::BudgetRemoved { budget: budget() };
    Event::Ledger(LedgerEvent::LeaseGranted { .. }) => "ledger.lease_granted":
        LedgerEvent::LeaseGranted {
            lease: lease(),
            scopes: scopes(),
            call: call(),
            terms: terms(),
            windows: vec![window(), WindowBounds { to: None, ..window() }],
        };
    Event::Ledger(LedgerEvent::LeaseRenewed { .. }) => "ledger.lease_renewed":
        LedgerEvent::LeaseRenewed {
            lease: lease(),
            turn: Turn(4),
            through: Position(40),
            used_total: amounts(90),
            late_total: amounts(1),
            terms: terms(),
            call: Some(call()),
        };
    Event::Ledger(LedgerEvent::LeaseEnded { .. }) => "ledger.lease_ended":
        LedgerEvent::LeaseEnded {
            lease: lease(),
            closed_at: Position(41),
            used_total: amounts(90),
            late_total: amounts(1),
            unsettled: vec![UnsettledCall { call: call(), worst: amounts(1) }],
        };
    Event::Ledger(LedgerEvent::LeaseCorrected { .. }) => "ledger.lease_corrected":
        LedgerEvent::LeaseCorrected {
            lease: lease(),
            call: call(),
            used: amounts(1),
            late: Amounts::ZERO,
            left: amounts(0),
        };
    Event::Ledger(LedgerEvent::RequestQueued { .. }) => "ledger.request_queued":
        LedgerEvent::RequestQueued { call: call(), scopes: scopes(), need: amounts(1) };
    Event::Ledger(LedgerEvent::RequestDequeued { .. }) => "ledger.request_dequeued":
        LedgerEvent::RequestDequeued { call: call() };
    Event::Ledger(LedgerEvent::LeaseRecalled { .. }) => "ledger.lease_recalled":
        LedgerEvent::LeaseRecalled { lease: lease() };
    Event::Ledger(LedgerEvent::ThresholdCrossed { .. }) => "ledger.threshold_crossed":
        LedgerEvent::ThresholdCrossed { budget: budget(), window: window(), percent: 80 };
    Event::Usage(UsageEvent::CallStarted { .. }) => "usage.call_started":
        UsageEvent::CallStarted {
            call: call(),
            lease: lease(),
            context: context(scopes()),
            worst: amounts(1),
            request: CorrelationId::new("r_7").unwrap(),
            tags: Tags::default(),
        };
    Event::Usage(UsageEvent::CallFinished { .. }) => "usage.call_finished":
        UsageEvent::CallFinished {
            call: call(),
            lease: lease(),
            context: context(scopes()),
            tokens: tokens(),
            cost: NanoDollars(1_290_000),
            variant: 0,
            unpriced: UnpricedSet::default(),
            source: AnswerSource::Provider,
            saved: Saved::default(),
            savings: Savings::default(),
            used: amounts(1),
            late: Amounts::ZERO,
            outcome: CallOutcome::Completed,
            duration_ms: 1_900,
            tags: Tags::default(),
        };
    Event::Usage(UsageEvent::LeaseClosed { .. }) => "usage.lease_closed":
        UsageEvent::LeaseClosed { lease: lease(), reason: "expired".to_owned() };
    Event::Catalog(CatalogEvent::ProviderSet { .. }) => "catalog.provider_set":
        CatalogEvent::ProviderSet {
            provider: provider(),
            kind: ProviderKind::Openai,
            url: "http://127.0.0.1:9090/v1".to_owned(),
            key: Some("env:LOCAL_MODEL_KEY".to_owned()),
        };
    Event::Catalog(CatalogEvent::ModelSet { .. }) => "catalog.model_set":
        CatalogEvent::ModelSet {
            model: model(),
            spec: ModelSpec::of(Tokens(8_192), Tokens(1_024)),
        };
    Event::Catalog(CatalogEvent::RouteSet { .. }) => "catalog.route_set":
        CatalogEvent::RouteSet {
            model: model(),
            targets: vec![Target::new(provider(), "SmolLM2-135M")],
            policy: RoutePolicy::Ordered,
            terms: RouteTerms::default(),
        };
    Event::Catalog(CatalogEvent::PriceSet { .. }) => "catalog.price_set":
        CatalogEvent::PriceSet {
            model: model(),
            from: Timestamp(1_793_491_200_000_000),
            until: None,
            price: rates(1),
            variants: vec![],
            source: None,
            target: None,
        };
    Event::Catalog(CatalogEvent::CacheSet { .. }) => "catalog.cache_set":
        CatalogEvent::CacheSet { model: model(), policy: CachePolicy { ttl_s: 600, coalesce: Coalesce::First, shared: false, similar: None } };
    Event::Catalog(CatalogEvent::PromptSet { .. }) => "catalog.prompt_set": {
        let window = Some(PromptWindow::TrimOldest);
        let policy = PromptPolicy { cache_breakpoints: true, compress: true, prune: true, window };
        CatalogEvent::PromptSet { model: model(), policy }
    };
    Event::Catalog(CatalogEvent::CachePurged { .. }) => "catalog.cache_purged":
        CatalogEvent::CachePurged { model: model() };
    Event::Catalog(CatalogEvent::SecretSet { .. }) => "catalog.secret_set":
        CatalogEvent::SecretSet { secret: secret(), value: of_tenant() };
    Event::Catalog(CatalogEvent::SecretRemoved { .. }) => "catalog.secret_removed":
        CatalogEvent::SecretRemoved { secret: secret() };
    Event::Agent(AgentEvent::Defined { .. }) => "agent.defined":
        AgentEvent::Defined {
            agent: agent(),
            revision: 2,
            spec: AgentSpec {
                model: model(),
                instructions: "Answer in one sentence.".to_owned(),
                pattern: PatternKind::Single,
                output_max: Tokens(256),
                steps_max: 8,
            },
        };
    Event::Task(TaskEvent::Submitted { .. }) => "task.submitted":
        TaskEvent::Submitted {
            task: task(),
            agent: agent(),
            scope: scope(),
            input: of_tenant(),
            limit: Some(NanoDollars(10_000_000)),
            submitted_by: PrincipalId::new("p_3m9x").unwrap(),
            submitted_with: None,
        };
    Event::Task(TaskEvent::Claimed { .. }) => "task.claimed":
        TaskEvent::Claimed { epoch: epoch(), worker: "w_1".to_owned(), until: at(30) };
    Event::Task(TaskEvent::ClaimExtended { .. }) => "task.claim_extended":
        TaskEvent::ClaimExtended { epoch: epoch(), until: at(60) };
    Event::Task(TaskEvent::StepStarted { .. }) => "task.step_started":
        TaskEvent::StepStarted { epoch: epoch(), step: StepNumber(1), kind: StepKind::Plan };
    Event::Task(TaskEvent::StepFinished { .. }) => "task.step_finished":
        TaskEvent::StepFinished {
            epoch: epoch(),
            step: StepNumber(2),
            kind: StepKind::Answer,
            output: of_tenant(),
            tokens: tokens(),
            cost: NanoDollars(11_000),
            duration_ms: 1_900,
        };
    Event::Task(TaskEvent::Finished { .. }) => "task.finished":
        TaskEvent::Finished { epoch: epoch(), output: of_tenant() };
    Event::Task(TaskEvent::Failed { .. }) => "task.failed":
        TaskEvent::Failed { epoch: epoch(), reason: "the model does not exist".to_owned(), spent: None };
    Event::Task(TaskEvent::Cancelled { .. }) => "task.cancelled":
        TaskEvent::Cancelled { reason: "no longer needed".to_owned() };
    Event::File(FileEvent::Kept { .. }) => "file.kept":
        FileEvent::Kept {
            file: file(),
            scope: scope(),
            purpose: FilePurpose::Batch,
            bytes: 1_204,
            digest: BodyHash::of(b"calls"),
            name: of_tenant(),
            expires: at(2_592_000),
            kept_by: principal(),
            kept_with: key_ref(),
        };
    Event::File(FileEvent::Removed { .. }) => "file.removed":
        FileEvent::Removed { file: file() };
    Event::Batch(BatchEvent::Submitted { .. }) => "batch.submitted":
        BatchEvent::Submitted {
            batch: batch(),
            scope: scope(),
            endpoint: BatchEndpoint::ChatCompletions,
            input_file: file(),
            expires: at(86_400),
            metadata: Some(of_tenant()),
            output_kept_s: Some(3_600),
            submitted_by: principal(),
            submitted_with: Some(key_ref()),
        };
    Event::Batch(BatchEvent::Claimed { .. }) => "batch.claimed":
        BatchEvent::Claimed { epoch: epoch(), worker: "w_1".to_owned(), until: at(30) };
    Event::Batch(BatchEvent::ClaimExtended { .. }) => "batch.claim_extended":
        BatchEvent::ClaimExtended { epoch: epoch(), until: at(60), counts: LineCounts { completed: 7, failed: 1 } };
    Event::Batch(BatchEvent::Started { .. }) => "batch.started":
        BatchEvent::Started { epoch: epoch(), lines: 12 };
    Event::Batch(BatchEvent::Finalizing { .. }) => "batch.finalizing":
        BatchEvent::Finalizing { epoch: epoch(), counts: LineCounts { completed: 11, failed: 1 } };
    Event::Batch(BatchEvent::Ended { .. }) => "batch.ended":
        BatchEvent::Ended {
            epoch: epoch(),
            end: BatchEnd::Completed,
            counts: LineCounts { completed: 11, failed: 1 },
            output_file: Some(file()),
            error_file: Some(FileId::new("file-2").unwrap()),
        };
    Event::Batch(BatchEvent::Failed { .. }) => "batch.failed":
        BatchEvent::Failed {
            epoch: epoch(),
            problems: vec![BatchProblem {
                code: "invalid_json_line".to_owned(),
                message: "the line is no JSON object".to_owned(),
                line: Some(3),
            }],
        };
    Event::Batch(BatchEvent::CancelAsked { .. }) => "batch.cancel_asked":
        BatchEvent::CancelAsked { reason: "wrong file".to_owned() };
    Event::Denials(DenialEvent::Denied { .. }) => "denials.denied":
        DenialEvent::Denied {
            kind: DenialKind::Forbidden,
            principal: Some(principal()),
            address: None,
            permission: Some("budget:set".parse().unwrap()),
            scope: Some(scope()),
            reason: "no grant of budget:set at acme/support or above".to_owned(),
        };
    Event::Denials(DenialEvent::LeftOut { .. }) => "denials.left_out":
        DenialEvent::LeftOut {
            principal: Some(principal()),
            address: None,
            kinds: [(DenialKind::Forbidden, 36), (DenialKind::TooMuch, 300)].into(),
            permissions: vec!["budget:set".parse().unwrap()],
            scopes: vec![scope()],
        };
    Event::Denials(DenialEvent::Spared { .. }) => "denials.spared":
        DenialEvent::Spared {
            principal: Some(principal()),
            grant: grant(),
            permission: Some("budget:set".parse().unwrap()),
            scope: Some(scope()),
        };
    Event::Reads(ReadEvent::Read { .. }) => "reads.read":
        ReadEvent::Read {
            principal: principal(),
            query: "history:replay".parse().unwrap(),
            asked: "{\"last\":10}".to_owned(),
        };
    Event::Reads(ReadEvent::LeftOut { .. }) => "reads.left_out":
        ReadEvent::LeftOut {
            principal: Some(principal()),
            queries: [("audit:commits".parse().unwrap(), 1_200)].into(),
        };
    Event::Checkpoint(CheckpointEvent::Requested) => "checkpoint.requested": CheckpointEvent::Requested;
    Event::Checkpoint(CheckpointEvent::Signed { .. }) => "checkpoint.signed":
        CheckpointEvent::Signed {
            tenant: tenant(),
            size: 41,
            root: TreeHash([9; 32]),
            position: Position(1_041),
            note: "steward.example/acme\n41\nCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\n\n\u{2014} steward.example/acme AAAAAAAA\n".to_owned(),
            key: "steward.example/acme+00000000+AQ==".to_owned(),
        };
    Event::Channel(ChannelEvent::Set { .. }) => "channel.set":
        ChannelEvent::Set { channel: channel(), spec: channel_spec() };
    Event::Channel(ChannelEvent::Removed { .. }) => "channel.removed": ChannelEvent::Removed { channel: channel() };
    Event::Channel(ChannelEvent::Disabled { .. }) => "channel.disabled":
        ChannelEvent::Disabled { channel: channel(), reason: "it answered 410 Gone".to_owned() };
    Event::Channel(ChannelEvent::Noticed { .. }) => "channel.noticed":
        ChannelEvent::Noticed {
            notice: notice(),
            source: Some(NoticeSource { position: Position(1_041), index: 2 }),
            messages: vec![Addressed { channel: channel(), message: message(), at: AT }],
        };
    Event::Channel(ChannelEvent::SendingStarted { .. }) => "channel.sending_started":
        ChannelEvent::SendingStarted {
            channel: channel(),
            message: message(),
            attempt: 1,
            worker: "w_01".to_owned(),
            until: AT,
        };
    Event::Channel(ChannelEvent::Delivered { .. }) => "channel.delivered":
        ChannelEvent::Delivered { channel: channel(), message: message(), attempt: 2 };
    Event::Channel(ChannelEvent::SendingFailed { .. }) => "channel.sending_failed":
        ChannelEvent::SendingFailed {
            channel: channel(),
            message: message(),
            attempt: 1,
            reason: "it answered 500 Internal Server Error".to_owned(),
            retry_at: AT,
        };
    Event::Channel(ChannelEvent::DeadLettered { .. }) => "channel.dead_lettered":
        ChannelEvent::DeadLettered { channel: channel(), message: message(), reason: "no answer in time".to_owned() };
    Event::Channel(ChannelEvent::DeadLetterDropped { .. }) => "channel.dead_letter_dropped":
        ChannelEvent::DeadLetterDropped { channel: channel(), message: message() };
    Event::Channel(ChannelEvent::RedeliveryAsked { .. }) => "channel.redelivery_asked":
        ChannelEvent::RedeliveryAsked { channel: channel(), message: message() };
}

fn channel() -> ChannelId {
    ChannelId::new("ops").unwrap()
}

fn message() -> MessageId {
    MessageId::of(&tenant(), &channel(), 1_041, 2)
}

fn channel_spec() -> ChannelSpec {
    ChannelSpec {
        kind: ChannelKind::Webhook,
        url: Some("https://example.com/hook".to_owned()),
        secret: Some(SecretId::new("ops-hook").unwrap()),
        recipients: None,
        notices: vec!["budget.*".parse().unwrap(), "task.failed".parse().unwrap()],
        scopes: vec![scope()],
        enabled: true,
    }
}

fn notice() -> Notice {
    Notice {
        kind: NoticeKind::BudgetThreshold,
        severity: Severity::Warning,
        scope: scope(),
        at: AT,
        about: "budget acme/support a day".to_owned(),
        title: "80 % of the budget acme/support a day is spent".to_owned(),
        text: "What does not fit into the budget is refused.".to_owned(),
        fields: [("limit".to_owned(), "$5.00".to_owned())].into(),
        act: Some("steward budget list --scope acme/support --tenant acme".to_owned()),
        ends: Some(AT),
    }
}

/// A channel of each other kind, and a notice with nothing but what it must have.
fn further_channels() -> Vec<(&'static str, Event)> {
    let bare = |kind| ChannelSpec {
        kind,
        url: None,
        secret: None,
        recipients: None,
        notices: vec![],
        scopes: vec![],
        enabled: true,
    };
    let set = |spec| Event::from(ChannelEvent::Set { channel: channel(), spec });
    let recipients = Some(sealed(KeyOwner::Tenant(tenant())));
    let url = Some("http://alertmanager:9093".to_owned());
    let slack = ChannelSpec { secret: Some(SecretId::new("slack").unwrap()), ..bare(ChannelKind::Slack) };
    let test = Notice {
        kind: NoticeKind::Test,
        severity: Severity::Info,
        text: String::new(),
        fields: [].into(),
        act: None,
        ends: None,
        ..notice()
    };
    let noticed = ChannelEvent::Noticed { notice: test, source: None, messages: vec![] };
    vec![
        ("channel.set.mail", set(ChannelSpec { recipients, ..bare(ChannelKind::Mail) })),
        ("channel.set.slack", set(ChannelSpec { enabled: false, ..slack })),
        ("channel.set.alertmanager", set(ChannelSpec { url, ..bare(ChannelKind::Alertmanager) })),
        ("channel.noticed.test", noticed.into()),
    ]
}

/// What else a variant may hold: absent parts, and the other words of its enums.
/// Each optional field set.
fn full_route() -> CatalogEvent {
    let meant = Target {
        weight: 90,
        priority: 1,
        tags: vec!["eu".to_owned()],
        input_min: Some(Tokens(1)),
        input_max: Some(Tokens(8_000)),
        ..Target::new(provider(), "SmolLM2-135M")
    };
    let larger = Target {
        on: vec![RefusedFor::ContextLength, RefusedFor::ContentFilter],
        ..Target::new(provider(), "SmolLM2-1.7B")
    };
    CatalogEvent::RouteSet {
        model: model(),
        targets: vec![meant, larger],
        policy: RoutePolicy::Weighted,
        terms: RouteTerms::default(),
    }
}

/// A route with bounds of its own.
fn bounded_route() -> CatalogEvent {
    let bounded = Target {
        rpm: NonZeroU32::new(60),
        tpm: NonZeroU64::new(100_000),
        canary: NonZeroU8::new(5),
        ..Target::new(provider(), "SmolLM2-135M")
    };
    let terms = RouteTerms {
        connect_ms: NonZeroU32::new(500),
        first_byte_ms: NonZeroU32::new(5_000),
        idle_ms: NonZeroU32::new(1_000),
        whole_ms: NonZeroU32::new(60_000),
        hedge_after: Some(HedgeAfter::P95),
        degrade_to: Some(ModelId::new("tiny").unwrap()),
        degrade_below: NonZeroU8::new(20),
        degrade_down: true,
    };
    let shadow = Target { shadow: NonZeroU8::new(10), ..Target::new(provider(), "SmolLM2-1.7B") };
    CatalogEvent::RouteSet { model: model(), targets: vec![bounded, shadow], policy: RoutePolicy::LeastCost, terms }
}

fn target_id() -> TargetId {
    Target::new(provider(), "SmolLM2-135M").id()
}

fn price_of_a_target() -> CatalogEvent {
    CatalogEvent::PriceSet {
        model: model(),
        from: Timestamp(1_793_491_200_000_000),
        until: None,
        price: rates(1),
        variants: vec![],
        source: None,
        target: Some(target_id()),
    }
}

/// A model of which all is known.
fn model_in_full() -> CatalogEvent {
    let spec = ModelSpec {
        operations: vec![Operation::Chat, Operation::Responses],
        features: vec![
            Feature::Text,
            Feature::Image,
            Feature::Audio,
            Feature::Tools,
            Feature::JsonSchema,
            Feature::Streaming,
        ],
        ends: Some(at(86_400)),
        tokenizer: Some(Tokenizer::O200k),
        ..ModelSpec::of(Tokens(8_192), Tokens(1_024))
    };
    CatalogEvent::ModelSet { model: model(), spec }
}

fn started_for(purpose: Purpose) -> UsageEvent {
    UsageEvent::CallStarted {
        call: call(),
        lease: lease(),
        context: Shared::new(CallContext { purpose, ..(*context(scopes_bare())).clone() }),
        worst: amounts(1),
        request: CorrelationId::new("r_1").unwrap(),
        tags: Tags::default(),
    }
}

/// A call that is charged at the price of its target.
fn started_at_its_targets_price() -> UsageEvent {
    let price = PriceVersion { target: Some(target_id()), ..price_version() };
    UsageEvent::CallStarted {
        call: call(),
        lease: lease(),
        context: Shared::new(CallContext { price, ..(*context(scopes_bare())).clone() }),
        worst: amounts(1),
        request: CorrelationId::new("r_1").unwrap(),
        tags: Tags::default(),
    }
}

fn further() -> Vec<(&'static str, Event)> {
    let finished = |outcome| UsageEvent::CallFinished {
        call: call(),
        lease: lease(),
        context: context(scopes_bare()),
        tokens: TokenUsage::default(),
        cost: NanoDollars(0),
        variant: 0,
        unpriced: UnpricedSet::default(),
        source: AnswerSource::Provider,
        saved: Saved::default(),
        savings: Savings::default(),
        used: Amounts::ZERO,
        late: amounts(0),
        outcome,
        duration_ms: 0,
        tags: Tags::default(),
    };
    let budget_set = |subject, unit, window_kind| LedgerEvent::BudgetSet {
        budget: budget(),
        key: BudgetKey { scope: scope(), level: scope(), subject, unit, window: window_kind },
        spec: BudgetSpec { limit: u64::MAX, hard: false, warn_percent: vec![] },
        window: WindowBounds { to: None, ..window() },
    };
    let mut similar = finished(CallOutcome::Completed);
    if let UsageEvent::CallFinished { source, saved, late, .. } = &mut similar {
        *source = AnswerSource::Similar { call: call(), score: Similarity::of(0.937) };
        *saved = Saved { tokens: Tokens(12), money: NanoDollars(11_400) };
        *late = Amounts::ZERO;
    }
    vec![
        ("usage.call_finished.similar", similar.into()),
        ("catalog.route_set.full", full_route().into()),
        ("catalog.route_set.bounded", bounded_route().into()),
        ("catalog.price_set.target", price_of_a_target().into()),
        ("catalog.model_set.full", model_in_full().into()),
        ("usage.call_started.target", started_at_its_targets_price().into()),
        ("usage.call_started.stand_in", started_for(Purpose::StandIn { asked: ModelId::new("large").unwrap() }).into()),
        ("usage.call_started.shadow", started_for(Purpose::Shadow).into()),
        (
            "catalog.cache_set.full",
            CatalogEvent::CacheSet {
                model: model(),
                policy: CachePolicy {
                    ttl_s: 600,
                    coalesce: Coalesce::Even,
                    shared: true,
                    similar: Some(Similar {
                        model: "embed".parse().unwrap(),
                        threshold: Similarity::of(0.92),
                        mode: SimilarMode::On,
                    }),
                },
            }
            .into(),
        ),
        (
            "identity.key_issued.bare",
            IdentityEvent::KeyIssued {
                key: key(),
                principal: principal(),
                hash: KeyHash::of("stw_acme_secret"),
                scope: Scope::everything(),
                models: vec![],
                expires: None,
                agent: None,
                task: None,
                permissions: vec![],
                parent: None,
                addresses: vec![],
                hours: vec![],
                line: None,
            }
            .into(),
        ),
        (
            "identity.key_issued.parent",
            IdentityEvent::KeyIssued {
                key: key(),
                principal: principal(),
                hash: KeyHash::of("stw_acme_secret"),
                scope: scope(),
                models: vec![],
                expires: None,
                agent: None,
                task: Some(task()),
                permissions: vec!["model:invoke".parse().unwrap(), "task:*".parse().unwrap()],
                parent: Some(key_ref()),
                addresses: vec![],
                hours: vec![],
                line: None,
            }
            .into(),
        ),
        (
            "identity.key_issued.limited",
            IdentityEvent::KeyIssued {
                key: KeyId::new("key_next").unwrap(),
                principal: principal(),
                hash: KeyHash::of("stw_acme_secret"),
                scope: scope(),
                models: vec![],
                expires: None,
                agent: None,
                task: None,
                permissions: vec![],
                parent: None,
                addresses: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
                hours: vec!["Mon-Fri 08:00-18:00 Europe/Berlin".parse().unwrap()],
                line: Some(key()),
            }
            .into(),
        ),
        (
            "access.role_granted.bare",
            AccessEvent::RoleGranted { grant: grant(), expires: None, condition: None }.into(),
        ),
        (
            "access.role_granted.conditions",
            AccessEvent::RoleGranted { grant: grant(), expires: None, condition: Some(full_condition()) }.into(),
        ),
        (
            "access.denial_set.unless",
            AccessEvent::DenialSet {
                denial: rule(),
                spec: DenialSpec {
                    whom: Whom { everyone: true, ..Whom::default() },
                    condition: Some(full_condition()),
                    unless: true,
                    until: Some(at(3_600)),
                    ..denial()
                },
            }
            .into(),
        ),
        (
            "access.elevation_approved.by_another",
            AccessEvent::ElevationApproved {
                elevation: elevation(),
                by: PrincipalId::new("p_3m9x").unwrap(),
                until: at(900),
                self_approved: false,
                reason: reason(),
            }
            .into(),
        ),
        ("access.data_class_set.none", AccessEvent::DataClassSet { scope: scope(), class: None }.into()),
        ("ledger.budget_set.total", budget_set(None, Unit::Calls, Window::Total).into()),
        (
            "ledger.budget_set.principal",
            budget_set(Some(Subject::Principal(principal())), Unit::Tokens, Window::Minute).into(),
        ),
        ("ledger.budget_set.key", budget_set(Some(Subject::Key(key())), Unit::Tokens, Window::Hour).into()),
        ("ledger.budget_set.agent", budget_set(Some(Subject::Agent(agent())), Unit::Tokens, Window::Week).into()),
        ("ledger.budget_set.task", budget_set(Some(Subject::Task(task())), Unit::Tokens, Window::Month).into()),
        (
            "ledger.lease_renewed.bare",
            LedgerEvent::LeaseRenewed {
                lease: lease(),
                turn: Turn(1),
                through: Position(0),
                used_total: Amounts::ZERO,
                late_total: Amounts::ZERO,
                terms: terms(),
                call: None,
            }
            .into(),
        ),
        (
            "usage.call_finished.not_billed",
            finished(CallOutcome::NotBilled { reason: "connection refused".to_owned() }).into(),
        ),
        ("task.step_started.tool", step_started(StepKind::Tool).into()),
        ("task.step_started.child", step_started(StepKind::Child).into()),
        ("task.step_started.approval", step_started(StepKind::Approval).into()),
        ("task.step_started.wait", step_started(StepKind::Wait).into()),
        ("usage.call_finished.full", finished_in_full().into()),
        ("usage.call_finished.savings", finished_with_savings().into()),
        ("catalog.price_set.full", price_in_full().into()),
        (
            "usage.call_started.unique",
            UsageEvent::CallStarted {
                call: CallId::new("01kb7m3w2q8x4c6e9v5t1r0n7g").unwrap(),
                lease: lease(),
                context: context(scopes_bare()),
                worst: amounts(1),
                request: CorrelationId::new("01kb7m3w2q3f8h6j5k4m2n9p0r").unwrap(),
                tags: tags(),
            }
            .into(),
        ),
        ("usage.call_finished.estimated", finished(CallOutcome::estimated("stream cut")).into()),
        (
            "catalog.provider_set.scripted",
            CatalogEvent::ProviderSet {
                provider: provider(),
                kind: ProviderKind::Scripted,
                url: String::new(),
                key: None,
            }
            .into(),
        ),
        (
            "catalog.provider_set.secret",
            CatalogEvent::ProviderSet {
                provider: provider(),
                kind: ProviderKind::Openai,
                url: "https://api.example.com/v1".to_owned(),
                key: Some("secret:openai".to_owned()),
            }
            .into(),
        ),
        (
            "task.submitted.with_key",
            TaskEvent::Submitted {
                task: task(),
                agent: agent(),
                scope: scope(),
                input: of_tenant(),
                limit: None,
                submitted_by: principal(),
                submitted_with: Some(key_ref()),
            }
            .into(),
        ),
        (
            "task.submitted.bare",
            TaskEvent::Submitted {
                task: task(),
                agent: agent(),
                scope: scope(),
                input: of_tenant(),
                limit: None,
                submitted_by: principal(),
                submitted_with: None,
            }
            .into(),
        ),
    ]
}
