//! Every built-in role × every permission of the command and query tables, as a file that people read and reviews see
//! change: `tests/role_matrix.txt`. To accept a change, run with `ROLE_MATRIX=accept`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end at once

use std::fmt::Write as _;

use steward_aggregates::access::role::built_in_ids;
use steward_aggregates::spec::fold;
use steward_authority::{AccessRequest, Authority, Context};
use steward_events::command::{Audience, COMMANDS};
use steward_events::event::{AccessEvent, GrantId, IdentityEvent, TenantEvent};
use steward_events::id::{PrincipalId, TenantId};
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;
use steward_queries::QUERIES;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/role_matrix.txt");

/// One principal a role, named after it, and one without any.
fn world(tenant: &TenantId) -> Authority {
    let mut authority = Authority::default();
    let created = TenantEvent::Created { tenant: tenant.clone(), timezone: "UTC".to_owned() };
    fold(&mut authority, tenant, Timestamp(0), created);
    for role in built_in_ids() {
        let principal: PrincipalId = format!("p_{role}").parse().unwrap();
        let account = IdentityEvent::AccountCreated { principal: principal.clone(), name: role.to_string() };
        fold(&mut authority, tenant, Timestamp(0), account);
        let grant = GrantId { to: principal, role, on: Scope::tenant(tenant) };
        fold(&mut authority, tenant, Timestamp(0), AccessEvent::RoleGranted { grant, expires: None, condition: None });
    }
    authority
}

fn permissions() -> Vec<(Permission, bool)> {
    let commands = COMMANDS.iter().map(|spec| (spec.permission(), spec.audience == Audience::System));
    let queries = QUERIES.iter().map(|spec| (spec.permission(), spec.only.is_some()));
    commands.chain(queries).chain(Permission::of_the_gateway().map(|permission| (permission, false))).collect()
}

fn matrix() -> String {
    let tenant: TenantId = "acme".parse().unwrap();
    let authority = world(&tenant);
    let may = |who: String, permission: &Permission| {
        let request = AccessRequest {
            tenant: tenant.clone(),
            principal: who.parse().unwrap(),
            key: None,
            permission: permission.clone(),
            scope: Scope::tenant(&tenant),
            context: Context::default(),
        };
        if authority.authorise(&request, Timestamp(1)).is_ok() { "yes" } else { "-" }
    };
    let mut table = format!("{:<20}", "permission");
    for role in built_in_ids() {
        write!(table, "{role:<11}").unwrap();
    }
    table += "sys_gateway sys_worker\n";
    for (permission, _) in permissions() {
        write!(table, "{permission:<19} ").unwrap();
        for role in built_in_ids() {
            write!(table, "{:<11}", may(format!("p_{role}"), &permission)).unwrap();
        }
        let (gateway, worker) = (may("sys_gateway".to_owned(), &permission), may("sys_worker".to_owned(), &permission));
        writeln!(table, "{gateway:<11} {worker}").unwrap();
    }
    table
}

#[test]
#[allow(clippy::disallowed_methods)] // a switch for the person who runs the test
fn the_matrix_is_as_reviewed() {
    let found = matrix();
    if std::env::var("ROLE_MATRIX").is_ok_and(|word| word == "accept") {
        std::fs::write(PATH, &found).unwrap();
    }
    let reviewed = std::fs::read_to_string(PATH).unwrap();
    assert_eq!(found, reviewed, "who may do what has changed; read the difference, then accept it");
}

#[test]
fn no_role_holds_permissions_of_system_parts() {
    let matrix = matrix();
    for (permission, _) in permissions().iter().filter(|(_, system)| *system) {
        let row = matrix.lines().find(|row| row.starts_with(&format!("{permission} "))).unwrap();
        let cells: Vec<&str> = row.split_whitespace().skip(1).collect();
        let (system, roles) = cells.split_last_chunk::<2>().map(|(roles, system)| (system, roles)).unwrap();
        assert!(roles.iter().all(|cell| *cell == "-"), "{row}");
        assert!(system.contains(&"yes"), "{row}");
    }
}
