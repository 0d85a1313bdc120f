//! `steward role remove NAME --plan`: who holds a role, and what each would lose.

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::permission::PermissionPattern;
use steward_queries::{RoleUse, RoleUseQuery};

use crate::client::Client;
use crate::output;

/// Shows it; nothing is sent.
pub(crate) async fn run(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let tenant = client.tenant()?;
    let role = matches.get_one::<String>("role").ok_or("which role?")?;
    let found: RoleUse = client.query(&tenant, "access", "role-use", &RoleUseQuery { role: role.parse()? }).await?;
    if json {
        return output::json(&found);
    }
    if found.holders.is_empty() {
        println!("nobody holds {role}");
    } else {
        let rows = found.holders.iter().map(|holder| {
            let loses: Vec<&str> = holder.loses.iter().map(PermissionPattern::as_str).collect();
            vec![
                holder.to.to_string(),
                holder.name.clone().unwrap_or_else(|| "-".to_owned()),
                holder.on.to_string(),
                holder.expires.map_or_else(|| "-".to_owned(), |at| at.to_string()),
                if loses.is_empty() { "nothing".to_owned() } else { loses.join(", ") },
            ]
        });
        output::say_lines(&output::table(&["PRINCIPAL", "NAME", "ON", "UNTIL", "LOSES"], &[], rows));
        let more = usize::try_from(found.holders_count).unwrap_or(usize::MAX).saturating_sub(found.holders.len());
        if more > 0 {
            println!("and {more} more");
        }
    }
    for heir in &found.heirs {
        println!("the role {heir} inherits it");
    }
    for rule in &found.rules {
        println!("the rule {rule} names it");
    }
    match (&found.obstacle, found.holders.is_empty()) {
        (Some(obstacle), _) => println!("it cannot be removed: {obstacle}"),
        (None, true) => println!("it can be removed: steward role remove {role} --tenant {tenant}"),
        (None, false) => {
            println!("remove it with all grants: steward role remove {role} --revoke-grants true --tenant {tenant}");
        }
    }
    Ok(())
}
