//! Lists as they come from the bus: what they hold, how they are filtered and paged, and what they never show.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use steward_events::event::{
    AccessEvent, AgentEvent, AgentSpec, AggregateKind, AnswerSource, CatalogEvent, Event, IdentityEvent, KeyHash,
    ModelSpec, PatternKind, Profile, ProviderKind, Rates, RoutePolicy, RouteTerms, Target, TenantEvent, UsageEvent,
};
use steward_events::id::{AgentId, KeyId, ModelId, PrincipalId, ProviderId, RoleId, SecretId};
use steward_events::provider_key::SecretValue;
use steward_events::quantity::{PicoDollarsPerToken, Position, Shard, Tokens};
use steward_events::rejection::Rejection;
use steward_events::sealed::{KeyOwner, Sealed};
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;
use steward_projectors::Config;
use steward_queries::{
    AccountPage, AgentPage, GrantPage, GroupDetails, GroupPage, KeyPage, KeyRow, ModelPage, Page, PricePage,
    ProviderPage, RolePage, TenantPage, TenantRow, TenantState, UserDetails, UserPage,
};

use company::{Company, SHARD, grant, principal};
use events::{NOON, stream, tenant};

#[path = "support/company.rs"]
mod company;
#[path = "support/events.rs"]
mod events;

const LISTS: [&str; 13] = [
    "user.list",
    "account.list",
    "agent.list",
    "key.list",
    "role.list",
    "grant.list",
    "group.list",
    "budget.list",
    "provider.list",
    "model.list",
    "price.list",
    "secret.list",
    "tenant.list",
];

/// What the clock of these tests shows.
const NOW: Timestamp = Timestamp(NOON.0 + 86_400_000_000);

async fn write(company: &mut Company, of: &str, kind: AggregateKind, events: Vec<Event>) -> Position {
    let shard = if of == "steward" { 0 } else { SHARD };
    company.writer.write(&stream(shard, of, kind, "main"), events).await
}

fn key(id: &str, who: &str, scope: &str, expires: Option<Timestamp>) -> Event {
    IdentityEvent::KeyIssued {
        key: KeyId::new(id).unwrap(),
        principal: principal(who),
        hash: KeyHash::of(id),
        scope: scope.parse().unwrap(),
        models: vec![],
        expires,
        agent: None,
        task: None,
        permissions: vec![],
        parent: None,
        addresses: vec![],
        hours: vec![],
        line: None,
    }
    .into()
}

fn revoked(id: &str) -> Event {
    IdentityEvent::KeyRevoked { key: KeyId::new(id).unwrap(), reason: "lost".to_owned() }.into()
}

fn names(page: &KeyPage) -> Vec<&str> {
    page.rows.iter().map(|row| row.key.as_str()).collect()
}

/// All pages of a list, as many rows a page as said; every page but the last names the next.
async fn all<T: DeserializeOwned>(company: &Company, query: &str, filters: &Value, limit: usize) -> Vec<T> {
    let mut body = filters.clone();
    body["limit"] = json!(limit);
    let mut rows = Vec::new();
    loop {
        let page: Page<T> = company.query("acme", "p_max", query, &body).await.unwrap();
        assert!(page.rows.len() <= limit, "{query}");
        rows.extend(page.rows);
        match page.next {
            Some(next) => body["after"] = json!(next),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn a_list_takes_its_permission_and_its_own_fields_only() {
    let company = Company::founded(Config::default()).await;
    for query in LISTS {
        let page: Page<Value> = company.query("acme", "p_max", query, &json!({})).await.unwrap();
        assert!(page.position > Position(0), "{query}");
        for who in ["svc_a", "p_gil", "sys_gateway"] {
            let refused = company.query::<Value>("acme", who, query, &json!({})).await.unwrap_err();
            let Rejection::Forbidden { permission, .. } = &refused else { panic!("{query}: {refused:?}") };
            assert_eq!(permission.to_string(), query.replace('.', ":"));
        }
        let refused = company.query::<Value>("acme", "p_max", query, &json!({ "colour": 1 })).await.unwrap_err();
        assert!(refused.to_string().contains("colour"), "{refused}");
    }
    for query in LISTS.iter().filter(|query| !query.starts_with("tenant")) {
        let refused = company.query::<Value>("acme", "p_max", query, &json!({ "after": "a\0b" })).await.unwrap_err();
        assert!(refused.to_string().starts_with("after"), "{query}: {refused}");
    }
}

#[tokio::test]
async fn keys_are_listed_with_names_and_states_without_hashes() {
    let mut company = Company::founded(Config::default()).await;
    let late = NOW.plus(Duration::from_secs(1));
    let events = vec![
        key("key_1", "svc_a", "acme/support", None),
        key("key_2", "p_ana", "acme", Some(NOW)),
        key("key_3", "svc_a", "acme/support/mail", Some(late)),
        key("key_4", "svc_a", "acme/sales", None),
        revoked("key_4"),
    ];
    write(&mut company, "acme", AggregateKind::Identity, events).await;
    let page: KeyPage = company.query("acme", "p_max", "key.list", &json!({})).await.unwrap();
    let rows: Vec<String> = (page.rows.iter())
        .map(|row| format!("{} {:?} {:?}", row.key, row.name.as_deref().unwrap_or("-"), row.state))
        .collect();
    assert_eq!(
        rows,
        [
            r#"key_1 "name-of-svc_a" Active"#,
            r#"key_2 "name-of-p_ana" Expired"#,
            r#"key_3 "name-of-svc_a" Active"#,
            r#"key_4 "name-of-svc_a" Revoked"#
        ]
    );
    let raw: Value = company.query("acme", "p_max", "key.list", &json!({})).await.unwrap();
    assert!(!raw.to_string().contains("hash") && raw["rows"][3]["reason"] == "lost");

    let filters = [
        (json!({ "principal": "svc_a" }), vec!["key_1", "key_3", "key_4"]),
        (json!({ "scope": "acme/support" }), vec!["key_1", "key_3"]),
        (json!({ "scope": "acme/support", "principal": "p_ana" }), vec![]),
        (json!({ "state": "active" }), vec!["key_1", "key_3"]),
        (json!({ "state": "revoked" }), vec!["key_4"]),
        (json!({ "agent": "researcher" }), vec![]),
    ];
    for (filter, expected) in filters {
        let page: KeyPage = company.query("acme", "p_max", "key.list", &filter).await.unwrap();
        assert_eq!(names(&page), expected, "{filter}");
    }

    let disabled = IdentityEvent::UserDisabled { principal: principal("svc_a"), reason: "left".to_owned() };
    let position = write(&mut company, "acme", AggregateKind::Identity, vec![disabled.into()]).await;
    let body = json!({ "state": "disabled", "min_position": position });
    let page: KeyPage = company.query("acme", "p_max", "key.list", &body).await.unwrap();
    assert_eq!((names(&page), page.position), (vec!["key_1", "key_3"], position));
    let accounts: AccountPage =
        company.query("acme", "p_max", "account.list", &json!({ "state": "disabled" })).await.unwrap();
    assert_eq!(
        accounts.rows.iter().map(|row| (row.name.as_str(), row.reason.as_deref())).collect::<Vec<_>>(),
        [("name-of-svc_a", Some("left"))]
    );
}

/// A call by this key begins, at this moment.
async fn called(company: &mut Company, key: &str, at: Timestamp) -> Position {
    let mut call = events::finished("acme", &mut events::Dice(7));
    if let UsageEvent::CallFinished { context, source, .. } = &mut call {
        context.make_mut().scopes.key = key.parse().unwrap();
        // What is answered without a provider has no start.
        *source = AnswerSource::Cache;
    }
    company.writer.at = at;
    let position = company.writer.write(&stream(SHARD, "acme", AggregateKind::Usage, "gw-1"), vec![call.into()]).await;
    company.writer.at = NOON;
    position
}

#[tokio::test]
async fn a_key_shows_when_it_was_last_used_to_the_minute() {
    let mut company = Company::founded(Config::default()).await;
    let keys = vec![key("key_1", "svc_a", "acme/support", None), key("key_2", "p_ana", "acme", None)];
    write(&mut company, "acme", AggregateKind::Identity, keys).await;
    let after = |seconds| NOON.plus(Duration::from_secs(seconds));
    let mut last_used = Vec::new();
    for seconds in [10, 40, 69, 70, 3_600] {
        let position = called(&mut company, "key_1", after(seconds)).await;
        let body = json!({ "min_position": position, "key": "key_1" });
        let row: KeyRow = company.query("acme", "p_max", "key.show", &body).await.unwrap();
        last_used.push(row.last_used.unwrap());
    }
    assert_eq!(last_used, [after(10), after(10), after(10), after(70), after(3_600)]);
    for (since, unused) in [(0, vec![]), (1, vec!["key_2"]), (3_600, vec!["key_2"]), (3_601, vec!["key_1", "key_2"])] {
        let filter = json!({ "unused_since": after(since) });
        let page: KeyPage = company.query("acme", "p_max", "key.list", &filter).await.unwrap();
        assert_eq!(names(&page), unused, "{since}");
    }
    let missing = company.query::<Value>("acme", "p_max", "key.show", &json!({ "key": "key_9" })).await;
    assert_eq!(missing, Err(Rejection::not_found("key", &"key_9")));
}

#[tokio::test]
async fn a_command_is_a_use_of_its_key_wherever_it_goes() {
    let mut company = Company::founded(Config::default()).await;
    write(&mut company, "acme", AggregateKind::Identity, vec![key("key_1", "svc_a", "acme", None)]).await;
    write(&mut company, "steward", AggregateKind::Identity, vec![key("key_root", "op_root", "*", None)]).await;
    company.writer.key = Some(KeyRef { tenant: tenant("acme"), key: "key_1".parse().unwrap() });
    let role = || AccessEvent::RoleDefined { role: "mine".parse().unwrap(), permissions: vec![], inherits: vec![] };
    write(&mut company, "acme", AggregateKind::Access, vec![role().into()]).await;
    company.writer.key = Some(KeyRef { tenant: tenant("steward"), key: "key_root".parse().unwrap() });
    let position = write(&mut company, "acme", AggregateKind::Access, vec![role().into()]).await;
    let row: KeyRow =
        company.query("acme", "p_max", "key.show", &json!({ "key": "key_1", "min_position": position })).await.unwrap();
    assert_eq!(row.last_used, Some(NOON));
    let row: KeyRow = company.query("steward", "op_root", "key.show", &json!({ "key": "key_root" })).await.unwrap();
    assert_eq!(row.last_used, Some(NOON), "an operator's key is used in other tenants");
}

#[tokio::test]
async fn groups_are_listed_with_members_and_end_with_their_grants() {
    let mut company = Company::founded(Config::default()).await;
    let group = PrincipalId::group(&tenant("acme"), "support");
    let joined = |member: &str| AccessEvent::GroupJoined { group: group.clone(), member: principal(member) }.into();
    let defined =
        AccessEvent::GroupDefined { group: group.clone(), name: "support".to_owned(), description: String::new() };
    let granted =
        AccessEvent::RoleGranted { grant: grant(group.as_str(), "agent", "acme"), expires: None, condition: None };
    let events = vec![defined.into(), joined("svc_a"), joined("p_ana"), granted.into()];
    let position = write(&mut company, "acme", AggregateKind::Access, events).await;
    let page =
        company.query::<GroupPage>("acme", "p_max", "group.list", &json!({ "min_position": position })).await.unwrap();
    assert_eq!((page.rows.len(), page.rows[0].members), (1, 2));
    let of = |member: &str| json!({ "member": member });
    assert_eq!(company.query::<GroupPage>("acme", "p_max", "group.list", &of("svc_a")).await.unwrap().rows.len(), 1);
    assert_eq!(company.query::<GroupPage>("acme", "p_max", "group.list", &of("p_max")).await.unwrap().rows.len(), 0);
    let shown: GroupDetails = company.query("acme", "p_max", "group.show", &json!({ "group": group })).await.unwrap();
    let members: Vec<&str> = shown.members.iter().map(|row| row.member.as_str()).collect();
    assert_eq!((members, shown.grants.len()), (vec!["p_ana", "svc_a"], 1));
    let grants: GrantPage = company.query("acme", "p_max", "grant.list", &json!({ "principal": group })).await.unwrap();
    assert_eq!(grants.rows[0].name.as_deref(), Some("support"));
    let user: UserDetails = company.query("acme", "p_max", "user.show", &json!({ "user": "svc_a" })).await.unwrap();
    assert_eq!((user.groups.len(), user.group_grants.len(), user.grants.len()), (1, 1, 1));

    let left = AccessEvent::GroupLeft { group: group.clone(), member: principal("svc_a"), reason: String::new() };
    let position = write(&mut company, "acme", AggregateKind::Access, vec![left.into()]).await;
    let body = json!({ "group": group, "min_position": position });
    let shown: GroupDetails = company.query("acme", "p_max", "group.show", &body).await.unwrap();
    assert_eq!((shown.group.members, shown.members.len()), (1, 1));
    let removed = AccessEvent::GroupRemoved { group: group.clone(), reason: String::new() };
    let position = write(&mut company, "acme", AggregateKind::Access, vec![removed.into()]).await;
    let body = json!({ "user": "p_ana", "min_position": position });
    let user: UserDetails = company.query("acme", "p_max", "user.show", &body).await.unwrap();
    assert_eq!((user.groups.len(), user.group_grants.len()), (0, 0));
    let missing = company.query::<Value>("acme", "p_max", "group.show", &json!({ "group": group })).await;
    assert_eq!(missing, Err(Rejection::not_found("group", &group)));
    let grants: GrantPage = company.query("acme", "p_max", "grant.list", &json!({ "principal": group })).await.unwrap();
    assert!(grants.rows.is_empty());
}

#[tokio::test]
async fn an_account_shows_its_owner_and_waits_for_another() {
    let mut company = Company::founded(Config::default()).await;
    let owned = |owner: &str| IdentityEvent::OwnerSet { account: principal("svc_a"), owner: principal(owner) };
    let events = vec![key("key_1", "svc_a", "acme", None), owned("p_ana").into()];
    write(&mut company, "acme", AggregateKind::Identity, events).await;
    let disabled = IdentityEvent::UserDisabled { principal: principal("p_ana"), reason: "left".to_owned() };
    let position = write(&mut company, "acme", AggregateKind::Identity, vec![disabled.into()]).await;
    let filter = json!({ "state": "ownerless", "min_position": position });
    let page: AccountPage = company.query("acme", "p_max", "account.list", &filter).await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row.principal.as_str()).collect::<Vec<_>>(), ["svc_a"]);
    let keys: KeyPage = company.query("acme", "p_max", "key.list", &json!({ "state": "disabled" })).await.unwrap();
    assert_eq!(names(&keys), ["key_1"]);
    let position = write(&mut company, "acme", AggregateKind::Identity, vec![owned("p_max").into()]).await;
    let body = json!({ "owner": "p_max", "min_position": position });
    let page: AccountPage = company.query("acme", "p_max", "account.list", &body).await.unwrap();
    assert_eq!(page.rows.len(), 1);
    let ana: UserDetails = company.query("acme", "p_max", "user.show", &json!({ "user": "p_ana" })).await.unwrap();
    let max: UserDetails = company.query("acme", "p_max", "user.show", &json!({ "user": "p_max" })).await.unwrap();
    assert_eq!((ana.owned.len(), max.owned.len(), ana.reason.as_deref()), (0, 1, Some("left")));
    let enabled = IdentityEvent::UserEnabled { principal: principal("p_ana"), reason: String::new() };
    let position = write(&mut company, "acme", AggregateKind::Identity, vec![enabled.into()]).await;
    let body = json!({ "state": "disabled", "min_position": position });
    let page: AccountPage = company.query("acme", "p_max", "account.list", &body).await.unwrap();
    assert!(page.rows.is_empty());
}

#[tokio::test]
async fn pages_hold_every_row_once_in_order_within_bounds() {
    let mut company = Company::founded(Config::default()).await;
    let count = 1_005;
    for hundred in (0..count).step_by(100) {
        let one = |number: usize| key(&format!("key_{number:05}"), "svc_a", "acme", None);
        let keys = (hundred..count.min(hundred + 100)).map(one).collect();
        write(&mut company, "acme", AggregateKind::Identity, keys).await;
    }
    let expected: Vec<String> = (0..count).map(|number| format!("key_{number:05}")).collect();
    for limit in [1_000, 335, 201] {
        let rows: Vec<Value> = all(&company, "key.list", &json!({}), limit).await;
        let found: Vec<&str> = rows.iter().map(|row| row["key"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{limit}");
    }
    let page: KeyPage = company.query("acme", "p_max", "key.list", &json!({})).await.unwrap();
    assert_eq!((page.rows.len(), page.next.as_deref()), (100, Some("key_00099")), "if nothing is said");
    let page: KeyPage = company.query("acme", "p_max", "key.list", &json!({ "limit": 5_000 })).await.unwrap();
    assert_eq!((page.rows.len(), page.next.as_deref()), (1_000, Some("key_00999")), "the most of one page");
    let last = json!({ "limit": 5, "after": "key_00999" });
    let page: KeyPage = company.query("acme", "p_max", "key.list", &last).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (5, None), "a last page that is full names no other");
}

#[tokio::test]
async fn grants_are_those_that_were_not_taken_back() {
    let mut company = Company::founded(Config::default()).await;
    let given = |to: &str, role: &str, on: &str, expires| {
        Event::from(AccessEvent::RoleGranted { grant: grant(to, role, on), expires, condition: None })
    };
    let events = vec![
        given("svc_a", "developer", "acme/support", Some(NOW)),
        given("svc_a", "billing", "acme", None),
        given("agent_researcher", "agent", "acme/sales", None),
        AccessEvent::GrantRevoked { grant: grant("svc_a", "billing", "acme"), reason: String::new() }.into(),
    ];
    write(&mut company, "acme", AggregateKind::Access, events).await;
    let listed = async |filter: Value| -> Vec<String> {
        let page: GrantPage = company.query("acme", "p_max", "grant.list", &filter).await.unwrap();
        page.rows.iter().map(|row| format!("{} {} {} {:?}", row.to, row.role, row.on, row.state)).collect()
    };
    let svc_a = ["svc_a agent acme Active", "svc_a developer acme/support Expired"];
    assert_eq!(listed(json!({ "principal": "svc_a" })).await, svc_a);
    assert_eq!(listed(json!({ "principal": "svc_a", "limit": 1 })).await, svc_a[..1]);
    assert_eq!(listed(json!({ "principal": "svc_a", "after": "svc_a~agent~acme" })).await, svc_a[1..]);
    assert_eq!(listed(json!({ "scope": "acme/sales" })).await, ["agent_researcher agent acme/sales Active"]);
    assert_eq!(listed(json!({ "state": "expired" })).await, svc_a[1..]);
    assert_eq!(listed(json!({ "role": "owner" })).await, ["p_ana owner acme Active"]);
    assert_eq!(listed(json!({})).await.len(), 5);
    let rows: Vec<Value> = all(&company, "grant.list", &json!({}), 2).await;
    assert_eq!(rows.len(), 5);
}

#[tokio::test]
async fn people_are_named_until_they_are_erased() {
    let mut company = Company::founded(Config::default()).await;
    let owner = |who: &str| KeyOwner::Person(tenant("acme"), principal(who));
    for (who, name) in [("p_eve", "Eve"), ("p_joe", "")] {
        let data_key = company.keyring.find_or_make(&owner(who)).await.unwrap();
        let profile = Profile { email: format!("{who}@example.org"), name: name.to_owned() };
        let profile = Sealed::seal(&profile, owner(who), &data_key, "").unwrap();
        let invited = IdentityEvent::UserInvited { principal: principal(who), profile };
        write(&mut company, "acme", AggregateKind::Identity, vec![invited.into()]).await;
    }
    let page: UserPage = company.query("acme", "p_max", "user.list", &json!({})).await.unwrap();
    let found: Vec<_> = page.rows.iter().map(|row| (row.email.as_deref(), row.name.as_deref(), row.erased)).collect();
    assert_eq!(found, [(Some("p_eve@example.org"), Some("Eve"), false), (Some("p_joe@example.org"), None, false)]);

    company.keyring.destroy(&owner("p_eve")).await.unwrap();
    let page: UserPage = company.query("acme", "p_max", "user.list", &json!({})).await.unwrap();
    let found: Vec<_> = page.rows.iter().map(|row| (row.principal.as_str(), row.email.is_some(), row.erased)).collect();
    assert_eq!(found, [("p_eve", false, true), ("p_joe", true, false)]);
}

#[tokio::test]
async fn whom_the_log_calls_erased_a_restored_key_does_not_name() {
    let mut company = Company::founded(Config::default()).await;
    for who in ["p_eve", "p_joe"] {
        let owner = KeyOwner::Person(tenant("acme"), principal(who));
        let data_key = company.keyring.find_or_make(&owner).await.unwrap();
        let profile = Profile { email: format!("{who}@example.org"), name: String::new() };
        let profile = Sealed::seal(&profile, owner, &data_key, "").unwrap();
        let invited = IdentityEvent::UserInvited { principal: principal(who), profile };
        write(&mut company, "acme", AggregateKind::Identity, vec![invited.into()]).await;
    }
    let named = async |company: &Company| -> Vec<bool> {
        let page: UserPage = company.query("acme", "op_root", "user.list", &json!({})).await.unwrap();
        page.rows.iter().map(|row| row.email.is_some()).collect()
    };
    assert_eq!(named(&company).await, [true, true]);
    let erased = IdentityEvent::UserErased { principal: principal("p_eve"), reason: String::new() };
    write(&mut company, "acme", AggregateKind::Identity, vec![erased.into()]).await;
    assert_eq!(named(&company).await, [false, true], "her key is still there");
    let suspended = TenantEvent::Suspended { reason: "left".to_owned() };
    let asked = TenantEvent::ErasureAsked { reason: "left".to_owned() };
    let events = [suspended, asked, TenantEvent::Erased].map(Event::from).to_vec();
    write(&mut company, "acme", AggregateKind::Tenant, events).await;
    assert_eq!(named(&company).await, [false, false], "so are those of the tenant");
    let shown: TenantRow = company.query("acme", "op_root", "tenant.show", &json!({})).await.unwrap();
    assert_eq!(shown.state, TenantState::Erased);
}

#[tokio::test]
async fn inherited_platform_roles_are_listed_among_the_tenants_own() {
    let mut company = Company::founded(Config::default()).await;
    let defined = |role: &str, permission: &str| {
        let (permissions, inherits) = (vec![permission.parse().unwrap()], vec![]);
        Event::from(AccessEvent::RoleDefined { role: RoleId::new(role).unwrap(), permissions, inherits })
    };
    let own = vec![defined("clerk", "cost:report"), defined("porter", "task:list")];
    write(&mut company, "acme", AggregateKind::Access, own).await;
    write(&mut company, "steward", AggregateKind::Access, vec![defined("billing", "budget:*")]).await;
    let page: RolePage = company.query("acme", "p_max", "role.list", &json!({})).await.unwrap();
    let found: Vec<(&str, bool)> = page.rows.iter().map(|row| (row.role.as_str(), row.inherited)).collect();
    let expected = [
        ("admin", true),
        ("agent", true),
        ("auditor", true),
        ("billing", true),
        ("clerk", false),
        ("developer", true),
        ("owner", true),
        ("porter", false),
    ];
    assert_eq!(found, expected);
    let billing = page.rows.iter().find(|row| row.role.as_str() == "billing").unwrap();
    assert_eq!(billing.permissions[0].as_str(), "budget:*", "as the operators changed it");
    for limit in 1..9 {
        let rows: Vec<Value> = all(&company, "role.list", &json!({}), limit).await;
        let found: Vec<&str> = rows.iter().map(|row| row["role"].as_str().unwrap()).collect();
        assert_eq!(found, expected.map(|(role, _)| role), "{limit}");
    }
    let others: RolePage = company.query("globex", "p_gil", "role.list", &json!({})).await.unwrap();
    assert!(others.rows.iter().all(|row| row.inherited), "another tenant's own roles are not shown");
}

fn price(pico: u64) -> Rates {
    let pico = PicoDollarsPerToken(pico);
    Rates { input: pico, cached: pico, output: pico, ..Rates::default() }
}

fn model_set(model: &str, output_max: u64) -> Event {
    let spec = ModelSpec::of(Tokens(8_192), Tokens(output_max));
    CatalogEvent::ModelSet { model: ModelId::new(model).unwrap(), spec }.into()
}

fn route_set(model: &str, provider: &str) -> Event {
    let target = Target::new(ProviderId::new(provider).unwrap(), format!("{model}-there"));
    let (model, policy, terms) = (ModelId::new(model).unwrap(), RoutePolicy::Ordered, RouteTerms::default());
    CatalogEvent::RouteSet { model, targets: vec![target], policy, terms }.into()
}

fn price_set(model: &str, day: u64, pico: u64) -> Event {
    price_at(None, (model, day, pico))
}

/// The price of one target.
fn price_at(target: Option<&str>, (model, day, pico): (&str, u64, u64)) -> Event {
    let from = Timestamp(NOON.0 + day * 86_400_000_000);
    let (model, price, target) = (ModelId::new(model).unwrap(), price(pico), target.map(|text| text.parse().unwrap()));
    CatalogEvent::PriceSet { model, from, until: None, price, variants: vec![], source: None, target }.into()
}

fn provider_set(provider: &str, key: Option<&str>) -> Event {
    CatalogEvent::ProviderSet {
        provider: ProviderId::new(provider).unwrap(),
        kind: ProviderKind::Openai,
        url: format!("https://{provider}.example.org/v1"),
        key: key.map(str::to_owned),
    }
    .into()
}

#[tokio::test]
async fn a_catalog_is_the_own_over_that_of_the_platform() {
    let mut company = Company::founded(Config::default()).await;
    let shared = vec![
        provider_set("local", Some("env:LOCAL_KEY")),
        model_set("large", 256),
        model_set("small", 64),
        route_set("large", "local"),
        route_set("small", "local"),
        price_set("large", 0, 3),
        price_set("small", 0, 1),
        price_set("small", 2, 2),
    ];
    write(&mut company, "steward", AggregateKind::Catalog, shared).await;
    let own = vec![
        provider_set("mine", None),
        model_set("small", 32),
        route_set("small", "mine"),
        price_set("small", 0, 7),
        model_set("large", 100),
        model_set("tiny", 8),
    ];
    write(&mut company, "acme", AggregateKind::Catalog, own).await;

    let page: ProviderPage = company.query("acme", "p_max", "provider.list", &json!({})).await.unwrap();
    let found: Vec<_> =
        page.rows.iter().map(|row| (row.provider.as_str(), row.key.as_deref(), row.inherited)).collect();
    assert_eq!(found, [("local", None, true), ("mine", None, false)], "where the platform's key is found is not told");
    let page: ProviderPage = company.query("steward", "op_root", "provider.list", &json!({})).await.unwrap();
    assert_eq!(page.rows[0].key.as_deref(), Some("env:LOCAL_KEY"));

    let page: ModelPage = company.query("acme", "p_max", "model.list", &json!({})).await.unwrap();
    let found: Vec<_> = (page.rows.iter())
        .map(|row| {
            let goes_to = row.targets.iter().map(|target| target.provider.as_str()).collect::<Vec<_>>().join(",");
            (row.model.as_str(), row.spec.output_max.0, goes_to, row.price.map(|price| price.input.0), row.inherited)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("large", 100, "local".to_owned(), Some(3), true),
            ("small", 32, "mine".to_owned(), Some(7), false),
            ("tiny", 8, String::new(), None, false)
        ]
    );
    let page: ModelPage = company.query("acme", "p_max", "model.list", &json!({ "provider": "mine" })).await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row.model.as_str()).collect::<Vec<_>>(), ["small"]);

    let page: PricePage = company.query("acme", "p_max", "price.list", &json!({})).await.unwrap();
    let day = |at: Timestamp| (at.0 - NOON.0) / 86_400_000_000;
    let found: Vec<_> = (page.rows.iter())
        .map(|row| (row.model.as_str(), day(row.from), row.until.map(day), row.price.input.0, row.inherited))
        .collect();
    assert_eq!(found, [("large", 0, None, 3, true), ("small", 0, None, 7, false)], "each by who is paid");
    let page: PricePage = company.query("acme", "p_max", "price.list", &json!({ "model": "small" })).await.unwrap();
    assert_eq!(page.rows.len(), 1);
    let rows: Vec<Value> = all(&company, "price.list", &json!({}), 1).await;
    assert_eq!(rows.len(), 2);
    let others: ModelPage = company.query("globex", "p_gil", "model.list", &json!({})).await.unwrap();
    let found: Vec<_> =
        others.rows.iter().map(|row| (row.model.as_str(), row.price.map(|price| price.input.0))).collect();
    assert_eq!(found, [("large", Some(3)), ("small", Some(1))], "what acme set is acme's");
}

#[tokio::test]
async fn prices_set_in_any_order_end_where_the_next_begins() {
    let mut company = Company::founded(Config::default()).await;
    let events = [3, 1, 2, 1].map(|day| price_set("small", day, day)).to_vec();
    write(&mut company, "steward", AggregateKind::Catalog, events).await;
    let page: PricePage = company.query("acme", "p_max", "price.list", &json!({})).await.unwrap();
    let found: Vec<_> = page.rows.iter().map(|row| (row.from, row.until)).collect();
    let day = |day: u64| Timestamp(NOON.0 + day * 86_400_000_000);
    assert_eq!(found, [(day(1), Some(day(2))), (day(2), Some(day(3))), (day(3), None)]);
}

#[tokio::test]
async fn a_targets_prices_stand_beside_those_of_the_model() {
    let mut company = Company::founded(Config::default()).await;
    let own = |day, pico| price_at(Some("local/a~b%"), ("small", day, pico));
    let prices = vec![price_set("small", 0, 1), own(0, 5), price_set("small", 2, 2), own(1, 6), own(3, 7)];
    let events = [vec![model_set("small", 64), route_set("small", "local")], prices].concat();
    write(&mut company, "steward", AggregateKind::Catalog, events).await;
    let rows: Vec<Value> = all(&company, "price.list", &json!({}), 1).await;
    let day = |at: &Value| (at.as_str().unwrap().parse::<Timestamp>().unwrap().0 - NOON.0) / 86_400_000_000;
    let found: Vec<_> = (rows.iter())
        .map(|row| (day(&row["from"]), row["until"].is_string().then(|| day(&row["until"])), row["target"].as_str()))
        .collect();
    let target = Some("local/a~b%");
    let expected = [(0, Some(2), None), (0, Some(1), target), (1, Some(3), target), (2, None, None), (3, None, target)];
    assert_eq!(found, expected);
    let page: ModelPage = company.query("acme", "p_max", "model.list", &json!({})).await.unwrap();
    assert_eq!(page.rows[0].price.map(|price| price.input.0), Some(1), "that of a target is not the model's");
}

#[tokio::test]
async fn operators_list_all_tenants_and_a_tenant_only_itself() {
    let mut company = Company::founded(Config::default()).await;
    let suspended = TenantEvent::Suspended { reason: "unpaid".to_owned() };
    write(&mut company, "globex", AggregateKind::Tenant, vec![suspended.into()]).await;
    let page: TenantPage = company.query("steward", "op_root", "tenant.list", &json!({})).await.unwrap();
    let found: Vec<_> = page.rows.iter().map(|row| (row.tenant.as_str(), row.state, row.reason.as_deref())).collect();
    assert_eq!(found, [("acme", TenantState::Open, None), ("globex", TenantState::Suspended, Some("unpaid"))]);
    let body = json!({ "state": "suspended" });
    let page: TenantPage = company.query("steward", "op_root", "tenant.list", &body).await.unwrap();
    assert_eq!(page.rows.len(), 1);
    let first: TenantPage = company.query("steward", "op_root", "tenant.list", &json!({ "limit": 1 })).await.unwrap();
    assert_eq!((first.rows.len(), first.next.as_deref()), (1, Some("acme")));

    let page: TenantPage = company.query("acme", "p_ana", "tenant.list", &json!({})).await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row.tenant.as_str()).collect::<Vec<_>>(), ["acme"]);
    let shown: TenantRow = company.query("acme", "p_max", "tenant.show", &json!({})).await.unwrap();
    assert_eq!((shown.timezone.as_str(), shown.shard), ("UTC", Shard(SHARD)));
}

#[tokio::test]
async fn no_list_shows_rows_of_another_tenant() {
    let mut company = Company::founded(Config::default()).await;
    let spec = AgentSpec {
        model: ModelId::new("small").unwrap(),
        instructions: "Answer.".to_owned(),
        pattern: PatternKind::default(),
        output_max: Tokens(16),
        steps_max: 3,
    };
    let defined = AgentEvent::Defined { agent: AgentId::new("spy").unwrap(), revision: 1, spec };
    company.writer.write(&stream(SHARD, "globex", AggregateKind::Agent, "spy"), vec![defined.into()]).await;
    let data_key = company.keyring.find_or_make(&KeyOwner::Person(tenant("globex"), principal("p_spy"))).await.unwrap();
    let profile = Profile { email: "spy@example.org".to_owned(), name: "Spy".to_owned() };
    let owner = KeyOwner::Person(tenant("globex"), principal("p_spy"));
    let profile = Sealed::seal(&profile, owner, &data_key, "").unwrap();
    let identity = vec![
        IdentityEvent::UserInvited { principal: principal("p_spy"), profile }.into(),
        IdentityEvent::AccountCreated { principal: principal("svc_spy"), name: "spy".to_owned() }.into(),
        key("key_spy", "svc_spy", "globex", None),
    ];
    write(&mut company, "globex", AggregateKind::Identity, identity).await;
    let access = vec![
        AccessEvent::RoleDefined { role: RoleId::new("spy").unwrap(), permissions: vec![], inherits: vec![] }.into(),
        AccessEvent::RoleGranted { grant: grant("svc_spy", "spy", "globex"), expires: None, condition: None }.into(),
        AccessEvent::GroupDefined {
            group: PrincipalId::group(&tenant("globex"), "spy"),
            name: "spy".to_owned(),
            description: String::new(),
        }
        .into(),
    ];
    write(&mut company, "globex", AggregateKind::Access, access).await;
    let owner = KeyOwner::Tenant(tenant("globex"));
    let data_key = company.keyring.find_or_make(&owner).await.unwrap();
    let value = Sealed::seal(&"sk-4711".parse::<SecretValue>().unwrap(), owner, &data_key, "").unwrap();
    let catalog = vec![
        CatalogEvent::SecretSet { secret: SecretId::new("spy").unwrap(), value }.into(),
        provider_set("spy", None),
        model_set("spy", 8),
        route_set("spy", "spy"),
        price_set("spy", 0, 1),
    ];
    write(&mut company, "globex", AggregateKind::Catalog, catalog).await;

    let agents: AgentPage = company.query("globex", "p_gil", "agent.list", &json!({})).await.unwrap();
    assert_eq!((agents.rows.len(), agents.rows[0].spec.steps_max), (1, 3));
    for query in LISTS.iter().filter(|query| !query.starts_with("budget") && !query.starts_with("tenant")) {
        let own: Value = company.query("globex", "p_gil", query, &json!({})).await.unwrap();
        assert!(own.to_string().contains("spy"), "{query}: {own}");
    }
    for query in LISTS {
        // Names between and behind those of the tenant, too: a page begins within the tenant, whatever it is told.
        for after in [None, Some("a"), Some("~"), Some("zzz"), Some("globex~key~key_s")] {
            let others: Value = company.query("acme", "p_ana", query, &json!({ "after": after })).await.unwrap();
            assert!(!others.to_string().contains("spy"), "{query}: {others}");
            assert!(!others.to_string().contains("globex"), "{query}: {others}");
        }
    }
}
